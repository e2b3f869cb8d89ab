"""Composites filled content into the source, with a hard, feathered or gradient seam.

Letters
    h, w  rows and columns of the source

Pixels outside the hole, or outside the crop, equal the source's, bit for bit. A feathered
seam lies inside the hole: it mixes generated and source content in the ring by which the
hole was grown, and never under the original mask.
"""

import cv2
import numpy as np

from vidprior.imaging import geometry
from vidprior.imaging.laplace import fill_laplace


def composite_into_source(
    generated: np.ndarray,
    source: np.ndarray,
    hole: np.ndarray,
    *,
    crop: tuple[slice, slice],
    feather: float = 0,
    gradient: bool = False,
) -> np.ndarray:
    """A source frame with its hole filled.

    Args:
      generated: [h, w, 3] uint8 RGB.
      source: [h, w, 3] uint8 RGB.
      hole: [h, w] bool, after growing.
      crop: rows and columns that are generated; the rest is not changed.
      feather: width of the seam in source pixels, from the border of the hole inwards; up to
        1 the border is hard. At most the number of pixels by which the hole was grown.
      gradient: keep the gradients of the generated content instead of its values, so that it
        matches the source along the border (Poisson image editing, Perez et al. 2003,
        equation 5).

    Returns:
      [h, w, 3] uint8, a new array.
    """
    generated, known, missing = generated[crop], source[crop], hole[crop]
    weight = feather_weight(hole, feather)[crop][missing][:, None]
    values: np.ndarray = generated[missing]
    if gradient and missing.any():
        box = geometry.box_around(missing, margin=1)
        difference = known[box].astype(np.float64) - generated[box]
        values = values + fill_laplace(difference, missing[box])[missing[box]]
    mixed = weight * values + (1 - weight) * known[missing]
    finished = source.copy()
    finished[crop][missing] = np.clip(np.rint(mixed), 0, 255)
    return finished


def feather_weight(hole: np.ndarray, feather: float) -> np.ndarray:
    """The weight of generated content: distance to the nearest known pixel over `feather`.

    Args:
      hole: [h, w] bool.
      feather: pixels.

    Returns:
      [h, w] float32 in [0, 1], 0 outside the hole.
    """
    if feather <= 1 or hole.all():
        return hole.astype(np.float32)
    distance = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.minimum(distance / np.float32(feather), 1)
