"""Masks from boxes: the boxes themselves, or the object that one contains."""

from collections.abc import Mapping

import cv2
import numpy as np

from vidprior.errors import InputError

# Rounds of GrabCut.
_ROUNDS = 5

Box = tuple[float, float, float, float]


def box_masks(boxes: Mapping[int, Box], count: int, size: tuple[int, int]) -> np.ndarray:
    """Boxes as masks, interpolated linearly; before the first and after the last constant.

    Args:
      boxes: (left, top, width, height) in pixels, by frame number, at least one.
      count: T, number of frames.
      size: (H, W).

    Returns:
      [T, H, W] bool.
    """
    numbers = sorted(boxes)
    sides = [[boxes[number][i] for number in numbers] for i in range(4)]
    masks = np.zeros((count, *size), bool)
    for frame, mask in enumerate(masks):
        left, top, width, height = (float(np.interp(frame, numbers, side)) for side in sides)
        rows = slice(max(0, round(top)), max(0, round(top + height)))
        columns = slice(max(0, round(left)), max(0, round(left + width)))
        mask[rows, columns] = True
    return masks


def object_in_box(frame: np.ndarray, box: Box) -> np.ndarray:
    """The object in a box (GrabCut; Rother et al., 2004).

    Args:
      frame: [H, W, 3] uint8 RGB.
      box: (left, top, width, height) in pixels. What lies around it is not the object's.

    Returns:
      [H, W] bool.

    Raises:
      InputError: the box lies outside the frame or covers it, or nothing stands out in it.
    """
    (inside,) = box_masks({0: box}, 1, frame.shape[:2])
    if not inside.any() or inside.all():
        raise InputError("the box must cover a part of the frame, and leave some around it")
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)  # of its clustering
    ours, theirs = np.zeros((1, 65)), np.zeros((1, 65))
    unused = (0, 0, 1, 1)
    cv2.grabCut(frame, labels, unused, ours, theirs, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found: np.ndarray = labels == cv2.GC_PR_FGD
    if not found.any():
        raise InputError("nothing in the box stands out from what lies around it: paint the object")
    return found
