"""From the user's files to a clip at training size, and to its flow."""

import json
import pathlib
import shlex
import subprocess
import sys
from fractions import Fraction

import numpy as np
from ml_collections import ConfigDict

from vidprior import flow_estimate, flow_io, geometry, video_io
from vidprior.errors import InputError
from vidprior.npz import save_npz
from vidprior.progress import Progress
from vidprior.types import OFFSETS, Flows
from vidprior.workdir import Prepared, Workdir

PWCNET = pathlib.Path(__file__).resolve().parents[1] / "third_party/pwcnet_torch/estimate.py"
PWCNET_URL = "http://content.sniklaus.com/github/pytorch-pwc/network-default.pytorch"


def read_clip(video: str, mask: str, *, config: ConfigDict) -> Prepared:
    """Reads frames and masks, and brings both to training size.

    Args:
      video: path of a video or of a folder of images.
      mask: path of a video, a folder, or one image for all frames.
      config: fields `video.*`.

    Raises:
      InputError: when either cannot be read, when they do not fit each other, or
        when the mask leaves nothing to do or nothing to learn from.
    """
    fields = config.video
    source = video_io.read_frames(
        video,
        start=fields.start,
        stop=fields.stop,
        max_frames=fields.max_frames,
        allow_truncated=fields.allow_truncated,
    )
    masks = video_io.read_masks(
        mask,
        size=source.frames.shape[1:3],
        num_frames=len(source.frames),
        start=source.start,
        total_frames=source.total,
    )
    transform = geometry.centre_crop(source.frames.shape[1:3], (fields.height, fields.width))
    hole = geometry.apply_to_masks(transform, geometry.dilate(masks, fields.dilate))
    if not hole.any():
        raise InputError(f"{mask}: no frame has a hole (after crop and resize): nothing to fill")
    if hole.all():
        raise InputError(f"{mask}: the hole covers every frame in full: nothing to learn from")
    frames = geometry.apply(transform, source.frames)
    aspect = source.pixel_aspect or Fraction(1)
    rate = source.rate or Fraction(fields.rate).limit_denominator(1001)
    return Prepared(
        frames=frames,
        hole=hole,
        source_sha256=flow_io.frames_sha256(frames),
        rate=(rate.numerator, rate.denominator),
        pixel_aspect=(aspect.numerator, aspect.denominator),
        transform=json.dumps(transform.to_dict()),
    )


def read_truth(path: str, *, config: ConfigDict, like: Prepared) -> np.ndarray:
    """The true frames of the same range, at training size.

    Returns:
      [T, H, W, 3] uint8.

    Raises:
      InputError: when their number differs from the clip's.
    """
    fields = config.video
    count, height, width = like.hole.shape
    source = video_io.read_frames(path, allow_truncated=fields.allow_truncated)
    # The truth may cover the whole source or the range that was inpainted.
    frames = source.frames
    if len(frames) != count:
        frames = frames[fields.start : fields.start + count]
    if len(frames) != count:
        raise InputError(f"{path} has {len(source.frames)} frames, the result has {count}")
    transform = geometry.centre_crop(frames.shape[1:3], (height, width))
    return geometry.apply(transform, frames)


def require_estimator(config: ConfigDict) -> None:
    """Checks, before anything is written, that the chosen flow estimator can run.

    Raises:
      InputError: naming what is missing, how to get it, and how to do without.
    """
    if config.flow.estimator != "pwcnet":
        return
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


def check_flows(workdir: Workdir, clip: Prepared, given: str) -> None:
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
    workdir: Workdir, clip: Prepared, *, config: ConfigDict, given: str | None
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
            flow_io.save_flows(workdir.flows_file, flows)
            return flows
    return _load_flows(workdir.flows_file, clip)


def _load_flows(path: pathlib.Path, clip: Prepared) -> Flows:
    count, height, width = clip.hole.shape
    return flow_io.load_flows(
        path,
        num_frames=count,
        size=(height, width),
        source_sha256=clip.source_sha256,
        offsets=OFFSETS,
    )


def estimate_flows(workdir: Workdir, clip: Prepared, *, config: ConfigDict) -> None:
    """Estimates flow with `config.flow.estimator` into the work directory."""
    frames = clip.frames
    if config.flow.fill_hole:
        frames = flow_estimate.fill_hole(frames, clip.hole)
    if config.flow.estimator == "pwcnet":
        _run_pwcnet(workdir, frames, clip, config=config)
        return
    with Progress("flow", total=1, unit="pair") as progress:

        def advance(done: int, total: int) -> None:
            progress.set_total(total)
            progress.advance(done)

        flows = flow_estimate.estimate_dis(
            frames,
            offsets=OFFSETS,
            source_sha256=clip.source_sha256,
            preset=config.flow.dis_preset,
            on_progress=advance,
        )
    flow_io.save_flows(workdir.flows_file, flows)


def _run_pwcnet(
    workdir: Workdir, frames: np.ndarray, clip: Prepared, *, config: ConfigDict
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
