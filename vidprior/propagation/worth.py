"""Which frames are most worth cleaning by hand: those that show most of what no frame shows.

Letters
    T  frames     H  rows     W  columns
"""

from typing import NamedTuple

import numpy as np

from vidprior.propagation.guess import covered, key_worth
from vidprior.propagation.peeling import fill_from_rim
from vidprior.propagation.propagate import camera_motions

# Frames that would show less than this share of what is unseen are not worth it.
_LEAST = 0.05


class Worth(NamedTuple):
    """A frame and what it is worth.

    Attributes:
      number: of the frame.
      share: of all unseen pixels, those that the frame would show and earlier ones would not.
    """

    number: int
    share: float


def frames_worth_cleaning(
    frames: np.ndarray, hole: np.ndarray, unseen: np.ndarray, *, count: int
) -> list[Worth]:
    """Selects frames one after the other; each is the best for what is left.

    Args:
      frames: [T, H, W, 3] uint8.
      hole: [T, H, W] bool.
      unseen: [T, H, W] bool, pixels of the hole that no frame shows.
      count: of frames, at most.

    Returns:
      The frames, the best one first; none if nothing is unseen.
    """
    total = int(unseen.sum())
    if not total:
        return []
    motion = camera_motions(fill_from_rim(frames, hole), hole)
    found: list[Worth] = []
    left = unseen.copy()
    for _ in range(count):
        worth = key_worth(left, motion)
        number = int(worth.argmax())
        if not worth[number]:
            break
        shown = np.stack(
            [
                left[other] & covered(left[number], motion, number, other)
                for other in range(len(left))
            ]
        )
        if shown.sum() < _LEAST * total:
            break
        found.append(Worth(number, float(shown.sum() / total)))
        left &= ~shown
    return found
