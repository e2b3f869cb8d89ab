"""The Python entry: arrays in, arrays out.

    import vidprior

    result = vidprior.inpaint(frames, hole)
    result.save("result.mp4", rate=25)

Letters
    T  frames     h, w  rows and columns of the frames given
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from vidprior import configuration, runtime
from vidprior.errors import InputError
from vidprior.io import images as image_files
from vidprior.io import video_writer
from vidprior.run import commands, segments
from vidprior.run.pipeline import Fitted
from vidprior.run.source import outpaints, wrap_arrays
from vidprior.run.suggested import settle_masks
from vidprior.run.workdir import Workdir
from vidprior.training.progress import ProgressCallback
from vidprior.training.train_step import TrainState
from vidprior.types import Flows


class SegmentResult(NamedTuple):
    """Flow, losses and network of one segment of the clip.

    Attributes:
      frames: numbers of its frames.
      flows: estimated flow at training size, in pixels of that size; None if no loss needs
        flow or there is no hole.
      metrics: unweighted losses and their weighted sum `total`: one dictionary every
        `log.every` updates, with the number of the `update` and of the `pass`.
      state: parameters and optimiser state after the last update, and the EMA and best
        parameters if they are kept; `state.rendered` are the parameters that rendered the
        frames. None if every window has its own network (DIP), or nothing is trained.
    """

    frames: range
    flows: Flows | None
    metrics: list[dict[str, float]]
    state: TrainState | None


@dataclasses.dataclass(frozen=True)
class Result:
    """A clip with its hole filled.

    Attributes:
      frames: [T, h, w, 3] uint8 RGB; outside the grown hole, and in margins that the crop
        cuts off, they equal the given frames, bit for bit. With `render.resolution`
        'training' they have training size.
      segments: one entry for each segment (`video.split_at_cuts`, `video.max_segment_frames`).
      config: the configuration that was used.
    """

    frames: np.ndarray
    segments: tuple[SegmentResult, ...]
    config: ConfigDict

    @property
    def parts(self) -> tuple[SegmentResult, ...]:
        """The segments, by the name that earlier versions used."""
        return self.segments

    @property
    def flows(self) -> Flows | None:
        """The flow of a clip of one segment; see `SegmentResult`."""
        return self._only().flows

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The losses of a clip of one segment; see `SegmentResult`."""
        return self._only().metrics

    @property
    def state(self) -> TrainState | None:
        """The network of a clip of one segment; see `SegmentResult`."""
        return self._only().state

    def _only(self) -> SegmentResult:
        if len(self.segments) > 1:
            raise InputError(
                f"the clip has {len(self.segments)} segments: see `segments` of the result, or set "
                f"video.split_at_cuts to False and video.max_segment_frames to 0"
            )
        return self.segments[0]

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        rate: Fraction | float | None = None,
        lossless: bool = False,
        pixel_aspect: Fraction | None = None,
    ) -> None:
        """Writes the frames as a video, or as a folder of PNG files.

        Args:
          path: .mp4, .mov or .mkv; without a suffix, a folder.
          rate: frames per second of a video; `config.video.image_fps` by default.
          lossless: keep every bit; for .mkv only.
          pixel_aspect: width of a pixel over its height.

        Raises:
          InputError: the suffix is unknown, or the file cannot be written.
        """
        path = pathlib.Path(path)
        if not path.suffix:
            image_files.write_frames(path, self.frames)
            return
        exact = Fraction(self.config.video.image_fps if rate is None else rate)
        video_writer.write_video(
            path,
            self.frames,
            rate=exact.limit_denominator(1001),
            lossless=lossless,
            pixel_aspect=pixel_aspect,
        )


def inpaint(
    frames: np.ndarray,
    hole: np.ndarray | None,
    config: ConfigDict | str | None = None,
    on_progress: ProgressCallback | None = None,
    *,
    workdir: str | os.PathLike[str] | None = None,
    reference: Mapping[int, np.ndarray] | None = None,
) -> Result:
    """Fills the hole of a clip by training a network on the clip itself.

    Args:
      frames: [T, h, w, 3] uint8 RGB.
      hole: [T, h, w] bool, or [h, w] for all frames; True where content is to be removed. None
        if `config.video.outpaint` enlarges the frames, and nothing else is to be filled.
      config: a configuration, or its name or path; 'footage' by default, which grows the
        hole by `mask.dilate`. Fields of `video` that select frames of a file must have
        their defaults: pass a slice of the array instead.
      on_progress: called with (updates done, total updates, newest losses by name);
        without it, a terminal shows a progress bar.
      workdir: folder of the run; call again to resume. A temporary folder by default.
      reference: frames that you have cleaned, by number: [h, w, 3] uint8 RGB, or [h, w, 4]
        with alpha. Where one is opaque and differs from the frame, in the hole, it is shown
        as it is, and propagated to the other frames.

    Returns:
      The clip with its hole filled, and flow, losses and network of each segment.

    Raises:
      InputError: arrays of another shape or type, an invalid configuration, a missing file,
        or a work directory of another run.
      NonFiniteLoss: training diverged.
      Interrupted: Ctrl-C; with `workdir`, call again to resume.
    """
    with _in_python():
        return _inpaint(frames, hole, config, on_progress, workdir, reference or {})


def _inpaint(
    frames: np.ndarray,
    hole: np.ndarray | None,
    config: ConfigDict | str | None,
    on_progress: ProgressCallback | None,
    workdir: str | os.PathLike[str] | None,
    reference: Mapping[int, np.ndarray],
) -> Result:
    resolved = _resolve(config)
    if hole is None and outpaints(resolved):
        hole = np.zeros(np.shape(frames)[:3], bool)
    frames, hole = _check_arrays(frames, hole)
    features = commands.require_parts(resolved, has_flow=False)
    runtime.keep_compiled()
    if workdir is not None:
        resolved = segments.with_stored_growth(resolved, Workdir(workdir))
    source = wrap_arrays(frames, hole, config=resolved, references=reference)
    results: list[SegmentResult] = []

    def keep(fitted: Fitted) -> None:
        segment, state, flows = fitted
        results.append(SegmentResult(segment.frames, flows, segment.workdir.read_metrics(), state))

    with (
        tempfile.TemporaryDirectory(prefix="vidprior-") as temporary,
        Workdir(pathlib.Path(temporary) / "run" if workdir is None else workdir).lock() as run,
    ):
        source = settle_masks(source, run, config=resolved)
        split = commands.fit(
            source,
            config=resolved,
            workdir=run,
            inputs={"video": None, "mask": None, "flows": None, "reference": None},
            features=features,
            on_progress=on_progress,
            on_fitted=keep,
        )
        shown = commands.frames_of(
            split, range(len(frames)), config=resolved, source=source, folder=run.path
        )
        images = np.stack([one.result for one in shown])
    return Result(images, tuple(results), resolved)


@contextlib.contextmanager
def _in_python() -> Iterator[None]:
    """Rewrites messages about flags into messages about arguments and fields."""
    try:
        yield
    except InputError as error:
        raise InputError(in_python(str(error))) from error


def in_python(message: str) -> str:
    """A message about flags, rewritten for Python callers.

    `--config.mask.dilate=8` becomes `config.mask.dilate = 8`, and `--workdir` `workdir`.
    """
    message = re.sub(r"--config\.([\w.]+)=([^\s;,]+)", r"config.\1 = \2", message)
    return re.sub(r"--(?=[a-z])", "", message)


def _resolve(given: ConfigDict | str | None) -> Any:
    if isinstance(given, ConfigDict):
        config = given
    else:
        config = configuration.load("footage" if given is None else given)
    fields = config.video
    if fields.start or fields.stop is not None or fields.max_frames is not None:
        raise InputError(
            "video.start, video.stop and video.max_frames select frames of a file: pass a slice "
            "of the array instead"
        )
    return config


def _check_arrays(frames: np.ndarray, hole: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    frames, hole = np.asarray(frames), np.asarray(hole)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise InputError(
            f"frames are {frames.dtype} {frames.shape}; they must be uint8 [T, h, w, 3], RGB"
        )
    if hole.dtype != bool or hole.shape not in (frames.shape[:3], frames.shape[1:3]):
        raise InputError(
            f"the hole is {hole.dtype} {hole.shape}; for frames {frames.shape} it must be bool "
            f"{frames.shape[:3]} or {frames.shape[1:3]}"
        )
    return frames, np.broadcast_to(hole, frames.shape[:3])
