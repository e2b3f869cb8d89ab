"""Imports and exports networks of the published code."""

import os
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from vidprior.errors import InputError
from vidprior.io.npz import load_npz, save_npz
from vidprior.model.published import from_published, to_published
from vidprior.run import build
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir
from vidprior.training import checkpoints
from vidprior.types import Params

MAX_BYTES = 2**33


class Published(NamedTuple):
    """A network and the input that it was trained from.

    Attributes:
      params: the generator's parameter tree.
      noise: [T, H, W, 1] float32.
    """

    params: Params
    noise: np.ndarray


def read_published(
    path: str | os.PathLike[str], clip: PreparedClip, *, config: ConfigDict
) -> Published:
    """Reads a published network.

    Args:
      path: an `.npz` written by `tools/convert_official.py --noise=...`: the parameters
        under their published names, and `noise` [T, 1, H, W].
      clip: the clip that the network was trained on.
      config: of its system, for example configs/flow.py for colour and flow.

    Raises:
      InputError: the file is damaged, or does not fit the configuration or the clip.
    """
    ours = to_published(build.initial_params(config), conv_ndim=config.model.conv_ndim)
    fields = {name: ("f", array.ndim) for name, array in ours.items()}
    arrays = load_npz(path, fields={**fields, "noise": ("f", 4)}, max_bytes=MAX_BYTES)
    count, height, width = clip.hole.shape
    wanted = {name: array.shape for name, array in ours.items()}
    for name, shape in (wanted | {"noise": (count, 1, height, width)}).items():
        if arrays[name].shape != shape:
            raise InputError(
                f"{path}: {name} has shape {arrays[name].shape}; for this clip and "
                f"configuration it is {shape}"
            )
    noise = arrays.pop("noise").astype(np.float32).transpose(0, 2, 3, 1)
    params = from_published({name: x.astype(np.float32) for name, x in arrays.items()})
    return Published(params, np.ascontiguousarray(noise))


def import_published(published: Published, workdir: Workdir, *, config: ConfigDict) -> None:
    """Saves a network as the initial state of a locked work directory."""
    workdir.write_noise(published.noise)
    state = build.initial_state(config, published.params)
    saved = checkpoints.Checkpoints(workdir.checkpoints, keep=config.checkpoint.keep)
    saved.save(state, {"flow_scale": None, "rows": []})


def export_published(
    path: str | os.PathLike[str],
    workdir: Workdir,
    clip: PreparedClip,
    *,
    config: ConfigDict,
    step: int | None = None,
) -> int:
    """Writes a checkpoint in the format that `read_published` reads.

    Args:
      path: the `.npz` to write.
      workdir: of the run.
      clip: of the run.
      config: of the run.
      step: number of updates of the checkpoint; the newest by default.

    Returns:
      The checkpoint's number of updates.

    Raises:
      InputError: there is no such checkpoint, or the file cannot be written.
    """
    if config.schedule.reset_per_window:
        raise InputError("a run with a network for every window has no single network to export")
    saved = checkpoints.Checkpoints(workdir.checkpoints)
    if not saved.steps():
        raise InputError(f"{workdir.path} has no checkpoint: nothing was trained yet")
    step = saved.steps()[-1] if step is None else step
    params, _ = saved.restore_params(step)
    noise = build.noise(config, workdir, clip.hole).transpose(0, 3, 1, 2)
    arrays = to_published(params, conv_ndim=config.model.conv_ndim)
    save_npz(path, **arrays, noise=np.ascontiguousarray(noise))
    return step
