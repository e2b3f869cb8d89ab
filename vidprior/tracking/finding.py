"""Looks for an object that was lost, by its colours and its motion.

Letters
    H  rows     W  columns     B  bins of a channel
"""

import cv2
import numpy as np

from vidprior.imaging.dilation import dilate
from vidprior.tracking.appearance import Appearance, histogram, likeness, log_ratio

# Vote of motion, as log-odds, and the pixels from which something moves.
_MOTION, _MOVES = 2.0, 1.5
# Votes are averaged over this part of the root of the object's area.
_SMOOTH = 0.08
# What is found has so many times the area that was last seen.
_SMALLEST, _LARGEST = 0.1, 3.0
# Pixels around the place where it was last seen, and how many more with each frame since.
_REACH, _GROWS = 40, 4


def find_again(
    lab: np.ndarray, own: np.ndarray, inside: np.ndarray, last: np.ndarray, since: int
) -> np.ndarray:
    """The region that looks most like the object, near the place where it was last seen.

    Args:
      lab: [H, W, 3] uint8 Lab.
      own: [H, W] float32, pixels by which each pixel moves against the camera's motion.
      inside: [B, B, B] float32, the object's colours, see `Appearance`.
      last: [H, W] bool, its last mask.
      since: frames since then.

    Returns:
      [H, W] bool, a connected region; empty if nothing looks or moves like the object.
    """
    everywhere = histogram(lab, np.ones(last.shape, bool))
    odds = log_ratio(Appearance(inside, everywhere), lab)
    odds += _MOTION * np.clip(own / _MOVES - 1, -1, 1)
    area = float(last.sum())
    votes = cv2.GaussianBlur(odds, (0, 0), 1 + _SMOOTH * float(np.sqrt(area)))
    near = dilate(last, _REACH + _GROWS * since)
    count, regions, stats, _ = cv2.connectedComponentsWithStats((votes > 0).astype(np.uint8))
    best, found = 0.0, np.zeros(last.shape, bool)
    for region in range(1, count):
        if not _SMALLEST * area < stats[region, cv2.CC_STAT_AREA] < _LARGEST * area:
            continue
        mask = regions == region
        like = likeness(inside, histogram(lab, mask)) if (mask & near).any() else 0.0
        if like > best:
            best, found = like, mask
    return found
