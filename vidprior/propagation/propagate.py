"""Known pixels carried into the hole: no training, no network.

What lies behind the hole is taken to move as its surroundings do. Three kinds of
candidates are had for every pixel of it: the path along the flow, forwards and backwards,
to the first frame that shows it (`follow`); other frames laid over this one by the
camera's motion (`align`); and the surroundings in the frame itself. They are joined by
the errors that are to be expected of them (`carried`).

Letters
    T  frames     H  rows     W  columns     n  pixels of one hole
"""

import functools

import cv2
import numpy as np

from vidprior.flow.dis import ThreadDis, estimate_dis, fill_hole
from vidprior.imaging.laplace import extrapolate_flow
from vidprior.imaging.parallel import in_threads
from vidprior.propagation.flow_paths import follow_flow
from vidprior.propagation.fusion import Candidates, confidence, fuse
from vidprior.propagation.homography import Points, align_frame, camera_motion, find_points
from vidprior.types import Propagated

# DIS is to search at full resolution: its patches of 8 pixels then reach 4 across the rim.
_PRESET, _RIM = "fine", 4
# Frames that are laid over one another are so far apart, either way.
DISTANCES = (1, 2, 3, 5, 8, 13, 21, 34)
# Expected error of what is filled from the rim, of 255: beside it, and what is added to it
# at a distance of the picture's height.
_AT_RIM, _PER_HEIGHT = 12.0, 240.0


def propagate(
    frames: np.ndarray, hole: np.ndarray, rehearsal: np.ndarray | None = None
) -> Propagated:
    """Fills the hole of a clip from the clip itself.

    Args:
      frames: [T, H, W, 3] uint8; what they show in the hole has no effect.
      hole: [T, H, W] bool.
      rehearsal: [T, H, W] bool, known pixels that are to be filled as if they were
        missing; none by default. They serve the hole all the same.

    Returns:
      The filled frames, and a confidence of 1 / (1 + (e / 10)^2) where an error e, of 255,
      is to be expected.

    Raises:
      InputError: frames too small for flow.
    """
    result, trust = _fill(frames, hole)
    if rehearsal is None:
        rehearsal = np.zeros_like(hole)
    if rehearsal.any():
        rehearsed, of_both = _fill(frames, hole | rehearsal)
        result[rehearsal], trust[rehearsal] = rehearsed[rehearsal], of_both[rehearsal]
    return Propagated(result, trust, rehearsal)


def _fill(frames: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Filled frames, [T, H, W, 3] uint8, and their confidence, [T, H, W] float16."""
    filled = _filled(frames, hole)
    to_next, to_previous = flow_behind(filled, hole)
    lay_over = _Layers(filled, hole)

    def candidates(number: int) -> Candidates:
        return fuse(
            [
                _from_rim(filled[number], hole[number]),
                follow_flow(number, frames, hole, to_next, to_previous, step=1),
                follow_flow(number, frames, hole, to_previous, to_next, step=-1),
                *lay_over(number),
            ]
        )

    result = filled.copy()
    trust = np.zeros(hole.shape, np.float16)
    numbers = np.flatnonzero(hole.any(axis=(1, 2))).tolist()
    for number, joined in zip(numbers, in_threads(candidates, numbers), strict=True):
        result[number][hole[number]] = np.clip(np.rint(joined.colour), 0, 255)
        trust[number][hole[number]] = confidence(joined.error)
    return result, trust


def flow_behind(filled: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flow of what lies behind the hole, between neighbouring frames.

    Args:
      filled: [T, H, W, 3] uint8, the hole filled from its rim.
      hole: [T, H, W] bool.

    Returns:
      Flow to the next frame and to the one before, [T, H, W, 2] float32 each, pixels; 0
      where there is no such frame.

    Raises:
      InputError: frames too small for flow.
    """
    flows = estimate_dis(filled, offsets=(1, -1), source_sha256="", preset=_PRESET)
    to_next, to_previous = (
        np.stack(
            [extrapolate_flow(one, mask, rim=_RIM) for one, mask in zip(flow, hole, strict=True)]
        )
        for flow in flows.flow
    )
    return to_next, to_previous


class _Layers:
    """Other frames of a clip laid over one of them by the camera's motion."""

    def __init__(self, filled: np.ndarray, hole: np.ndarray):
        self._frames, self._hole = filled, hole
        self._greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in filled]
        pairs = zip(self._greys, hole, strict=True)
        points: list[Points] = list(in_threads(lambda pair: find_points(*pair), pairs))
        self._dis = ThreadDis(_PRESET, *hole.shape[1:])
        # Kept for the way back. Two threads may both find one: they find the same.
        self._motion = functools.cache(lambda one, other: camera_motion(points[one], points[other]))

    def __call__(self, number: int) -> list[Candidates]:
        steps = (step for distance in DISTANCES for step in (distance, -distance))
        others = [number + step for step in steps if 0 <= number + step < len(self._frames)]
        made = (self._lay_over(number, other) for other in others)
        return [candidates for candidates in made if candidates is not None]

    def _lay_over(self, here: int, there: int) -> Candidates | None:
        motion = self._motion(min(here, there), max(here, there))
        if motion is None:
            return None
        return align_frame(
            (self._frames[here], self._frames[there]),
            (self._greys[here], self._greys[there]),
            (self._hole[here], self._hole[there]),
            motion if here < there else np.linalg.inv(motion),
            self._dis.own,
        )


def _filled(frames: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Every frame filled from its rim; a frame that is all hole repeats the nearest other."""
    filled = np.where(hole[..., None], 0, frames).astype(np.uint8)
    return filled if hole.all() else fill_hole(filled, hole)


def _from_rim(filled: np.ndarray, hole: np.ndarray) -> Candidates:
    """What the frame itself suggests; there is always that."""
    distance = np.full(hole.shape, max(hole.shape), np.float32)
    if not hole.all():
        distance[:] = cv2.distanceTransform(
            hole.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
    error = _AT_RIM + _PER_HEIGHT * distance[hole] / len(hole)
    return Candidates(filled[hole].astype(np.float32), error.astype(np.float32))
