"""Finds an object in one frame, from a box or from points: by its motion and its colours.

Letters
    H  rows     W  columns
"""

import cv2
import numpy as np

from vidprior.imaging.dilation import dilate
from vidprior.tracking.alignment import Alignment
from vidprior.tracking.appearance import Appearance, histogram, likeness, to_lab
from vidprior.tracking.marks import BACKGROUND, CERTAIN, OBJECT, mark_votes
from vidprior.tracking.segment import segment_frame, surroundings

# Frames at these distances show how pixels move.
NEAR = (1, 2, 4)
# Pixels a frame from which an object counts as moving, and the least share of its motion that its
# pixels have; it stands out if so small a share of what is around the box moves, as a part of the
# share inside, or if what moves is so small a part of the frame.
_MOVING, _SHARE, _AROUND, _LARGEST = 0.7, 0.5, 0.5, 0.35
# Rounds that renew colours.
_ROUNDS = 3
# Colours alone are believed if they tell what they found from what is around by so much more.
_CLEARER = 0.1
# Radius of a point's surroundings, from which its colours and motion are taken, relative to the
# height.
_SURROUNDING = 1 / 30


def own_motion(alignment: Alignment, number: int, count: int) -> np.ndarray:
    """[H, W] float32: pixels a frame by which a frame of `count` moves against the camera."""
    others = {number + sign * far for far in NEAR for sign in (-1, 1)}
    speeds = [
        alignment.shift(number, other).own / abs(number - other)
        for other in sorted(others)
        if 0 <= other < count
    ]
    if not speeds:
        return np.zeros(alignment.shift(number, number).own.shape, np.float32)
    return np.median(speeds, axis=0).astype(np.float32)


def find_object(
    frame: np.ndarray, own: np.ndarray, marks: np.ndarray, inside: np.ndarray | None = None
) -> np.ndarray:
    """The object in a box, or at marked points.

    Args:
      frame: [H, W, 3] uint8 RGB.
      own: [H, W] float32, pixels by which each pixel moves against the camera's motion.
      marks: [H, W] int8, `OBJECT`, `BACKGROUND`, or 0.
      inside: [H, W] bool, the box; None: some pixels are marked as the object's.

    Returns:
      [H, W] bool; empty if nothing was found, as at points that do not move by themselves.
    """
    lab, votes = to_lab(frame), mark_votes(marks)
    if inside is None:
        return _grow(frame, lab, own, marks, votes, _from_points(own, marks == OBJECT), None)
    votes = np.where(inside | (marks != 0), votes, -CERTAIN).astype(np.float32)
    still = np.zeros_like(own)
    by_colour = _grow(frame, lab, still, marks, votes, _ellipse(inside), inside)
    moving = _moving(own, inside)
    if moving is None:
        return by_colour
    by_motion = _grow(frame, lab, own, marks, votes, moving, inside)
    found, other = (_told_apart(lab, mask, inside) for mask in (by_motion, by_colour))
    return by_colour if other > found + _CLEARER else by_motion


def _grow(
    frame: np.ndarray,
    lab: np.ndarray,
    own: np.ndarray,
    marks: np.ndarray,
    votes: np.ndarray,
    mask: np.ndarray,
    inside: np.ndarray | None,
) -> np.ndarray:
    """Segments with colours that are taken from what was found before."""
    for _ in range(_ROUNDS):
        if not mask.any():
            break
        mask = (mask | (marks == OBJECT)) & (marks != BACKGROUND)
        around = surroundings(mask) if inside is None else surroundings(inside) | inside & ~mask
        seen = Appearance(histogram(lab, mask), histogram(lab, around))
        mask = segment_frame(frame, lab, mask, own, seen, votes) > 0.5
    return (mask | (marks == OBJECT)) & (marks != BACKGROUND) if mask.any() else mask


def _told_apart(lab: np.ndarray, mask: np.ndarray, inside: np.ndarray) -> float:
    """How unlike the colours of a mask are to those around it in the box and outside, 0 to 1."""
    if not mask.any():
        return 0.0
    around = surroundings(inside) | inside & ~mask
    return 1 - likeness(histogram(lab, mask), histogram(lab, around))


def _moving(own: np.ndarray, inside: np.ndarray) -> np.ndarray | None:
    """[H, W] bool: what moves in the box; None if it does not stand out from what is around."""
    least = max(_MOVING, _SHARE * float(np.percentile(own[inside], 80)))
    moving = own > least
    around = surroundings(inside)
    shown = moving[around].mean() if around.any() else 1.0
    return moving & inside if shown < _AROUND * moving[inside].mean() else None


def _ellipse(inside: np.ndarray) -> np.ndarray:
    """[H, W] bool: the ellipse in the box."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    y, x = np.ogrid[: inside.shape[0], : inside.shape[1]]
    down, across = (
        (at - (taken[0] + taken[-1]) / 2) / (len(taken) / 2)
        for at, taken in ((y, rows), (x, columns))
    )
    found: np.ndarray = inside & (down**2 + across**2 <= 1)
    return found


def _from_points(own: np.ndarray, points: np.ndarray) -> np.ndarray:
    """What to begin with: what moves at the points, if that stands out; otherwise nothing."""
    discs = dilate(points, _SURROUNDING * len(points))
    least = max(_MOVING, _SHARE * float(np.median(own[discs])))
    moving = (own > least).astype(np.uint8)
    pieces = cv2.connectedComponents(moving, connectivity=4)[1]
    found = points & (moving > 0)
    mask: np.ndarray = np.isin(pieces, np.unique(pieces[found]))
    if not found.any() or mask.mean() > _LARGEST:
        return np.zeros_like(points)
    return mask | discs
