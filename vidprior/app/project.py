"""A clip that was opened in the page: its folder, and what is painted.

project.json     the path of the video
painted/         what is painted, one image for each frame: 000012.png
masks/ID/        tracked masks; ID is a digest of what was painted
runs/KIND-ID/    work directories; ID is a digest of masks and options
runs/KIND-ID.*   .log and .job.json: output and state of the run's process

Names come from digests, so the same choices find the same run, which then resumes.
"""

import functools
import hashlib
import json
import pathlib
import re

import numpy as np

from vidprior.errors import InputError
from vidprior.io import images
from vidprior.io.files import replacing
from vidprior.io.footage import Footage, open_footage


class Project:
    """The folder of one clip."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.painted = path / "painted"
        self.runs = path / "runs"

    @functools.cached_property
    def footage(self) -> Footage:
        """The clip.

        Raises:
          InputError: it cannot be read any more.
        """
        return open_footage(self.video)

    @property
    def video(self) -> str:
        """The path of the clip."""
        try:
            return str(json.loads((self.path / "project.json").read_text())["video"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.path}: cannot be read: {error}") from error

    def frame(self, number: int) -> np.ndarray:
        """A frame [h, w, 3] uint8 RGB."""
        return next(iter(self.footage.part(number, number + 1).frames()))

    def facts(self) -> str:
        """Size, rate and length of the clip, and the notes of its reader."""
        height, width = self.footage.size
        rate = f", {float(self.footage.rate):.4g} frames/s" if self.footage.rate else ""
        told = [f"{width}x{height}, {self.footage.count} frames{rate}", *self.footage.notes()]
        return "  \n".join(told)

    def paint(self, number: int, mask: np.ndarray) -> None:
        """Stores what is painted on a frame, [h, w] bool; nothing painted removes it."""
        file = self.painted / f"{number:06d}.png"
        if mask.any():
            images.write_image(file, np.repeat(mask[..., None], 3, -1).astype(np.uint8) * 255)
        else:
            file.unlink(missing_ok=True)

    def paint_of(self, number: int) -> np.ndarray | None:
        """What is painted on a frame, [h, w] bool; None if nothing."""
        file = self.painted / f"{number:06d}.png"
        return images.read_image(file)[..., 0] > 127 if file.exists() else None

    def masks(self) -> pathlib.Path:
        """The folder of masks of what is painted, whether or not they are there yet.

        Raises:
          InputError: nothing is painted.
        """
        files = sorted(self.painted.glob("*.png"))
        if not files:
            raise InputError("no frame is painted: paint the object in one")
        return self.path / "masks" / digest(*(part for f in files for part in (f.name, f)))

    def confidence(self) -> list[float]:
        """The confidence of each tracked mask; empty if they are not tracked yet."""
        try:
            values = json.loads(self.masks().with_suffix(".json").read_text())["confidence"]
            return [float(value) for value in values]
        except (OSError, InputError, ValueError, KeyError, TypeError):
            return []


def digest(*parts: str | pathlib.Path) -> str:
    """Eight hexadecimal digits for texts and for the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, pathlib.Path) else part.encode()
        total.update(len(content).to_bytes(8, "big") + content)
    return total.hexdigest()[:8]


def create(root: pathlib.Path, video: pathlib.Path) -> Project:
    """The project of a clip; a clip that was opened before has one already.

    Raises:
      InputError: the clip cannot be read.
    """
    footage = open_footage(video)
    next(iter(footage.part(0, 1).frames()))
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", video.stem)[:40] or "clip"
    project = Project(root / f"{stem}-{digest(str(video))}")
    if not project.path.exists():
        with replacing(project.path / "project.json") as file:
            file.write_text(json.dumps({"video": str(video)}) + "\n")
    return project


def names(root: pathlib.Path) -> list[str]:
    """The names of all projects, the newest first."""
    found = sorted(root.glob("*/project.json"), key=lambda file: -file.stat().st_mtime)
    return [file.parent.name for file in found]


def find(root: pathlib.Path, name: str | None) -> Project:
    """The project of a name that a browser sent.

    Raises:
      InputError: there is none.
    """
    if name not in names(root):
        raise InputError("no clip is open: open one first")
    return Project(root / str(name))


def confined(text: str, folder: pathlib.Path) -> pathlib.Path:
    """The path that somebody typed, if it lies in a folder.

    Raises:
      InputError: it does not, or it does not exist.
    """
    path = (folder / pathlib.Path(text.strip()).expanduser()).resolve()
    if not text.strip() or not path.is_relative_to(folder):
        raise InputError(f"{text}: give a path in {folder}, or start the page with --footage")
    if not path.exists():
        raise InputError(f"{path} does not exist")
    return path
