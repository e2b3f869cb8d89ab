"""Dilates holes and masks."""

from typing import Literal

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.imaging.geometry import MASK_THRESHOLD


def dilate(
    hole: np.ndarray, pixels: float, *, shape: Literal["disc", "square", "diamond"] = "disc"
) -> np.ndarray:
    """Grows a hole by a distance in pixels.

    Args:
      hole: [h, w] bool.
      pixels: the distance; an integer unless `shape` is 'disc'.
      shape: how distance is measured: Euclidean ('disc'), the larger number of rows or columns
        ('square'), or their sum ('diamond').

    Returns:
      [h, w] bool.
    """
    if shape == "square":
        square = np.ones((2 * int(pixels) + 1,) * 2, np.uint8)
        return cv2.dilate(hole.astype(np.uint8), square) > 0
    if shape == "diamond":
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        return cv2.dilate(hole.astype(np.uint8), cross, iterations=int(pixels)) > 0
    # A distance transform costs the same for every radius. It is undefined without a hole.
    if not hole.any():
        return hole.copy()
    known = (~hole).astype(np.uint8)
    return cv2.distanceTransform(known, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= pixels


def dilate_masks(masks: np.ndarray, pixels: float) -> np.ndarray:
    """Grows the holes of grey masks by a disc.

    Args:
      masks: [T, h, w] uint8, grey, hole above 127.
      pixels: radius of the disc, in pixels of `masks`; 0 copies the masks.

    Returns:
      [T, h, w] uint8; 0 or 255 unless `pixels` is 0.

    Raises:
      InputError: `pixels` is negative.
    """
    if pixels < 0:
        raise InputError(f"a hole cannot be dilated by {pixels} pixels: give 0 or more")
    if pixels == 0:
        return masks.copy()
    grown = np.zeros_like(masks)
    for mask, out in zip(masks, grown, strict=True):
        out[dilate(mask > MASK_THRESHOLD, pixels)] = 255
    return grown
