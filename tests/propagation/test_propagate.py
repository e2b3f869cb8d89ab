"""Known pixels propagated into the hole, against the truth of moving pictures."""

import cv2
import numpy as np
import pytest
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st

from vidprior.errors import InputError
from vidprior.flow.dis import fill_hole
from vidprior.propagation import propagate

H, W = 48, 64


def picture(height, width, seed=0):
    """A smooth random picture, [height, width, 3] uint8."""
    random = np.random.default_rng(seed)
    return cv2.GaussianBlur(random.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 1.5)


def panned(count, *, x, y=0):
    """Frames whose content moves by (x, y) whole pixels each, and their flows both ways."""
    large = picture(H + 80, W + 120)
    frames = np.stack(
        [large[40 - y * t : 40 - y * t + H, 60 - x * t : 60 - x * t + W] for t in range(count)]
    )
    flow = np.broadcast_to(np.array([x, y], np.float32), (count, H, W, 2))
    return frames, flow, -flow


def block(count, rows=(18, 28), columns=(24, 34)):
    """A hole in the same place of all frames."""
    hole = np.zeros((count, H, W), bool)
    hole[:, slice(*rows), slice(*columns)] = True
    return hole


def damaged(frames, hole, value=255):
    return np.where(hole[..., None], value, frames).astype(np.uint8)


def deviation(made, truth, hole):
    return np.sqrt(np.square(made.frames[hole].astype(float) - truth[hole]).mean())


def test_what_pans_behind_a_standing_hole_is_found_again():
    truth, _, _ = panned(9, x=2, y=1)
    hole = block(9)
    made = propagate.propagate(damaged(truth, hole), hole)
    rim = fill_hole(truth, hole)
    assert deviation(made, truth, hole) < 10
    assert deviation(made, truth, hole) < 0.4 * deviation(made._replace(frames=rim), truth, hole)
    assert made.confidence[hole].mean() > 0.5
    assert made.confidence.dtype == np.float16


def test_a_fast_pan_is_found_by_the_camera_alone():
    """Half the width between neighbours: no flow reaches so far."""
    truth, _, _ = panned(3, x=30)
    hole = block(3, rows=(20, 26), columns=(40, 46))
    blank = damaged(truth, hole)
    assert deviation(propagate.propagate(blank, hole), truth, hole) < 25


def test_what_stands_still_behind_a_standing_hole_is_filled_from_its_rim():
    truth, _, _ = panned(4, x=0)
    hole = block(4)
    made = propagate.propagate(damaged(truth, hole), hole)
    rim = fill_hole(truth, hole)
    assert np.abs(made.frames.astype(int) - rim).max() <= 1
    # 12 at the rim and 240 times five pixels of 48 in the middle.
    assert made.confidence[0, 23, 29] == pytest.approx(
        1 / (1 + (12 + 240 * 5 / 48) ** 2 / 100), rel=0.01
    )


def test_the_hole_is_traced_to_where_it_was_seen():
    """A pan by (2, 1): what a pixel shows stands, d frames on, 2 d to the right and d below."""
    truth, _, _ = panned(9, x=2, y=1)
    hole = block(9)
    made = propagate.propagate(damaged(truth, hole), hole)
    time, row, column = np.nonzero(hole)
    frame, place = made.origins.frame[:, 0], made.origins.place[:, 0]
    sure = (frame >= 0) & (made.confidence[hole] > 0.5)
    assert sure.mean() > 0.5
    later = (frame - time)[sure]
    assert np.median(np.abs(place[sure, 0] - column[sure] - 2 * later)) < 0.3
    assert np.median(np.abs(place[sure, 1] - row[sure] - later)) < 0.3
    weight = made.origins.weight
    assert (np.diff(weight, axis=1) <= 0).all()
    assert (weight.sum(axis=1) <= 1 + 1e-5).all()
    assert not weight[made.origins.frame < 0].any()


def test_what_is_held_out_is_filled_but_serves_the_hole_all_the_same():
    truth, _, _ = panned(9, x=2, y=1)
    hole, holdout = block(9), block(9, columns=(44, 52))
    alone = propagate.propagate(damaged(truth, hole), hole)
    made = propagate.propagate(damaged(truth, hole), hole, holdout)
    assert deviation(made, truth, holdout) < 15
    assert deviation(made, truth, hole) < deviation(alone, truth, hole) + 1
    assert (made.confidence[holdout] > 0).all()
    np.testing.assert_array_equal(made.held_out, holdout)
    outside = ~(hole | holdout)
    np.testing.assert_array_equal(made.frames[outside], truth[outside])
    assert len(made.origins.frame) == hole.sum()


def test_the_content_of_the_hole_has_no_effect():
    truth, _, _ = panned(5, x=3)
    hole = block(5)
    one, other = (
        propagate.propagate(damaged(truth, hole, value), hole)
        for value in (0, picture(H, W, seed=3))
    )
    np.testing.assert_array_equal(one.frames, other.frames)
    np.testing.assert_array_equal(one.confidence, other.confidence)
    for kept, same in zip(one.origins, other.origins, strict=True):
        np.testing.assert_array_equal(kept, same)


@pytest.mark.parametrize("all_hole", [[1], [0, 1, 2, 3]])
def test_frames_that_are_all_hole_are_filled_from_others(all_hole):
    truth, _, _ = panned(4, x=1)
    hole = block(4)
    hole[all_hole] = True
    made = propagate.propagate(truth, hole)
    if len(all_hole) < 4:
        assert deviation(made, truth, hole) < 40
    else:
        assert not made.frames.any()
        assert made.confidence.max() < 0.01


def test_frames_without_a_hole_stay():
    truth, _, _ = panned(3, x=1)
    hole = block(3)
    hole[1] = False
    made = propagate.propagate(truth, hole)
    np.testing.assert_array_equal(made.frames[1], truth[1])
    assert not made.confidence[1].any()


@examples(8)
@given(st.integers(0, 2**32 - 1))
def test_known_pixels_stay_and_confidence_is_of_the_hole(seed):
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (3, H, W, 3), np.uint8)
    hole = random.random((3, H, W)) < random.random()
    made = propagate.propagate(frames, hole)
    np.testing.assert_array_equal(made.frames[~hole], frames[~hole])
    assert not made.confidence[~hole].any()
    assert ((made.confidence >= 0) & (made.confidence <= 1)).all()


def test_frames_too_small_for_flow_are_refused():
    with pytest.raises(InputError, match="flow needs 16"):
        propagate.propagate(np.zeros((2, 8, 40, 3), np.uint8), np.zeros((2, 8, 40), bool))
