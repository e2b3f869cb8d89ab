"""A mask painted in one frame, carried through the clip along estimated flow.

Letters
    T  frames     H  rows     W  columns

The object is taken to move as one piece: from frame to frame its flow is fitted by a
shift, turn and scale, and the painted mask is moved by all of them together. Thin parts
stay as they were painted, which a mask that is warped pixel by pixel loses within a few
frames. Limbs that move by themselves are not followed.
"""

from typing import NamedTuple

import cv2
import numpy as np

# Forward and backward flow of a pixel cancel to within so many pixels, or it is not used.
_CONSISTENT = 2.0
# A pixel moves with the object if it ends within so many pixels of the fitted motion.
_WITHIN = 1.5
# Fewer pixels of an object say nothing of its motion.
_FEWEST = 20


class Carried(NamedTuple):
    """Where a painted object is in every frame.

    Attributes:
      motion: [T, 2, 3] float64; maps (x, y, 1) in the painted frame to (x, y) in another.
      confidence: [T] float64 in [0, 1]: 1 where it was painted, 0 where it is lost.
        Elsewhere the correlation of the colours in its place with those painted over.
    """

    motion: np.ndarray
    confidence: np.ndarray


def carry(
    painted: np.ndarray,
    start: int,
    frames: np.ndarray,
    to_next: np.ndarray,
    to_previous: np.ndarray,
) -> Carried:
    """Follows an object both ways through a clip, until the flow no longer tells where it is.

    Args:
      painted: [H, W] bool, the object in frame `start`.
      start: number of the painted frame.
      frames: [T, H, W, 3] uint8 RGB.
      to_next: [T, H, W, 2] pixels, flow to the next frame; the last is not read.
      to_previous: [T, H, W, 2] pixels, to the one before; the first is not read.
    """
    count = len(frames)
    motion = np.zeros((count, 2, 3))
    motion[start] = np.eye(2, 3)
    confidence = np.zeros(count)
    confidence[start] = 1
    forwards, backwards = range(start + 1, count), range(start - 1, -1, -1)
    for numbers, there, back in (
        (forwards, to_next, to_previous),
        (backwards, to_previous, to_next),
    ):
        whole, last = np.eye(3), start
        for number in numbers:
            step = _step(move(painted, whole[:2]), there[last], back[number])
            if step is None:
                break
            whole, last = np.vstack([step, [0, 0, 1]]) @ whole, number
            motion[number] = whole[:2]
            confidence[number] = _likeness(painted, frames[start], frames[number], whole[:2])
    return Carried(motion, confidence)


def move(
    mask: np.ndarray, motion: np.ndarray, *, scale: tuple[float, float] = (1, 1)
) -> np.ndarray:
    """A mask moved by a motion.

    Args:
      mask: [h, w] bool.
      motion: [2, 3], as of `Carried.motion`.
      scale: pixels of `mask` for a pixel in which the motion was found, (x, y).

    Returns:
      [h, w] bool.
    """
    # Pixel centres lie at halves of either grid.
    across, down = scale
    to_mask = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])
    scaled = to_mask @ np.vstack([motion, [0, 0, 1]]) @ np.linalg.inv(to_mask)
    moved = cv2.warpAffine(mask.astype(np.float32), scaled[:2], mask.shape[::-1])
    return moved > 0.5


def _step(mask: np.ndarray, there: np.ndarray, back: np.ndarray) -> np.ndarray | None:
    """[2, 3]: how an object moves by flow [H, W, 2] to another frame; None if it is lost."""
    rows, columns = np.nonzero(mask)
    if len(rows) < _FEWEST:
        return None
    begins = np.stack([columns, rows], axis=1).astype(np.float32)
    flow = there[rows, columns].astype(np.float32)
    ends = begins + flow
    returned = cv2.remap(
        back.astype(np.float32), ends[:, :1], ends[:, 1:], cv2.INTER_LINEAR
    )[:, 0]  # fmt: skip
    consistent = np.linalg.norm(flow + returned, axis=1) < _CONSISTENT
    if consistent.sum() < _FEWEST:
        return None
    step, _ = cv2.estimateAffinePartial2D(
        begins[consistent], ends[consistent], ransacReprojThreshold=_WITHIN
    )
    return step


def _likeness(
    painted: np.ndarray, first: np.ndarray, second: np.ndarray, motion: np.ndarray
) -> float:
    """Correlation of an object's colours with those at its place in another frame, 0 to 1."""
    size = painted.shape[::-1]
    returned = cv2.warpAffine(second, motion, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    one, other = first[painted].astype(np.float64), returned[painted].astype(np.float64)
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    power = np.sqrt((one**2).sum() * (other**2).sum())
    return float(np.clip((one * other).sum() / power, 0, 1)) if power else 0.0
