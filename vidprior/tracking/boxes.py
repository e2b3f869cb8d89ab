"""Masks from boxes: the boxes themselves, or the object that one contains."""

from collections.abc import Mapping

import numpy as np

from vidprior.errors import InputError
from vidprior.io.footage import Footage
from vidprior.tracking.alignment import Alignment
from vidprior.tracking.given import enlarge, reduced, shrink
from vidprior.tracking.marks import box_slices, shrink_marks
from vidprior.tracking.start import NEAR, find_object, own_motion

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
        mask[box_slices((left, top, width, height))] = True
    return masks


def object_in_box(
    footage: Footage, number: int, box: Box, marks: np.ndarray | None = None
) -> np.ndarray:
    """The object in a box of one frame, by its colours and its motion in the frames around.

    Args:
      footage: the clip.
      number: of the frame.
      box: (left, top, width, height) in pixels. What lies around it is not the object's.
      marks: [H, W] int8, 1 where the object is, -1 where it is not, 0 elsewhere.

    Returns:
      [H, W] bool.

    Raises:
      InputError: the box lies outside the frame or covers it, or nothing stands out in it.
    """
    (inside,) = box_masks({0: box}, 1, footage.size)
    if not inside.any() or inside.all():
        raise InputError("the box must cover a part of the frame, and leave some around it")
    first = max(0, number - max(NEAR))
    part = footage.part(first, min(footage.count, number + max(NEAR) + 1))
    _, small = reduced(part.frames())
    size = small.shape[1:3]
    marked = np.zeros(size, np.int8) if marks is None else shrink_marks(marks, size)
    within = shrink(inside.astype(np.float32), size) > 0.5
    found = np.zeros(size, bool)
    if within.any() and not within.all():
        own = own_motion(Alignment(small), number - first, len(small))
        found = find_object(small[number - first], own, marked, within)
    mask: np.ndarray = inside & (enlarge(found.astype(np.float32), footage.size) > 0.5)
    if not mask.any():
        raise InputError("nothing in the box stands out from what lies around it: paint the object")
    return mask
