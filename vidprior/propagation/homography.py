"""Known pixels found by laying another frame over this one, however far away in time.

Most of what a hole hides moves as the camera does. The camera's motion between two frames
is a homography, found from points of interest outside the hole; flow then tells what it
leaves, such as parallax, and is continued into the hole from its surroundings. No error
adds up from frame to frame, and how well both frames agree around the hole tells how far
the one may stand in for the other within.

Letters
    H  rows     W  columns     k  points of interest     n  pixels of one frame's hole
"""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np

from vidprior.imaging.geometry import box_around
from vidprior.imaging.laplace import dilate_square, normalized_blur
from vidprior.propagation.fusion import Candidates

# Points of interest kept of a frame, and how weak a corner may be.
_POINTS, _CONTRAST = 800, 0.01
# Pixels about the hole where no point is looked for, and no flow believed.
_RIM = 3
# Pixels by which a point may miss the homography; how many, and which share of those that
# look alike, must not.
_MISS, _FEWEST, _SHARE = 1.0, 20, 0.25
# How far the surroundings of a pixel reach, of the picture's height.
_REACH = 1 / 12
# Expected error of a pixel, of 255, for one of the mean difference around it.
_PER_DIFFERENCE = 2.0
_KNOWN = 0.999
# Pixels of a side that flow needs.
_SMALLEST = 16


class Points(NamedTuple):
    """A frame's points of interest.

    Attributes:
      place: [k, 2] float32, (x, y) in pixels.
      descriptor: [k, 128] float32 (SIFT).
    """

    place: np.ndarray
    descriptor: np.ndarray


def find_points(grey: np.ndarray, hole: np.ndarray) -> Points:
    """Points of interest outside the hole.

    Args:
      grey: [H, W] uint8.
      hole: [H, W] bool.
    """
    sift = cv2.SIFT.create(nfeatures=_POINTS, contrastThreshold=_CONTRAST)
    known = np.where(dilate_square(hole, _RIM), 0, 255).astype(np.uint8)
    found, descriptor = sift.detectAndCompute(grey, known)
    place = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    return Points(place, np.zeros((0, 128), np.float32) if descriptor is None else descriptor)


def camera_motion(one: Points, other: Points) -> np.ndarray | None:
    """The homography from one frame to another, [3, 3] float64; None where there is none.

    It must hold for 20 points at least, and for a quarter of those that look alike.
    """
    if min(len(one.place), len(other.place)) < _FEWEST:
        return None
    matcher = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True)
    alike = matcher.match(one.descriptor, other.descriptor)
    if len(alike) < _FEWEST:
        return None
    begins = one.place[[match.queryIdx for match in alike]]
    ends = other.place[[match.trainIdx for match in alike]]
    motion, holds = cv2.findHomography(
        begins, ends, cv2.USAC_MAGSAC, _MISS, maxIters=5000, confidence=0.999
    )
    if motion is None or holds.sum() < max(_FEWEST, _SHARE * len(alike)):
        return None
    # Beyond a horizon, points would come back on the other side.
    return motion if np.linalg.det(motion) > 0 else None


def align_frame(
    frames: tuple[np.ndarray, np.ndarray],
    greys: tuple[np.ndarray, np.ndarray],
    holes: tuple[np.ndarray, np.ndarray],
    motion: np.ndarray,
    estimator: Any,
) -> Candidates | None:
    """A frame's hole, as another frame shows it under the camera's motion.

    The expected error is sqrt(1 + (2 d)^2), with d the mean absolute difference of both
    frames around the pixel, weighted by a Gaussian of a twelfth of the height.

    Args:
      frames: [H, W, 3] uint8 each, the frame and the other, their holes filled somehow: what
        is sampled beside a hole takes in a little of it.
      greys: [H, W] uint8 each, the same in grey.
      holes: [H, W] bool each.
      motion: [3, 3], from the frame to the other.
      estimator: OpenCV's DIS, of `dis.make_dis`.

    Returns:
      The candidates; None where the other frame shows nothing of the hole.
    """
    (frame, other), (grey, other_grey), (hole, other_hole) = frames, greys, holes
    reach = len(hole) * _REACH
    box = box_around(hole, margin=math.ceil(2 * reach), least=_SMALLEST)
    frame, grey, hole = frame[box], np.ascontiguousarray(grey[box]), hole[box]
    columns, rows = (np.arange(side.start, side.stop, dtype=np.float32) for side in box[::-1])
    place = np.stack(np.meshgrid(columns, rows), axis=-1)
    there: np.ndarray = cv2.perspectiveTransform(place.reshape(-1, 1, 2), motion).reshape(
        place.shape
    )
    shown = _shown(there, other_hole)
    if not (shown & hole).any():
        return None
    uncertain = dilate_square(hole | ~shown, _RIM)
    if uncertain.all():
        return None
    laid_over = _at(other_grey, there)
    left = estimator.calc(grey, laid_over, None)
    within = place + left - place[0, 0]
    moved = _at(there, within)
    rest = moved - there
    rest = np.where(uncertain[..., None], normalized_blur(rest, ~uncertain, reach), rest)
    there = there + rest
    shown = _shown(there, other_hole)
    colour = _at(other, there, method=cv2.INTER_CUBIC)
    difference = cv2.absdiff(colour, frame).mean(axis=-1, dtype=np.float32)
    around = normalized_blur(difference[..., None], shown & ~hole, reach)[..., 0]
    error = np.sqrt(1 + np.square(_PER_DIFFERENCE * around))
    usable = shown & (shown & ~hole).any()
    return Candidates(
        colour[hole].astype(np.float32), np.where(usable, error, np.inf)[hole].astype(np.float32)
    )


def _shown(there: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """[H, W] bool: whether places (x, y) lie within a frame, on known pixels alone."""
    return _at((~hole).astype(np.float32), there, border=cv2.BORDER_CONSTANT) > _KNOWN


def _at(
    image: np.ndarray,
    there: np.ndarray,
    *,
    method: int = cv2.INTER_LINEAR,
    border: int = cv2.BORDER_REPLICATE,
) -> np.ndarray:
    """An image [H, W, ...] at places (x, y), [h, w, 2] float32."""
    x, y = there[..., 0], there[..., 1]
    return cv2.remap(image, x, y, method, borderMode=border)
