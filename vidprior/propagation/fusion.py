"""Averages several candidates for the pixels of a hole by their expected errors.

Each candidate has an expected error. Their mean, weighted by a power of it, is better than
the best candidate, since their errors differ.

Letters
    n  wanted pixels of one frame, in the order of `np.nonzero`     K  candidates
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Weights are the inverse cube of the expected error: between inverse variance (2), optimal
# for independent errors, which blurs, and the best candidate only.
_POWER = 3
# Expected error, of 255, at confidence 1/2.
_HALF = 10.0


class Candidates(NamedTuple):
    """One candidate for every wanted pixel of a frame.

    Attributes:
      colour: [n, 3] float32 RGB, 0 to 255.
      error: [n] float32, expected deviation from the truth, of 255; infinite where there is
        no candidate.
      place: [n, 2] float32, (x, y) in the frame that was sampled, pixels.
      frame: number of that frame; -1 for none, without places.
    """

    colour: np.ndarray
    error: np.ndarray
    place: np.ndarray
    frame: int


class Fused(NamedTuple):
    """The weighted mean of several candidates.

    Attributes:
      colour: [n, 3] float32 RGB, 0 to 255.
      error: [n] float32, expected, of 255.
      weight: [K, n] float32, of each candidate; sums to 1 over K.
    """

    colour: np.ndarray
    error: np.ndarray
    weight: np.ndarray


def fuse(candidates: Sequence[Candidates]) -> Fused:
    """The weighted mean of several candidates.

    Weights are proportional to error^-3. The expected error is the weighted RMS: errors within
    a clip are correlated, so the mean is not assumed to be better than its candidates.

    Args:
      candidates: of one frame; every pixel needs one with a finite error.
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
    """The confidence 1 / (1 + (error / 10)^2) for an expected error, of 255."""
    return 1 / (1 + np.square(error / _HALF))


def expected_error(confidence: np.ndarray) -> np.ndarray:
    """The inverse of `confidence`: the expected error, of 255, at most 255."""
    least = 1 / (1 + np.square(255 / _HALF))
    trust = np.maximum(confidence.astype(np.float32), least)
    error: np.ndarray = _HALF * np.sqrt(1 / trust - 1)
    return error
