"""Fills a hole from its rim inwards, in passes.

Each pass fills all unknown pixels, and accepts as known those with a small expected error;
the next, more lenient pass builds on them. So motion that was extrapolated from the rim is
measured in the next pass, agreement is judged close by, and content travels over several
frames. Filled pixels keep their expected error, so that errors accumulate.

Letters
    T  frames     H  rows     W  columns     n  unknown pixels of one frame
    N  pixels of the hole, in the order of `np.nonzero`     M  origins of each
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.flow.dis import ThreadDis, fill_hole
from vidprior.imaging.parallel import in_threads
from vidprior.propagation.fusion import Candidates, fuse
from vidprior.propagation.homography import MOST_CORRECTED, KnownFrame, align_frame
from vidprior.types import Origins

# Distances between frames that are aligned, in both directions.
DISTANCES = (1, 2, 3, 5, 8, 13, 21, 34)
_PRESET = "medium"
# Origins kept for each pixel: those with the largest weight.
ORIGINS = 3
# Expected error of pixels filled from the rim, of 255: at the rim, and its growth over a
# distance of the picture's height.
_AT_RIM, _PER_HEIGHT = 12.0, 240.0
# Content with a larger expected error, of 255, is as good as any other: it counts as unseen.
_WORST = 80.0
# A frame whose weight is below this everywhere, although it shows half of the unknown pixels,
# is not used again.
_NOTHING, _MUCH = 0.02, 0.5

# The camera's motion from one frame to another, [3, 3]; None if unknown.
Motion = Callable[[int, int], np.ndarray | None]


class _Filling(NamedTuple):
    """The result of a pass for the unknown pixels of a frame.

    Attributes:
      colour: [n, 3] float32.
      error: [n] float32, expected, of 255.
      guessed: [n] bool: mostly filled from the rim.
      frame: [n, M] int32, origins, as in `Origins`.
      place: [n, M, 2] float32, as in `Origins`.
      weight: [n, M] float32, as in `Origins`.
      useless: numbers of frames that need not be used again.
    """

    colour: np.ndarray
    error: np.ndarray
    guessed: np.ndarray
    frame: np.ndarray
    place: np.ndarray
    weight: np.ndarray
    useless: list[int]


class Peeling:
    """A clip whose hole is filled pass by pass.

    Attributes:
      image: [T, H, W, 3] uint8, the clip as filled so far.
      error: [T, H, W] float32, expected, of 255; 0 outside the hole.
      known: [T, H, W] bool.
      origins: of the hole's pixels.
    """

    def __init__(
        self,
        frames: np.ndarray,
        hole: np.ndarray,
        motion: Motion,
        *,
        wanted: np.ndarray | None = None,
    ):
        """Starts with a hole filled from its rim.

        Args:
          frames: [T, H, W, 3] uint8; what they show in the hole has no effect.
          hole: [T, H, W] bool.
          motion: of the camera.
          wanted: [T, H, W] bool, the part of the hole to fill; all by default.
        """
        self.image = fill_from_rim(frames, hole)
        self.known = ~hole
        self.error = np.zeros(hole.shape, np.float32)
        count = int(hole.sum())
        self.origins = Origins(
            frame=np.full((count, ORIGINS), -1, np.int32),
            place=np.zeros((count, ORIGINS, 2), np.float32),
            weight=np.zeros((count, ORIGINS), np.float32),
        )
        self._hole, self._motion = hole, motion
        self._row = np.full(hole.shape, -1, np.int32)  # of a pixel's origins
        self._row[hole] = np.arange(count)
        self._guessed = hole.copy()
        self._wanted = hole if wanted is None else wanted
        self._numbers = np.flatnonzero(self._wanted.any(axis=(1, 2))).tolist()
        self._rim = self.image.copy()
        self._grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in self.image]
        self._dis = ThreadDis(_PRESET, *hole.shape[1:])
        self._useless: set[tuple[int, int]] = set()
        self._changed = set(range(len(hole)))  # frames that changed since the last pass

    def fill(self, *, rim: float = 1.0, sources: Sequence[int] | None = None) -> None:
        """Fills all unknown pixels from known ones.

        Args:
          rim: factor of the expected errors of pixels filled from the rim.
          sources: numbers of the frames to fill from; by default those at `DISTANCES`.
        """
        numbers = [number for number in self._numbers if self._may_change(number, sources)]
        # All frames see the state before this pass.
        fill = functools.partial(self._fill_frame, rim=rim, sources=sources)
        for number, found in zip(numbers, list(in_threads(fill, numbers)), strict=True):
            unknown = self._unknown(number)
            row = self._row[number][unknown]
            self.image[number][unknown] = np.clip(np.rint(found.colour), 0, 255)
            self.error[number][unknown] = found.error
            self._guessed[number][unknown] = found.guessed
            for kept, new in zip(self.origins, found[3:6], strict=True):
                kept[row] = new
            self._grey[number] = cv2.cvtColor(self.image[number], cv2.COLOR_RGB2GRAY)
            self._useless.update((number, other) for other in found.useless)
        self._changed = set()

    def accept(self, limit: float) -> None:
        """Accepts as known the pixels with an expected error of at most `limit`, of 255."""
        for number in self._numbers:
            good = (self.error[number] <= limit) & ~self._guessed[number]
            taken = self._unknown(number) & good
            if taken.any():
                self.known[number] |= taken
                self._changed.add(number)

    def reconsider(self) -> None:
        """The next pass uses all frames again, also those that were of no use so far."""
        self._useless, self._changed = set(), set(range(len(self.known)))

    def unseen(self, number: int) -> np.ndarray:
        """[H, W] bool: unknown pixels of a frame that are mostly filled from the rim."""
        return self._guessed[number] & self._unknown(number)

    def insert(self, number: int, colour: np.ndarray, error: float, origins: Origins) -> None:
        """Makes the unseen pixels of a frame known.

        Args:
          number: of the frame.
          colour: [n, 3], 0 to 255.
          error: expected, of 255.
          origins: of the n pixels.
        """
        where = self.unseen(number)
        row = self._row[number][where]
        self.image[number][where] = np.clip(np.rint(colour), 0, 255)
        self.error[number][where] = error
        for kept, new in zip(self.origins, origins, strict=True):
            kept[row] = 0
            kept[row, : new.shape[1]] = new
        self.origins.frame[row, origins.frame.shape[1] :] = -1
        self.known[number] |= where
        self._grey[number] = cv2.cvtColor(self.image[number], cv2.COLOR_RGB2GRAY)
        self._changed.add(number)

    def trace(self, number: int, place: np.ndarray) -> Origins:
        """The first origins of places (x, y) [n, 2] in a frame: given pixels are their own."""
        frame, at = self._first_origin(np.full(len(place), number), place)
        return Origins(frame[:, None], at[:, None], np.ones((len(place), 1), np.float32))

    def close(self) -> None:
        """After the last pass: fills the remaining guesses from all sides."""
        for number in self._numbers:
            left = self._guessed[number] & self._unknown(number)
            if left.any() and not left.all():
                mask = left.astype(np.uint8)
                self.image[number] = cv2.inpaint(self.image[number], mask, 3, cv2.INPAINT_TELEA)

    def _unknown(self, number: int) -> np.ndarray:
        return self._wanted[number] & ~self.known[number]

    def _others(self, number: int) -> list[int]:
        steps = (step for distance in DISTANCES for step in (distance, -distance))
        others = (number + step for step in steps if 0 <= number + step < len(self.known))
        return [other for other in others if (number, other) not in self._useless]

    def _may_change(self, number: int, sources: Sequence[int] | None) -> bool:
        if not self._unknown(number).any():
            return False
        others = self._others(number) if sources is None else sources
        return not self._changed.isdisjoint([number, *others])

    def _frame(self, number: int) -> KnownFrame:
        arrays = (self.image, self._grey, self.known, self.error)
        return KnownFrame(*(array[number] for array in arrays))

    def _fill_frame(self, number: int, *, rim: float, sources: Sequence[int] | None) -> _Filling:
        here, unknown = self._frame(number), self._unknown(number)
        candidates = [self._from_rim(number, unknown, rim)]
        for other in self._others(number) if sources is None else sources:
            motion = self._motion(number, other)
            if motion is not None:
                found = align_frame(
                    here,
                    self._frame(other),
                    motion,
                    wanted=unknown,
                    number=other,
                    estimator=self._dis.own,
                )
                candidates += [] if found is None else [found]
        colour, error, weight = fuse(candidates)
        useless = [
            candidate.frame
            for candidate, share in zip(candidates[1:], weight[1:], strict=True)
            if share.max() < _NOTHING and np.isfinite(candidate.error).mean() > _MUCH
        ]
        hopeless = error > _WORST
        colour = np.where(hopeless[:, None], candidates[0].colour, colour)
        guessed = (weight[0] >= 0.5) | hopeless
        # Their own expected error, whatever the factor.
        error = np.where(guessed, candidates[0].error / rim, error)
        origins = self._trace(candidates[1:], np.where(hopeless, 0, weight[1:]))
        colour = self._near_origins(colour, guessed, *origins)
        return _Filling(colour, error, guessed, *origins, useless)

    def _near_origins(
        self,
        colour: np.ndarray,
        guessed: np.ndarray,
        frame: np.ndarray,
        place: np.ndarray,
        weight: np.ndarray,
    ) -> np.ndarray:
        """Colours [n, 3], limited to what one correction may change of their origins.

        Each hop from frame to frame corrects colours. Where light changes towards the side of
        the picture, corrections of many hops would add up.
        """
        height, width = self._hole.shape[1:]
        x, y = np.rint(place).astype(np.int64).transpose(2, 0, 1)
        shown = self.image[frame, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        total = weight.sum(axis=1)
        mean = (weight[..., None] * shown).sum(axis=1) / np.maximum(total, 1e-9)[:, None]
        limited = np.clip(colour, mean - MOST_CORRECTED, mean + MOST_CORRECTED)
        return np.where((guessed | (total <= 0))[:, None], colour, limited)

    def _from_rim(self, number: int, unknown: np.ndarray, factor: float) -> Candidates:
        """Candidates from the frame's own surroundings; they always exist."""
        hole = self._hole[number]
        distance = np.full(hole.shape, max(hole.shape), np.float32)
        if not hole.all():
            mask = hole.astype(np.uint8)
            distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        error = factor * (_AT_RIM + _PER_HEIGHT * distance[unknown] / len(hole))
        colour = self._rim[number][unknown].astype(np.float32)
        return Candidates(colour, error.astype(np.float32), np.zeros((0, 2), np.float32), -1)

    def _trace(
        self, candidates: list[Candidates], weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Origins of the candidates with the largest weight, [K, n]."""
        count = weight.shape[1]
        frame = np.full((count, ORIGINS), -1, np.int32)
        place = np.zeros((count, ORIGINS, 2), np.float32)
        share = np.zeros((count, ORIGINS), np.float32)
        if not candidates:
            return frame, place, share
        numbers = np.array([candidate.frame for candidate in candidates])
        places = np.stack([candidate.place for candidate in candidates])
        every = np.arange(count)
        for slot, best in enumerate(np.argsort(-weight, axis=0, kind="stable")[:ORIGINS]):
            found = self._first_origin(numbers[best], places[best, every])
            frame[:, slot], place[:, slot] = found
            share[:, slot] = weight[best, every]
        frame[share <= 0] = -1
        return frame, place, share

    def _first_origin(self, number: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The given pixels behind places (x, y) [n, 2] in frames [n]: frames [n] and places.

        A place inside filled content is replaced by the first origin of the nearest pixel,
        with the same offset from it.
        """
        height, width = self._hole.shape[1:]
        near = np.rint(at).astype(np.int64)
        x, y = np.clip(near[:, 0], 0, width - 1), np.clip(near[:, 1], 0, height - 1)
        row = self._row[number, y, x]
        beyond = at - np.stack([x, y], axis=-1)
        given = row < 0
        frame, place = self.origins.frame[row, 0], self.origins.place[row, 0]
        return np.where(given, number, frame), np.where(given[:, None], at, place + beyond)


def fill_from_rim(frames: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Fills every frame from its rim; a frame that is all hole copies the nearest other."""
    filled = np.where(hole[..., None], 0, frames).astype(np.uint8)
    return filled if hole.all() else fill_hole(filled, hole)
