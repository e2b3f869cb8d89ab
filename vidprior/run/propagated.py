"""The propagated pixels of a run: from its work directory, or computed."""

import numpy as np
from ml_collections import ConfigDict

from vidprior.propagation import propagate
from vidprior.propagation.blending import network_may_gain
from vidprior.propagation.holdout import holdout_mask
from vidprior.run import build
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir
from vidprior.training import checkpoints
from vidprior.types import Propagated

# Frames with held-out pixels if no network is trained.
_HELD_OUT_FRAMES = 12


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
    leave out the training, and only before it has begun.
    """
    compared = config.checkpoint.keep_best and config.render.propagated_pixels == "blend"
    if not compared or not propagated.held_out.any():
        return True
    begun = bool(checkpoints.Checkpoints(workdir.checkpoints).steps())
    return begun or network_may_gain(propagated.confidence[clip.hole])


def describe_propagation(clip: PreparedClip, propagated: Propagated) -> str:
    """One line: how much of the hole was propagated with confidence, and how well."""
    share = (propagated.confidence[clip.hole] >= 0.5).mean() if clip.hole.any() else 0
    line = f"hole: {share:.1%} propagated from other frames with confidence"
    where = propagated.held_out
    if where.any():
        error = propagated.frames[where].astype(np.float64) - clip.frames[where]
        line += f"; held-out RMSE {np.sqrt(np.square(error).mean()):.1f}/255"
    return line
