"""Fills what no frame shows: one guess for the shot, which moves with the camera.

First, whatever other frames show is preferred to a fill from the rim, even where it is
uncertain. The rest is unseen. It is filled in a key frame by copies of its surroundings
(`imaging.exemplar`), enlarged by what other frames show around the key frame, but not of what
moves by itself (`propagation.moving`). From there it is propagated. Further key frames fill what
is then still unseen.

Letters
    T  frames     H  rows     W  columns     n  unseen pixels of a frame
    h, w  rows and columns of an enlarged frame
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.imaging.dilation import dilate
from vidprior.imaging.exemplar import fill_by_copies
from vidprior.imaging.sampling import grid, sample
from vidprior.propagation.moving import find_moving
from vidprior.propagation.peeling import Motion, Peeling
from vidprior.types import Origins

# Factors of the expected error of a fill from the rim: where other frames may show the pixel,
# and where a guess replaces it.
_UNCERTAIN, _NEVER = 3.0, 1e3
# Passes in which a guess or uncertain content may travel from frame to frame, at most.
_PASSES = 6
# Expected error of a guess, of 255.
GUESS_ERROR = 40.0
# Key frames at most; what covers less than this share of the frame in every frame is left.
_KEYS, _SMALL = 6, 2e-4
# Frames that are compared when a key frame is chosen.
_COMPARED = 12
# Pixels around the unseen part that should be known, relative to the height.
_RING = 1 / 12
# Filled pixels up to this expected error, of 255, may be copied.
_COPIED = 20.0
# A key frame is enlarged by at most this share of its sides, from frames so far away.
_MARGIN, _DISTANCES = 0.25, (3, 8, 21, 34, 55)
_KNOWN = 0.999
# Pixels around the unseen part that are filled as well, but not used.
_RIM = 1


class Guess(NamedTuple):
    """What was guessed.

    Attributes:
      unseen: [T, H, W] bool, pixels that no frame shows.
      keys: numbers of the key frames.
    """

    unseen: np.ndarray
    keys: tuple[int, ...]


def fill_unseen(peeling: Peeling, motion: Motion, *, seed: int, copies: bool) -> Guess:
    """Fills the pixels that are mostly filled from the rim.

    Args:
      peeling: after its passes.
      motion: of the camera.
      seed: for the choice of patches.
      copies: fill what no frame shows by copies; otherwise it stays smooth.
    """
    peeling.accept(math.inf)
    peeling.reconsider()
    _travel(peeling, rim=_UNCERTAIN)
    _travel(peeling, rim=_NEVER)
    unseen = _unseen(peeling)
    least = _SMALL * unseen[0].size
    keys: list[int] = []
    tried = np.zeros(len(unseen), bool)
    left = unseen
    while copies and len(keys) < _KEYS and left.sum(axis=(1, 2)).max() > least:
        worth = key_worth(left, motion)
        worth[tried] = 0
        key = int(worth.argmax())
        tried[key] = True
        if not worth[key]:
            break
        if _guess_frame(peeling, key, motion, seed=seed):
            keys.append(key)
            peeling.fill(rim=_NEVER, sources=[key])
            peeling.accept(math.inf)
            peeling.reconsider()
            _travel(peeling, rim=_NEVER)
            left = _unseen(peeling)
    return Guess(unseen, tuple(keys))


def key_worth(unseen: np.ndarray, motion: Motion) -> np.ndarray:
    """How much each frame's guess would help the shot.

    It is the number of unseen pixels that the guess covers in all frames, as the camera
    moves, times the known share of its surroundings. Of many frames, only some are rated.

    Args:
      unseen: [T, H, W] bool.
      motion: of the camera.

    Returns:
      [T] float64; 0 for frames that are not rated.
    """
    area = unseen.sum(axis=(1, 2))
    able = np.flatnonzero(area)
    worth = np.zeros(len(unseen))
    if not len(able):
        return worth
    # At least one rated frame is the one with the largest unseen part.
    rated = np.unique([*_spread(able), int(area.argmax())])
    height = unseen.shape[1]
    for key in rated:
        shown = sum(
            int((unseen[number] & covered(unseen[key], motion, int(key), number)).sum())
            for number in _spread(able)
        )
        ring = dilate(_padded(unseen[key], height), _RING * height)
        inside = _padded(np.ones_like(unseen[key]), height)
        missing = _padded(unseen[key], height)
        known = (ring & inside & ~missing).sum() / max(1, (ring & ~missing).sum())
        worth[key] = shown * known
    return worth


def covered(area: np.ndarray, motion: Motion, key: int, number: int) -> np.ndarray:
    """Where an area [H, W] of a key frame lies in another frame: [H, W] bool.

    All False if the camera's motion between them is not known.
    """
    if number == key:
        return area
    there = motion(number, key)
    if there is None:
        return np.zeros_like(area)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(area.astype(np.uint8), there, area.shape[::-1], flags=flags)
    return moved > 0


def _padded(mask: np.ndarray, height: int) -> np.ndarray:
    """A mask with a margin of False in which a ring around it fits."""
    return np.pad(mask, math.ceil(_RING * height) + 1)


def _spread(numbers: np.ndarray) -> list[int]:
    places = np.unique(np.linspace(0, len(numbers) - 1, _COMPARED).astype(int))
    return [int(number) for number in numbers[places]]


def _unseen(peeling: Peeling) -> np.ndarray:
    return np.stack([peeling.unseen(number) for number in range(len(peeling.known))])


def _travel(peeling: Peeling, *, rim: float) -> None:
    """Passes until nothing more is seen."""
    before = math.inf
    for _ in range(_PASSES):
        peeling.fill(rim=rim)
        peeling.accept(math.inf)
        left = sum(int(peeling.unseen(number).sum()) for number in range(len(peeling.known)))
        if left in (0, before):
            return
        before = left


class _Enlarged(NamedTuple):
    """A frame with what others show around it.

    Attributes:
      image: [h, w, 3] uint8.
      source: [h, w] bool, pixels that may be copied.
      frame: [h, w] int64, the frame that each comes from.
      place: [h, w, 2] float32, (x, y) there.
      corner: rows and columns of the margin above and to the left.
    """

    image: np.ndarray
    source: np.ndarray
    frame: np.ndarray
    place: np.ndarray
    corner: tuple[int, int]


def _guess_frame(peeling: Peeling, key: int, motion: Motion, *, seed: int) -> bool:
    """Fills the unseen part of a frame by copies; False if too little is known."""
    view = _enlarge(peeling, key, motion)
    height, width = peeling.known.shape[1:]
    hole = np.zeros(view.source.shape, bool)
    top, left = view.corner
    hole[top : top + height, left : left + width] = peeling.unseen(key)
    # Pixels at the rim are partly the object's: they are not met.
    wider = dilate(hole, _RIM, shape="square")
    copies = fill_by_copies(view.image, wider, view.source & ~wider, seed=seed)
    if copies is None:
        return False
    y, x = copies.place[hole[wider]].T
    frame, place = view.frame[y, x], view.place[y, x]
    origins = Origins(
        np.full((len(frame), 1), -1, np.int32),
        np.zeros((len(frame), 1, 2), np.float32),
        np.zeros((len(frame), 1), np.float32),
    )
    for number in np.unique(frame):
        own = frame == number
        for kept, new in zip(origins, peeling.trace(int(number), place[own]), strict=True):
            kept[own] = new
    peeling.insert(key, copies.colour[hole[wider]], GUESS_ERROR, origins)
    return True


def _enlarge(peeling: Peeling, key: int, motion: Motion) -> _Enlarged:
    """The key frame, with a margin where other frames show one."""
    count, height, width = peeling.known.shape
    top, left = math.ceil(_MARGIN * height), math.ceil(_MARGIN * width)
    places = grid(slice(-top, height + top), slice(-left, width + left))
    image = np.zeros((*places.shape[:2], 3), np.uint8)
    source = np.zeros(places.shape[:2], bool)
    frame, place = np.full(source.shape, key), places.copy()
    inner = (slice(top, top + height), slice(left, left + width))
    image[inner] = peeling.image[key]
    source[inner] = _may_be_copied(peeling, key, motion)
    outside = np.ones_like(source)
    outside[inner] = False
    steps = (step for distance in _DISTANCES for step in (distance, -distance))
    for other in (key + step for step in steps if 0 <= key + step < count):
        there = motion(key, other)
        if there is None:
            continue
        moved = cv2.perspectiveTransform(places.reshape(-1, 1, 2), there).reshape(places.shape)
        able = _may_be_copied(peeling, other, motion).astype(np.float32)
        new = outside & ~source & (sample(able, moved, outside="zero") > _KNOWN)
        if new.any():
            image[new] = sample(peeling.image[other], moved, cubic=True)[new]
            source |= new
            frame[new], place[new] = other, moved[new]
    return _Enlarged(image, source, frame, place, (top, left))


def _may_be_copied(peeling: Peeling, number: int, motion: Motion) -> np.ndarray:
    """[H, W] bool: known, and part of the scene."""
    moving = find_moving(peeling.image, peeling.known, number, motion)
    return peeling.known[number] & (peeling.error[number] <= _COPIED) & ~moving
