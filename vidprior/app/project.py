"""A clip that was opened in the page: its folder, and what is painted.

project.json     the path of the video
chosen.json      where masks come from, and which reference frames are used
painted/         what is painted, one image for each frame: 000012.png
given/ID/        uploaded masks; given/ID.corrected/ those that were painted over
masks/ID/        tracked or corrected masks; ID is a digest of what they were made from
cleaned/ID/      uploaded reference frames
pictures/        frames that were looked at, for the browser
runs/KIND-ID/    work directories; ID is a digest of masks and options
runs/KIND-ID.*   .log and .job.json: output and state of the run's process
to_clean/        the same of the processes that write reference frames

Names come from digests, so the same choices find the same run, which then resumes.
"""

import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import threading
from collections.abc import Iterator

import numpy as np

from vidprior.errors import InputError
from vidprior.imaging.geometry import MASK_THRESHOLD
from vidprior.io import images
from vidprior.io.files import replacing, replacing_folder
from vidprior.io.footage import Footage, open_footage

# Where masks come from.
BOXES, GIVEN = "boxes around it, moved evenly", "uploaded masks"
SOURCES = ("track what is painted", BOXES, GIVEN)

# Held by what writes the picture of a frame, which two tabs may ask for.
_DRAWING = threading.Lock()


class Project:
    """The folder of one clip."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.painted = path / "painted"
        self.given = path / "given"
        self.cleaned = path / "cleaned"
        self.to_clean = path / "to_clean"
        self.runs = path / "runs"

    @property
    def footage(self) -> Footage:
        """The clip.

        Raises:
          InputError: it cannot be read any more.
        """
        return opened(self.video)

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

    def picture(self, number: int) -> pathlib.Path:
        """The file of a frame for the browser: it is made once, and takes less time than a PNG."""
        file = self.path / "pictures" / f"{number:06d}.jpg"
        with _DRAWING:
            if not file.exists() or file.stat().st_mtime <= os.stat(self.video).st_mtime:
                images.write_image(file, self.frame(number))
        return file

    @property
    def chosen(self) -> dict[str, str]:
        """Where masks come from: `masks`, one of `SOURCES`; `given` and `references`, folders."""
        try:
            stored = json.loads((self.path / "chosen.json").read_text())
            found = {str(name): str(value) for name, value in stored.items()}
        except (OSError, ValueError, AttributeError):
            found = {}
        if found.get("masks") not in SOURCES:
            found["masks"] = SOURCES[0]
        for name, folder in (("given", self.given), ("references", self.cleaned)):
            if (
                not re.fullmatch("[0-9a-f]{8}", found.get(name, ""))
                or not (folder / found[name]).is_dir()
            ):
                found[name] = ""
        return found

    def choose(self, **chosen: str) -> None:
        """Stores choices; `given` masks are used from then on."""
        if chosen.get("given"):
            chosen["masks"] = GIVEN
        with replacing(self.path / "chosen.json") as file:
            file.write_text(json.dumps(self.chosen | chosen) + "\n")

    @property
    def painting(self) -> pathlib.Path:
        """The folder of what is painted: corrections, if masks are given."""
        chosen = self.chosen
        if chosen["masks"] == GIVEN:
            return self.given / f"{chosen['given'] or 'none'}.corrected"
        return self.painted

    def paint(self, number: int, mask: np.ndarray) -> None:
        """Stores what is painted on a frame, [h, w] bool.

        Nothing painted removes it; over a mask that is given or tracked, it says that the object is
        absent.
        """
        file = self.painting / mask_name(number)
        if mask.any() or self._made(number) is not None:
            write_mask(file, mask)
        else:
            file.unlink(missing_ok=True)

    def paint_of(self, number: int) -> np.ndarray | None:
        """What is painted on a frame, [h, w] bool; None if nothing."""
        return read_mask(self.painting / mask_name(number))

    def paintings(self) -> Iterator[tuple[int, np.ndarray]]:
        """Numbers of frames, and what is painted on them, [h, w] bool."""
        for file in sorted(self.painting.glob("*.png")):
            mask = read_mask(file)
            if mask is not None and mask.any():
                yield int(file.stem), mask

    def absent(self) -> list[int]:
        """Numbers of frames of which it is said that the object is not in them."""
        files = sorted(self.painting.glob("*.png"))
        painted = {number for number, _ in self.paintings()}
        return [int(file.stem) for file in files if int(file.stem) not in painted]

    def shown_mask(self, number: int) -> np.ndarray | None:
        """What is painted on a frame, or else its uploaded or newest tracked mask; None: none."""
        painted = self.paint_of(number)
        return self._made(number) if painted is None else painted

    def _made(self, number: int) -> np.ndarray | None:
        chosen = self.chosen
        if chosen["masks"] == GIVEN:
            return read_mask(self.given / (chosen["given"] or "none") / mask_name(number))
        newest = self._newest_track()
        return None if newest is None else read_mask(newest / f"{number:05d}.png")

    def _newest_track(self) -> pathlib.Path | None:
        tracked = [file.with_suffix("") for file in (self.path / "masks").glob("*.json")
                   if not file.name.endswith(".job.json")]  # fmt: skip
        return max(tracked, key=lambda folder: folder.stat().st_mtime, default=None)

    def masks(self) -> pathlib.Path:
        """The folder of masks of what is painted or given, whether or not they are there yet.

        Raises:
          InputError: nothing is painted or given.
        """
        chosen = self.chosen
        files = sorted(self.painting.glob("*.png"))
        told = [part for file in files for part in (file.name, file)]
        if chosen["masks"] == GIVEN:
            if not chosen["given"]:
                raise InputError("no masks were uploaded: upload them, or paint")
            given = self.given / chosen["given"]
            return self.path / "masks" / digest(chosen["given"], *told) if files else given
        if not files:
            raise InputError("no frame is painted: paint the object in one")
        way = [chosen["masks"]] if chosen["masks"] != SOURCES[0] else []
        return self.path / "masks" / digest(*way, *told)

    def ready_masks(self) -> pathlib.Path:
        """The folder of masks for a run; given ones are put together with their corrections.

        Raises:
          InputError: they are not there yet.
        """
        masks, chosen = self.masks(), self.chosen
        if chosen["masks"] == GIVEN and not masks.is_dir():
            with replacing_folder(masks) as folder:
                shutil.copytree(self.given / chosen["given"], folder, dirs_exist_ok=True)
                shutil.copytree(self.painting, folder, dirs_exist_ok=True)
        if not masks.is_dir():
            raise InputError("what is painted is not tracked yet: press Track first")
        return masks

    def confidence(self) -> list[float]:
        """The confidence of each mask that is shown: tracked from what is painted, or before."""
        try:
            masks = self.masks()
            found = masks if masks.with_suffix(".json").exists() else self._newest_track() or masks
            values = json.loads(found.with_suffix(".json").read_text())["confidence"]
            return [float(value) for value in values]
        except (OSError, InputError, ValueError, KeyError, TypeError):
            return []


def opened(video: str) -> Footage:
    """Footage of a path. It is kept, since a video is decoded to its end to be opened.

    Raises:
      InputError: it cannot be read.
    """
    try:
        changed = os.stat(video).st_mtime_ns
    except OSError:
        return open_footage(video)  # tells why it cannot
    return _opened(video, changed)


@functools.lru_cache(maxsize=32)
def _opened(video: str, _: int) -> Footage:
    return open_footage(video)


def mask_name(number: int) -> str:
    """The file of a frame's painting."""
    return f"{number:06d}.png"


def write_mask(file: pathlib.Path, mask: np.ndarray) -> None:
    """Writes a mask [h, w] bool, white on black."""
    images.write_image(file, np.repeat(mask[..., None], 3, -1).astype(np.uint8) * 255)


def read_mask(file: pathlib.Path) -> np.ndarray | None:
    """Reads a mask [h, w] bool; None if there is none."""
    return images.read_image(file)[..., 0] > MASK_THRESHOLD if file.exists() else None


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
