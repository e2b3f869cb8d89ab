"""Painted background is told from an object."""

import numpy as np
import pytest

from vidprior.tracking.background import _faster, seems_background

SIZE = (60, 80)


@pytest.fixture
def scene():
    frame = np.random.default_rng(0).integers(0, 100, (*SIZE, 3), np.uint8)
    mask = np.zeros(SIZE, bool)
    mask[20:40, 30:50] = True
    return frame, mask


def test_pairs_are_counted():
    assert _faster(np.array([1, 3]), np.array([0, 2])) == pytest.approx(3 / 4)
    assert _faster(np.zeros(3), np.zeros(5)) == pytest.approx(1 / 2)


def test_what_looks_and_moves_as_its_surroundings_is_background(scene):
    frame, mask = scene
    assert seems_background(frame, np.zeros(SIZE, np.float32), mask)


def test_motion_or_colours_make_an_object(scene):
    frame, mask = scene
    assert not seems_background(frame, np.where(mask, 2, 0).astype(np.float32), mask)
    frame = np.where(mask[..., None], frame + 150, frame).astype(np.uint8)
    assert not seems_background(frame, np.zeros(SIZE, np.float32), mask)
