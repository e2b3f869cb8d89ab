"""What moves by itself in a frame: it differs from most of the frames before and after.

The scene is aligned by the camera's motion. Something that moves against it covers, in this
frame, what the other frames show; where it was or will be, only some of them differ.
"""

from collections.abc import Callable

import cv2
import numpy as np

# Frames that are compared, relative to this one; at least so many of them.
_STEPS, _LEAST = (-6, -3, 3, 6), 2
# Pixels by which the alignment may be wrong, relative to the height; a larger difference, of
# 255, counts.
_SLACK, _DIFFERENT = 1 / 100, 24.0
# Sides of squares, relative to the height: what is smaller is noise; gaps that are smaller are
# closed; and the growth of what is found.
_NOISE, _GAPS, _GROWTH = 1 / 70, 1 / 10, 1 / 25


def find_moving(
    image: np.ndarray,
    known: np.ndarray,
    number: int,
    motion: Callable[[int, int], np.ndarray | None],
) -> np.ndarray:
    """Finds what moves by itself in a frame.

    Args:
      image: [T, H, W, 3] uint8.
      known: [T, H, W] bool; other pixels say nothing.
      number: of the frame.
      motion: homographies [3, 3] of the camera, from one frame to another.

    Returns:
      [H, W] bool.
    """
    count, height, width = known.shape
    others = [number + step for step in _STEPS if 0 <= number + step < count]
    if len(others) < _LEAST:
        return np.zeros((height, width), bool)
    differs = [_differs(image, known, number, other, motion) for other in others]
    found = np.sum(differs, axis=0) > len(others) / 2
    noise, gaps, growth = (
        np.ones((max(3, round(share * height) | 1),) * 2) for share in (_NOISE, _GAPS, _GROWTH)
    )
    whole = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, noise)
    return cv2.dilate(cv2.morphologyEx(whole, cv2.MORPH_CLOSE, gaps), growth) > 0


def _differs(
    image: np.ndarray,
    known: np.ndarray,
    number: int,
    other: int,
    motion: Callable[[int, int], np.ndarray | None],
) -> np.ndarray:
    """[H, W] bool: where another frame shows something else nearby."""
    there = motion(number, other)
    if there is None:
        return np.zeros(known.shape[1:], bool)
    size = known.shape[:0:-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpPerspective(known[other].astype(np.float32), there, size, flags=flags) > 0.999
    moved = cv2.warpPerspective(image[other], there, size, flags=flags)
    square = np.ones((2 * max(1, round(_SLACK * len(seen))) + 1,) * 2)
    most, least = cv2.dilate(moved, square), cv2.erode(moved, square)
    here = image[number]
    beyond = np.maximum(cv2.subtract(here, most), cv2.subtract(least, here)).max(axis=-1)
    return seen & known[number] & (beyond > _DIFFERENT)
