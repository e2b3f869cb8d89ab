"""Reads reference frames: frames of a clip that the user has cleaned in an image editor.

They are given as a folder of images named by frame number, or as a list such as
40:clean40.png,60:clean60.png. Frames of a run count from 0, as in its folder `result/`.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.io import images
from vidprior.io.files import replacing
from vidprior.io.images import PathLike, check_size, width_x_height

# Pictures by frame number: [h, w, 3] RGB or [h, w, 4] RGB with alpha, uint8.
References = Mapping[int, np.ndarray]

_FORMS = "give a folder of images named by frame number, or a list such as 40:clean40.png"


def absolute(given: str, folder: str | os.PathLike[str] = "") -> str:
    """The same folder or list, with absolute paths; relative ones are of `folder`."""

    def whole(path: str) -> str:
        return os.path.abspath(os.path.join(folder, path))

    if not _is_list(given):
        return whole(given)
    return ",".join(f"{number}:{whole(path)}" for number, path in _listed(given))


def paths(given: str) -> list[str]:
    """The folder, or the files of a list."""
    return [path for _, path in _listed(given)] if _is_list(given) else [given]


def read_references(given: str, *, count: int, size: tuple[int, int]) -> dict[int, np.ndarray]:
    """Reads the reference frames of a clip.

    Args:
      given: a folder or a list, see above.
      count: frames of the clip.
      size: (h, w) of its frames.

    Returns:
      The pictures by frame number, with alpha if they have it.

    Raises:
      InputError: an image cannot be read, or does not fit the clip by number or size.
    """
    files = _listed(given) if _is_list(given) else _in_folder(given)
    found: dict[int, np.ndarray] = {}
    for number, path in files:
        if number in found:
            raise InputError(f"{path}: frame {number} has two reference frames; give one")
        check_number(number, count=count, name=path)
        check_size(path, images.image_size(path), "the video", size)
        found[number] = _read(path)
    return found


def write_for_cleaning(path: PathLike, image: np.ndarray, hole: np.ndarray) -> None:
    """Writes a frame for an image editor: its hole is transparent, the fill lies beneath.

    Args:
      path: .png; its folder is made if it is missing.
      image: [h, w, 3] uint8 RGB.
      hole: [h, w] bool.

    Raises:
      InputError: the file cannot be written.
    """
    alpha = np.where(hole, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".png", np.dstack([image[..., ::-1], alpha]))
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data.tobytes())


def check_references(references: References, *, count: int, size: tuple[int, int]) -> None:
    """Refuses arrays that are no reference frames of a clip.

    Args:
      references: by frame number.
      count: frames of the clip.
      size: (h, w) of its frames.

    Raises:
      InputError: a number, shape or type does not fit.
    """
    for number, image in references.items():
        check_number(number, count=count, name="reference")
        array = np.asarray(image)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4):
            raise InputError(
                f"reference frame {number} is {array.dtype} {array.shape}; it must be uint8 "
                f"[h, w, 3], RGB, or [h, w, 4] with alpha"
            )
        if array.shape[:2] != tuple(size):
            raise InputError(
                f"reference frame {number} is {width_x_height(array.shape)}, but the frames are "
                f"{width_x_height(size)}: the sizes must be equal"
            )


def check_number(number: int, *, count: int, name: PathLike) -> None:
    """Refuses numbers of frames that a clip of `count` frames does not have."""
    if not 0 <= number < count:
        raise InputError(
            f"{name}: there is no frame {number}, the clip has frames 0 to {count - 1}"
        )


def _is_list(given: str) -> bool:
    return not os.path.isdir(given) and re.match(r"\s*\d+:", given) is not None


def _listed(given: str) -> list[tuple[int, str]]:
    """Numbers and paths of a list; a comma ends a path only before the next number."""
    entries = re.split(r",(?=\s*\d+:)", given)
    return [(int(number), path) for number, _, path in (entry.partition(":") for entry in entries)]


def _in_folder(folder: str) -> list[tuple[int, str]]:
    if not os.path.isdir(folder):
        what = "is an image" if os.path.isfile(folder) else "no such folder"
        raise InputError(f"--reference={folder}: {what}; {_FORMS}")
    found = []
    for file in images.list_images(folder):
        digits = re.findall("[0-9]+", file.stem)
        if not digits:
            raise InputError(f"{file}: its name has no frame number; {_FORMS}")
        found.append((int(digits[-1]), str(file)))
    return found


def _read(path: str) -> np.ndarray:
    pixels = images.read_pixels(Path(path))
    image = images.to_rgb(pixels)
    if pixels.alpha is None:
        return image
    alpha = pixels.alpha
    if alpha.dtype == np.uint16:
        alpha = (alpha // 257).astype(np.uint8)
    return np.dstack([image, alpha])
