"""What a run will take on this machine, told before it begins.

Memory is predicted as a batch does it. Time is an estimate: costs that were measured on two cores
of a server, times the ratio that earlier runs of the page had on this machine.
"""

import functools
import pathlib
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vidprior import command_line, runtime
from vidprior.app import jobs, views
from vidprior.app.project import opened
from vidprior.imaging.geometry import MASK_THRESHOLD
from vidprior.io import images
from vidprior.io.footage import Footage
from vidprior.propagation.mask_case import MaskCase, judge_mask

# Seconds to start and end; for a pixel of all frames, propagated at training size; and for a
# pixel of all frames, read and written at source size.
_START, _PROPAGATED, _SOURCE = 8.0, 1.2e-5, 2.0e-7
# Seconds of an update for each pixel of its window.
_UPDATE = 2.0e-6
# Frames that are looked at to judge masks, and their columns.
_LOOKED_AT, _COLUMNS = 18, 384


class Forecast(NamedTuple):
    """What a run takes.

    Attributes:
      seconds: estimated, to be multiplied with `measured_speed`; at most, if it trains.
      memory: bytes, predicted.
      trains: whether it may train a network, or find that this would not pay.
    """

    seconds: float
    memory: int
    trains: bool


def forecast(flags: Sequence[str], footage: Footage) -> Forecast:
    """Predicts a run.

    Args:
      flags: `--config=...` and its overrides; other flags have no effect.
      footage: the clip.

    Raises:
      InputError: a flag is invalid.
    """
    from vidprior.batch import needs  # with JAX, which takes a second
    from vidprior.run import build

    config = command_line.parse(["vidprior", *flags]).config
    assert config is not None
    longest = config.video.max_segment_frames or footage.count
    count = min(footage.count, longest)
    shape = (count, config.video.height, config.video.width)
    memory = needs.predict_bytes(config, shape, footage.size)
    size = config.video.height * config.video.width
    seconds = _START + _PROPAGATED * footage.count * size
    if config.render.resolution == "source":
        seconds += _SOURCE * footage.count * footage.size[0] * footage.size[1]
    trains = build.trains(config)
    if trains:
        updates = build.num_updates(config, count) * footage.count / count
        seconds += _UPDATE * updates * size * min(config.window.length, count)
    return Forecast(seconds, memory, trains)


def measured_speed(root: pathlib.Path, kind: str) -> float:
    """Seconds that earlier runs of a kind took, divided by what was estimated; 1 without any.

    Args:
      root: folder of all clips.
      kind: how the names of its runs begin.
    """
    return statistics.median([*_ratios(root, kind)] or [1.0])


def _ratios(root: pathlib.Path, kind: str) -> Iterator[float]:
    for file in root.glob(f"*/runs/{kind}-*.job.json"):
        record = jobs.read(file.with_name(file.name.removesuffix(".job.json")))
        if record["seconds"] > 0 and record["estimate"] > 0:
            yield record["seconds"] / record["estimate"]


def free_memory() -> int | None:
    """Bytes that a run can take; None if unknown."""
    return runtime.available_memory()


@functools.lru_cache(maxsize=32)
def judge(video: str, masks: pathlib.Path, invert: bool) -> MaskCase | None:
    """How mask and scene move in a few frames, and how much of the hole other frames show.

    Args:
      video: path of the clip.
      masks: folder with a mask for each frame, in order.
      invert: whether they show what to keep.

    Raises:
      InputError: a file cannot be read.
    """
    footage, files = opened(video), images.list_images(masks)
    count = min(len(files), footage.count)
    chosen = np.unique(np.linspace(0, count - 1, _LOOKED_AT).astype(int)).tolist()
    height, width = footage.size
    columns = min(_COLUMNS, width)
    size = (max(1, round(height * columns / width)), columns)
    frames = [next(iter(footage.part(n, n + 1).frames())) for n in chosen]
    holes = [(images.read_image(files[n])[..., 0] > MASK_THRESHOLD) != invert for n in chosen]
    resized = [views.resized(mask.astype(np.uint8) * 255, size) for mask in holes]
    hole = np.stack(resized) > MASK_THRESHOLD
    return judge_mask(np.stack([views.resized(frame, size) for frame in frames]), hole)
