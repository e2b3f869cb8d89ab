"""Corrects expected errors by the errors found on held-out pixels.

Letters
    n  pixels     B  classes of expected error
"""

import math
from typing import NamedTuple

import numpy as np

# Borders of the classes, of 255; each class is represented by the middle of its range.
_EDGES = (4.0, 6.0, 8.0, 10.0, 13.0, 17.0, 22.0, 30.0, 45.0)
_CENTRES = np.sqrt(np.multiply((2.0, *_EDGES), (*_EDGES, 70.0)))
# Each class is regularised towards the expected error with the weight of this many pixels,
# since errors of one moment are correlated.
_LEANING = 500.0
# The share of the largest ratios in a class that are left out: a copy of the hole may lie on
# something that moves by itself, which says nothing about the rest. Of normal errors, the mean
# square of what remains is smaller by the second number.
_LEFT_OUT, _REMAINS = 0.1, 0.623
# The largest correction factor, and the inverse of the smallest.
_MOST = 2.0


class Calibration(NamedTuple):
    """The ratio of found to expected errors.

    Attributes:
      factor: [B] float64, for each class of expected error; interpolated between classes.
    """

    factor: np.ndarray

    def __call__(self, error: np.ndarray) -> np.ndarray:
        """Corrects expected errors, of 255, of any shape; returns float32."""
        corrected: np.ndarray = error * np.interp(error, _CENTRES, self.factor)
        return corrected.astype(np.float32)


NOTHING_KNOWN = Calibration(np.ones(len(_CENTRES)))


def calibrate(expected: np.ndarray, found: np.ndarray) -> Calibration:
    """Compares expected errors with found ones.

    The factor of a class is the root mean square of found / expected, with 500 additional
    pixels of ratio 1. It is estimated without the largest tenth of the ratios.

    Args:
      expected: [n] float, of 255, above 0.
      found: [n] float, deviations from the truth, of 255.
    """
    kind = np.digitize(expected, _EDGES)
    ratio = np.square(found / expected, dtype=np.float64)
    factor = np.ones(len(_CENTRES))
    for number in range(len(factor)):
        own = np.sort(ratio[kind == number])
        kept = own[: math.ceil((1 - _LEFT_OUT) * len(own))]
        total = len(own) * kept.mean() / _REMAINS if len(kept) else 0.0
        factor[number] = math.sqrt((total + _LEANING) / (len(own) + _LEANING))
    return Calibration(np.clip(factor, 1 / _MOST, _MOST))
