"""A work directory: its files, and which run it belongs to.

config.json       the resolved configuration and the inputs' paths
clip.npz          frames and hole at training size
flows.npz         optical flow, if needed
propagated.npz    propagated pixels, if needed
propagated.png    which of the hole's content other frames show, and which is guessed
suggested_masks/  masks that also cover shadows, if any were found
reference/        frames to clean by hand, if requested
checkpoints/      one folder for each saved state
noise.npz         the network's fixed input, if it does not come from the seed
metrics.jsonl     one line every `log.every` updates
previews/         a picture after each pass
tensorboard/      TensorBoard's event files, if requested
result.mp4        the result at source size (or .mkv, .mov, result_png/)
result/           the final frames at training size, lossless, for evaluation
comparison.mp4    input with the hole outlined, result, generated flow, at training size
evaluation*       measures against the truth, if requested: JSON, and CSV by clip and frame
report.html       the run on one page, if requested

A run with several segments (`video.split_at_cuts`, `video.max_segment_frames`) has

parts/            one work directory for each segment, named by its frames: 000030-000076

instead of clip, flow, checkpoints, metrics and previews, which each segment has for itself.
docs/develop/file_formats.md specifies the files.
"""

import contextlib
import json
import operator
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import filelock
import numpy as np

from vidprior import configuration
from vidprior.configuration import flatten
from vidprior.errors import InputError
from vidprior.io.files import replacing
from vidprior.io.npz import load_npz, save_npz
from vidprior.run import clip_file, metrics_log, propagated_file
from vidprior.run.clip_file import MAX_CLIP_BYTES, ClipHeader, PreparedClip
from vidprior.types import Propagated

# In the folder of segments: the first frame of each, and the one after its last.
PARTS = "parts.json"

# Fields that may change when a run resumes, since they do not affect updates already done.
# (The number of passes does if the learning rate decays over it: then it may not change.)
FREE_FIELDS = (
    "schedule.num_passes",
    "checkpoint.every",
    "log.",
    "render.",
    "mask.suggest",
    "vgg.cache",
    "flow.pwcnet_",
)


class Workdir:
    """The paths of a work directory; reads and writes its small files."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        self.lock_file = self.path / ".lock"
        self.config_file = self.path / "config.json"
        self.clip_file = self.path / "clip.npz"
        self.flows_file = self.path / "flows.npz"
        self.propagated_file = self.path / propagated_file.NAME
        self.origins_picture = self.path / "propagated.png"
        self.suggested = self.path / "suggested_masks"
        self.references = self.path / "reference"
        self.noise_file = self.path / "noise.npz"
        self.checkpoints = self.path / "checkpoints"
        self.parts = self.path / "parts"
        self.metrics_file = self.path / "metrics.jsonl"
        self.previews = self.path / "previews"
        self.summaries = self.path / "tensorboard"
        self.evaluation_file = self.path / "evaluation.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator["Workdir"]:
        """Locks the folder against other writers; creates it if it is missing.

        A new folder that stays empty is removed again. The operating system holds the lock,
        on a hidden file, and releases it when the process ends, however it ends.

        Raises:
          InputError: another process holds the lock, or the folder cannot be created or
            written.
        """
        is_new = not self.path.exists()
        self._make()
        lock = filelock.FileLock(self.lock_file, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise InputError(
                f"another process is using {self.path}: wait for it, or choose another --workdir"
            ) from error
        except OSError as error:
            raise InputError(f"cannot lock {self.path}: {error.strerror}") from error
        try:
            yield self
        finally:
            with contextlib.suppress(OSError):  # Windows: the file goes when it is closed
                self.lock_file.unlink()
            lock.release()
            if is_new:
                with contextlib.suppress(OSError):  # it holds something
                    self.path.rmdir()

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot create {self.path}: {error.strerror}") from error

    def segment(self, frames: range) -> "Workdir":
        """The work directory of a segment."""
        return Workdir(self.parts / f"{frames.start:06d}-{frames.stop:06d}")

    def segment_ranges(self) -> list[range]:
        """The frames of each segment, in order; an empty list if the run has one segment.

        Raises:
          InputError: the file is damaged.
        """
        file = self.parts / PARTS
        try:
            stored = json.loads(file.read_text())
            parts = [range(operator.index(start), operator.index(stop)) for start, stop in stored]
            before = [0, *(frames.stop for frames in parts)]
            follow = [frames.start <= stop for frames, stop in zip(parts, before, strict=False)]
            if not parts or parts[0].start or not all(parts) or not all(follow):
                raise ValueError("the segments leave gaps")
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{file} cannot be read: {error}") from error
        return parts

    def open_run(
        self, config: Mapping[str, Any], inputs: Mapping[str, Any], clip: PreparedClip | None
    ) -> bool:
        """Creates the work directory of a run, or verifies that it belongs to this run.

        Fields that may change (`FREE_FIELDS`) and paths of inputs are updated.

        Args:
          config: the resolved configuration as nested dictionaries.
          inputs: paths of video, mask and flows; None leaves a stored path as it is.
          clip: the prepared clip; None for a run with several segments.

        Returns:
          Whether the run was begun earlier.

        Raises:
          InputError: the folder belongs to another configuration or clip, is not empty, or
            cannot be written.
        """
        if self.config_file.exists():
            fields, before = self.read_config()
            self._require_same_config(config, fields)
            references = {run.get("reference") for run in (inputs, before)}
            self._require_same_clip(clip, other_references=len(references) > 1)
            now = {**before, **{name: path for name, path in inputs.items() if path is not None}}
            if (fields, before) != (config, now):
                write_json(self.config_file, {"config": config, "inputs": now})
            return True
        self.require_free()
        self._make()
        if clip is not None:
            clip_file.write_clip(self.clip_file, clip)
        # Written last: a folder with a configuration is a complete work directory.
        write_json(self.config_file, {"config": config, "inputs": inputs})
        return False

    def require_free(self) -> None:
        """Refuses a folder without a run that holds anything else.

        Raises:
          InputError: it does.
        """
        # A crash during creation leaves these and hidden files behind.
        leftovers = (self.clip_file, self.suggested)
        if self.path.is_dir() and any(
            file not in leftovers and not file.name.startswith(".") for file in self.path.iterdir()
        ):
            raise InputError(
                f"{self.path} is not empty and is no work directory: choose another --workdir"
            )

    def read_config(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The resolved configuration and the inputs of the run.

        Raises:
          InputError: this is no work directory.
        """
        try:
            stored = json.loads(self.config_file.read_text())
            config, inputs = dict(stored["config"]), dict(stored["inputs"])
        except FileNotFoundError as error:
            raise InputError(f"{self.path} is no work directory: it has no config.json") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.config_file} cannot be read: {error}") from error
        if inputs.pop("fit_mask", None):  # where earlier versions stored it
            config["mask"] = {**config.get("mask", {}), "fit": True}
        return config, inputs

    def read_clip(self) -> PreparedClip:
        """The clip at training size.

        Raises:
          InputError: it is missing or damaged, or the run has several segments.
        """
        divided = self.segment_ranges()
        if divided:
            raise InputError(
                f"{self.path} has {len(divided)} segments: give the work directory of one, such "
                f"as {self.segment(divided[0]).path}"
            )
        return clip_file.read_clip(self.clip_file)

    def read_header(self) -> ClipHeader:
        """Reads the clip file without its frames; errors as `read_clip`."""
        return clip_file.read_header(self.clip_file)

    def write_noise(self, noise: np.ndarray) -> None:
        """Stores a fixed input, [T, H, W, 1] float32, that does not come from the seed."""
        save_npz(self.noise_file, noise=noise)

    def read_noise(self, hole: np.ndarray) -> np.ndarray | None:
        """The stored fixed input of a clip whose hole is [T, H, W]; None if there is none.

        Raises:
          InputError: it is damaged or does not fit the clip.
        """
        if not self.noise_file.exists():
            return None
        fields = {"noise": ("f", 4)}
        noise = load_npz(self.noise_file, fields=fields, max_bytes=MAX_CLIP_BYTES)["noise"]
        if noise.shape != (*hole.shape, 1):
            raise InputError(
                f"{self.noise_file} has shape {noise.shape}, the clip needs {(*hole.shape, 1)}"
            )
        return noise.astype(np.float32)

    def write_propagated(self, propagated: Propagated) -> None:
        """Stores the propagated pixels and their origins."""
        propagated_file.write(self.propagated_file, propagated)

    def read_propagated(self, hole: np.ndarray) -> Propagated | None:
        """The stored propagated pixels of a hole [T, H, W]; None if there are none yet.

        Raises:
          InputError: the file is damaged or does not fit the clip.
        """
        for path in (self.propagated_file, self.path / propagated_file.NAME_BEFORE):
            if path.exists():
                return propagated_file.read(path, hole)
        return None

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        metrics_log.append(self.metrics_file, row)

    def read_metrics(self) -> list[dict[str, float]]:
        """The rows of metrics.jsonl; errors as `metrics_log.read`."""
        return metrics_log.read(self.metrics_file)

    def forget_metrics_after(self, step: int) -> None:
        """Drops the lines of updates that a resumed run repeats."""
        metrics_log.forget_after(self.metrics_file, step)

    def _require_same_config(self, config: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        known = configuration.from_stored(fields, where=self.config_file)
        stored = dict(flatten(configuration.to_dict(known)))
        for field, value in flatten(config):
            if stored.get(field) == value:
                continue
            if field == "schedule.num_passes" and stored.get("optimizer.lr_schedule") == "cosine":
                raise InputError(
                    f"{self.path} was begun with {field}={stored[field]}, now it is {value}: a "
                    f"learning rate that decays over all updates fixes their number; choose "
                    f"another --workdir, or the same value"
                )
            if not field.startswith(FREE_FIELDS) and field != "checkpoint.keep":
                raise InputError(
                    f"{self.path} was begun with {field}={stored.get(field)}, now it is {value}: "
                    f"choose another --workdir, or the same value"
                )

    def _require_same_clip(self, clip: PreparedClip | None, *, other_references: bool) -> None:
        if self.clip_file.exists() if clip is None else self.segment_ranges():
            raise InputError(
                f"{self.path} belongs to a video that is divided otherwise: choose another "
                f"--workdir"
            )
        if clip is None:
            return
        stored = self.read_clip()
        same = stored.source_sha256 == clip.source_sha256 and np.array_equal(stored.hole, clip.hole)
        if other_references and not same:
            raise InputError(
                f"{self.path} was begun with other reference frames: choose another --workdir"
            )
        if stored.source_sha256 != clip.source_sha256:
            raise InputError(f"{self.path} belongs to another video: choose another --workdir")
        if not np.array_equal(stored.hole, clip.hole):
            raise InputError(f"{self.path} belongs to another mask: choose another --workdir")


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes indented JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
