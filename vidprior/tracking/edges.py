"""Gives the border of a mask soft edges, by the colours of the frame.

Letters
    h, w  rows and columns of the frame     n  windows that contain object and background

The guided filter (He, Sun, Tang: Guided Image Filtering, 2013) takes alpha as linear in colour
within each small window, and averages what the windows say of a pixel.
"""

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.imaging import geometry
from vidprior.io.mask_meaning import MAX_LABELS

# Half of a window, and of the band, relative to the height.
_RADIUS = 1 / 80
# Variance that is taken for noise, of colours in [0, 1].
_NOISE = 1e-4
# Averages of windows are too soft: alpha becomes 0 below 1/8, 1 above 7/8.
_CONTRAST = 4 / 3


def soften(mask: np.ndarray, frame: np.ndarray, *, radius: int | None = None) -> np.ndarray:
    """The alpha matte of an object: soft in a band along the border of its mask.

    Args:
      mask: [h, w] bool, True on the object.
      frame: [h, w, 3] uint8 RGB.
      radius: width of the band on either side of the border, pixels, at least 1; None takes an
        80th of the height, at least 2.

    Returns:
      [h, w] uint8, 255 on the object: farther from the border than `radius` exactly 0 and 255,
      and 255 where the mask is deepest.

    Raises:
      InputError: the arrays have other shapes or types, or `radius` is below 1.
    """
    fit = mask.ndim == 2 and frame.shape == (*mask.shape, 3)
    if not fit or mask.dtype != bool or frame.dtype != np.uint8:
        raise InputError(
            f"mask is {mask.dtype} {mask.shape}, frame {frame.dtype} {frame.shape}: give [h, w] "
            f"bool and [h, w, 3] uint8"
        )
    if radius is None:
        radius = max(2, round(mask.shape[0] * _RADIUS))
    if radius < 1:
        raise InputError(f"a band of {radius} pixels has no room for an edge: give 1 or more")
    alpha = mask.astype(np.uint8) * 255
    if mask.any() and not mask.all():
        # Windows that contain object reach no farther.
        box = geometry.box_around(mask, margin=2 * radius)
        alpha[box] = _soft_edge(mask[box], frame[box], radius)
    return alpha


def _soft_edge(mask: np.ndarray, frame: np.ndarray, radius: int) -> np.ndarray:
    soft = _guided_filter(mask.astype(np.float64), frame / 255.0, radius)
    soft = np.clip((soft - 0.5) * _CONTRAST + 0.5, 0, 1)
    alpha = np.where(_band(mask, radius), np.rint(soft * 255), mask * 255).astype(np.uint8)
    # Nothing but black, white and a few dark greys would be read as labels of objects.
    if alpha[alpha < 255].max(initial=0) <= MAX_LABELS:
        alpha[alpha < 255] = 0
    return alpha


def _band(mask: np.ndarray, radius: int) -> np.ndarray:
    """[h, w] bool: pixels up to `radius` from the border, without the deepest of the mask."""
    inner, outer = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (mask, ~mask)
    )
    band: np.ndarray = (np.maximum(inner, outer) <= radius) & (inner < inner.max())
    return band


def _guided_filter(values: np.ndarray, guide: np.ndarray, radius: int) -> np.ndarray:
    """Smooths values [h, w] float64, 0 or 1, along edges of `guide` [h, w, 3] float64."""

    def mean(picture: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(picture, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT_101)

    centre, share = mean(guide), mean(values)
    mixed = np.abs(share - 0.5) < 0.5 - 1e-6  # elsewhere the slope is 0
    rows, columns = np.triu_indices(3)
    products = mean(guide[..., rows] * guide[..., columns])[mixed]  # [n, 6]
    products -= centre[mixed][:, rows] * centre[mixed][:, columns]
    covariance = np.empty((len(products), 3, 3))
    covariance[:, rows, columns] = covariance[:, columns, rows] = products
    with_values = mean(guide * values[..., None])[mixed] - centre[mixed] * share[mixed][:, None]
    slope = np.zeros_like(guide)
    slope[mixed] = np.linalg.solve(covariance + _NOISE * np.eye(3), with_values[..., None])[..., 0]
    offset = share - (slope * centre).sum(axis=-1)
    smoothed: np.ndarray = (mean(slope) * guide).sum(axis=-1) + mean(offset)
    return smoothed
