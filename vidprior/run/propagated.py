"""The propagated pixels of a run: from its work directory, or computed."""

import numpy as np
from ml_collections import ConfigDict

from vidprior.imaging.visualize import outline_hole, side_by_side, tint
from vidprior.propagation import propagate
from vidprior.propagation.blending import network_may_gain
from vidprior.propagation.holdout import holdout_mask
from vidprior.propagation.mask_case import judge_mask
from vidprior.run import build
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir
from vidprior.training import checkpoints
from vidprior.types import Propagated

# Frames with held-out pixels if no network is trained.
_HELD_OUT_FRAMES = 12
# A share of the hole that is guessed is told from this on.
_WORTH_SAYING = 0.001
# A case is hard if other frames show less than this share of the hole.
_HARD = 0.3
# Frames of the picture, and its colours.
_PICTURED, _SEEN, _GUESSED = 3, (0, 200, 80), (255, 140, 0)


def obtain_propagated(workdir: Workdir, clip: PreparedClip, *, config: ConfigDict) -> Propagated:
    """The propagated pixels: from the work directory, or computed and stored there.

    With `propagation.holdout`, pixels are held out in all frames, to score a network. Without
    training, they are held out in some frames, to calibrate propagation.

    Raises:
      InputError: the file is damaged, or the frames are too small for flow.
    """
    kept = workdir.read_propagated(clip.hole)
    if kept is None:
        holdout = None
        if config.propagation.holdout:
            holdout = holdout_mask(clip.hole, seed=config.seed)
        elif not build.trains(config):
            holdout = holdout_mask(clip.hole, seed=config.seed, frames=_HELD_OUT_FRAMES)
        kept = propagate.propagate(
            clip.frames, clip.hole, holdout, guess=config.propagation.guess, seed=config.seed
        )
        workdir.write_propagated(kept)
    return kept


def network_pays(
    workdir: Workdir, clip: PreparedClip, propagated: Propagated, *, config: ConfigDict
) -> bool:
    """Whether a network is worth training; otherwise propagated pixels are the result.

    Only a run that compares both (`checkpoint.keep_best`, and propagated pixels blended) may
    leave out the training, and only before it has begun. A guess by copies is shown as it
    is, so it is no reason to train.
    """
    compared = config.checkpoint.keep_best and config.render.propagated_pixels == "blend"
    if not compared or not propagated.held_out.any():
        return True
    begun = bool(checkpoints.Checkpoints(workdir.checkpoints).steps())
    judged = clip.hole
    if keeps_guess(config) and propagated.unseen is not None:
        judged = judged & ~propagated.unseen
    return begun or network_may_gain(propagated.confidence[judged])


def keeps_guess(config: ConfigDict) -> bool:
    """Whether what no frame shows is shown as guessed, also beside a network."""
    return bool(config.propagation.guess == "copies")


def describe_case(clip: PreparedClip) -> str | None:
    """One line, before the work: how mask and scene move; None if too few frames have a hole."""
    case = judge_mask(clip.frames, clip.hole)
    if case is None:
        return None
    mask = "moves" if case.mask_moves else "stands still"
    if case.scene_moves is None or case.shown is None:
        return f"case: the mask {mask}; the camera's motion was not found"
    line = f"case: the mask {mask} over a {'moving' if case.scene_moves else 'still'} scene; "
    if case.shown < _HARD:
        return line + f"the hardest case: other frames show about {case.shown:.0%} of the hole"
    return line + f"other frames show about {case.shown:.0%} of the hole"


def describe_propagation(clip: PreparedClip, propagated: Propagated) -> str:
    """One line: how much of the hole was propagated with confidence, how well, and the rest."""
    share = (propagated.confidence[clip.hole] >= 0.5).mean() if clip.hole.any() else 0
    line = f"hole: {share:.1%} propagated from other frames with confidence"
    where = propagated.held_out
    if where.any():
        error = propagated.frames[where].astype(np.float64) - clip.frames[where]
        line += f"; held-out RMSE {np.sqrt(np.square(error).mean()):.1f}/255"
    guessed = guessed_share(clip, propagated)
    if guessed >= _WORTH_SAYING:
        line += f"; {guessed:.1%} is shown by no frame and guessed"
    return line


def guessed_share(clip: PreparedClip, propagated: Propagated) -> float:
    """The share of the hole that no frame shows; 0 if it is not known."""
    if propagated.unseen is None or not clip.hole.any():
        return 0.0
    return float(propagated.unseen[clip.hole].mean())


def picture_origins(clip: PreparedClip, propagated: Propagated) -> np.ndarray:
    """A picture of some frames, [h, w, 3] uint8: where the hole's content comes from.

    A row for each frame: the input with the hole outlined, and the filled frame with tints:
    green for what other frames show, orange for what is guessed.
    """
    numbers = np.flatnonzero(clip.hole.any(axis=(1, 2)))
    shown = np.unique(numbers[np.linspace(0, len(numbers) - 1, _PICTURED).astype(int)])
    unseen = propagated.unseen
    rows = []
    for number in shown:
        hole = clip.hole[number]
        guessed = np.zeros_like(hole) if unseen is None else unseen[number]
        filled = np.where(hole[..., None], propagated.frames[number], clip.frames[number])
        filled = tint(tint(filled, hole & ~guessed, _SEEN), guessed, _GUESSED)
        rows.append(side_by_side(outline_hole(clip.frames[number], hole), filled))
    return np.concatenate(rows)
