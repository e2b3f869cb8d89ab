"""Candidates for the pixels of a hole, and how they are fused.

Several ways lead to the colour of a pixel that is missing. Each comes with the error that
is to be expected of it; their mean, weighted by a power of it, is better than the best of
them, since they err differently.

Letters
    n  pixels of one frame that are wanted, in the order of `np.nonzero`     K  candidates
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Weights fall with the cube of the expected error: between the inverse variance of errors
# that know nothing of each other (2), which blurs, and the best candidate alone.
_POWER = 3
# Expected error, of 255, at which confidence is one half.
_HALF = 10.0


class Candidates(NamedTuple):
    """One candidate for every wanted pixel of a frame.

    Attributes:
      colour: [n, 3] float32 RGB, 0 to 255.
      error: [n] float32, the expected deviation from the truth, of 255; infinite where there
        is no candidate.
      place: [n, 2] float32, (x, y) in pixels of the frame that it was sampled in.
      frame: the number of that one; -1 for none, which has no places.
    """

    colour: np.ndarray
    error: np.ndarray
    place: np.ndarray
    frame: int


class Fused(NamedTuple):
    """The mean of several candidates.

    Attributes:
      colour: [n, 3] float32 RGB, 0 to 255.
      error: [n] float32, expected, of 255.
      weight: [K, n] float32, of each candidate; sums to 1 over them.
    """

    colour: np.ndarray
    error: np.ndarray
    weight: np.ndarray


def fuse(candidates: Sequence[Candidates]) -> Fused:
    """The weighted mean of several candidates.

    Weights are proportional to error^-3. The expected error is the weighted root mean square:
    errors of one clip are alike, so that the mean is not taken to be better than its parts.

    Args:
      candidates: of one frame; of every pixel, at least one is to be finite.
    """
    error = np.stack([candidate.error for candidate in candidates])
    weight = (error.min(axis=0) / error) ** _POWER
    weight /= weight.sum(axis=0)
    colour = np.zeros_like(candidates[0].colour)
    for candidate, share in zip(candidates, weight, strict=True):
        colour += share[:, None] * candidate.colour
    squares = np.square(np.where(weight > 0, error, 0))
    return Fused(colour, np.sqrt((weight * squares).sum(axis=0)), weight)


def confidence(error: np.ndarray) -> np.ndarray:
    """How far a pixel of an expected error, of 255, is trusted: 1 / (1 + (error / 10)^2)."""
    return 1 / (1 + np.square(error / _HALF))


def expected_error(confidence: np.ndarray) -> np.ndarray:
    """The error, of 255, that is expected of pixels of a confidence in [0, 1]; 255 at most."""
    least = 1 / (1 + np.square(255 / _HALF))
    trust = np.maximum(confidence.astype(np.float32), least)
    error: np.ndarray = _HALF * np.sqrt(1 / trust - 1)
    return error
