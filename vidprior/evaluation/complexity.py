"""Complexity of a clip: changes of appearance plus motion (section 4.2, Figure 7).

The paper defines two terms without units. Here:

    appearance   standard deviation, over the frames, of a frame's mean value on 0..255
    motion       mean magnitude of the flow's gradient, pixels per pixel: the root of the
                 squared derivatives of both components in x and y, of the flow from each
                 frame to the next

The complexity is their sum. Flow is OpenCV's DIS, so no weights are needed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vidprior.flow.dis import estimate_dis


class Complexity(NamedTuple):
    """The two terms, and their sum."""

    appearance: float
    motion: float

    @property
    def total(self) -> float:
        """The paper's measure."""
        return self.appearance + self.motion


def complexity(frames: np.ndarray) -> Complexity:
    """The complexity of a clip [T, H, W, 3] uint8 RGB.

    Raises:
      InputError: frames too small for flow.
    """
    motion = 0.0
    if len(frames) > 1:
        flows = estimate_dis(frames, offsets=(1,), source_sha256="")
        motion = float(np.mean([_gradient(flow) for flow in flows.flow[0, :-1]]))
    return Complexity(float(frames.mean(axis=(1, 2, 3)).std()), motion)


def split_by_complexity(totals: Sequence[float]) -> np.ndarray:
    """The complex half of the clips: [n] bool, True for the n // 2 largest totals.

    Of equal totals, later clips count as more complex.
    """
    order = np.argsort(totals, kind="stable")
    complex_half = np.zeros(len(order), bool)
    complex_half[order[len(order) - len(order) // 2 :]] = True
    return complex_half


def _gradient(flow: np.ndarray) -> float:
    """Mean magnitude of the gradient of a flow [H, W, 2], by central differences."""
    rows, columns = np.gradient(flow.astype(np.float64), axis=(0, 1))
    return float(np.sqrt(np.square(rows).sum(-1) + np.square(columns).sum(-1)).mean())
