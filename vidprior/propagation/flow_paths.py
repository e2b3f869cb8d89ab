"""Known pixels found by following the flow, frame by frame, out of the hole.

From every pixel of the hole its path is followed to the first frame that shows it, and its
colour is sampled there once: what is sampled hop by hop blurs.

Letters
    T  frames     H  rows     W  columns     n  pixels of one frame's hole
"""

import numpy as np
import scipy.ndimage

from vidprior.propagation.fusion import Candidates

# A path ends where flow there and back misses its beginning by more than so many pixels.
GATE = 1.5
# Pixels of such misses, in all, at which trust has fallen to exp(-1/2).
_MISS = 1.0
# What is left of it after every hop.
_PER_HOP = 0.95
# All of the four pixels that a sample takes in must be known; the rest is rounding.
_KNOWN = 0.999
# Expected error, of 255, where trust is whole, and what is added where there is none.
_LEAST, _MORE = 10.0, 40.0


def follow_flow(
    frame: int,
    frames: np.ndarray,
    hole: np.ndarray,
    there: np.ndarray,
    back: np.ndarray,
    *,
    step: int,
) -> Candidates:
    """A frame's hole, as the frames on one side of it show it.

    The expected error is 10 + 40 (1 - trust), with trust exp(-m / 2) 0.95^h, m the sum of
    squared misses of flow there and back in pixels, and h the hops.

    Args:
      frame: whose hole.
      frames: [T, H, W, 3] uint8.
      hole: [T, H, W] bool.
      there: [T, H, W, 2] pixels, flow towards the side, from every frame to its neighbour.
      back: [T, H, W, 2] pixels, the other way.
      step: 1 for the frames after, -1 for those before.
    """
    count, height, width = hole.shape
    position = np.stack(np.nonzero(hole[frame]), axis=1).astype(np.float64)  # rows, columns
    colour = np.zeros((len(position), 3), np.float32)
    error = np.full(len(position), np.inf, np.float32)
    missed = np.zeros(len(position))
    on_way = np.arange(len(position))
    last = np.array([height - 1, width - 1])
    hops = 0
    while len(on_way) and 0 <= frame + step < count:
        begin = position[on_way]
        moved = _sample(there[frame], begin)
        end = begin + moved[:, ::-1]
        frame, hops = frame + step, hops + 1
        miss = np.square(moved + _sample(back[frame], end)).sum(axis=1)
        good = ((end >= 0) & (end <= last)).all(axis=1) & (miss < GATE**2)
        on_way, end = on_way[good], end[good]
        position[on_way] = end
        missed[on_way] += miss[good]
        seen = _sample(~hole[frame, ..., None], end)[:, 0] > _KNOWN
        arrived = on_way[seen]
        colour[arrived] = _sample(frames[frame], end[seen])
        trust = np.exp(-missed[arrived] / (2 * _MISS**2)) * _PER_HOP**hops
        error[arrived] = _LEAST + _MORE * (1 - trust)
        on_way = on_way[~seen]
    return Candidates(colour, error)


def _sample(image: np.ndarray, position: np.ndarray) -> np.ndarray:
    """[n, C] float64: an image [H, W, C] at rows and columns [n, 2], bilinear."""
    channels = [
        scipy.ndimage.map_coordinates(
            image[..., c].astype(np.float32), position.T, order=1, mode="nearest"
        )
        for c in range(image.shape[2])
    ]
    return np.stack(channels, axis=1).astype(np.float64)
