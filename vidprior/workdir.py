"""A work directory: what lies where, and whose it is.

config.json       the resolved configuration and the inputs' paths
clip.npz          frames and hole at training size
flows.npz         optical flow
propagated.npz    known pixels carried into the hole, once asked for
checkpoints/      one folder for each saved state
noise.npz         the network's fixed input, where it did not come from the seed
metrics.jsonl     one line for every `log.every` updates
previews/         a picture after each pass
result.mp4        the finished footage at source size (or .mkv, .mov, result_png/)
result/           the final frames at training size, lossless: what is measured
comparison.mp4    input with the hole outlined, result, generated flow, at training size
evaluation*       measures against the truth, once asked for: JSON, and CSV by clip and frame
report.html       the run on one page, once asked for
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from vidprior.configuration import flatten
from vidprior.errors import InputError
from vidprior.files import replacing
from vidprior.npz import load_npz, save_npz
from vidprior.types import Propagated

CLIP_VERSION = 1
MAX_CLIP_BYTES = 2**35

# Fields that a run may change when it goes on: they do not alter updates already done. (The
# number of passes does, where the learning rate decays over them: there it is not free.)
FREE_FIELDS = (
    "schedule.num_passes",
    "checkpoint.",
    "log.",
    "render.",
    "vgg.features",
    "flow.pwcnet_",
)


class Prepared(NamedTuple):
    """A clip at training size, as `clip.npz` holds it.

    Attributes:
      frames: [T, H, W, 3] uint8 RGB.
      hole: [T, H, W] bool.
      source_sha256: identity of the frames.
      rate: frames per second, numerator and denominator.
      pixel_aspect: width of a pixel over its height, numerator and denominator.
      transform: the crop and resize that led here, as JSON.
    """

    frames: np.ndarray
    hole: np.ndarray
    source_sha256: str
    rate: tuple[int, int]
    pixel_aspect: tuple[int, int]
    transform: str


class Workdir:
    """Paths of a work directory, and reading and writing its small files."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        self.config_file = self.path / "config.json"
        self.clip_file = self.path / "clip.npz"
        self.flows_file = self.path / "flows.npz"
        self.propagated_file = self.path / "propagated.npz"
        self.noise_file = self.path / "noise.npz"
        self.checkpoints = self.path / "checkpoints"
        self.metrics_file = self.path / "metrics.jsonl"
        self.previews = self.path / "previews"
        self.evaluation_file = self.path / "evaluation.json"

    def claim(self, config: Mapping[str, Any], inputs: Mapping[str, Any], clip: Prepared) -> bool:
        """Takes the folder for a run, or finds that it is this run's already.

        Args:
          config: the resolved configuration as nested dictionaries.
          inputs: what was asked for beside it: paths of video, mask and flows.
          clip: the prepared clip.

        Returns:
          Whether the run was begun earlier.

        Raises:
          InputError: when the folder belongs to another configuration or clip, is
            not empty, or cannot be written.
        """
        if self.config_file.exists():
            self._require_same_config(config)
            self._require_same_clip(clip)
            return True
        # A crash while claiming leaves the clip and hidden names behind.
        if self.path.is_dir() and any(
            file != self.clip_file and not file.name.startswith(".") for file in self.path.iterdir()
        ):
            raise InputError(
                f"{self.path} is not empty and is no work directory: choose another --workdir"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make {self.path}: {error.strerror}") from error
        save_npz(self.clip_file, version=CLIP_VERSION, **clip._asdict())
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
            return stored["config"], stored["inputs"]
        except FileNotFoundError as error:
            raise InputError(f"{self.path} is no work directory: it has no config.json") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.config_file} cannot be read: {error}") from error

    def read_clip(self) -> Prepared:
        """The clip at training size.

        Raises:
          InputError: when it is missing, damaged or not a clip.
        """
        fields = {
            "version": ("i", 0),
            "frames": ("u", 4),
            "hole": ("b", 3),
            "source_sha256": ("U", 0),
            "rate": ("i", 1),
            "pixel_aspect": ("i", 1),
            "transform": ("U", 0),
        }
        arrays = load_npz(self.clip_file, fields=fields, max_bytes=MAX_CLIP_BYTES)
        if arrays["version"] != CLIP_VERSION:
            raise InputError(
                f"{self.clip_file} has version {arrays['version']}, not {CLIP_VERSION}"
            )
        if arrays["hole"].shape != arrays["frames"].shape[:3]:
            raise InputError(
                f"{self.clip_file}: hole {arrays['hole'].shape} does not fit frames "
                f"{arrays['frames'].shape}"
            )
        for name in ("rate", "pixel_aspect"):
            if arrays[name].shape != (2,) or min(arrays[name]) < 1:
                raise InputError(
                    f"{self.clip_file}: {name} is {arrays[name]}, which is no fraction"
                )
        return Prepared(
            frames=arrays["frames"],
            hole=arrays["hole"],
            source_sha256=str(arrays["source_sha256"]),
            rate=(int(arrays["rate"][0]), int(arrays["rate"][1])),
            pixel_aspect=(int(arrays["pixel_aspect"][0]), int(arrays["pixel_aspect"][1])),
            transform=str(arrays["transform"]),
        )

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
        """Keeps the pixels that were carried into the hole."""
        save_npz(self.propagated_file, **propagated._asdict())

    def read_propagated(self, hole: np.ndarray) -> Propagated | None:
        """What was carried into a hole [T, H, W]; None where it was not done yet.

        Raises:
          InputError: when it is damaged or does not fit the clip.
        """
        if not self.propagated_file.exists():
            return None
        fields = {"frames": ("u", 4), "confidence": ("f", 3)}
        arrays = load_npz(self.propagated_file, fields=fields, max_bytes=MAX_CLIP_BYTES)
        frames, confidence = arrays["frames"], arrays["confidence"]
        if frames.shape != (*hole.shape, 3) or confidence.shape != hole.shape:
            raise InputError(
                f"{self.propagated_file} has shapes {frames.shape} and {confidence.shape}, which "
                f"do not fit the clip's {hole.shape}"
            )
        return Propagated(frames, confidence)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        try:
            with self.metrics_file.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise InputError(
                f"{self.metrics_file}: cannot be written ({error.strerror})"
            ) from error

    def read_metrics(self) -> list[dict[str, float]]:
        """The rows of metrics.jsonl, but for a last one that a crash cut off.

        Raises:
          InputError: a row is not what a run writes.
        """
        try:
            lines = self.metrics_file.read_text().splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.metrics_file} cannot be read: {error}") from error
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                rows.append({name: float(value) for name, value in row.items()})
                if rows[-1].keys() != rows[0].keys() or "update" not in row:
                    raise ValueError("other columns")
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                if number == len(lines) and isinstance(error, json.JSONDecodeError):
                    break
                raise InputError(f"{self.metrics_file}: line {number} is no row") from error
        return rows

    def forget_metrics_after(self, step: int) -> None:
        """Drops the lines of updates that a resumed run is going to do again."""
        if not self.metrics_file.exists():
            return
        rows = self.metrics_file.read_text().splitlines()
        kept = [row for row in rows if _update_of(row) <= step]
        with replacing(self.metrics_file) as temporary:
            temporary.write_text("".join(f"{row}\n" for row in kept))

    def _require_same_config(self, config: Mapping[str, Any]) -> None:
        stored = dict(flatten(self.read_config()[0]))
        for field, value in flatten(config):
            if stored.get(field) == value:
                continue
            if field == "schedule.num_passes" and stored.get("optimizer.decay") == "cosine":
                raise InputError(
                    f"{self.path} was begun with {field}={stored[field]}, now it is {value}: a "
                    f"learning rate that decays over all updates fixes their number; choose "
                    f"another --workdir, or the same value"
                )
            if not field.startswith(FREE_FIELDS):
                raise InputError(
                    f"{self.path} was begun with {field}={stored.get(field)}, now it is {value}: "
                    f"choose another --workdir, or the same value"
                )

    def _require_same_clip(self, clip: Prepared) -> None:
        stored = self.read_clip()
        if stored.source_sha256 != clip.source_sha256:
            raise InputError(f"{self.path} belongs to another video: choose another --workdir")
        if not np.array_equal(stored.hole, clip.hole):
            raise InputError(f"{self.path} belongs to another mask: choose another --workdir")


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes indented JSON, in full or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def _update_of(row: str) -> float:
    try:
        return json.loads(row)["update"]
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line that a crash cut off
