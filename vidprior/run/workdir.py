"""A work directory: what lies where, and whose it is.

config.json       the resolved configuration and the inputs' paths
clip.npz          frames and hole at training size
flows.npz         optical flow
propagated.npz    known pixels propagated into the hole, where they are needed
checkpoints/      one folder for each saved state
noise.npz         the network's fixed input, where it did not come from the seed
metrics.jsonl     one line for every `log.every` updates
previews/         a picture after each pass
tensorboard/      losses and previews as TensorBoard's event files, once asked for
result.mp4        the finished footage at source size (or .mkv, .mov, result_png/)
result/           the final frames at training size, lossless: what is measured
comparison.mp4    input with the hole outlined, result, generated flow, at training size
evaluation*       measures against the truth, once asked for: JSON, and CSV by clip and frame
report.html       the run on one page, once asked for

A run that is divided (`video.split_at_cuts`, `video.max_segment_frames`) has these files and

parts/            one work directory for each part, named by its frames, such as 000030-000076

instead of clip, flow, checkpoints, metrics and previews, which each part has for itself.
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

# In the folder of parts: the first frame of each, and the one after its last.
PARTS = "parts.json"

# Fields that a run may change when it goes on: they do not alter updates already done. (The
# number of passes does, where the learning rate decays over them: there it is not free.)
FREE_FIELDS = (
    "schedule.num_passes",
    "checkpoint.every",
    "log.",
    "render.",
    "vgg.cache",
    "flow.pwcnet_",
)


class Workdir:
    """Paths of a work directory, and reading and writing its small files."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        self.lock_file = self.path / ".lock"
        self.config_file = self.path / "config.json"
        self.clip_file = self.path / "clip.npz"
        self.flows_file = self.path / "flows.npz"
        self.propagated_file = self.path / propagated_file.NAME
        self.noise_file = self.path / "noise.npz"
        self.checkpoints = self.path / "checkpoints"
        self.parts = self.path / "parts"
        self.metrics_file = self.path / "metrics.jsonl"
        self.previews = self.path / "previews"
        self.summaries = self.path / "tensorboard"
        self.evaluation_file = self.path / "evaluation.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator["Workdir"]:
        """Keeps other processes from writing here; the folder is made if it is missing.

        A new folder that stays empty is removed again. The operating system holds the lock,
        on a hidden file, and releases it when the process ends, however it ends.

        Raises:
          InputError: when another process holds the folder, or it cannot be made or written.
        """
        is_new = not self.path.exists()
        self._make()
        lock = filelock.FileLock(self.lock_file, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise InputError(
                f"another process is at work in {self.path}: wait for it, or choose another "
                f"--workdir"
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
            raise InputError(f"cannot make {self.path}: {error.strerror}") from error

    def segment(self, frames: range) -> "Workdir":
        """The work directory of a part of a divided run."""
        return Workdir(self.parts / f"{frames.start:06d}-{frames.stop:06d}")

    def segment_ranges(self) -> list[range]:
        """The frames of each part of a divided run, in order; none where it is not divided.

        Raises:
          InputError: the file that tells them is damaged.
        """
        file = self.parts / PARTS
        try:
            stored = json.loads(file.read_text())
            parts = [range(operator.index(start), operator.index(stop)) for start, stop in stored]
            before = [0, *(frames.stop for frames in parts)]
            follow = [frames.start <= stop for frames, stop in zip(parts, before, strict=False)]
            if not parts or parts[0].start or not all(parts) or not all(follow):
                raise ValueError("its parts do not follow each other")
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{file} cannot be read: {error}") from error
        return parts

    def open_run(
        self, config: Mapping[str, Any], inputs: Mapping[str, Any], clip: PreparedClip | None
    ) -> bool:
        """Takes the folder for a run, or finds that it is this run's already.

        Fields that may change (`FREE_FIELDS`), and where the inputs lie, are remembered as
        they are now.

        Args:
          config: the resolved configuration as nested dictionaries.
          inputs: what was asked for beside it: paths of video, mask and flows, and whether
            masks are fitted. None says nothing.
          clip: the prepared clip; None for a divided run, whose parts have one each.

        Returns:
          Whether the run was begun earlier.

        Raises:
          InputError: when the folder belongs to another configuration or clip, is
            not empty, or cannot be written.
        """
        if self.config_file.exists():
            fields, before = self.read_config()
            self._require_same_config(config, fields)
            self._require_same_clip(clip)
            now = {**before, **{name: path for name, path in inputs.items() if path is not None}}
            if (fields, before) != (config, now):
                write_json(self.config_file, {"config": config, "inputs": now})
            return True
        # A crash while claiming leaves the clip and hidden names behind.
        if self.path.is_dir() and any(
            file != self.clip_file and not file.name.startswith(".") for file in self.path.iterdir()
        ):
            raise InputError(
                f"{self.path} is not empty and is no work directory: choose another --workdir"
            )
        self._make()
        if clip is not None:
            clip_file.write_clip(self.clip_file, clip)
        # Last: a folder with a configuration is a complete work directory.
        write_json(self.config_file, {"config": config, "inputs": inputs})
        return False

    def read_config(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The resolved configuration and the inputs that the run was begun with.

        Raises:
          InputError: when this is no work directory.
        """
        try:
            stored = json.loads(self.config_file.read_text())
            config, inputs = dict(stored["config"]), dict(stored["inputs"])
        except FileNotFoundError as error:
            raise InputError(f"{self.path} is no work directory: it has no config.json") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.config_file} cannot be read: {error}") from error
        if inputs.pop("fit_mask", None):  # where earlier versions kept it
            config["mask"] = {**config.get("mask", {}), "fit": True}
        return config, inputs

    def read_clip(self) -> PreparedClip:
        """The clip at training size.

        Raises:
          InputError: when it is missing, damaged or not a clip.
        """
        divided = self.segment_ranges()
        if divided:
            raise InputError(
                f"{self.path} is divided into {len(divided)} parts: give one of them, such as "
                f"{self.segment(divided[0]).path}"
            )
        return clip_file.read_clip(self.clip_file)

    def read_header(self) -> ClipHeader:
        """What the clip file tells without its frames.

        Raises:
          InputError: as `read_clip`.
        """
        return clip_file.read_header(self.clip_file)

    def write_noise(self, noise: np.ndarray) -> None:
        """Keeps a fixed input, [T, H, W, 1] float32, that the seed does not give."""
        save_npz(self.noise_file, noise=noise)

    def read_noise(self, hole: np.ndarray) -> np.ndarray | None:
        """The fixed input that was kept for a clip whose hole is [T, H, W]; None without.

        Raises:
          InputError: when it is damaged or does not fit the clip.
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
        """Keeps the pixels that were propagated into the hole, and where they come from."""
        propagated_file.write(self.propagated_file, propagated)

    def read_propagated(self, hole: np.ndarray) -> Propagated | None:
        """What was propagated into a hole [T, H, W]; None where that was not done yet.

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
        """The rows of metrics.jsonl; errors as of `metrics_log.read`."""
        return metrics_log.read(self.metrics_file)

    def forget_metrics_after(self, step: int) -> None:
        """Drops the lines of updates that a resumed run is going to do again."""
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

    def _require_same_clip(self, clip: PreparedClip | None) -> None:
        if self.clip_file.exists() if clip is None else self.segment_ranges():
            raise InputError(
                f"{self.path} belongs to a video that is divided otherwise: choose another "
                f"--workdir"
            )
        if clip is None:
            return
        stored = self.read_clip()
        if stored.source_sha256 != clip.source_sha256:
            raise InputError(f"{self.path} belongs to another video: choose another --workdir")
        if not np.array_equal(stored.hole, clip.hole):
            raise InputError(f"{self.path} belongs to another mask: choose another --workdir")


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes indented JSON, in full or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
