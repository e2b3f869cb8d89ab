"""Known pixels found by laying another frame over this one, however far away in time.

Most of what a hole hides moves as the camera does. The camera's motion between two frames
is a homography, found from points of interest outside the hole; flow then tells what it
leaves, such as parallax, and is continued into the hole from its surroundings. No error
adds up from frame to frame, and how well both frames agree around a pixel tells how far
the one may stand in for the other there.

Letters
    H  rows     W  columns     k  points of interest     n  wanted pixels of one frame
    h, w  rows and columns of a box about them
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
# Pixels about what is unknown where no point is looked for, and no flow believed.
_RIM = 3
# Pixels by which a point may miss the homography; how many, and which share of those that
# look alike, must not.
_MISS, _FEWEST, _SHARE = 1.0, 20, 0.25
# How far the surroundings of a pixel reach, of the picture's height: where flow and
# differences are looked at, and where colours are compared.
_REACH, _COLOUR_REACH = 1 / 25, 1 / 30
# Colours of two frames are brought together by what they differ on average, but one pixel
# counts for so much at most, of 255.
_MOST = 30.0
# Flow counts half where it leaves a difference of so many grey levels, after a blur by
# so many pixels.
_HALF_TRUST, _TRUST_BLUR = 8.0, 2.0
# Expected error of a pixel, of 255, for one of the mean difference around it.
_PER_DIFFERENCE = 2.0
_KNOWN = 0.999
# Pixels of a side that flow is estimated on, where the picture has as many.
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


class KnownFrame(NamedTuple):
    """A frame, as far as it is known by now.

    Attributes:
      image: [H, W, 3] uint8; filled somehow where it is not known.
      grey: [H, W] uint8, the same in grey.
      known: [H, W] bool: given, or filled well.
      error: [H, W] float32, expected, of 255; 0 where the frame was given.
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
    """What another frame, laid over this one, shows of its wanted pixels.

    Its colours are brought to those of this frame by the mean difference about each pixel.
    The expected error is sqrt(1 + (2 d)^2 + s^2), with d the mean absolute difference that
    is left about the pixel, where both are known, and s the error of what is sampled.

    Args:
      here: the frame.
      there: the other one.
      motion: [3, 3], from the frame to the other.
      wanted: [H, W] bool, unknown pixels of the frame, at least one.
      number: of the other frame.
      estimator: OpenCV's DIS, of `dis.make_dis`.

    Returns:
      The candidates; None where the other frame shows nothing of them.
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
    colour = _at(there.image, place, method=cv2.INTER_CUBIC).astype(np.float32)
    apart = np.clip(frame - colour, -_MOST, _MOST)
    colour += normalized_blur(apart, both, height * _COLOUR_REACH)
    difference = cv2.transform(cv2.absdiff(colour, frame), np.full((1, 3), 1 / 3))
    around = normalized_blur(difference[..., None], both, height * _REACH)[..., 0]
    squares = 1 + np.square(_PER_DIFFERENCE * around) + np.square(_at(there.error, place))
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
    """[h, w, 2] float32: the place (x, y) of every pixel of a box in the other frame.

    That is where the camera's motion leads, and flow from there. Flow is measured where
    both frames are known, and continued from there, most from where it explains what is
    seen. None where the other frame shows nothing that is wanted.
    """
    grey, known = np.ascontiguousarray(here.grey[box]), here.known[box]
    columns, rows = (np.arange(side.start, side.stop, dtype=np.float32) for side in box[::-1])
    place = np.stack(np.meshgrid(columns, rows), axis=-1)
    moved: np.ndarray = cv2.perspectiveTransform(place.reshape(-1, 1, 2), motion).reshape(
        place.shape
    )
    shown = _shown(moved, there.known)
    uncertain = dilate_square(~(known & shown), _RIM)
    if uncertain.all() or not (shown & wanted[box]).any():
        return None
    left = estimator.calc(grey, _at(there.grey, moved), None)
    rest = _at(moved, place + left - place[0, 0]) - moved
    apart = cv2.absdiff(_at(there.grey, moved + rest), grey).astype(np.float32)
    missed: np.ndarray = cv2.GaussianBlur(apart, (0, 0), _TRUST_BLUR)
    trust = np.where(uncertain, 0, 1 / (1 + np.square(missed / _HALF_TRUST)))
    continued = normalized_blur(rest, trust, len(wanted) * _REACH)
    result: np.ndarray = moved + np.where(uncertain[..., None], continued, rest)
    return result


def _shown(place: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[h, w] bool: whether places (x, y) lie within a frame, on known pixels alone."""
    return _at(known.astype(np.float32), place, border=cv2.BORDER_CONSTANT) > _KNOWN


def _at(
    image: np.ndarray,
    place: np.ndarray,
    *,
    method: int = cv2.INTER_LINEAR,
    border: int = cv2.BORDER_REPLICATE,
) -> np.ndarray:
    """An image [H, W, ...] at places (x, y), [h, w, 2] float32."""
    x, y = place[..., 0], place[..., 1]
    return cv2.remap(image, x, y, method, borderMode=border)
