"""Reads image files with one page or more: TIFF stacks, animated GIF, PNG, WebP and AVIF.

Letters
    H  rows     W  columns

OpenCV decodes formats that may have 16 bits, Pillow the others. Headers are checked before
memory is allocated. Pillow's limit of 179 million pixels applies to every page.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from vidprior.errors import InputError

# Duration of an animation's frame that is unspecified or 0, as in browsers.
DEFAULT_DURATION = Fraction(1, 10)
# Pixels of a canvas that a picture may leave empty.
HOLLOW = 2**20
# Pages decoded together.
_AT_ONCE = 8
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# OpenCV would report damaged files on stderr, which we do ourselves.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)


class Pixels(NamedTuple):
    """One page as stored.

    Attributes:
      colours: [H, W] grey or [H, W, 3] RGB, uint8 or uint16; palettes looked up.
      alpha: [H, W] of the same type; None without alpha.
      numbers: [H, W] uint8, the palette's entries; None without a palette.
      lossy: whether the format is lossy.
    """

    colours: np.ndarray
    alpha: np.ndarray | None
    numbers: np.ndarray | None
    lossy: bool


class Pages(NamedTuple):
    """The header of an image file.

    Attributes:
      total: pages, or frames of an animation.
      size: (H, W), upright.
      format: Pillow's name.
    """

    path: Path
    total: int
    size: tuple[int, int]
    format: str

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Pixels]:
        """The pages start, start + 1, ... stop - 1.

        Raises:
          InputError: a page cannot be read, or has another size.
        """
        stop = self.total if stop is None else stop
        try:
            data = self.path.read_bytes()
            by_opencv = self.format not in ("JPEG", "MPO", "GIF", "WEBP", "AVIF")
            if self.format == "PNG" and self.total > 1:
                by_opencv = False
            read = _by_opencv if by_opencv else _by_pillow
            for number, pixels in enumerate(read(data, self, start, stop), start):
                if pixels.colours.shape[:2] != self.size:
                    height, width = pixels.colours.shape[:2]
                    raise ValueError(f"page {number} is {width}x{height}, not as the first")
                yield pixels
        except InputError:
            raise
        except Exception as error:  # a malformed file can raise nearly anything
            raise unreadable(self.path, error) from error

    def durations(self) -> tuple[Fraction, ...] | None:
        """Duration of each frame of an animation, seconds; None for other files.

        Raises:
          InputError: the file cannot be read.
        """
        if self.total == 1 or self.format == "TIFF":
            return None
        try:
            with Image.open(self.path) as image:
                return tuple(_duration(image, number) for number in range(self.total))
        except Exception as error:
            raise unreadable(self.path, error) from error


def open_pages(path: Path) -> Pages:
    """Reads the header of an image file.

    Raises:
      InputError: it is missing, no image, or has more than Pillow's limit of pixels.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                width, height = image.size
                kind = str(image.format)
                count = 1 if kind in ("JPEG", "MPO") else int(getattr(image, "n_frames", 1))
                if kind == "GIF" and _is_hollow(image):
                    raise ValueError(f"its pictures fill next to nothing of {width}x{height}")
                if kind in ("JPEG", "MPO") and image.getexif().get(0x112, 1) in (5, 6, 7, 8):
                    width, height = height, width
        return Pages(path, count, (height, width), kind)
    except Exception as error:
        raise unreadable(path, error.__cause__ or error) from error


def _is_hollow(image: Image.Image) -> bool:
    """Whether a header claims a canvas that is far too large for the first picture on it."""
    canvas = image.size[0] * image.size[1]
    tiles = getattr(image, "tile", None)  # only of images that were opened from a file
    left, top, right, bottom = tiles[0][1] if tiles else (0, 0, *image.size)
    return canvas > HOLLOW and (right - left) * (bottom - top) * 100 < canvas


def unreadable(path: Any, reason: Any) -> InputError:
    """The error of an image that cannot be read."""
    reason = " ".join(str(reason).split()) or type(reason).__name__
    return InputError(f"{path}: cannot be read as an image of 8 or 16 bits ({reason})")


def _by_opencv(data: bytes, pages: Pages, start: int, stop: int) -> Iterator[Pixels]:
    buffer = np.frombuffer(data, np.uint8)
    numbers = _palette_numbers(data) if pages.format == "PNG" else None
    for first in range(start, stop, _AT_ONCE):
        last = min(first + _AT_ONCE, stop)
        if pages.total == 1:
            decoded = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
            arrays: Sequence[Any] = [] if decoded is None else [decoded]
        else:
            _, arrays = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(first, last))
        if len(arrays) < last - first:
            raise ValueError("the file is cut or damaged")
        for array in arrays:
            yield _from_opencv(np.asarray(array), numbers)


def _from_opencv(array: np.ndarray, numbers: np.ndarray | None) -> Pixels:
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"it holds {array.dtype}")
    if array.ndim == 2 or array.shape[2] == 1:
        return Pixels(array.reshape(array.shape[:2]), None, numbers, False)
    alpha = array[..., 3] if array.shape[2] == 4 else None
    return Pixels(array[..., 2::-1], alpha, numbers, False)


def _palette_numbers(data: bytes) -> np.ndarray | None:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image) if image.mode == "P" else None


def _by_pillow(data: bytes, pages: Pages, start: int, stop: int) -> Iterator[Pixels]:
    lossy = pages.format in ("JPEG", "MPO", "AVIF") or b"VP8 " in data[:4096]
    with Image.open(io.BytesIO(data)) as image:
        for number in range(start, stop):
            if pages.total > 1:
                image.seek(number)
            upright = ImageOps.exif_transpose(image) if pages.total == 1 else image
            has_alpha = upright.has_transparency_data
            array = np.asarray(upright.convert("RGBA" if has_alpha else "RGB"))
            yield Pixels(array[..., :3], array[..., 3] if has_alpha else None, None, lossy)


def _duration(image: Image.Image, number: int) -> Fraction:
    image.seek(number)
    image.load()
    milliseconds = image.info.get("duration") or 0
    exact = Fraction(milliseconds).limit_denominator(1000) / 1000
    return exact if exact > 0 else DEFAULT_DURATION
