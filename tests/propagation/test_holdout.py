"""Holes moved to where the clip is known."""

import numpy as np
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st

from vidprior.propagation.holdout import holdout_frames, holdout_mask


def block(count=6, height=30, width=40, rows=(5, 12), columns=(4, 12)):
    hole = np.zeros((count, height, width), bool)
    hole[:, slice(*rows), slice(*columns)] = True
    return hole


def test_a_standing_block_is_moved_whole():
    hole = block()
    moved = holdout_mask(hole, seed=0)
    assert moved.sum() == hole.sum()
    for frame in moved:
        rows, columns = np.nonzero(frame)
        assert np.ptp(rows) == 6
        assert np.ptp(columns) == 7


def test_some_frames_in_the_middle_hold_out_what_all_would():
    hole = block(count=9)
    every, some = holdout_mask(hole, seed=0), holdout_mask(hole, seed=0, frames=4)
    np.testing.assert_array_equal(some[2:6], every[2:6])
    assert not some[:2].any()
    assert not some[6:].any()
    np.testing.assert_array_equal(holdout_mask(hole, seed=0, frames=20), every)


def test_its_motion_is_that_of_the_hole():
    """A block that goes right by one pixel a frame goes right, or left where time turns."""
    hole = np.zeros((8, 30, 60), bool)
    for t in range(8):
        hole[t, 4:9, 5 + t : 10 + t] = True
    moved = holdout_mask(hole, seed=3)
    assert moved.any(axis=(1, 2)).all()
    left = np.array([np.nonzero(frame)[1].min() for frame in moved])
    assert (np.abs(np.diff(left)) <= 1).all()


@examples(30)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_it_never_touches_the_hole(seed, density):
    hole = np.random.default_rng(seed).random((3, 9, 11)) < density
    moved = holdout_mask(hole, seed=seed)
    assert moved.shape == hole.shape
    assert not (moved & hole).any()
    assert moved.sum() <= 3 * hole.sum(axis=(1, 2)).max(initial=0)
    assert moved.sum() <= 0.3 * (~hole).sum()


def test_of_half_a_frame_a_part_is_held_out():
    hole = np.zeros((4, 20, 40), bool)
    hole[:, :, :20] = True
    moved = holdout_mask(hole, seed=0)
    assert 0.1 * (~hole).sum() < moved.sum() <= 0.3 * (~hole).sum()


def test_the_seed_decides():
    one, same, other = (holdout_mask(block(), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_without_a_hole_or_without_room_there_is_none():
    assert not holdout_mask(np.zeros((2, 8, 8), bool), seed=0).any()
    assert not holdout_mask(np.ones((2, 8, 8), bool), seed=0).any()


def test_frames_with_held_out_pixels_are_spread_over_the_clip():
    """Of frames 2 to 9, every second; all of them where there are fewer than are wanted."""
    hole = np.zeros((12, 4, 4), bool)
    hole[2:10, 1, 1] = True
    assert holdout_frames(hole, count=4) == [2, 4, 6, 8]
    assert holdout_frames(hole, count=100) == [*range(2, 10)]
    assert holdout_frames(np.zeros_like(hole), count=4) == []
