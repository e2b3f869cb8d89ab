"""Expected errors brought to what is found where the truth is known.

Letters
    n  pixels     B  classes of expected error
"""

from typing import NamedTuple

import numpy as np

# Between the classes, of 255; each stands for the middle of its range.
_EDGES = (4.0, 6.0, 8.0, 10.0, 13.0, 17.0, 22.0, 30.0, 45.0)
_CENTRES = np.sqrt(np.multiply((2.0, *_EDGES), (*_EDGES, 70.0)))
# A class leans on what is expected, as if by so many pixels of its own: those of one moment
# err together.
_LEANING = 500.0
# Errors are never taken to be more than so many times larger or smaller than expected.
_MOST = 4.0


class Calibration(NamedTuple):
    """How many times larger than expected errors are.

    Attributes:
      factor: [B] float64, for each class of expected error; between them it is interpolated.
    """

    factor: np.ndarray

    def __call__(self, error: np.ndarray) -> np.ndarray:
        """Expected errors, of 255, any shape, corrected; float32."""
        corrected: np.ndarray = error * np.interp(error, _CENTRES, self.factor)
        return corrected.astype(np.float32)


NOTHING_KNOWN = Calibration(np.ones(len(_CENTRES)))


def calibrate(expected: np.ndarray, found: np.ndarray) -> Calibration:
    """Compares expected errors with those that are found.

    The factor of a class is the root of the mean of (found / expected)^2, in which 500 pixels
    more speak for 1.

    Args:
      expected: [n] float, of 255, above 0.
      found: [n] float, the deviations from the truth.
    """
    kind = np.digitize(expected, _EDGES)
    ratio = np.square(found / expected, dtype=np.float64)
    count = np.bincount(kind, minlength=len(_CENTRES))
    total = np.bincount(kind, weights=ratio, minlength=len(_CENTRES))
    mean = (total + _LEANING) / (count + _LEANING)
    return Calibration(np.clip(np.sqrt(mean), 1 / _MOST, _MOST))
