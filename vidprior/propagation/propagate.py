"""Propagates known pixels into the hole, without a network.

The background behind the hole is assumed to move as its surroundings do. Other frames are
aligned with each frame by the camera's motion and by flow (`homography`). Their pixels are
averaged by expected error (`fusion`), from the rim of the hole inwards (`peeling`), and at
last over neighbouring frames (`temporal_mean`).

The same passes fill held-out pixels. Their truth decides how many passes run, and corrects
the expected errors (`calibration`).

Letters
    T  frames     H  rows     W  columns
"""

import functools
import math
from typing import Literal, NamedTuple

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.flow.dis import MIN_SIDE
from vidprior.imaging.parallel import in_threads
from vidprior.propagation.calibration import NOTHING_KNOWN, calibrate
from vidprior.propagation.fusion import confidence
from vidprior.propagation.guess import fill_unseen
from vidprior.propagation.homography import Points, camera_motion, find_points
from vidprior.propagation.peeling import Motion, Peeling, fill_from_rim
from vidprior.propagation.temporal_mean import temporal_mean
from vidprior.types import Propagated

# The largest expected error, of 255, that each pass accepts as known.
LIMITS = (8.0, 10.0, 12.0, 14.0, 17.0, 20.0, 26.0, 36.0, math.inf)
# If the camera's motion is not found, frames at most this far apart are aligned without it.
_NEIGHBOURS = 3
# Passes count as equally good up to this ratio of squared errors.
_AS_GOOD = 1.01


def propagate(
    frames: np.ndarray,
    hole: np.ndarray,
    holdout: np.ndarray | None = None,
    *,
    guess: Literal["copies", "smooth"] = "smooth",
    seed: int = 0,
) -> Propagated:
    """Fills the hole of a clip from the clip itself.

    Args:
      frames: [T, H, W, 3] uint8; what they show in the hole has no effect.
      hole: [T, H, W] bool.
      holdout: [T, H, W] bool, known pixels to fill as well, as if they were missing; none by
        default. They are still used to fill the hole.
      guess: how to fill what no frame shows: by 'copies' of its surroundings in one key
        frame, propagated to the others, or 'smooth', from the rim of each frame.
      seed: of the copies.

    Returns:
      The filled frames, the confidence 1 / (1 + (e / 10)^2) for an expected error e, of 255,
      the origins of the hole's pixels, and which of them no frame shows.

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
    motion = camera_motions(fill_from_rim(frames, hole), hole)
    result = Peeling(frames, hole, motion)
    passes, calibration = len(LIMITS), NOTHING_KNOWN
    error = result.error
    if holdout.any():
        passes, held = _fill_held_out(frames, hole, holdout, motion)
        truth = frames[holdout].astype(np.float32)
        found = np.sqrt(np.square(held.image[holdout] - truth).mean(axis=-1))
        calibration = calibrate(held.error[holdout], found)
    for limit in LIMITS[:passes]:
        result.fill()
        result.accept(limit)
    guessed = fill_unseen(result, motion, seed=seed, copies=guess == "copies")
    result.close()
    image = temporal_mean(result.image, hole, error, motion)
    if holdout.any():
        image[holdout], error[holdout] = held.image[holdout], held.error[holdout]
    filled = hole | holdout
    trust = np.zeros(hole.shape, np.float16)
    trust[filled] = confidence(calibration(error[filled]))
    return Propagated(image, trust, holdout, result.origins, guessed.unseen)


class _Held(NamedTuple):
    """Held-out pixels, filled.

    Attributes:
      image: [T, H, W, 3] uint8.
      error: [T, H, W] float32, expected, of 255; above 0 at held-out pixels.
    """

    image: np.ndarray
    error: np.ndarray


def _fill_held_out(
    frames: np.ndarray, hole: np.ndarray, holdout: np.ndarray, motion: Motion
) -> tuple[int, _Held]:
    """Fills held-out pixels with the number of passes that comes closest to the truth.

    Of equally good numbers the largest, since it leaves the least to guess.

    Returns:
      The number of passes, and what they filled.
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
    # What is not filled here is not used.
    usable = np.where(hole, np.inf, held.error).astype(np.float32)
    return count, held._replace(image=temporal_mean(held.image, holdout, usable, motion))


def camera_motions(filled: np.ndarray, hole: np.ndarray) -> Motion:
    """The camera's motion between frames [T, H, W, 3], from points outside the hole."""
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in filled]
    pairs = zip(greys, hole, strict=True)
    points: list[Points] = list(in_threads(lambda pair: find_points(*pair), pairs))

    # Cached for later passes. If two threads compute the same entry, they get the same value.
    @functools.cache
    def motion(here: int, there: int) -> np.ndarray | None:
        if here > there:
            back = motion(there, here)
            return None if back is None else np.linalg.inv(back)
        found = camera_motion(points[here], points[there])
        return np.eye(3) if found is None and there - here <= _NEIGHBOURS else found

    return motion
