"""Tracks a mask painted in one frame through the clip as one piece, along estimated flow.

Letters
    T  frames     H  rows     W  columns

The object is assumed to move as one piece, with shift and scale. From frame to frame both
are fitted to the flow of those of its pixels that move against the background, and the
painted mask is moved as a whole. So thin parts keep their shape; a mask warped pixel by
pixel loses them within a few frames. Limbs and shadows that move independently are not
tracked.

Where the colours no longer match the painted frame, for example behind a tree, the object
is searched around the place where it was last seen.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.imaging.dilation import dilate
from vidprior.imaging.sampling import sample

# Pixels whose forward and backward flow differ by more pixels than this are not used.
_CONSISTENT = 2.0
# Inlier distance of the fitted motions of object and camera, pixels.
_WITHIN = 1.5
# A pixel whose flow differs from the camera's motion by more than this moves by itself.
_APART = 1.0
# If a smaller share of the object's pixels moves by itself, all of its pixels are used.
_MOVING_SHARE = 0.1
# A motion is fitted to at least this many pixels.
_FEWEST = 20
# The camera's motion is fitted to every fourth row and column.
_EVERY = 4
# Below this confidence the object may be lost. It is searched within _REACH pixels of the
# place where it was last seen, and _REACH_GROWS pixels farther with each frame since.
CONFIDENT = 0.6
_REACH, _REACH_GROWS = 40, 4
# A search result must have a confidence higher by this much.
_BETTER = 0.02


class TrackedMask(NamedTuple):
    """The place of a painted object in every frame.

    Attributes:
      motion: [T, 2, 3] float64; maps (x, y, 1) in the painted frame to (x, y) in another.
      confidence: [T] float64 in [0, 1]: 1 in the painted frame, elsewhere the correlation of
        the colours under the mask with the painted ones; below `CONFIDENT` the object may
        be lost.
    """

    motion: np.ndarray
    confidence: np.ndarray


def track_mask(
    painted: np.ndarray,
    start: int,
    frames: np.ndarray,
    flow: Callable[[int, int], np.ndarray],
) -> TrackedMask:
    """Tracks an object forwards and backwards, and searches for it where it was lost.

    Args:
      painted: [H, W] bool, the object in frame `start`.
      start: number of the painted frame.
      frames: [T, H, W, 3] uint8 RGB.
      flow: called with two neighbouring frames' numbers; [H, W, 2] pixels, from the one to the
        other.
    """
    count = len(frames)
    motion = np.zeros((count, 2, 3))
    motion[start] = np.eye(2, 3)
    confidence = np.zeros(count)
    confidence[start] = 1
    for numbers in (range(start + 1, count), range(start - 1, -1, -1)):
        piece = Piece(painted, start, frames, flow)
        for number in numbers:
            motion[number], confidence[number] = piece.follow(number)
    return TrackedMask(motion, confidence)


class Piece:
    """A painted object that is followed as one piece, in one direction."""

    def __init__(
        self,
        painted: np.ndarray,
        start: int,
        frames: np.ndarray,
        flow: Callable[[int, int], np.ndarray],
    ):
        """Begins at the painted frame; see `track_mask`."""
        self._painted, self._start, self._frames, self._flow = painted, start, frames, flow
        self._place = self._seen = np.eye(2, 3)
        self._last, self._reach = start, _REACH

    def follow(self, number: int) -> tuple[np.ndarray, float]:
        """The motion [2, 3] to the next frame, and its confidence; see `TrackedMask`."""
        frames, last = self._frames, self._last
        mask = move_mask(self._painted, self._place)
        step = _step(mask, self._flow(last, number), self._flow(number, last))
        like = 0.0
        if step is not None:
            self._place = _compose(step, self._place)
            like = self._like(number, self._place)
        if like < CONFIDENT:
            for around in (self._place, self._seen):
                found = _search(
                    self._painted, frames[self._start], frames[number], around, reach=self._reach
                )
                if self._like(number, found) > like + _BETTER:
                    self._place, like = found, self._like(number, found)
        if like >= CONFIDENT:
            self._seen, self._reach = self._place, _REACH
        else:
            self._reach += _REACH_GROWS
        self._last = number
        return self._place, like

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs to go on from here."""
        whole = np.array([self._last, self._reach])
        return {"place": self._place, "seen_at": self._seen, "whole": whole}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from a state."""
        self._place, self._seen = state["place"], state["seen_at"]
        self._last, self._reach = (int(value) for value in state["whole"])

    def _like(self, number: int, motion: np.ndarray) -> float:
        return _likeness(self._painted, self._frames[self._start], self._frames[number], motion)


def move_mask(
    mask: np.ndarray, motion: np.ndarray, *, scale: tuple[float, float] = (1, 1)
) -> np.ndarray:
    """A mask moved by a motion.

    Args:
      mask: [h, w] bool.
      motion: [2, 3], as in `TrackedMask.motion`.
      scale: pixels of `mask` for one pixel of the motion, (x, y).

    Returns:
      [h, w] bool.
    """
    # Pixel centres are at halves in both grids.
    across, down = scale
    to_mask = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])
    scaled = to_mask @ np.vstack([motion, [0, 0, 1]]) @ np.linalg.inv(to_mask)
    moved = cv2.warpAffine(mask.astype(np.float32), scaled[:2], mask.shape[::-1])
    return moved > 0.5


def _compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """[2, 3]: the motion `second` after `first`."""
    return second @ np.vstack([first, [0, 0, 1]])


def _step(mask: np.ndarray, there: np.ndarray, back: np.ndarray) -> np.ndarray | None:
    """[2, 3]: an object's motion along flow [H, W, 2] to another frame; None if it is lost."""
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
    """[3, 3]: the homography of the motion outside a mask; None if none fits."""
    grown = dilate(mask, _EVERY, shape="square")
    rows, columns = _EVERY * np.stack(np.nonzero(~grown[::_EVERY, ::_EVERY]))
    if len(rows) < _FEWEST:
        return None
    begins = np.stack([columns, rows], axis=1).astype(np.float32)
    ends = begins + flow[rows, columns].astype(np.float32)
    return cv2.findHomography(begins, ends, cv2.RANSAC, _WITHIN)[0]


def _shift_and_scale(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """[2, 3]: least squares for points [N, 2] that are not all equal.

    Without rotation: it would help rigid objects, but follow the swinging of limbs.
    """
    begin, end = begins.mean(axis=0), ends.mean(axis=0)
    scale = ((begins - begin) * (ends - end)).sum() / ((begins - begin) ** 2).sum()
    shift = end - scale * begin
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)


def _search(
    painted: np.ndarray, first: np.ndarray, second: np.ndarray, motion: np.ndarray, *, reach: int
) -> np.ndarray:
    """[2, 3]: a motion, shifted by whole pixels to where the painted colours match best.

    Only the part of the object that the motion leaves inside the picture is compared.
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
    # The correlation is undefined where nothing varies.
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
