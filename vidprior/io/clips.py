"""The kinds of clips: a folder of images, an image file, a video file, an array.

Each has `path`, `total`, `size`, `rate` and `pixel_aspect`. `frames` yields [H, W, 3] uint8
RGB; `pixels` yields frames as stored, from which masks are read.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from vidprior.errors import InputError
from vidprior.io import images, numbering, pages, video_scan
from vidprior.io.pages import Pages, Pixels
from vidprior.io.video_reader import VideoFile


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """A folder of images, each a frame."""

    path: Path
    files: tuple[Path, ...]
    rate: Fraction | None = None
    pixel_aspect: Fraction | None = None

    @property
    def total(self) -> int:
        """Number of images."""
        return len(self.files)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the first image."""
        return images.image_size(self.files[0])

    @cached_property
    def numbers(self) -> tuple[int, ...] | None:
        """The numbers in the names, in the order of the files; None if they do not rise."""
        found = numbering.numbers_in(self.files)
        rising = found is not None and all(a < b for a, b in itertools.pairwise(found))
        return found if rising else None

    def frames(self, start: int, stop: int) -> Iterator[tuple[str, np.ndarray]]:
        """Names and pictures of a range."""
        for name, pixels in self.pixels(start, stop):
            yield name, images.to_rgb(pixels)

    def pixels(self, start: int, stop: int) -> Iterator[tuple[str, Pixels]]:
        """Names and contents of a range."""
        for file in self.files[start:stop]:
            yield str(file), images.read_pixels(file)


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image, or an image file of many pages: a stack, an animation."""

    pages: Pages
    durations: tuple[Fraction, ...] | None
    pixel_aspect: Fraction | None = None
    numbers: None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.pages.path

    @property
    def total(self) -> int:
        """Number of pages."""
        return self.pages.total

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pages.size

    @cached_property
    def times(self) -> tuple[Fraction, ...] | None:
        """When each frame of an animation is shown, seconds; None for other files."""
        if self.durations is None:
            return None
        return tuple(itertools.accumulate(self.durations[:-1], initial=Fraction(0)))

    @property
    def rate(self) -> Fraction | None:
        """Average frames per second of an animation; None for other files."""
        if self.durations is None:
            return None
        return (len(self.durations) / sum(self.durations, Fraction(0))).limit_denominator(1001)

    def frames(self, start: int, stop: int) -> Iterator[tuple[str, np.ndarray]]:
        """Names and pictures of a range."""
        for name, pixels in self.pixels(start, stop):
            yield name, images.to_rgb(pixels)

    def pixels(self, start: int, stop: int) -> Iterator[tuple[str, Pixels]]:
        """Names and contents of a range."""
        one = self.total == 1
        for number, pixels in enumerate(self.pages.read(start, stop), start):
            yield str(self.path) if one else f"page {number} of {self.path}", pixels


@dataclasses.dataclass(frozen=True)
class Array:
    """A clip in memory, [T, H, W, 3] uint8 RGB."""

    pictures: np.ndarray
    path: Path = Path("frames")
    rate: Fraction | None = None
    pixel_aspect: Fraction | None = None
    numbers: None = None

    @property
    def total(self) -> int:
        """Number of frames."""
        return len(self.pictures)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pictures.shape[1], self.pictures.shape[2]

    def frames(self, start: int, stop: int) -> Iterator[tuple[str, np.ndarray]]:
        """Names and pictures of a range."""
        for number in range(start, stop):
            yield f"frame {number}", self.pictures[number]

    def pixels(self, start: int, stop: int) -> Iterator[tuple[str, Pixels]]:
        """Names and contents of a range."""
        for name, picture in self.frames(start, stop):
            yield name, Pixels(picture, None, None, False)


Clip = ImageFolder | ImageFile | Array | VideoFile


def open_clip(path: Path, *, stop: int | None = None) -> Clip:
    """Opens the clip at a path.

    Args:
      path: of a video file, an image file, or a folder of images.
      stop: how many frames of a video are needed; see `video_scan.probe`.

    Raises:
      InputError: there is none, or it cannot be read.
    """
    try:
        if not path.exists():
            linked = " (a broken link)" if path.is_symlink() else ""
            raise InputError(f"{path}: no such file or folder{linked}")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if path.is_dir():
        return ImageFolder(path, images.list_images(path))
    if images.is_image(path):
        opened = pages.open_pages(path)
        return ImageFile(opened, opened.durations())
    return video_scan.probe(path, stop=stop)


def pixels_of(clip: Clip, start: int, stop: int) -> Iterator[tuple[str, Pixels]]:
    """Names and contents of a range, of any kind of clip."""
    if not isinstance(clip, VideoFile):
        yield from clip.pixels(start, stop)
        return
    layout = "rgba" if clip.alpha else "rgb24"
    for name, picture in clip.frames(start, stop, layout=layout):
        alpha = picture[..., 3] if clip.alpha else None
        yield name, Pixels(picture[..., :3], alpha, None, not clip.lossless)
