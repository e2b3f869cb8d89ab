"""Samples pictures between their pixels with OpenCV; `flow.warp.sample` does so in JAX.

A place is (x, y), column and row; (0, 0) is the centre of the first pixel.
"""

from typing import Literal

import cv2
import numpy as np

_BORDERS = {"edge": cv2.BORDER_REPLICATE, "zero": cv2.BORDER_CONSTANT}
# OpenCV samples at fewer rows of places at a time than a short integer counts.
_MOST_ROWS = 2**15 - 2


def grid(rows: slice, columns: slice) -> np.ndarray:
    """[h, w, 2] float32: the places of all pixels of a box."""
    y, x = (np.arange(side.start, side.stop, dtype=np.float32) for side in (rows, columns))
    return np.stack(np.meshgrid(x, y), axis=-1)


def sample(
    image: np.ndarray,
    places: np.ndarray,
    *,
    cubic: bool = False,
    outside: Literal["edge", "zero"] = "edge",
) -> np.ndarray:
    """Samples a picture at places rounded to 1/32 of a pixel.

    Args:
      image: [H, W, ...] uint8 or float32.
      places: [h, w, 2] float32; any number of rows, such as a list of points [n, 1, 2].
      cubic: interpolate between 16 pixels instead of 4.
      outside: values outside the picture: its 'edge' repeated, or 'zero'.

    Returns:
      [h, w, ...], of the picture's dtype.
    """
    method = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    parts = [
        cv2.remap(image, part[..., 0], part[..., 1], method, borderMode=_BORDERS[outside])
        for part in np.split(places, range(_MOST_ROWS, len(places), _MOST_ROWS))
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def fill_nearest(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Gives every pixel the value of the nearest known one.

    Args:
      values: [H, W, ...].
      known: [H, W] bool, True somewhere.

    Returns:
      The same shape and dtype.
    """
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    place = np.zeros(label.max() + 1, np.intp)
    place[label[known]] = np.flatnonzero(known)
    flat = values.reshape(-1, *values.shape[2:])
    filled: np.ndarray = flat[place[label]]
    return filled
