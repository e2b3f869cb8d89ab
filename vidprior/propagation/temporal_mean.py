"""Steadies a filled hole: the mean of each frame and its neighbours along the picture's motion.

Errors of frames beside each other differ, so their mean is closer to the truth and flickers
less.

Letters
    T  frames     H  rows     W  columns     h, w  rows and columns of a box about a hole
"""

from typing import Any

import cv2
import numpy as np

from vidprior.flow.dis import ThreadDis
from vidprior.imaging.geometry import box_around
from vidprior.imaging.parallel import in_threads
from vidprior.imaging.sampling import grid, sample
from vidprior.propagation.peeling import Motion

# Neighbours on each side.
_REACH = 2
_PRESET = "medium"
# A neighbour has the weight exp(-(d / 30)^2) where it differs from the frame by d, of 255,
# after a blur by 2 pixels.
_APART, _BLUR = 30.0, 2.0
# Expected errors below this count as equal. The largest weight of a neighbour is 4.
_LEAST_ERROR, _MOST = 3.0, 4.0
# Pixels around the hole that flow sees, and the least side of their box.
_MARGIN, _SMALLEST = 16, 64


def temporal_mean(
    frames: np.ndarray, wanted: np.ndarray, error: np.ndarray, motion: Motion
) -> np.ndarray:
    """Averages pixels with what up to two frames before and after show in their place.

    A neighbour's weight falls with its difference from the frame, and with the square of its
    expected error relative to the frame's. Places follow the camera's motion and residual flow.

    Args:
      frames: [T, H, W, 3] uint8, filled.
      wanted: [T, H, W] bool, pixels to average.
      error: [T, H, W] float32, expected, of 255: 0 for known pixels, infinite for those that
        must not be used.
      motion: of the camera.

    Returns:
      [T, H, W, 3] uint8, a new array, equal to `frames` where nothing is wanted.
    """
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    dis = ThreadDis(_PRESET, *wanted.shape[1:])
    # Not infinite, since it is interpolated.
    least = np.clip(error, _LEAST_ERROR, 1e6)

    def mean(number: int) -> np.ndarray:
        """[h, w, 3] float32, in the box of a frame."""
        box = box_around(wanted[number], margin=_MARGIN, least=_SMALLEST)
        here, grey = (
            frames[number][box].astype(np.float32),
            np.ascontiguousarray(greys[number][box]),
        )
        total, weights = here.copy(), np.ones(grey.shape, np.float32)
        near = range(max(0, number - _REACH), min(len(frames), number + _REACH + 1))
        for other in near:
            camera = None if other == number else motion(number, other)
            if camera is None:
                continue
            place = grid(*box)
            moved = cv2.perspectiveTransform(place.reshape(-1, 1, 2), camera).reshape(place.shape)
            estimator: Any = dis.own
            flow = estimator.calc(grey, sample(greys[other], moved), None)
            moved = sample(moved, place - place[0, 0] + flow)
            colour = sample(frames[other], moved, cubic=True).astype(np.float32)
            apart = cv2.GaussianBlur(np.abs(colour - here).mean(axis=-1), (0, 0), _BLUR)
            ratio = np.square(least[number][box] / sample(least[other], moved))
            weight = np.exp(-np.square(apart / _APART)) * np.minimum(ratio, _MOST)
            total += weight[..., None] * colour
            weights += weight
        averaged: np.ndarray = total / weights[..., None]
        return averaged

    result = frames.copy()
    numbers = np.flatnonzero(wanted.any(axis=(1, 2))).tolist()
    for number, averaged in zip(numbers, in_threads(mean, numbers), strict=True):
        box = box_around(wanted[number], margin=_MARGIN, least=_SMALLEST)
        inside = wanted[number][box]
        result[number][box][inside] = np.clip(np.rint(averaged[inside]), 0, 255)
    return result
