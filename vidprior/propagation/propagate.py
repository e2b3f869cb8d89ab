"""Known pixels propagated into the hole: no training, no network.

What lies behind the hole is taken to move as its surroundings do. Other frames are laid
over this one by the camera's motion and by flow (`homography`), and what they show is fused
by the errors that are to be expected (`fusion`), from the rim inwards (`peeling`).

The same passes fill known pixels that are held out. There the truth tells how many passes
are good, and how much larger than expected errors are (`calibration`).

Letters
    T  frames     H  rows     W  columns
"""

import functools
import math
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.flow.dis import MIN_SIDE
from vidprior.imaging.parallel import in_threads
from vidprior.propagation.calibration import NOTHING_KNOWN, calibrate
from vidprior.propagation.fusion import confidence
from vidprior.propagation.homography import Points, camera_motion, find_points
from vidprior.propagation.peeling import Motion, Peeling, fill_from_rim
from vidprior.types import Propagated

# Largest expected error, of 255, of what a pass takes for known.
LIMITS = (8.0, 10.0, 12.0, 14.0, 17.0, 20.0, 26.0, 36.0, math.inf)
# Frames at most so far apart are laid over one another as they are where the camera's
# motion is not found.
_NEIGHBOURS = 3
# Passes are as good as others up to this ratio of squared errors.
_AS_GOOD = 1.01


def propagate(
    frames: np.ndarray, hole: np.ndarray, holdout: np.ndarray | None = None
) -> Propagated:
    """Fills the hole of a clip from the clip itself.

    Args:
      frames: [T, H, W, 3] uint8; what they show in the hole has no effect.
      hole: [T, H, W] bool.
      holdout: [T, H, W] bool, known pixels that are to be filled as if they were missing;
        none by default. They serve the hole all the same.

    Returns:
      The filled frames, a confidence of 1 / (1 + (e / 10)^2) where an error e, of 255,
      is to be expected, and where the hole's pixels came from.

    Raises:
      InputError: frames too small for flow.
    """
    height, width = hole.shape[1:]
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"frames are {height}x{width} (height x width), flow needs {MIN_SIDE} on each side"
        )
    if holdout is None:
        holdout = np.zeros_like(hole)
    motion = _motion(fill_from_rim(frames, hole), hole)
    result = Peeling(frames, hole, motion)
    passes, calibration = len(LIMITS), NOTHING_KNOWN
    image, error = result.image, result.error
    if holdout.any():
        passes, held = _rehearse(frames, hole, holdout, motion)
        truth = frames[holdout].astype(np.float32)
        found = np.sqrt(np.square(held.image[holdout] - truth).mean(axis=-1))
        calibration = calibrate(held.error[holdout], found)
    for limit in LIMITS[:passes]:
        result.fill()
        result.accept(limit)
    result.close()
    if holdout.any():
        image[holdout], error[holdout] = held.image[holdout], held.error[holdout]
    filled = hole | holdout
    trust = np.zeros(hole.shape, np.float16)
    trust[filled] = confidence(calibration(error[filled]))
    return Propagated(image, trust, holdout, result.origins)


class _Held(NamedTuple):
    """What is held out, filled.

    Attributes:
      image: [T, H, W, 3] uint8.
      error: [T, H, W] float32, expected, of 255, above 0 where pixels are held out.
    """

    image: np.ndarray
    error: np.ndarray


def _rehearse(
    frames: np.ndarray, hole: np.ndarray, holdout: np.ndarray, motion: Motion
) -> tuple[int, _Held]:
    """Fills what is held out by as many passes as bring it nearest to the truth.

    Of passes that are as good as the best, the last: it leaves least to be guessed.

    Returns:
      How many, and what they filled.
    """
    peeling = Peeling(frames, hole | holdout, motion, wanted=holdout)
    truth = frames[holdout].astype(np.float32)
    count, least, held = 0, math.inf, _Held(peeling.image, peeling.error)
    for number, limit in enumerate(LIMITS, start=1):
        peeling.fill()
        squares = float(np.square(peeling.image[holdout] - truth).mean())
        if squares <= _AS_GOOD * least:
            count, least = number, min(least, squares)
            held = _Held(peeling.image.copy(), peeling.error.copy())
        peeling.accept(limit)
    return count, held


def _motion(filled: np.ndarray, hole: np.ndarray) -> Motion:
    """The camera's motion between frames [T, H, W, 3], from what they show beside the hole."""
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in filled]
    pairs = zip(greys, hole, strict=True)
    points: list[Points] = list(in_threads(lambda pair: find_points(*pair), pairs))

    # Kept for later passes. Two threads may both find one: they find the same.
    @functools.cache
    def motion(here: int, there: int) -> np.ndarray | None:
        if here > there:
            back = motion(there, here)
            return None if back is None else np.linalg.inv(back)
        found = camera_motion(points[here], points[there])
        return np.eye(3) if found is None and there - here <= _NEIGHBOURS else found

    return motion
