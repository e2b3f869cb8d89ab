"""From the user's files to a clip at training size, and to its flow."""

import math
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from vidprior.errors import InputError
from vidprior.flow import dis, flow_file
from vidprior.imaging import geometry
from vidprior.imaging.geometry import Transform
from vidprior.io.footage import Footage, open_footage, read_frames
from vidprior.io.mask_meaning import MaskRules
from vidprior.io.masks import read_masks
from vidprior.io.npz import save_npz
from vidprior.propagation import propagate
from vidprior.propagation.holdout import holdout_mask
from vidprior.propagation.visibility import never_seen
from vidprior.run.render import CompositeFrame
from vidprior.run.workdir import PreparedClip, Workdir
from vidprior.training.progress import Progress
from vidprior.types import OFFSETS, Flows, Propagated

PWCNET = pathlib.Path(__file__).resolve().parents[2] / "third_party/pwcnet_torch/estimate.py"
PWCNET_URL = "http://content.sniklaus.com/github/pytorch-pwc/network-default.pytorch"

_WITHOUT_SOURCE = (
    "give the run's own by --video and --mask, or render at training size, without them, by "
    "--config.render.size=training"
)


class Source(NamedTuple):
    """The user's footage at its own size, and what is to go from it.

    Attributes:
      footage: frames, read one at a time.
      mask: path of the masks.
      masks: [T, h, w] uint8, as given.
      dilate: pixels by which they grow.
      transform: from the footage to training size.
      notes: what was taken of masks and done to them, a line each.
    """

    footage: Footage
    mask: str
    masks: np.ndarray
    dilate: float
    transform: Transform
    notes: tuple[str, ...] = ()

    def part(self, frames: range) -> "Source":
        """Some consecutive frames of it, in the same view."""
        masks = self.masks[frames.start : frames.stop]
        return self._replace(footage=self.footage.part(frames.start, frames.stop), masks=masks)

    def frames(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frame [1, h, w, 3] and grown mask [1, h, w] of each, uint8."""
        for number, frame in enumerate(self.footage.frames()):
            yield frame[None], geometry.dilate(self.masks[number : number + 1], self.dilate)


def open_source(video: str, mask: str, *, config: ConfigDict, fit_mask: bool = False) -> Source:
    """Looks at the video, and reads its masks.

    Args:
      video: path of a video or of a folder of images.
      mask: path of a video, a folder, or one image for all frames.
      config: fields `video.*`.
      fit_mask: resample masks of another number, rate or size.

    Raises:
      InputError: when either cannot be read, or when they do not fit each other.
    """
    fields = config.video
    footage = open_footage(
        video,
        start=fields.start,
        stop=fields.stop,
        max_frames=fields.max_frames,
        allow_truncated=fields.allow_truncated,
    )
    rate = Fraction(config.video.rate).limit_denominator(1001)
    masks = read_masks(mask, footage, rate=rate, fit=fit_mask, rules=_mask_rules(config))
    view = training_crop(footage.size, masks.hole, config=config)
    return Source(footage, mask, masks.hole, fields.dilate, view, masks.notes)


def _mask_rules(config: ConfigDict) -> MaskRules:
    fields = config.mask
    return MaskRules(tuple(fields.labels), tuple(fields.ignore), fields.invert, fields.missing)


def training_crop(size: tuple[int, int], masks: np.ndarray, *, config: ConfigDict) -> Transform:
    """The crop that is trained on: the frame's middle, or the surroundings of the hole.

    Args:
      size: (h, w) of the frames.
      masks: [T, h, w] uint8, of all frames that are trained on together.
      config: fields `video.*`.
    """
    fields = config.video
    if fields.region == "hole":
        # To grow and then join the masks of all frames is to join and then grow them.
        path = geometry.dilate(masks.max(axis=0)[None], fields.dilate)[0] > geometry.MASK_THRESHOLD
        if path.any():
            return geometry.crop_around(path, (fields.height, fields.width), context=fields.context)
    return geometry.centre_crop(size, (fields.height, fields.width))


def reopen_source(
    video: str, mask: str, size: tuple[int, int], *, config: ConfigDict, fit_mask: bool = False
) -> Source:
    """The source of a run that was begun earlier, when it had the size (h, w).

    Raises:
      InputError: as `open_source`, or its size is another by now.
    """
    try:
        source = open_source(video, mask, config=config, fit_mask=fit_mask)
    except InputError as error:
        raise InputError(f"{error}; {_WITHOUT_SOURCE}") from error
    if source.footage.size != size:
        raise InputError(f"{video} has another size than when the run began; {_WITHOUT_SOURCE}")
    return source


def input_warnings(source: Source) -> Iterator[str]:
    """What was done to video and masks, and what is likely to go wrong, a line each."""
    yield from source.footage.notes()
    yield from source.notes
    if not source.dilate:
        yield (
            "warning: the mask is used as it is; if it follows the object closely, a rim or a "
            "shadow of the object stays: grow it by --config.video.dilate=8"
        )
    whole = inside = 0
    for mask in source.masks:
        whole += int((mask > geometry.MASK_THRESHOLD).sum())
        inside += int((mask[source.transform.crop] > geometry.MASK_THRESHOLD).sum())
    if inside < whole:
        (h, w), (H, W) = source.footage.size, source.transform.size
        height = max(16, 8 * round(math.sqrt(H * W * h / w) / 8))
        width = max(16, 8 * round(math.sqrt(H * W * w / h) / 8))
        yield (
            f"warning: {1 - inside / whole:.1%} of the mask lies in the margins that the crop to "
            f"{W}x{H} cuts off, and is not filled; take in the whole frame by "
            f"--config.video.height={height} --config.video.width={width}"
        )


def describe_visibility(clip: PreparedClip, flows: Flows) -> str:
    """How much of the hole is never seen, in a line."""
    to = {int(offset): flow for offset, flow in zip(flows.offsets, flows.flow, strict=True)}
    unseen = never_seen(clip.hole, to[1], to[-1])
    share = unseen.sum() / clip.hole.sum()
    if not unseen.any():
        return "hole: as far as the flow tells, each of its pixels is seen in some frame"
    worst = int(unseen.sum(axis=(1, 2)).argmax())
    return (
        f"hole: as far as the flow tells, {share:.1%} of its pixels are seen in no frame (most in "
        f"frame {worst}): there the network can only guess"
    )


def verify_source(
    source: Source, shown: Iterable[CompositeFrame]
) -> Iterator[tuple[CompositeFrame, np.ndarray, np.ndarray]]:
    """Each frame with its [h, w, 3] uint8 of the source and hole [h, w] bool, still the run's.

    Args:
      source: frames of the run from the first that is shown on.
      shown: frames in order, one after the other.

    Raises:
      InputError: at a frame or a mask that is no longer what the run was made from.
    """
    again = source.frames()
    for one in shown:
        frame, mask = next(again, (None, None))
        if frame is None or mask is None:
            raise InputError(
                f"{source.footage.path} ends before frame {one.number}; {_WITHOUT_SOURCE}"
            )
        small = geometry.crop_and_resize(one.view, frame)[0]
        hole = geometry.crop_and_resize_masks(one.view, mask)[0]
        for path, now, then in (
            (source.footage.path, small, one.known),
            (source.mask, hole, one.hole),
        ):
            if not np.array_equal(now, then):
                raise InputError(
                    f"{path} is not what the run was made from: frame {one.number} differs; "
                    f"{_WITHOUT_SOURCE}"
                )
        yield one, frame[0], mask[0] > geometry.MASK_THRESHOLD


def read_truth(path: str, *, config: ConfigDict, count: int) -> np.ndarray:
    """The true frames of the range of a run of `count` frames.

    Returns:
      [T, h, w, 3] uint8, at their own size.

    Raises:
      InputError: when they are fewer.
    """
    fields = config.video
    source = read_frames(path, allow_truncated=fields.allow_truncated)
    # The truth may cover the whole source or the range that was inpainted.
    frames = source.frames
    if len(frames) != count:
        frames = frames[fields.start : fields.start + count]
    if len(frames) != count:
        raise InputError(f"{path} has {len(source.frames)} frames, the result has {count}")
    return frames


def crop_truth(truth: np.ndarray, view: Transform, *, config: ConfigDict) -> np.ndarray:
    """True frames [T, h, w, 3] in the view of a part of the run: [T, H, W, 3] uint8.

    Raises:
      InputError: their size is not that of the source, by which a crop around the hole goes.
    """
    if truth.shape[1:3] != view.source_size:
        if config.video.region != "frame":
            raise InputError(
                f"the truth is {truth.shape[2]}x{truth.shape[1]}, the source was "
                f"{view.source_size[1]}x{view.source_size[0]}: around the hole they must be equal"
            )
        view = geometry.centre_crop(truth.shape[1:3], view.size)
    return geometry.crop_and_resize(view, truth)


def require_estimator(config: ConfigDict) -> None:
    """Checks, before anything is written, that the chosen flow estimator can run.

    Raises:
      InputError: naming what is missing, how to get it, and how to do without.
    """
    if config.flow.estimator != "pwcnet":
        return
    if not PWCNET.is_file():
        raise InputError(
            f"PWC-Net is not part of an installed vidprior ({PWCNET} is missing): run from a "
            f"checkout, or take OpenCV's estimator by --config.flow.estimator=dis, or a flow file "
            f"by --flows"
        )
    weights, python = config.flow.pwcnet_weights, config.flow.pwcnet_python
    remedies = []
    if not pathlib.Path(python).exists():
        remedies.append("`make pwcnet-env`")
    if not pathlib.Path(weights).exists():
        remedies.append(f"`curl -fL --create-dirs -o {shlex.quote(weights)} {PWCNET_URL}`")
    if remedies:
        raise InputError(
            f"PWC-Net needs its environment at {python} and its weights at {weights} (licensed for "
            f"non-commercial use): run {' and '.join(remedies)}; or take OpenCV's estimator by "
            f"--config.flow.estimator=dis, or a flow file by --flows"
        )


def check_flows(workdir: Workdir, clip: PreparedClip, given: str) -> None:
    """Checks, before anything is written, that a flow file belongs to the clip and the run.

    Raises:
      InputError: naming what differs.
    """
    flows = _load_flows(pathlib.Path(given), clip)
    if workdir.flows_file.exists():
        kept = _load_flows(workdir.flows_file, clip)
        if not np.array_equal(kept.flow, flows.flow):
            raise InputError(
                f"{workdir.path} was begun with another flow than {given}: choose another "
                f"--workdir, or leave --flows out"
            )


def obtain_flows(
    workdir: Workdir, clip: PreparedClip, *, config: ConfigDict, given: str | None
) -> Flows:
    """The clip's flow: from the work directory, the file that was given, or the estimator.

    The work directory keeps it, so that a run goes on with the flow it began with.

    Raises:
      InputError: when a file does not belong to the clip, or the estimator fails.
    """
    if not workdir.flows_file.exists():
        if given is None:
            estimate_flows(workdir, clip, config=config)
        else:
            flows = _load_flows(pathlib.Path(given), clip)
            flow_file.save_flows(workdir.flows_file, flows)
            return flows
    return _load_flows(workdir.flows_file, clip)


def obtain_propagated(workdir: Workdir, clip: PreparedClip, *, config: ConfigDict) -> Propagated:
    """Known pixels carried into the hole: from the work directory, or made for it.

    With `schedule.rehearse` also into a rehearsal hole.

    Raises:
      InputError: the file is damaged, or the frames are too small for flow.
    """
    kept = workdir.read_propagated(clip.hole)
    if kept is None:
        rehearsal = None
        if config.schedule.rehearse:
            rehearsal = holdout_mask(clip.hole, seed=config.seed)
        kept = propagate.propagate(clip.frames, clip.hole, rehearsal)
        workdir.write_propagated(kept)
    return kept


def describe_propagation(clip: PreparedClip, propagated: Propagated) -> str:
    """What is to be told about carried pixels before the training."""
    share = (propagated.confidence[clip.hole] >= 0.5).mean() if clip.hole.any() else 0
    told = f"hole: {share:.1%} of its pixels are carried from other frames and trusted"
    where = propagated.rehearsal
    if where.any():
        error = propagated.frames[where].astype(np.float64) - clip.frames[where]
        told += f"; where this is rehearsed, they deviate by {np.sqrt(np.square(error).mean()):.1f}"
        told += " of 255"
    return told


def _load_flows(path: pathlib.Path, clip: PreparedClip) -> Flows:
    count, height, width = clip.hole.shape
    return flow_file.load_flows(
        path,
        num_frames=count,
        size=(height, width),
        source_sha256=clip.source_sha256,
        offsets=OFFSETS,
    )


def estimate_flows(workdir: Workdir, clip: PreparedClip, *, config: ConfigDict) -> None:
    """Estimates flow with `config.flow.estimator` into the work directory."""
    frames = clip.frames
    if config.flow.fill_hole:
        frames = dis.fill_hole(frames, clip.hole)
    if config.flow.estimator == "pwcnet":
        _run_pwcnet(workdir, frames, clip, config=config)
        return
    with Progress("flow", total=1, unit="pair") as progress:

        def advance(done: int, total: int) -> None:
            progress.set_total(total)
            progress.advance(done)

        flows = dis.estimate_dis(
            frames,
            offsets=OFFSETS,
            source_sha256=clip.source_sha256,
            preset=config.flow.dis_preset,
            on_progress=advance,
        )
    flow_file.save_flows(workdir.flows_file, flows)


def _run_pwcnet(
    workdir: Workdir, frames: np.ndarray, clip: PreparedClip, *, config: ConfigDict
) -> None:
    """Runs the isolated estimator; torch never enters this process."""
    shown = workdir.path / ".flow_input.npz"
    save_npz(shown, frames=frames, source_sha256=clip.source_sha256)
    command = [
        config.flow.pwcnet_python,
        str(PWCNET),
        f"--frames={shown}",
        f"--weights={config.flow.pwcnet_weights}",
        f"--output={workdir.flows_file}",
    ]
    print(f"flow: {shlex.join(command)}", file=sys.stderr, flush=True)
    try:
        finished = subprocess.run(command, check=False)
    except OSError as error:
        raise InputError(f"{command[0]} cannot be run: {error.strerror}") from error
    finally:
        shown.unlink(missing_ok=True)
    if finished.returncode:
        raise InputError(
            f"PWC-Net stopped with exit code {finished.returncode}: see its words above"
        )
