"""Aligns another frame, however far away in time, with this one, and samples its pixels.

Most of what a hole hides moves with the camera. The camera's motion between two frames is a
homography, fitted to points of interest outside the hole. Flow measures the residual
motion, such as parallax, and is extrapolated into the hole from its surroundings. Errors do
not accumulate from frame to frame, and the difference of both frames around a pixel predicts
the error there.

Letters
    H  rows     W  columns     k  points of interest     n  wanted pixels of one frame
    h, w  rows and columns of a box about them
"""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np

from vidprior.imaging.dilation import dilate
from vidprior.imaging.geometry import box_around
from vidprior.imaging.laplace import normalized_blur
from vidprior.imaging.sampling import grid, sample
from vidprior.propagation.fusion import Candidates

# Number of points of interest of a frame, and SIFT's contrast threshold.
_POINTS, _CONTRAST = 800, 0.01
# Pixels around unknown ones in which no points are detected and no flow is used.
_RIM = 3
# Inlier distance of the homography, pixels; and the least number of inliers and their least
# share of all matches.
_MISS, _FEWEST, _SHARE = 1.0, 20, 0.25
# Standard deviations of the Gaussians around a pixel, relative to the picture's height: for
# flow and differences, and for colour correction.
_REACH, _COLOUR_REACH = 1 / 25, 1 / 30
# The largest difference of a pixel, of 255, that colour correction uses.
MOST_CORRECTED = 30.0
# Flow has half its weight where it leaves a difference of this many grey levels, after a blur
# by this many pixels.
_HALF_TRUST, _TRUST_BLUR = 8.0, 2.0
# Expected error of a pixel relative to the mean difference around it.
_PER_DIFFERENCE = 2.0
_KNOWN = 0.999
# The least side of a box on which flow is estimated, in pixels, if the picture has as many.
_SMALLEST = 64


class Points(NamedTuple):
    """A frame's points of interest.

    Attributes:
      place: [k, 2] float32, (x, y) in pixels.
      descriptor: [k, 128] float32 (SIFT).
    """

    place: np.ndarray
    descriptor: np.ndarray


def find_points(grey: np.ndarray, hole: np.ndarray) -> Points:
    """Detects points of interest outside the hole.

    Args:
      grey: [H, W] uint8.
      hole: [H, W] bool.
    """
    sift = cv2.SIFT.create(nfeatures=_POINTS, contrastThreshold=_CONTRAST)
    known = np.where(dilate(hole, _RIM, shape="square"), 0, 255).astype(np.uint8)
    found, descriptor = sift.detectAndCompute(grey, known)
    place = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    return Points(place, np.zeros((0, 128), np.float32) if descriptor is None else descriptor)


def camera_motion(one: Points, other: Points) -> np.ndarray | None:
    """The homography from one frame to another, [3, 3] float64; None if none is found.

    It needs at least 20 inliers, and a quarter of all matches.
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
    # Otherwise points beyond a horizon would reappear on the other side.
    return motion if np.linalg.det(motion) > 0 else None


class KnownFrame(NamedTuple):
    """A frame as known so far.

    Attributes:
      image: [H, W, 3] uint8; filled provisionally where it is not known.
      grey: [H, W] uint8, the same in grey.
      known: [H, W] bool: given, or accepted by a pass.
      error: [H, W] float32, expected, of 255; 0 for given pixels.
    """

    image: np.ndarray
    grey: np.ndarray
    known: np.ndarray
    error: np.ndarray


def align_frame(
    here: KnownFrame,
    there: KnownFrame,
    motion: np.ndarray,
    *,
    wanted: np.ndarray,
    number: int,
    estimator: Any,
) -> Candidates | None:
    """Samples another frame, aligned with this one, at its wanted pixels.

    Colours are corrected by the mean difference around each pixel. The expected error is
    sqrt(1 + (2 d)^2 + s^2), where d is the remaining mean absolute difference around the
    pixel, where both frames are known, and s the error of the sampled pixel.

    Args:
      here: the frame.
      there: the other frame.
      motion: [3, 3], from the frame to the other.
      wanted: [H, W] bool, unknown pixels of the frame, at least one.
      number: of the other frame.
      estimator: OpenCV's DIS, of `dis.make_dis`.

    Returns:
      The candidates; None if the other frame shows none of these pixels.
    """
    height = len(wanted)
    box = box_around(wanted, margin=math.ceil(2 * height * _REACH) + _RIM, least=_SMALLEST)
    frame, known = here.image[box].astype(np.float32), here.known[box]
    place = _place_there(here, there, motion, box=box, wanted=wanted, estimator=estimator)
    if place is None:
        return None
    shown = _shown(place, there.known)
    both = shown & known
    if not both.any():
        return None
    colour = sample(there.image, place, cubic=True).astype(np.float32)
    apart = np.clip(frame - colour, -MOST_CORRECTED, MOST_CORRECTED)
    colour += normalized_blur(apart, both, height * _COLOUR_REACH)
    difference = cv2.transform(cv2.absdiff(colour, frame), np.full((1, 3), 1 / 3))
    around = normalized_blur(difference[..., None], both, height * _REACH)[..., 0]
    squares = 1 + np.square(_PER_DIFFERENCE * around) + np.square(sample(there.error, place))
    error = np.where(shown, np.sqrt(squares), np.inf)
    here_wanted = wanted[box]
    return Candidates(colour[here_wanted], error[here_wanted], place[here_wanted], number)


def _place_there(
    here: KnownFrame,
    there: KnownFrame,
    motion: np.ndarray,
    *,
    box: tuple[slice, slice],
    wanted: np.ndarray,
    estimator: Any,
) -> np.ndarray | None:
    """[h, w, 2] float32: the place (x, y) in the other frame of every pixel of a box.

    It is the camera's motion plus residual flow. Flow is measured where both frames are
    known, and extrapolated from there, weighted towards flow that explains the picture. None
    if the other frame shows no wanted pixel.
    """
    grey, known = np.ascontiguousarray(here.grey[box]), here.known[box]
    place = grid(*box)
    moved: np.ndarray = cv2.perspectiveTransform(place.reshape(-1, 1, 2), motion).reshape(
        place.shape
    )
    shown = _shown(moved, there.known)
    uncertain = dilate(~(known & shown), _RIM, shape="square")
    if uncertain.all() or not (shown & wanted[box]).any():
        return None
    left = estimator.calc(grey, sample(there.grey, moved), None)
    rest = sample(moved, place + left - place[0, 0]) - moved
    apart = cv2.absdiff(sample(there.grey, moved + rest), grey).astype(np.float32)
    missed: np.ndarray = cv2.GaussianBlur(apart, (0, 0), _TRUST_BLUR)
    trust = np.where(uncertain, 0, 1 / (1 + np.square(missed / _HALF_TRUST)))
    continued = normalized_blur(rest, trust, len(wanted) * _REACH)
    result: np.ndarray = moved + np.where(uncertain[..., None], continued, rest)
    return result


def _shown(place: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[h, w] bool: whether places (x, y) lie within a frame, on known pixels alone."""
    return sample(known.astype(np.float32), place, outside="zero") > _KNOWN
