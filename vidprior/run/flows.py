"""The optical flow of a run: from its work directory, a flow file, or an estimator."""

import logging
import pathlib
import shlex
import subprocess

import numpy as np
from ml_collections import ConfigDict

from vidprior.errors import InputError
from vidprior.flow import dis, flow_file
from vidprior.io.npz import save_npz
from vidprior.propagation.visibility import never_seen
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir
from vidprior.training.progress import Progress
from vidprior.types import OFFSETS, Flows

log = logging.getLogger("vidprior")

PWCNET = pathlib.Path(__file__).resolve().parents[2] / "third_party/pwcnet_torch/estimate.py"
PWCNET_URL = "http://content.sniklaus.com/github/pytorch-pwc/network-default.pytorch"


def describe_visibility(clip: PreparedClip, flows: Flows) -> str:
    """One line: the share of the hole that no frame shows."""
    to = {int(offset): flow for offset, flow in zip(flows.offsets, flows.flow, strict=True)}
    unseen = never_seen(clip.hole, to[1], to[-1])
    share = unseen.sum() / clip.hole.sum()
    if not unseen.any():
        return "hole: according to the flow, each of its pixels is seen in some frame"
    worst = int(unseen.sum(axis=(1, 2)).argmax())
    return (
        f"hole: according to the flow, {share:.1%} of its pixels are seen in no frame (most in "
        f"frame {worst}): there the network can only guess"
    )


def require_estimator(config: ConfigDict) -> None:
    """Checks, before anything is written, that the chosen flow estimator can run.

    Raises:
      InputError: something is missing; with how to get it and how to do without.
    """
    if config.flow.estimator != "pwcnet":
        return
    if not PWCNET.is_file():
        raise InputError(
            f"PWC-Net is not part of an installed vidprior ({PWCNET} is missing): run from a "
            f"checkout, or use OpenCV's estimator with --config.flow.estimator=dis, or a flow file "
            f"with --flows"
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
            f"non-commercial use): run {' and '.join(remedies)}; or use OpenCV's estimator with "
            f"--config.flow.estimator=dis, or a flow file with --flows"
        )


def check_flows(workdir: Workdir, clip: PreparedClip, given: str) -> None:
    """Checks, before anything is written, that a flow file belongs to the clip and the run.

    Raises:
      InputError: it does not; with what differs.
    """
    flows = _load_flows(pathlib.Path(given), clip)
    if workdir.flows_file.exists():
        kept = _load_flows(workdir.flows_file, clip)
        if not np.array_equal(kept.flow, flows.flow):
            raise InputError(
                f"{workdir.path} was begun with another flow than {given}: choose another "
                f"--workdir, or omit --flows"
            )


def obtain_flows(
    workdir: Workdir, clip: PreparedClip, *, config: ConfigDict, given: str | None
) -> Flows:
    """The clip's flow: from the work directory, the given file, or the estimator.

    The work directory stores it, so that a run resumes with the same flow.

    Raises:
      InputError: a file does not belong to the clip, or the estimator fails.
    """
    if not workdir.flows_file.exists():
        if given is None:
            estimate_flows(workdir, clip, config=config)
        else:
            flows = _load_flows(pathlib.Path(given), clip)
            flow_file.save_flows(workdir.flows_file, flows)
            return flows
    return _load_flows(workdir.flows_file, clip)


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
    """Runs the estimator as a separate process; torch is never imported here."""
    shown = workdir.path / ".flow_input.npz"
    save_npz(shown, frames=frames, source_sha256=clip.source_sha256)
    command = [
        config.flow.pwcnet_python,
        str(PWCNET),
        f"--frames={shown}",
        f"--weights={config.flow.pwcnet_weights}",
        f"--output={workdir.flows_file}",
    ]
    log.info("flow: %s", shlex.join(command))
    try:
        finished = subprocess.run(command, check=False)
    except OSError as error:
        raise InputError(f"{command[0]} cannot be run: {error.strerror}") from error
    finally:
        shown.unlink(missing_ok=True)
    if finished.returncode:
        raise InputError(
            f"PWC-Net stopped with exit code {finished.returncode}: see its output above"
        )
