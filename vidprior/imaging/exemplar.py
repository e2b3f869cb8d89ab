"""Fills a hole with copies of its surroundings, moved by a few dominant shifts.

The shifts are those by which similar patches of the known part most often lie apart (He and
Sun, "Statistics of Patch Offsets for Image Completion", ECCV 2012), so that repeated
structures continue. A graph cut (alpha expansion, Boykov et al. 2001) assigns one of them to
each pixel of the hole so that seams are invisible. Pieces are large, and what they show is as
sharp as its source. What resembles nothing at the rim probably belongs to an object: to copy
it costs. So does what is much brighter, darker or of another colour than a smooth fill.

Letters
    H  rows     W  columns     n  pixels of the hole, in the order of `np.nonzero`
    K  shifts (y, x)
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import scipy.spatial

from vidprior.imaging.dilation import dilate
from vidprior.imaging.geometry import box_around
from vidprior.imaging.joining import join_copies
from vidprior.imaging.labelling import expand
from vidprior.imaging.laplace import fill_laplace, normalized_blur
from vidprior.imaging.shifts import PATCH, complete, dominant_shifts, moved

# Surroundings that patches are taken from: this multiple of the hole's box on each side, and
# at least a share of the longer side.
_AROUND, _SHARE = 1.0, 0.25
# Half the side of the window over which a shifted copy is compared with known pixels.
_WINDOW = 4
# Weights of that comparison, and of content unlike any at the rim; a difference up to the last
# number, in grey levels, counts as alike.
_RIM_WEIGHT, _UNLIKE_WEIGHT, _ALIKE = 2.0, 1.0, 3.0
# Weight of the difference of the low band from a smooth fill; the standard deviation of that
# band, relative to the longer side.
_SMOOTH_WEIGHT, _LOW_BAND = 0.25, 1 / 50


class Copies(NamedTuple):
    """A hole filled with copies.

    Attributes:
      colour: [n, 3] float32, 0 to 255, with gradients joined at seams.
      place: [n, 2] int32, (y, x) of the pixel that is copied.
      cost: mean cost of seams and data per pixel, grey levels.
    """

    colour: np.ndarray
    place: np.ndarray
    cost: float


def fill_by_copies(
    image: np.ndarray, hole: np.ndarray, source: np.ndarray, *, seed: int = 0
) -> Copies | None:
    """Fills a hole by shifted copies.

    Args:
      image: [H, W, 3] uint8 RGB.
      hole: [H, W] bool, to be filled, not empty.
      source: [H, W] bool, pixels to copy from; not in the hole.
      seed: for the choice of patches.

    Returns:
      The copies; None if too little is known to copy from.
    """
    box = _surroundings(hole)
    inner, known = hole[box], source[box] & ~hole[box]
    picture = image[box].astype(np.float32)
    shifts = dominant_shifts(picture, known, inner, seed=seed)
    if shifts is None:
        return None
    place, shifts = np.argwhere(inner), complete(shifts, known, inner)
    allowed, unary = _data_costs(picture, known, inner, shifts)
    labels, energy = expand(picture, inner, shifts, allowed, unary)
    copied = place + shifts[labels]
    colour = join_copies(picture, inner, known, place, shifts[labels])
    cost = energy / len(place)
    corner = np.array([box[0].start, box[1].start])
    return Copies(colour, (copied + corner).astype(np.int32), cost)


def _surroundings(hole: np.ndarray) -> tuple[slice, slice]:
    tight = box_around(hole, margin=0)
    longest = max(side.stop - side.start for side in tight)
    margin = int(max(_AROUND * longest, _SHARE * max(hole.shape), 3 * PATCH))
    return box_around(hole, margin=margin)


def _unlike_rim(picture: np.ndarray, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """[H, W] float32: how little a pixel's surroundings resemble any at the rim, grey levels.

    Compared are local means and standard deviations of the channels.
    """
    weight = known.astype(np.float32)
    size = (PATCH, PATCH)
    total = np.maximum(cv2.boxFilter(weight, -1, size), 1e-3)[..., None]
    mean = cv2.boxFilter(picture * weight[..., None], -1, size) / total
    squares = cv2.boxFilter(np.square(picture) * weight[..., None], -1, size) / total
    spread = np.sqrt(np.maximum(squares - np.square(mean), 0))
    features = np.concatenate([mean, spread], axis=-1)
    rim = dilate(hole, 2 * PATCH) & known
    apart = np.zeros(known.shape, np.float32)
    if rim.any():
        nearest, _ = scipy.spatial.cKDTree(features[rim]).query(features[known])
        apart[known] = np.maximum(nearest / math.sqrt(features.shape[-1]) - _ALIKE, 0)
    return apart


def _data_costs(
    picture: np.ndarray,
    known: np.ndarray,
    hole: np.ndarray,
    shifts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Which shifts lead to known pixels, [K, n] bool, and their costs, [K, n] float32.

    A copy is compared with known pixels within the window around each pixel of the hole, and its
    low band with a smooth fill of the hole (Laplace).
    """
    size, unlike = (2 * _WINDOW + 1,) * 2, _unlike_rim(picture, known, hole)
    width = _LOW_BAND * max(picture.shape)
    low = normalized_blur(picture, known, width)
    smooth = fill_laplace(low.astype(np.float64), hole)[hole].astype(np.float32)
    allowed, cost = [], []
    for shift in shifts:
        there = moved(known, shift)
        both = (known & there).astype(np.float32)
        apart = np.abs(moved(picture, shift) - picture).mean(axis=-1) * both
        total = cv2.boxFilter(apart, -1, size, normalize=True)
        share = cv2.boxFilter(both, -1, size, normalize=True)
        costs = _RIM_WEIGHT * total + _UNLIKE_WEIGHT * moved(unlike, shift)
        # A copy that has nothing to be compared with at the rim is as good as a typical one.
        missing = np.maximum(cv2.boxFilter(known.astype(np.float32), -1, size) - share, 0)
        costs += _RIM_WEIGHT * 20 * missing
        apart = np.abs(moved(low, shift)[hole] - smooth).mean(axis=-1)
        allowed.append(there[hole])
        cost.append(costs[hole] + _SMOOTH_WEIGHT * apart)
    return np.stack(allowed), np.stack(cost)
