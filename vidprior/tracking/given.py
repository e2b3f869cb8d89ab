"""What tracking is given: frames made small, painted masks and marks that can be used.

Letters
    T  frames     h, w  rows and columns of the clip     H, W  of the small pictures
"""

import os
from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.flow import dis
from vidprior.io.footage import PathLike, open_footage

# Columns of the small pictures.
WIDTH = 432
# Frames held at a time.
MOST_FRAMES = 1200


def reduced(
    frames: np.ndarray | Iterable[np.ndarray] | PathLike,
) -> tuple[tuple[int, int], np.ndarray]:
    """The size (h, w) of the frames, and all of them made small, [T, H, W, 3] uint8.

    Raises:
      InputError: there are too many, they are too small, or they differ in size.
    """
    if isinstance(frames, str | os.PathLike):
        frames = open_footage(frames).frames()
    held: list[np.ndarray] = []
    size = (0, 0)
    for frame in frames:
        if len(held) == MOST_FRAMES:
            raise InputError(f"more than {MOST_FRAMES} frames: track a shorter range of the clip")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InputError(
                f"frame {len(held)} is {frame.dtype} {frame.shape}: give RGB frames [h, w, 3] uint8"
            )
        if held and frame.shape[:2] != size:
            raise InputError(
                f"frame {len(held)} is {frame.shape[1]}x{frame.shape[0]}, the first "
                f"{size[1]}x{size[0]}: all frames must have one size"
            )
        size = (frame.shape[0], frame.shape[1])
        width = min(WIDTH, size[1])
        held.append(shrink(frame, (round(size[0] * width / size[1]), width)))
    if not held or min(held[0].shape[:2]) < dis.MIN_SIDE:
        raise InputError(
            f"frames of {size[1]}x{size[0]} are too small to track: each side needs "
            f"{dis.MIN_SIDE} pixels, also of {WIDTH} columns"
        )
    return size, np.stack(held)


def shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture [h, w, ...], averaged to a smaller size (H, W)."""
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)


def enlarge(soft: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A soft mask [H, W] float32 at a larger size (h, w)."""
    return cv2.resize(soft, size[::-1], interpolation=cv2.INTER_CUBIC)


def checked_masks(
    painted: Mapping[int, np.ndarray], count: int, size: tuple[int, int]
) -> dict[int, np.ndarray]:
    """The painted masks, in order; an empty one says that the object is absent.

    Raises:
      InputError: one cannot be used.
    """
    masks = {}
    for number, mask in sorted(painted.items()):
        if not 0 <= number < count:
            raise InputError(f"painted frame {number}: the clip has frames 0 to {count - 1}")
        if mask.shape != size or mask.dtype != bool:
            raise InputError(
                f"painted frame {number} is {mask.dtype} {mask.shape}: it must be bool {size}, as "
                f"the frames"
            )
        if mask.all():
            raise InputError(f"painted frame {number}: everything is painted")
        masks[number] = mask
    return masks


def checked_marks(
    marks: Mapping[int, np.ndarray],
    painted: Mapping[int, np.ndarray],
    count: int,
    size: tuple[int, int],
) -> dict[int, np.ndarray]:
    """The marks, in the order given.

    Raises:
      InputError: one cannot be used.
    """
    for number, mark in marks.items():
        if not 0 <= number < count:
            raise InputError(f"marked frame {number}: the clip has frames 0 to {count - 1}")
        if mark.shape != size or mark.dtype != np.int8:
            raise InputError(
                f"marked frame {number} is {mark.dtype} {mark.shape}: it must be int8 {size}, as "
                f"the frames"
            )
        if number in painted:
            raise InputError(f"marked frame {number} is painted too: correct what is painted")
        if not mark.any():
            raise InputError(f"marked frame {number}: no mark lies in the picture")
    return dict(marks)
