"""How mask and scene move, and so how much of what is hidden other frames may show.

Measured on a few frames, spread over the clip, before anything is propagated.

Letters
    T  frames     H  rows     W  columns
"""

import itertools
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.propagation.homography import camera_motion, find_points

# Frames that are compared.
_FRAMES = 6
# A mask stands still if it overlaps itself by this, as intersection over union. A scene stands
# still if it moves by less than this between two of those frames, relative to the height.
_OVERLAP, _MOTION = 0.7, 0.02


class MaskCase(NamedTuple):
    """How a mask and the scene behind it move.

    Attributes:
      mask_moves: in the picture.
      scene_moves: in the picture; None if the camera's motion is not found.
      shown: the share of the hole that some other of the frames shows, if the scene moves as a
        plane; None if the camera's motion is not found.
    """

    mask_moves: bool
    scene_moves: bool | None
    shown: float | None


def judge_mask(frames: np.ndarray, hole: np.ndarray) -> MaskCase | None:
    """Judges a clip by a few of its frames; None if fewer than two frames have a hole.

    Args:
      frames: [T, H, W, 3] uint8.
      hole: [T, H, W] bool.
    """
    able = np.flatnonzero(hole.any(axis=(1, 2)) & ~hole.all(axis=(1, 2)))
    if len(able) < 2:
        return None
    chosen = able[np.unique(np.linspace(0, len(able) - 1, _FRAMES).astype(int))].tolist()
    points = {
        number: find_points(cv2.cvtColor(frames[number], cv2.COLOR_RGB2GRAY), hole[number])
        for number in chosen
    }
    overlaps = [
        (hole[one] & hole[other]).sum() / (hole[one] | hole[other]).sum()
        for one, other in itertools.pairwise(chosen)
    ]
    shown = {number: np.zeros_like(hole[number]) for number in chosen}
    moves = []
    for one, other in itertools.permutations(chosen, 2):
        motion = camera_motion(points[one], points[other])
        if motion is None:
            continue
        # Pulls the other frame's known pixels to where they lie in this one.
        known = cv2.warpPerspective(
            (~hole[other]).astype(np.uint8),
            motion,
            hole.shape[:0:-1],
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        )
        shown[one] |= known > 0
        if abs(chosen.index(one) - chosen.index(other)) == 1:
            moves.append(_distance(motion, hole[one]))
    mask_moves = bool(np.mean(overlaps) < _OVERLAP)
    if not moves:
        return MaskCase(mask_moves, None, None)
    seen = sum((shown[number] & hole[number]).sum() for number in chosen)
    share = float(seen / sum(hole[number].sum() for number in chosen))
    return MaskCase(mask_moves, bool(np.median(moves) > _MOTION * hole.shape[1]), share)


def _distance(motion: np.ndarray, hole: np.ndarray) -> float:
    """How far a homography moves the middle of a hole, in pixels."""
    rows, columns = np.nonzero(hole)
    middle = np.array([[[columns.mean(), rows.mean()]]])
    return float(np.linalg.norm(cv2.perspectiveTransform(middle, motion) - middle))
