"""Images in files: single ones, folders in order, and masks made of images.

Letters
    T  frames     H  rows     W  columns

Images are [H, W, 3] `uint8` RGB, as a viewer would show them: upright, in 8 bits
(16-bit files are divided by 257), grey replicated, palettes looked up, alpha left
out. Masks are `uint8` grey, 255 where content is missing. Headers are checked before
memory is taken; every file is written under a temporary name in its own folder and
renamed when it is whole.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import imageio.v3
import numpy as np

from vidprior.errors import InputError
from vidprior.io.files import replacing

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
# A lossless mask sequence of more values than this, black included, is grey, not labels.
MAX_LABELS = 32

PathLike = str | os.PathLike[str]


def is_image(path: Path) -> bool:
    """Whether a file counts as an image: by its suffix, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def list_images(folder: PathLike) -> tuple[Path, ...]:
    """The images of a folder in natural order: frame2 comes before frame10.

    Raises:
      InputError: there are none.
    """
    files = [file for file in Path(folder).iterdir() if is_image(file) and file.is_file()]
    if not files:
        raise InputError(f"{folder}: the folder holds no images ({', '.join(SUFFIXES)})")
    return tuple(sorted(files, key=_natural))


def require_consecutive(folder: PathLike) -> None:
    """Refuses a folder in which frames are missing, by the numbers in the names.

    The last number of each name counts; any first number and any step will do, as long
    as it is the same throughout. Names without numbers say nothing.

    Raises:
      InputError: no images, or a gap; it names the two images on its sides.
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
    """(H, W) by the header alone, before a jpeg is turned upright.

    Raises:
      InputError: no image, or one beyond Pillow's limit of 179 million pixels.
    """
    try:
        height, width = imageio.v3.improps(path, plugin="pillow").shape[:2]
    except Exception as error:  # a malformed header can raise nearly anything
        raise _unreadable(path, error.__cause__ or error) from error
    return height, width


def read_image(path: PathLike) -> np.ndarray:
    """One image as [H, W, 3] uint8 RGB.

    Raises:
      InputError: the file is missing, cut, not an image, or too large.
    """
    data = _load(path)
    if _is_jpeg(data):
        return _decode_jpeg(path, data)
    pixels = _decode_lossless(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels.dtype == np.uint16:
        # 65535 is 255 * 257; rounded to the nearest.
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def read_mask_images(files: Sequence[Path], size: tuple[int, int]) -> np.ndarray:
    """A sequence of mask images, one frame each, as `footage.read_mask_frames` describes them.

    Args:
      files: T images.
      size: (H, W) that each must have.

    Returns:
      [T, H, W] uint8, 255 where content is missing, greys only on soft edges.

    Raises:
      InputError: an image cannot be read, or has another size or bit depth.
    """
    greys: list[np.ndarray] = []
    alphas: list[np.ndarray | None] = []
    lossy = False
    for file in files:
        data = _load(file)
        if _is_jpeg(data):
            pixels, lossy = _decode_jpeg(file, data), True
        else:
            pixels = _decode_lossless(file, data, cv2.IMREAD_UNCHANGED)
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        check_size(file, pixels.shape, "its frame", size)
        if greys and pixels.dtype != greys[0].dtype:
            raise InputError(
                f"{file} is {pixels.dtype}, but {files[0]} is {greys[0].dtype}: the masks of one "
                "sequence must have one bit depth"
            )
        greys.append(brightest_channel(pixels[..., :3]))
        alphas.append(pixels[..., 3] if pixels.shape[2] == 4 else None)
    given = [alpha for alpha in alphas if alpha is not None]
    if given and min(alpha.min() for alpha in given) < max(alpha.max() for alpha in given):
        pairs = zip(greys, alphas, strict=True)
        greys = [grey if alpha is None else alpha for grey, alpha in pairs]
    return grey_to_mask(np.stack(greys), lossy=lossy)


def brightest_channel(pixels: np.ndarray) -> np.ndarray:
    """[..., C] to [...]: the largest channel of every pixel, many times faster than `max(-1)`."""
    return np.maximum.reduce(list(np.moveaxis(pixels, -1, 0)))


def grey_to_mask(grey: np.ndarray, *, lossy: bool) -> np.ndarray:
    """What the values of a mask sequence mean; the rules stand in `footage.read_mask_frames`.

    Args:
      grey: [...] uint8 or uint16, the whole sequence.
      lossy: the source was coded with losses, so that black and white are noisy.

    Returns:
      [...] uint8, 255 where content is missing.
    """
    white, peak = np.iinfo(grey.dtype).max, int(grey.max(initial=0))
    if lossy:
        return np.where(grey > white // 2, 255, 0).astype(np.uint8)
    if peak < white:
        seen = np.zeros(white + 1, bool)
        for part in grey:
            seen[part] = True
        if seen.sum() <= MAX_LABELS:
            return np.where(grey > 0, 255, 0).astype(np.uint8)
    if peak == white == 255:
        return grey
    # Rounded to the nearest, halves down: above 127 exactly where grey > peak / 2.
    return ((grey.astype(np.uint32) * 510 + peak - 1) // (2 * peak)).astype(np.uint8)


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
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: images are written as {', '.join(SUFFIXES)}")
    with replacing(path) as temporary:
        temporary.write_bytes(encode(image, path.suffix.lower()))


def encode(image: np.ndarray, suffix: str) -> bytes:
    """The contents of an image file: [H, W, 3] RGB or [H, W] grey, uint8, as .png for example."""
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

    Afterwards the numbered images of the folder are exactly these: those that an
    earlier, longer run left are removed. Other files are not touched.

    Args:
      folder: made if it is missing.
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
    """Refuses what is not [H, W, 3] (or, if 2 is among `ndims`, [H, W]) uint8."""
    if image.dtype != np.uint8 or image.ndim not in ndims or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"expected a uint8 RGB image, got {image.dtype} {image.shape}")


def check_size(name: Any, shape: tuple[int, ...], other: Any, expected: tuple[int, ...]) -> None:
    """Refuses an image whose (H, W) is not that of another; names both and both sizes.

    Raises:
      InputError: they differ.
    """
    if shape[:2] != tuple(expected[:2]):
        raise InputError(
            f"{name} is {width_x_height(shape)}, but {other} is {width_x_height(expected)}: "
            "the sizes must be equal"
        )


def width_x_height(shape: tuple[int, ...]) -> str:
    """How people write the size of [H, W, ...]: 854x480."""
    return f"{shape[1]}x{shape[0]}"


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Compares digits as numbers; the name itself parts equals such as 1 and 01."""
    parts = re.split("([0-9]+)", path.name)  # text and digits take turns
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path.name


def _load(path: PathLike) -> bytes:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    image_size(path)
    return path.read_bytes()


def _is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8")


def _decode_jpeg(path: PathLike, data: bytes) -> np.ndarray:
    """[H, W, 3] uint8 RGB, by Pillow: OpenCV 4 passes off half a jpeg as a whole one."""
    try:
        return imageio.v3.imread(data, plugin="pillow", mode="RGB", rotate=True)
    except Exception as error:
        raise _unreadable(path, error) from error


def _decode_lossless(path: PathLike, data: bytes, flags: int) -> np.ndarray:
    """[H, W] or [H, W, C], BGR or BGRA, uint8 or uint16, by OpenCV: Pillow has no 16-bit RGB."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _unreadable(path, error) from error
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        reason = "the file is cut or damaged" if pixels is None else f"it holds {pixels.dtype}"
        raise _unreadable(path, reason)
    return pixels


def _unreadable(path: PathLike, reason: Any) -> InputError:
    reason = " ".join(str(reason).split())
    return InputError(f"{path}: cannot be read as an image of 8 or 16 bits ({reason})")
