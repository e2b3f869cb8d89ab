"""A mask painted in one frame, carried through the clip along estimated flow.

Letters
    T  frames     H  rows     W  columns

The object is taken to move as one piece, which may shift and change its size: from frame
to frame both are fitted to the flow of those of its pixels that move against the
background, and the painted mask is moved as a whole. Thin parts stay as they were painted,
which a mask that is warped pixel by pixel loses within a few frames. Limbs and shadows
that move by themselves are not followed.

Where what lies there no longer looks like what was painted, as behind a tree, the object
is looked for around where it was seen last.
"""

import itertools
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.imaging.dilation import dilate
from vidprior.imaging.sampling import sample

# Forward and backward flow of a pixel cancel to within so many pixels, or it is not used.
_CONSISTENT = 2.0
# A pixel moves with the object, or with the camera, if it ends within so many pixels of
# the fitted motion.
_WITHIN = 1.5
# A pixel whose flow is so many pixels from the camera's motion moves by itself.
_APART = 1.0
# If fewer of an object's pixels do, it stands still, and all of them tell where it is.
_MOVING_SHARE = 0.1
# Fewer pixels of an object say nothing of its motion.
_FEWEST = 20
# The camera's motion is fitted to every so many-th row and column.
_EVERY = 4
# Below this confidence the object may be lost. It is looked for: at most so many pixels from
# where it was seen last, and so many more with each frame since.
CONFIDENT = 0.6
_REACH, _REACH_GROWS = 40, 4
# What is found must look that much more like it.
_BETTER = 0.02


class TrackedMask(NamedTuple):
    """Where a painted object is in every frame.

    Attributes:
      motion: [T, 2, 3] float64; maps (x, y, 1) in the painted frame to (x, y) in another.
      confidence: [T] float64 in [0, 1]: 1 where it was painted. Elsewhere the correlation
        of the colours in its place with those painted over; below `SURE` it may be lost.
    """

    motion: np.ndarray
    confidence: np.ndarray


def track_mask(
    painted: np.ndarray,
    start: int,
    frames: np.ndarray,
    to_next: np.ndarray,
    to_previous: np.ndarray,
) -> TrackedMask:
    """Follows an object both ways through a clip, and looks for it where it was lost.

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

    def likeness(number: int, candidate: np.ndarray) -> float:
        return _likeness(painted, frames[start], frames[number], candidate)

    forwards, backwards = range(start + 1, count), range(start - 1, -1, -1)
    for numbers, there, back in (
        (forwards, to_next, to_previous),
        (backwards, to_previous, to_next),
    ):
        place = seen = motion[start]
        last, reach = start, _REACH
        for number in numbers:
            step = _step(move_mask(painted, place), there[last], back[number])
            like = 0.0
            if step is not None:
                place = _compose(step, place)
                like = likeness(number, place)
            if like < CONFIDENT:
                for around in (place, seen):
                    found = _search(painted, frames[start], frames[number], around, reach=reach)
                    if likeness(number, found) > like + _BETTER:
                        place, like = found, likeness(number, found)
            if like >= CONFIDENT:
                seen, reach = place, _REACH
            else:
                reach += _REACH_GROWS
            motion[number], confidence[number], last = place, like, number
    return TrackedMask(motion, confidence)


def move_mask(
    mask: np.ndarray, motion: np.ndarray, *, scale: tuple[float, float] = (1, 1)
) -> np.ndarray:
    """A mask moved by a motion.

    Args:
      mask: [h, w] bool.
      motion: [2, 3], as of `Moved.motion`.
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


def _compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """[2, 3]: a motion after another."""
    return second @ np.vstack([first, [0, 0, 1]])


def _step(mask: np.ndarray, there: np.ndarray, back: np.ndarray) -> np.ndarray | None:
    """[2, 3]: how an object moves by flow [H, W, 2] to another frame; None if it is lost."""
    rows, columns = np.nonzero(mask)
    if len(rows) < _FEWEST:
        return None
    begins = np.stack([columns, rows], axis=1).astype(np.float32)
    flow = there[rows, columns].astype(np.float32)
    ends = begins + flow
    returned = sample(back.astype(np.float32), ends[:, None], outside="zero")[:, 0]
    used = np.linalg.norm(flow + returned, axis=1) < _CONSISTENT
    camera = _camera(mask, there)
    if camera is not None:
        still = cv2.perspectiveTransform(begins[None], camera)[0]
        moving = used & (np.linalg.norm(ends - still, axis=1) > _APART)
        if moving.sum() >= max(_FEWEST, _MOVING_SHARE * len(rows)):
            used = moving
    if used.sum() < _FEWEST:
        return None
    step, inlier = cv2.estimateAffinePartial2D(
        begins[used], ends[used], ransacReprojThreshold=_WITHIN
    )
    if step is None:
        return None
    inlier = inlier[:, 0].astype(bool)
    return _shift_and_scale(begins[used][inlier], ends[used][inlier])


def _camera(mask: np.ndarray, flow: np.ndarray) -> np.ndarray | None:
    """[3, 3]: the homography by which what is outside a mask moves; None if none fits."""
    grown = dilate(mask, _EVERY, shape="square")
    rows, columns = _EVERY * np.stack(np.nonzero(~grown[::_EVERY, ::_EVERY]))
    if len(rows) < _FEWEST:
        return None
    begins = np.stack([columns, rows], axis=1).astype(np.float32)
    ends = begins + flow[rows, columns].astype(np.float32)
    return cv2.findHomography(begins, ends, cv2.RANSAC, _WITHIN)[0]


def _shift_and_scale(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """[2, 3]: least squares for points [N, 2] of more than one place.

    Without a turn: what a turn would gain for stiff objects, it loses on limbs, whose
    swinging it takes for one.
    """
    begin, end = begins.mean(axis=0), ends.mean(axis=0)
    scale = ((begins - begin) * (ends - end)).sum() / ((begins - begin) ** 2).sum()
    shift = end - scale * begin
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)


def _search(
    painted: np.ndarray, first: np.ndarray, second: np.ndarray, motion: np.ndarray, *, reach: int
) -> np.ndarray:
    """[2, 3]: a motion, shifted by whole pixels to where the painted colours fit best.

    Of the object, that part is looked for which the motion leaves within the picture.
    """
    rows, columns = np.nonzero(painted)
    sides = itertools.product((columns.min(), columns.max()), (rows.min(), rows.max()), (1,))
    corners = np.clip(np.array(list(sides)) @ motion.T, 0, np.array(painted.shape[::-1]) - 1)
    corner = np.floor(corners.min(axis=0)).astype(int)
    width, height = (np.ceil(corners.max(axis=0)).astype(int) - corner + 1).tolist()
    into = motion - np.array([[0, 0, corner[0]], [0, 0, corner[1]]])
    colours = cv2.warpAffine(first, into, (width, height))
    shape = cv2.warpAffine(painted.astype(np.float32), into, (width, height)) > 0.5
    around = np.array([[1, 0, reach - corner[0]], [0, 1, reach - corner[1]]], np.float64)
    size = (width + 2 * reach, height + 2 * reach)
    surroundings = cv2.warpAffine(second, around, size, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.merge([shape.astype(np.uint8)] * 3)
    fits = cv2.matchTemplate(surroundings, colours, cv2.TM_CCOEFF_NORMED, mask=weight)
    # Where nothing varies, there is no correlation.
    fits[~np.isfinite(fits)] = -1
    down, across = np.unravel_index(fits.argmax(), fits.shape)
    return motion + np.array([[0, 0, across - reach], [0, 0, down - reach]])


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
