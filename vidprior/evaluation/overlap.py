"""How well masks agree with true ones: region and boundary (Perazzi et al., DAVIS, 2016)."""

import math

import numpy as np
import scipy.ndimage

from vidprior.imaging.geometry import box_around

# Boundaries match within this share of the frame's diagonal.
_TOLERANCE = 0.008


def region(masks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """J: [T] float64, intersection over union of masks [T, H, W] bool; 1 if both are empty."""
    both = (masks & truth).sum(axis=(1, 2))
    either = (masks | truth).sum(axis=(1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def boundary(masks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """F: [T] float64, harmonic mean of how much of either boundary lies near the other one.

    It is 1 if neither mask [T, H, W] bool has a boundary, 0 if one of both has none.
    """
    return np.array([_boundary(one, other) for one, other in zip(masks, truth, strict=True)])


def _boundary(mask: np.ndarray, truth: np.ndarray) -> float:
    found, true = _edge(mask), _edge(truth)
    if not (found.any() and true.any()):
        return float(not (found.any() or true.any()))
    around = box_around(found | true, margin=0)
    found, true = found[around], true[around]
    within = math.ceil(_TOLERANCE * math.hypot(*mask.shape))
    precision = (scipy.ndimage.distance_transform_edt(~true)[found] <= within).mean()
    recall = (scipy.ndimage.distance_transform_edt(~found)[true] <= within).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _edge(mask: np.ndarray) -> np.ndarray:
    """[H, W] bool: pixels that differ from their right or lower neighbour."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    return edge
