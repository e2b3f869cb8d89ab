"""Pictures that show what a run did to a frame: two side by side, to be compared with a slider.

Letters
    T  frames     H  rows     W  columns
"""

from collections.abc import Sequence

import cv2
import numpy as np

from vidprior.imaging.geometry import box_around

Pair = tuple[np.ndarray, np.ndarray]

# The hole is enlarged by this, with so much around it, as a share of its sides.
MAGNIFIED, _AROUND = 3, 0.3
# Differences are shown enlarged by this.
AMPLIFIED = 4
# Rows of the picture of a slice, at least.
_SLICE_ROWS = 240


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image [h, w, 3] at another size (H, W)."""
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)


def around(hole: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a hole [H, W] bool and its surroundings; of everything without one."""
    if not hole.any():
        return slice(0, hole.shape[0]), slice(0, hole.shape[1])

    def stretch(side: slice) -> slice:
        more = max(8, round(_AROUND * (side.stop - side.start)))
        return slice(max(0, int(side.start) - more), int(side.stop) + more)

    rows, columns = box_around(hole, margin=0)
    return stretch(rows), stretch(columns)


def magnified(before: np.ndarray, after: np.ndarray, hole: np.ndarray) -> Pair:
    """The hole and its surroundings, three times as large, pixels as they are.

    Args:
      before, after: [H, W, 3] uint8.
      hole: [H, W] bool.
    """
    part = around(hole)

    def enlarge(image: np.ndarray) -> np.ndarray:
        return image[part].repeat(MAGNIFIED, axis=0).repeat(MAGNIFIED, axis=1)

    return enlarge(before), enlarge(after)


def difference(before: np.ndarray, after: np.ndarray) -> Pair:
    """The result, and how far it is from the source, four times as strong."""
    apart = cv2.absdiff(before, after).astype(np.uint16)
    return after, np.minimum(AMPLIFIED * apart, 255).astype(np.uint8)


def slices(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> Pair:
    """One row of all frames, time downwards: what flickers or slides is seen as a pattern.

    Args:
      before, after: T rows [W, 3] uint8 each.
    """
    times = -(-_SLICE_ROWS // len(before))
    first, second = (np.stack(rows).repeat(times, axis=0) for rows in (before, after))
    return first, second


def middle_row(hole: np.ndarray) -> int:
    """The row through the middle of a hole [H, W] bool, or of the frame without one."""
    rows, _ = around(hole)
    return min((rows.start + min(rows.stop, len(hole))) // 2, len(hole) - 1)
