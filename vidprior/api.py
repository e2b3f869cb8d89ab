"""The Python entry: arrays in, arrays out.

    import vidprior

    result = vidprior.inpaint(frames, hole)
    result.save("result.mp4", rate=25)

Letters
    T  frames     h, w  rows and columns of the frames given
"""

import dataclasses
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from vidprior import configuration, runtime
from vidprior.errors import InputError
from vidprior.io import footage, video_writer
from vidprior.io.images import write_frames
from vidprior.run import build, pipeline, segments, validate
from vidprior.run.source import Source, input_warnings, require_estimator, training_crop
from vidprior.run.workdir import Workdir
from vidprior.training import tensorboard
from vidprior.training.train_step import TrainState
from vidprior.types import Flows

# (updates done, updates in all, newest losses by name; empty until there are some)
ProgressCallback = Callable[[int, int, Mapping[str, float]], None]


class SegmentResult(NamedTuple):
    """What led to the frames of a part of the clip, that was fitted by itself.

    Attributes:
      frames: their numbers.
      flows: the estimated flow of the frames at training size, in pixels of it, as the
        training used it; None where no term needs flow, or there is no hole.
      metrics: the losses, unweighted, and their weighted sum `total`, one dictionary for
        every `log.every` updates, with the number of the `update` and of the `pass`.
      state: the network's parameters and the optimiser's state after the last update, and
        the averaged and the best parameters where they are kept; `state.rendered` are
        those that the frames come from. None where every window has a network of its own
        (DIP), or nothing is trained.
    """

    frames: range
    flows: Flows | None
    metrics: list[dict[str, float]]
    state: TrainState | None


@dataclasses.dataclass(frozen=True)
class Result:
    """A clip whose hole is filled.

    Attributes:
      frames: [T, h, w, 3] uint8 RGB; outside the grown hole, and in margins that the crop
        cuts off, they are those given, bit for bit. With `render.size` 'training' they
        have the size of training.
      parts: what led there: one entry, or one for each part of a clip that was divided
        (`video.shots`, `video.segment`).
      config: the configuration as it was resolved.
    """

    frames: np.ndarray
    parts: tuple[SegmentResult, ...]
    config: ConfigDict

    @property
    def flows(self) -> Flows | None:
        """The flow of a clip in one part; see `PartResult`."""
        return self._only().flows

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The losses of a clip in one part; see `PartResult`."""
        return self._only().metrics

    @property
    def state(self) -> TrainState | None:
        """The network of a clip in one part; see `PartResult`."""
        return self._only().state

    def _only(self) -> SegmentResult:
        if len(self.parts) > 1:
            raise InputError(
                f"the clip was divided into {len(self.parts)} parts: see `parts` of the result, or "
                f"set video.shots to 'whole' and video.segment to 0"
            )
        return self.parts[0]

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
          rate: frames per second, of a video; `config.video.rate` by default.
          lossless: every bit as it is; .mkv alone.
          pixel_aspect: width of a pixel over its height.

        Raises:
          InputError: the suffix is another, or the file cannot be written.
        """
        path = pathlib.Path(path)
        if not path.suffix:
            write_frames(path, self.frames)
            return
        exact = Fraction(self.config.video.rate if rate is None else rate)
        video_writer.write_video(
            path,
            self.frames,
            rate=exact.limit_denominator(1001),
            lossless=lossless,
            pixel_aspect=pixel_aspect,
        )


def inpaint(
    frames: np.ndarray,
    hole: np.ndarray,
    config: ConfigDict | str | None = None,
    on_progress: ProgressCallback | None = None,
    *,
    workdir: str | os.PathLike[str] | None = None,
) -> Result:
    """Fills the hole of a clip by training a network on the clip itself.

    Args:
      frames: [T, h, w, 3] uint8 RGB.
      hole: [T, h, w] bool, or [h, w] for all frames; True where content is to go.
      config: a configuration, or the name or path of one; 'footage' by default, which
        grows the hole by `video.dilate`. Fields of `video` that choose frames of a file
        must stand at their defaults: give a part of the array instead.
      on_progress: called with (updates done, updates in all, newest losses by name);
        without it, progress is told on stderr.
      workdir: keeps the run, and goes on with it when called again; a temporary folder
        by default.

    Returns:
      The clip with its hole filled, and what led there.

    Raises:
      InputError: arrays of another shape or type, a configuration that no run can use, a
        file that is missing, or a work directory of another run.
      NonFiniteLoss: the training has diverged.
      Interrupted: Ctrl-C; with a `workdir` the run can go on.
    """
    runtime.keep_compiled()
    resolved = _resolve(config)
    validate.validate(resolved)
    frames, hole = _check_arrays(frames, hole)
    tensorboard.require(resolved.log.tensorboard)
    features = build.features(resolved)
    if build.needs_flow(resolved):
        require_estimator(resolved)
    masks = hole.astype(np.uint8) * 255
    source = Source(
        footage=footage.wrap_frames(frames),
        mask="hole",
        masks=masks,
        dilate=resolved.video.dilate,
        transform=training_crop(frames.shape[1:3], masks, config=resolved),
    )
    for note in input_warnings(source):
        print(note, file=sys.stderr)
    with (
        tempfile.TemporaryDirectory(prefix="vidprior-") as temporary,
        Workdir(pathlib.Path(temporary) / "run" if workdir is None else workdir).lock() as run,
    ):
        nowhere = {"video": None, "mask": None, "flows": None}
        divided = segments.split(source, config=resolved, workdir=run)
        segments.open_run(run, source, divided, config=resolved, asked=nowhere)
        fitted = tuple(
            SegmentResult(part.frames, flows, part.workdir.read_metrics(), state)
            for part, state, flows in pipeline.fit_segments(
                divided, features=features, listener=on_progress
            )
        )
        shown = pipeline.render_segments(divided, range(len(frames)))
        if resolved.render.size == "source":
            shown = pipeline.to_source_resolution(resolved, source, shown)
        images = np.stack([one.result for one in shown])
    return Result(images, fitted, resolved)


def _resolve(given: ConfigDict | str | None) -> Any:
    if isinstance(given, ConfigDict):
        config = given
    else:
        config = configuration.load("footage" if given is None else given)
    fields = config.video
    if fields.start or fields.stop is not None or fields.max_frames is not None:
        raise InputError(
            "video.start, video.stop and video.max_frames choose frames of a file: give a part "
            "of the array instead"
        )
    return config


def _check_arrays(frames: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
