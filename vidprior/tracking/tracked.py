"""The masks of a clip, and how much they can be relied on.

Letters
    T  frames     h, w  rows and columns of the clip
"""

import itertools
import types
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

# Below this confidence a mask should be looked at.
CONFIDENT = 0.6


class Tracked(NamedTuple):
    """The masks of a clip.

    Attributes:
      masks: [T, h, w] bool.
      confidence: [T] float32 in [0, 1]; 1 in painted frames, and where the object is absent.
      painted: the painted masks [h, w] bool, by frame number, or the one found at a point; empty
        where the object is absent.
      clip: SHA-256 of the frames at working size; empty if unknown.
      marks: the marks [h, w] int8, by frame number.
      doubtful: painted frames in which what is painted cannot be told from what is around it.
    """

    masks: np.ndarray
    confidence: np.ndarray
    painted: Mapping[int, np.ndarray]
    clip: str = ""
    marks: Mapping[int, np.ndarray] = types.MappingProxyType({})
    doubtful: tuple[int, ...] = ()

    @property
    def weakest(self) -> int | None:
        """The frame whose painting would help most; None if all masks are confident.

        It is the middle of the longest run of frames below `CONFIDENT`.
        """
        runs = [
            list(run)
            for weak, run in itertools.groupby(
                range(len(self.confidence)), lambda t: bool(self.confidence[t] < CONFIDENT)
            )
            if weak
        ]
        if not runs:
            return None
        longest = max(runs, key=len)
        return longest[len(longest) // 2]
