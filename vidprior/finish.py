"""The finished frame: generated content placed back into the source, and its seam.

Letters
    h, w  rows and columns of the source      H, W  of the trained picture

Pixels outside the hole, or outside the crop that was trained on, are the source's, bit
for bit. A feathered seam lies within the hole: it mixes generated and source content in
the ring by which the hole was grown, and never where the mask itself said that content
is missing.
"""

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from vidprior import geometry
from vidprior.geometry import Transform


def finish(
    image: np.ndarray,
    source: np.ndarray,
    hole: np.ndarray,
    *,
    transform: Transform,
    feather: float = 0,
    gradient: bool = False,
) -> np.ndarray:
    """A source frame with its hole filled.

    Args:
      image: [H, W, 3] uint8 RGB, generated.
      source: [h, w, 3] uint8 RGB.
      hole: [h, w] bool, grown already.
      transform: the one that leads from `source` to `image`.
      feather: width of the seam, pixels of the source, from the border of the hole
        inwards; up to 1 the border is hard. At most what the hole was grown by.
      gradient: keep the gradients of the generated content instead of its values, so
        that it agrees with the source along the border (Poisson image editing, Perez et
        al. 2003, equation 5).

    Returns:
      [h, w, 3] uint8, a new array.
    """
    crop = transform.crop
    placed = geometry.place_back(transform, image[None], source[None])[0]
    known, missing = source[crop], hole[crop]
    generated: np.ndarray = placed[crop]
    if gradient:
        generated = generated + membrane(known.astype(np.float64) - generated, missing)
    weight = seam_weight(hole, feather)[crop][..., None]
    mixed = np.clip(np.rint(weight * generated + (1 - weight) * known), 0, 255)
    finished = source.copy()
    finished[crop] = np.where(missing[..., None], mixed, known)
    return finished


def seam_weight(hole: np.ndarray, feather: float) -> np.ndarray:
    """How much of a pixel is generated: distance to the nearest known pixel over `feather`.

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


def membrane(border: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The smoothest continuation of values into a hole: Laplace's equation, five points.

    OpenCV's `seamlessClone` solves for a rectangle about the hole: it changes known
    pixels, and once they are put back, the step at the border is there again.

    Args:
      border: [h, w, C] float64; read where it is known, next to the hole.
      hole: [h, w] bool; no value is wanted beyond the sides of the picture.

    Returns:
      [h, w, C] float64, 0 outside the hole, and everywhere if nothing is known.
    """
    height, width = hole.shape
    filled = np.zeros_like(border)
    if hole.all() or not hole.any():
        return filled
    rows, columns = np.nonzero(hole)
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(len(rows))
    degree = np.zeros(len(rows))
    constants = np.zeros((len(rows), border.shape[2]))
    pairs = []
    for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        here = np.flatnonzero(inside)
        there = number[row[inside], column[inside]]
        degree += inside
        known = here[there < 0]
        constants[known] += border[row[known], column[known]]
        pairs.append((here[there >= 0], there[there >= 0]))
    first, second = np.concatenate(pairs, axis=1)
    shape = (len(rows), len(rows))
    neighbours = scipy.sparse.csc_array((np.ones(len(first)), (first, second)), shape)
    laplacian = scipy.sparse.diags_array(degree, format="csc") - neighbours
    filled[hole] = scipy.sparse.linalg.splu(scipy.sparse.csc_matrix(laplacian)).solve(constants)
    return filled
