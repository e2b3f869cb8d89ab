"""Reads and writes images: single files, and folders in order.

Letters
    T  frames     H  rows     W  columns

Images are [H, W, 3] `uint8` RGB, as a viewer shows them: upright, in 8 bits (16-bit files
are divided by 257), grey replicated, palettes resolved, alpha dropped. Files are written
whole or not at all. `pages` decodes; `masks` interprets images as masks.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.io import pages
from vidprior.io.files import replacing
from vidprior.io.pages import Pixels

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp", ".gif", ".apng",
    ".avif",
)  # fmt: skip
WRITTEN = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")

PathLike = str | os.PathLike[str]


def is_image(path: Path) -> bool:
    """Whether a file is an image: by its suffix, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def list_images(folder: PathLike) -> tuple[Path, ...]:
    """The images of a folder in natural order: frame2 comes before frame10.

    Raises:
      InputError: there are none, the folder cannot be read, or one is a link to nothing.
    """
    try:
        images = [file for file in Path(folder).iterdir() if is_image(file)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from error
    for file in images:
        if file.is_symlink() and not file.exists():
            raise InputError(f"{file} is a link to {os.readlink(file)}, which does not exist")
    files = [file for file in images if file.is_file()]
    if not files:
        raise InputError(f"{folder}: the folder holds no images ({', '.join(SUFFIXES)})")
    return tuple(sorted(files, key=_natural))


def require_consecutive(folder: PathLike) -> None:
    """Refuses a folder with missing frames, by the numbers in the names.

    The last number of each name counts. Any first number and any constant step are allowed.
    Names without numbers are not checked.

    Raises:
      InputError: no images, or a gap; it names the two images around the gap.
    """
    files = list_images(folder)
    numbers = [int(found[-1]) for file in files if (found := re.findall("[0-9]+", file.stem))]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    if len(numbers) < len(files) or len(set(steps)) < 2:
        return
    usual = min((step for step in steps if step > 0), default=1)
    gap = next(place for place, step in enumerate(steps) if step != usual)
    raise InputError(
        f"{folder}: after {files[gap].name} comes {files[gap + 1].name}, but others are {usual} "
        "apart: frames are missing"
    )


def image_size(path: PathLike) -> tuple[int, int]:
    """(H, W), from the header.

    Raises:
      InputError: no image, or one beyond Pillow's limit of 179 million pixels.
    """
    return pages.open_pages(Path(path)).size


def read_image(path: PathLike) -> np.ndarray:
    """One image as [H, W, 3] uint8 RGB.

    Raises:
      InputError: the file is missing, cut, not an image, too large, or has several pages.
    """
    return to_rgb(read_pixels(path))


def read_pixels(path: PathLike) -> Pixels:
    """One image as stored; errors as `read_image`."""
    opened = pages.open_pages(Path(path))
    if opened.total > 1:
        raise InputError(
            f"{path} contains {opened.total} pages, but one image is expected: give the file "
            f"itself to use its pages as frames, or save each page in its own file"
        )
    return next(opened.read())


def to_rgb(pixels: Pixels) -> np.ndarray:
    """[H, W, 3] uint8 as a viewer shows it, without alpha."""
    colours = pixels.colours
    if colours.dtype == np.uint16:
        # 65535 is 255 * 257; rounded to the nearest.
        colours = ((colours.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if colours.ndim == 2:
        return np.repeat(colours[..., None], 3, axis=-1)
    return np.ascontiguousarray(colours)


def write_image(path: PathLike, image: np.ndarray) -> None:
    """Writes one image in the format of its suffix.

    Args:
      path: .png for a lossless image; its folder is made if it is missing.
      image: [H, W, 3] RGB or [H, W] grey, uint8.

    Raises:
      InputError: images of this suffix are not written, or the file cannot be.
    """
    path = Path(path)
    check_image(image, ndims=(2, 3))
    if path.suffix.lower() not in WRITTEN:
        raise InputError(f"{path}: images are written as {', '.join(WRITTEN)}")
    with replacing(path) as temporary:
        temporary.write_bytes(encode(image, path.suffix.lower()))


def encode(image: np.ndarray, suffix: str) -> bytes:
    """Encodes [H, W, 3] RGB or [H, W] grey, uint8, in the format of a suffix such as .png."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    _, data = cv2.imencode(suffix, pixels)
    return data.tobytes()


def write_frames(folder: PathLike, frames: Iterable[np.ndarray], *, start: int = 0) -> int:
    """Writes all frames of an iterable, as `open_frames` does.

    Returns:
      How many frames were written.
    """
    count = 0
    with open_frames(folder, start=start) as write:
        for frame in frames:
            write(frame)
            count += 1
    return count


@contextlib.contextmanager
def open_frames(folder: PathLike, *, start: int = 0) -> Iterator[Callable[[np.ndarray], None]]:
    """Writes frames as lossless images 00000.png, 00001.png, ...

    Afterwards the folder contains exactly these numbered images: those left by an earlier,
    longer run are removed. Other files are not touched.

    Args:
      folder: created if missing.
      start: number of the first image.

    Yields:
      A function that takes the next frame, [H, W, 3] uint8 RGB.

    Raises:
      InputError: a file cannot be written.
    """
    folder = Path(folder)
    written: list[Path] = []

    def write(frame: np.ndarray) -> None:
        written.append(folder / f"{start + len(written):05d}.png")
        write_image(written[-1], frame)

    yield write
    for file in set(folder.glob("*.png")).difference(written):
        if re.fullmatch(r"[0-9]{5,}\.png", file.name):
            file.unlink()


def check_image(image: np.ndarray, *, ndims: tuple[int, ...] = (3,)) -> None:
    """Refuses arrays other than uint8 [H, W, 3] (or [H, W], if 2 is in `ndims`)."""
    if image.dtype != np.uint8 or image.ndim not in ndims or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"expected a uint8 RGB image, got {image.dtype} {image.shape}")


def check_size(name: Any, shape: tuple[int, ...], other: Any, expected: tuple[int, ...]) -> None:
    """Refuses an image whose (H, W) differs from another's.

    Raises:
      InputError: they differ; with both names and sizes.
    """
    if shape[:2] != tuple(expected[:2]):
        raise InputError(
            f"{name} is {width_x_height(shape)}, but {other} is {width_x_height(expected)}: "
            "the sizes must be equal"
        )


def width_x_height(shape: tuple[int, ...]) -> str:
    """The size of [H, W, ...] as text, such as 854x480."""
    return f"{shape[1]}x{shape[0]}"


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Sort key that compares digits as numbers, then names, to separate 1 and 01."""
    parts = re.split("([0-9]+)", path.name)  # text and digits alternate
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path.name
