"""Tells a painted object from painted background, by colours and motion.

Letters
    H  rows     W  columns
"""

import numpy as np

from vidprior.tracking.appearance import histogram, likeness, to_lab
from vidprior.tracking.segment import surroundings

# Painted background has colours as like to those around it, and moves no faster than they, in this
# share of pairs of pixels. On eight clips, 79 % of 192 patches of background are so, and none of
# 24 true masks.
_LIKE, _FASTER = 0.8, 0.55


def seems_background(frame: np.ndarray, own: np.ndarray, mask: np.ndarray) -> bool:
    """Whether what is painted cannot be told from what is around it.

    Args:
      frame: [H, W, 3] uint8 RGB.
      own: [H, W] float32, pixels by which each pixel moves against the camera's motion.
      mask: [H, W] bool, neither empty nor full.
    """
    lab, around = to_lab(frame), surroundings(mask)
    if not around.any() or likeness(histogram(lab, mask), histogram(lab, around)) <= _LIKE:
        return False
    return _faster(own[mask], own[around]) < _FASTER


def _faster(ones: np.ndarray, others: np.ndarray) -> float:
    """The share of pairs in which the one exceeds the other; equal ones count half (AUC)."""
    others = np.sort(others)
    below = np.searchsorted(others, ones, "left") + np.searchsorted(others, ones, "right")
    return float(below.mean()) / (2 * len(others))
