"""Marks: pixels that are the object's or are not, and the masks that they correct.

Letters
    H  rows     W  columns
"""

from collections.abc import Sequence

import cv2
import numpy as np

from vidprior.imaging.dilation import dilate
from vidprior.tracking.appearance import Appearance, histogram, to_lab
from vidprior.tracking.segment import segment_frame, surroundings

# The values of marks.
OBJECT, BACKGROUND = 1, -1
# Log-odds of marks; nothing outvotes them.
CERTAIN = 8.0
# Radius of the disc that a point marks, relative to the height.
_POINT = 1 / 100
# Changes that are at most this far from a mark are due to it, pixels.
_TOUCHES = 2.0
# and so are those within this distance, relative to the height.
_REACH = 1 / 8
# How much the colours of what is marked count in those of the object or of its surroundings.
_WEIGHT = 0.5

Place = tuple[float, float] | tuple[float, float, float, float]


def box_slices(box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """The rows and columns of a box (left, top, width, height), without what lies before 0."""
    left, top, width, height = box
    rows = slice(max(0, round(top)), max(0, round(top + height)))
    return rows, slice(max(0, round(left)), max(0, round(left + width)))


def draw_marks(places: Sequence[tuple[int, Place]], size: tuple[int, int]) -> np.ndarray:
    """Draws points and boxes.

    Args:
      places: `OBJECT` or `BACKGROUND`, and a point (x, y) or a box (left, top, width, height) in
        pixels; later ones are on top.
      size: (H, W).

    Returns:
      [H, W] int8.
    """
    marks = np.zeros(size, np.int8)
    for kind, place in places:
        if len(place) == 2:
            radius = max(1, round(_POINT * size[0]))
            centre = (int(place[0]), int(place[1]))
            drawn = np.zeros(size, np.uint8)
            cv2.circle(drawn, centre, radius, 1, -1)
            marks[drawn > 0] = kind
        else:
            marks[box_slices(place)] = kind
    return marks


def shrink_marks(marks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Marks [h, w] at a smaller size [H, W]: a pixel is marked if any under it is."""
    small = np.zeros(size, np.int8)
    for kind in (OBJECT, BACKGROUND):
        part = (marks == kind).astype(np.float32)
        small[cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA) > 0] = kind
    return small


def mark_votes(marks: np.ndarray) -> np.ndarray:
    """[H, W] float32: log-odds by marks [H, W] int8."""
    result: np.ndarray = CERTAIN * marks.astype(np.float32)
    return result


def correct_mask(
    frame: np.ndarray, own: np.ndarray, mask: np.ndarray, marks: np.ndarray
) -> np.ndarray:
    """Changes a mask where marks say so, and around points and strokes where it looks alike.

    Args:
      frame: [H, W, 3] uint8 RGB.
      own: [H, W] float32, pixels by which each pixel moves against the camera's motion.
      mask: [H, W] bool.
      marks: [H, W] int8, `OBJECT`, `BACKGROUND`, or 0.

    Returns:
      [H, W] bool, as `mask` but in marks, and in pieces that touch a point or a stroke.
    """
    ours, theirs = marks == OBJECT, marks == BACKGROUND
    begun: np.ndarray = (mask | ours) & ~theirs
    if not begun.any():
        return begun
    lab = to_lab(frame)
    inside, outside = histogram(lab, begun), histogram(lab, surroundings(begun) | theirs)
    if (ours & ~mask).any():
        inside = (1 - _WEIGHT) * inside + _WEIGHT * histogram(lab, ours & ~mask)
    if (theirs & mask).any():
        outside = (1 - _WEIGHT) * outside + _WEIGHT * histogram(lab, theirs & mask)
    seen = Appearance(inside, outside)
    again = segment_frame(frame, lab, begun, own, seen, mark_votes(marks)) > 0.5
    changed = begun.copy()
    for kind, pieces in ((ours, again & ~mask), (theirs, mask & ~again)):
        numbered = cv2.connectedComponents(pieces.astype(np.uint8), connectivity=4)[1]
        touched = np.unique(numbered[dilate(_thin(kind), _TOUCHES) & pieces])
        due = np.isin(numbered, touched[touched > 0])
        due &= dilate(kind, _REACH * len(mask))
        changed = changed | due if kind is ours else changed & ~due
    return changed


def _thin(marked: np.ndarray) -> np.ndarray:
    """[H, W] bool: points and strokes, without areas, which say themselves how far they reach."""
    numbered = cv2.connectedComponents(marked.astype(np.uint8), connectivity=4)[1]
    inwards = cv2.distanceTransform(marked.astype(np.uint8), cv2.DIST_L2, 5)
    wide = np.unique(numbered[inwards > 2 * max(1, _POINT * len(marked)) + 1])
    result: np.ndarray = marked & ~np.isin(numbered, wide)
    return result
