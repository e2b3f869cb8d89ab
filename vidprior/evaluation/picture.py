"""Measures of a filled hole at source size: sharpness, flicker, error at the rim.

Frames are [T, h, w, 3] uint8 RGB, `hole` is [T, h, w] bool. Measures are in grey levels of
255, and nothing is rescaled.
"""

import math
from typing import Any

import cv2
import numpy as np

from vidprior.evaluation import metrics

# Pixels inside the hole's border that sharpness leaves out, since they contain the seam.
_SEAM = 2


def sharpness(truth: np.ndarray, result: np.ndarray, hole: np.ndarray) -> float | None:
    """The detail of the result's hole over that of the truth: 1 is as sharp.

    Detail is the mean absolute Laplacian (four neighbours) over all frames, in the hole
    eroded by two pixels. The sides of the picture do not erode the hole.

    Returns:
      The ratio; None if no hole is wide enough, or the truth is flat.
    """
    made = true = 0.0
    for t in np.flatnonzero(hole.any(axis=(1, 2))):
        inner = _erode(hole[t], _SEAM)
        made += float(_laplacian(result[t])[inner].sum())
        true += float(_laplacian(truth[t])[inner].sum())
    return made / true if true else None


def flicker(truth: np.ndarray, result: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The difference between the frame-to-frame changes of result and truth.

    It is the mean absolute difference of both changes, over pixels that are hole in both
    frames. Blur gains nothing: detail that is missing does not move either.

    Returns:
      [T-1] float64; NaN if no pixel is hole in both frames.
    """
    values = np.full(max(len(truth) - 1, 0), np.nan)
    for t in range(len(values)):
        both = hole[t] & hole[t + 1]
        if both.any():
            before, after = (
                result[i][both].astype(np.float64) - truth[i][both] for i in (t, t + 1)
            )
            values[t] = np.abs(after - before).mean()
    return values


def rim(truth: np.ndarray, result: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The mean absolute error of hole pixels that touch known ones, also diagonally.

    Returns:
      [T] float64; NaN where there are none.
    """
    values = np.full(len(truth), np.nan)
    for t in np.flatnonzero(hole.any(axis=(1, 2))):
        border = hole[t] & ~_erode(hole[t], 1)
        if border.any():
            error = result[t][border].astype(np.float64) - truth[t][border]
            values[t] = np.abs(error).mean()
    return values


def measure(truth: np.ndarray, result: np.ndarray, hole: np.ndarray) -> dict[str, Any]:
    """All measures of a hole at source size.

    Returns:
      width, height; psnr_hole and ssim_hole (as in `metrics`), sharpness, flicker, rim: means
      over frames, None if there is nothing to measure.
    """
    return {
        "width": truth.shape[2],
        "height": truth.shape[1],
        "psnr_hole": metrics.average(metrics.psnr(truth, result, mask=hole)),
        "ssim_hole": metrics.average(_ssim(truth, result, hole)),
        "sharpness": sharpness(truth, result, hole),
        "flicker": metrics.average(flicker(truth, result, hole)),
        "rim": metrics.average(rim(truth, result, hole)),
    }


def _ssim(truth: np.ndarray, result: np.ndarray, hole: np.ndarray) -> np.ndarray:
    if min(truth.shape[1:3]) < metrics.SMALLEST_SSIM:
        return np.full(len(truth), math.nan)
    return metrics.ssim(truth, result, mask=hole)


def _laplacian(frame: np.ndarray) -> np.ndarray:
    """[h, w, 3] float32, absolute."""
    return np.abs(cv2.Laplacian(frame.astype(np.float32), cv2.CV_32F, ksize=1))


def _erode(hole: np.ndarray, pixels: int) -> np.ndarray:
    """[h, w] bool: a hole eroded by so many pixels, but not at the sides of the picture."""
    square = np.ones((2 * pixels + 1,) * 2, np.uint8)
    return cv2.erode(hole.astype(np.uint8), square, borderValue=1) > 0
