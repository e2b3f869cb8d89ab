"""Smooth extrapolation of known values into a hole.

OpenCV's `seamlessClone` solves the same equation in a rectangle around the hole. It changes
known pixels too, and once these are restored, the step at the border is back.
"""

import math

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from vidprior.imaging.dilation import dilate

# A share of known surroundings as small as this counts as none.
_FAR = 1e-3
# A Gaussian at least twice as wide as this, in pixels, is applied to a smaller picture.
_NARROW = 2.0


def fill_laplace(border: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Fills a hole by Laplace's equation (five-point stencil).

    Args:
      border: [h, w, C] float64; read at known pixels next to the hole.
      hole: [h, w] bool; the sides of the picture impose no value.

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


def fill_screened(border: np.ndarray, hole: np.ndarray, *, reach: float) -> np.ndarray:
    """Fills a hole by the screened Poisson equation: known values, fading inwards.

    Solves laplacian(u) = u / reach^2 (five-point stencil) by conjugate gradients, to a
    thousandth of the right-hand side.

    Args:
      border: [h, w, C] float32; read at known pixels next to the hole.
      hole: [h, w] bool; beyond the sides of the picture, all is 0.
      reach: distance over which values fall to 1 / e, pixels.

    Returns:
      [h, w, C] float32, 0 outside the hole.
    """
    inside = hole[..., None].astype(np.float32)
    neighbours = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)
    operator = -neighbours
    operator[1, 1] = 4 + 1 / reach**2

    def convolve(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        planes = cv2.filter2D(values, -1, kernel, borderType=cv2.BORDER_CONSTANT)
        product: np.ndarray = planes.reshape(border.shape) * inside
        return product

    constants = convolve(np.where(inside > 0, 0, border).astype(np.float32), neighbours)
    if not constants.any():
        return np.zeros_like(constants)
    system = scipy.sparse.linalg.LinearOperator(
        (border.size,) * 2,
        matvec=lambda values: convolve(values.reshape(border.shape), operator).ravel(),
        dtype=np.float32,
    )
    filled, _ = scipy.sparse.linalg.cg(system, constants.ravel(), rtol=1e-3, maxiter=1000)
    return np.asarray(filled, np.float32).reshape(border.shape)


def normalized_blur(values: np.ndarray, weight: np.ndarray, reach: float) -> np.ndarray:
    """Weighted means of values around every pixel, with Gaussian weights as well.

    Far from all weights they approach the mean of the whole picture.

    Args:
      values: [h, w, C] float32; not read where the weight is 0.
      weight: [h, w] bool or float, at least 0: which values are known, and how well.
      reach: standard deviation of the Gaussian, pixels.

    Returns:
      [h, w, C] float32; 0 if nothing has a weight.
    """
    weight = weight.astype(np.float32)
    total = cv2.sumElems(weight)[0]
    if not total:
        return np.zeros_like(values)
    height, width, channels = values.shape
    planes, means = [], []
    for channel in range(channels):
        plane = np.where(weight > 0, values[..., channel] * weight, 0)
        means.append(cv2.sumElems(plane)[0] / total)
        # Above the mean, so that what is far away adds nothing.
        planes.append(plane - np.float32(means[-1]) * weight)
    stacked = cv2.merge([*planes, weight])
    # A wide Gaussian is applied to a picture made smaller, by powers of two.
    factor = 2 ** max(0, math.floor(math.log2(reach / _NARROW)))
    rows, columns = -height % factor, -width % factor
    stacked = cv2.copyMakeBorder(stacked, 0, rows, 0, columns, cv2.BORDER_REPLICATE)
    size = stacked.shape[1], stacked.shape[0]
    small = (size[0] // factor, size[1] // factor)
    blurred = cv2.resize(stacked, small, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(blurred, (0, 0), reach / factor)
    smooth = np.array(means, np.float32) + blurred[..., :channels] / (
        blurred[..., channels:] + _FAR
    )
    large: np.ndarray = cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR)
    return large.reshape(*size[::-1], channels)[:height, :width]


def extrapolate_flow(flow: np.ndarray, hole: np.ndarray, *, rim: int) -> np.ndarray:
    """Extrapolates a frame's flow smoothly into the hole from outside its rim.

    Args:
      flow: [H, W, 2] pixels; not read in the hole and its rim.
      hole: [H, W] bool.
      rim: width of the rim, pixels.

    Returns:
      [H, W, 2] float32; 0 in the hole if all is hole.
    """
    near = dilate(hole, rim, shape="square")
    flow = flow.astype(np.float64)
    return np.where(near[..., None], fill_laplace(flow, near), flow).astype(np.float32)
