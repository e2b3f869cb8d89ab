"""Held-out pixels: known pixels treated as missing, so that errors can be measured.

They form the clip's own hole, moved to where the truth is known: the same shape, the same
motion. Errors there show how far the filled hole can be trusted. The result shows held-out
pixels as they are, so it loses nothing.
"""

import zlib

import numpy as np

# Random moves that are tried; the one that holds out most pixels is taken.
_TRIES = 64
# The largest share of known pixels to hold out, so that enough are left to learn from.
_MOST = 0.3


def holdout_mask(hole: np.ndarray, *, seed: int, frames: int | None = None) -> np.ndarray:
    """Moves the hole of a clip to where the clip is known, in space and in time.

    Args:
      hole: [T, H, W] bool.
      seed: of the run.
      frames: hold out in at most this many frames, in the middle of the clip; all by default.

    Returns:
      [T, H, W] bool, disjoint from `hole`, at most 30 % of the known pixels; empty if `hole`
      is empty or leaves no room.
    """
    # The name of the stream is that of earlier versions: the same seed gives the same pixels.
    random = np.random.default_rng([seed, zlib.crc32(b"rehearsal")])
    best, room = np.zeros_like(hole), _MOST * (~hole).sum()
    for _ in range(_TRIES):
        down, right = (int(random.integers(-side + 1, side)) for side in hole.shape[1:])
        moved = _moved(hole[_delayed(len(hole), random)], down, right) & ~hole
        if best.sum() < moved.sum() <= room:
            best = moved
    if frames is not None:
        first = max(0, len(hole) - frames) // 2
        best[:first] = best[first + frames :] = False
    return best


def holdout_frames(held_out: np.ndarray, *, count: int) -> list[int]:
    """Numbers of at most `count` frames, spread over those with held-out pixels.

    Args:
      held_out: [T, H, W] bool.
      count: how many, at least 1.
    """
    able = np.flatnonzero(held_out.any(axis=(1, 2)))
    spread = np.unique(np.linspace(0, len(able), count, endpoint=False).astype(int))
    return able[spread].tolist() if len(able) else []


def _delayed(count: int, random: np.random.Generator) -> np.ndarray:
    """Frame numbers from a random start, reversing at the ends, so that nothing jumps."""
    there_and_back = np.concatenate([np.arange(count), np.arange(count)[::-1]])
    return np.roll(there_and_back, int(random.integers(2 * count)))[:count]


def _moved(hole: np.ndarray, down: int, right: int) -> np.ndarray:
    """Masks shifted by whole pixels, clipped at the frame."""
    _, height, width = hole.shape
    moved = np.zeros_like(hole)
    moved[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = hole[
        :, max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return moved
