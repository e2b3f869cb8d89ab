"""The colours of an object and of its surroundings: histograms that follow the shot.

Letters
    H  rows     W  columns     B  bins of a channel
"""

from typing import NamedTuple

import cv2
import numpy as np
import scipy.ndimage

_BINS = 16
# Added to both frequencies, so that a colour that was never seen says nothing.
_NEVER_SEEN = 1e-5
# The largest log-ratio of one pixel.
_MOST = 3.0


class Appearance(NamedTuple):
    """How often colours occur.

    Attributes:
      inside: [B, B, B] float32, in the object; sums to 1.
      outside: [B, B, B] float32, around it.
    """

    inside: np.ndarray
    outside: np.ndarray


def to_lab(frame: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 RGB as Lab."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)


def histogram(lab: np.ndarray, where: np.ndarray) -> np.ndarray:
    """[B, B, B] float32: how often colours occur at pixels [H, W] bool; sums to 1, or is 0."""
    bins = (lab[where] // (256 // _BINS)).astype(np.int64)
    flat = np.ravel_multi_index(tuple(bins.T), (_BINS,) * 3)
    counts = np.bincount(flat, minlength=_BINS**3).reshape((_BINS,) * 3).astype(np.float32)
    for axis in range(3):
        counts = scipy.ndimage.convolve1d(counts, [0.25, 0.5, 0.25], axis=axis, mode="constant")
    result: np.ndarray = counts / max(float(counts.sum()), 1e-6)
    return result


def log_ratio(seen: Appearance, lab: np.ndarray) -> np.ndarray:
    """[H, W] float32: by its colour, how much more likely a pixel is the object's."""
    y, x, z = (lab // (256 // _BINS)).astype(np.int64).transpose(2, 0, 1)
    inside, outside = (part[y, x, z] + _NEVER_SEEN for part in seen)
    result: np.ndarray = np.clip(np.log(inside / outside), -_MOST, _MOST).astype(np.float32)
    return result


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """How alike two histograms are, 0 to 1 (Bhattacharyya coefficient)."""
    return float(np.sqrt(one * other).sum())
