"""Complexity: by hand where flow is known, and its order where it is estimated."""

import cv2
import numpy as np
import pytest

from vidprior.evaluation import complexity
from vidprior.types import Flows


def picture(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(60, 190, (height // 6, width // 6, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def test_still_clip_has_none():
    found = complexity.complexity(np.repeat(picture(48, 64)[None], 3, axis=0))
    assert found == (0, pytest.approx(0, abs=1e-3))


def test_appearance_by_hand():
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    frames[:] = np.array([10, 20, 10, 20])[:, None, None, None]
    assert complexity.complexity(frames).appearance == pytest.approx(5)


def test_motion_by_hand(monkeypatch):
    """x + 0.3 column, y + 0.4 row: a gradient of (0.3, 0.4), 0.5 long, everywhere."""
    rows, columns = np.mgrid[:16, :20]
    flow = np.zeros((1, 3, 16, 20, 2))
    flow[0, :2] = np.stack([0.3 * columns, 0.4 * rows], axis=-1)
    flow[0, 2] = np.nan  # the last frame has no next one
    flows = Flows(np.array([1]), flow, None, None, "", "")
    monkeypatch.setattr(complexity, "estimate_dis", lambda *_, **__: flows)
    found = complexity.complexity(np.full((3, 16, 20, 3), 9, np.uint8))
    assert found.motion == pytest.approx(0.5)
    assert found.total == pytest.approx(0.5)


def test_parallax_is_more_complex_than_a_pan():
    world = picture(48, 96)
    pan = np.stack([world[:, 2 * t : 2 * t + 64] for t in range(4)])
    parts = pan.copy()
    for t in range(4):
        parts[t, 24:] = world[24:, 32 - 4 * t : 96 - 4 * t]
    assert complexity.complexity(parts).motion > 2 * complexity.complexity(pan).motion


def test_one_frame_does_not_move():
    assert complexity.complexity(picture(48, 64)[None]).total == 0


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ([3.0, 1.0, 2.0, 4.0], [True, False, False, True]),
        ([3.0, 1.0, 2.0], [True, False, False]),
        ([1.0, 1.0], [False, True]),
        ([5.0], [False]),
        ([], []),
    ],
)
def test_halves(totals, expected):
    assert complexity.split_by_complexity(totals).tolist() == expected
