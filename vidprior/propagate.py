"""Known pixels carried along the flow into the hole: no training, no network.

What lies behind the hole is taken to move as its surroundings do: flow is estimated on
frames whose hole is filled from its rim, and continued smoothly through the hole. From
every pixel of the hole its path is followed, forwards and backwards, to the first frame
that shows it, and its colour is sampled there once: what is sampled hop by hop blurs.

Letters
    T  frames     H  rows     W  columns     n  pixels of one hole
"""

import cv2
import numpy as np
import scipy.ndimage

from vidprior.flow_estimate import estimate_dis, fill_hole
from vidprior.membrane import complete
from vidprior.types import Propagated

# DIS is to search at full resolution: its patches of 8 pixels then reach 4 across the rim.
_PRESET, _RIM = "fine", 4
# A path ends where flow there and back misses its beginning by more than so many pixels.
GATE = 1.5
# Pixels of such misses, in all, at which confidence has fallen to exp(-1/2).
_MISS = 1.0
# What is left of it after every hop.
_PER_HOP = 0.95
# Difference of the colours (0 to 255) from either side at which it has fallen to exp(-1/2).
_DIFFERENCE = 20.0
# All of the four pixels that a sample takes in must be known; the rest is rounding.
_KNOWN = 0.999
# The neighbourhood, in pixels, that the filling of what is left looks at.
_RADIUS = 3.0


def flow_behind(frames: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flow of what lies behind the hole, between neighbouring frames.

    Args:
      frames: [T, H, W, 3] uint8; what they show in the hole has no effect.
      hole: [T, H, W] bool.

    Returns:
      Flow to the next frame and to the one before, [T, H, W, 2] float32 each, pixels; 0
      where there is no such frame.

    Raises:
      InputError: frames too small for flow.
    """
    filled = np.where(hole[..., None], 0, frames).astype(np.uint8)
    shown = ~hole.all(axis=(1, 2))
    filled[shown] = fill_hole(frames[shown], hole[shown])
    flows = estimate_dis(filled, offsets=(1, -1), source_sha256="", preset=_PRESET)
    to_next, to_previous = (
        np.stack([complete(one, mask, rim=_RIM) for one, mask in zip(flow, hole, strict=True)])
        for flow in flows.flow
    )
    return to_next, to_previous


def propagate(
    frames: np.ndarray, hole: np.ndarray, to_next: np.ndarray, to_previous: np.ndarray
) -> Propagated:
    """Carries known pixels into the hole; what no path reaches is filled from its rim.

    Confidence is exp(-m / 2) 0.95^h, where m is the sum of squared misses of there and back
    in pixels, and h the hops. Colours from both sides are averaged by it; it is then the
    larger of both, less where they differ.

    Args:
      frames: [T, H, W, 3] uint8.
      hole: [T, H, W] bool.
      to_next: [T, H, W, 2] float32 pixels, as of `flow_behind`; the last is not read.
      to_previous: [T, H, W, 2] float32; the first is not read.
    """
    result = frames.copy()
    confidence = np.zeros(hole.shape, np.float32)
    for frame in np.flatnonzero(hole.any(axis=(1, 2))).tolist():
        sides = [
            _from_one_side(frame, frames, hole, there, back, step=step)
            for there, back, step in ((to_next, to_previous, 1), (to_previous, to_next, -1))
        ]
        colour, trust = _joined(*sides)
        confidence[frame][hole[frame]] = trust
        result[frame][hole[frame]] = np.rint(colour)
    _fill_rest(result, hole & (confidence == 0))
    return Propagated(result, confidence.astype(np.float16))


def _from_one_side(
    frame: int,
    frames: np.ndarray,
    hole: np.ndarray,
    there: np.ndarray,
    back: np.ndarray,
    *,
    step: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Colours [n, 3] and confidence [n] of a frame's hole, from the frames on one side of it."""
    count, height, width = hole.shape
    position = np.stack(np.nonzero(hole[frame]), axis=1).astype(np.float64)  # rows, columns
    colour, confidence = np.zeros((len(position), 3)), np.zeros(len(position))
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
        confidence[arrived] = np.exp(-missed[arrived] / (2 * _MISS**2)) * _PER_HOP**hops
        on_way = on_way[~seen]
    return colour, confidence


def _joined(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Colours [n, 3] and confidence [n] of both sides together."""
    (first, trust), (second, distrust) = one, other
    total = np.maximum(trust + distrust, 1e-9)[:, None]
    colour = (trust[:, None] * first + distrust[:, None] * second) / total
    differ = np.square(first - second).mean(axis=1)
    agreement = np.exp(-differ / (2 * _DIFFERENCE**2))
    both = (trust > 0) & (distrust > 0)
    return colour, np.maximum(trust, distrust) * np.where(both, agreement, 1)


def _sample(image: np.ndarray, position: np.ndarray) -> np.ndarray:
    """[n, C] float64: an image [H, W, C] at rows and columns [n, 2], bilinear."""
    channels = [
        scipy.ndimage.map_coordinates(
            image[..., c].astype(np.float32), position.T, order=1, mode="nearest"
        )
        for c in range(image.shape[2])
    ]
    return np.stack(channels, axis=1).astype(np.float64)


def _fill_rest(frames: np.ndarray, rest: np.ndarray) -> None:
    """Fills in place what no path reached: from its rim, or from the nearest frame's filling."""
    bare = rest.all(axis=(1, 2))
    for frame in np.flatnonzero(rest.any(axis=(1, 2)) & ~bare):
        mask = rest[frame].astype(np.uint8)
        filled = cv2.inpaint(frames[frame], mask, _RADIUS, cv2.INPAINT_TELEA)
        frames[frame][rest[frame]] = filled[rest[frame]]
    others = np.flatnonzero(~bare)
    for frame in np.flatnonzero(bare):
        frames[frame] = frames[others[np.abs(others - frame).argmin()]]
