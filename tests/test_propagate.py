"""Known pixels carried along the flow: by hand, and against the truth of moving pictures."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidprior import propagate

H, W = 24, 32


def picture(height, width, seed=0):
    """A smooth random picture, [height, width, 3] uint8."""
    random = np.random.default_rng(seed)
    return cv2.GaussianBlur(random.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 1.5)


def panned(count, *, x, y=0):
    """Frames whose content moves by (x, y) whole pixels each, and their flows both ways."""
    large = picture(H + 80, W + 80)
    frames = np.stack(
        [large[40 - y * t : 40 - y * t + H, 40 - x * t : 40 - x * t + W] for t in range(count)]
    )
    flow = np.broadcast_to(np.array([x, y], np.float32), (count, H, W, 2))
    return frames, flow, -flow


def still(*values):
    """Frames of one grey each, with no motion."""
    frames = np.stack([np.full((H, W, 3), value, np.uint8) for value in values])
    none = np.zeros((len(values), H, W, 2), np.float32)
    return frames, none, none


def block(count, frames=None, rows=(8, 14), columns=(10, 18)):
    """A hole in the same place of the given frames, of all by default."""
    hole = np.zeros((count, H, W), bool)
    for frame in range(count) if frames is None else frames:
        hole[frame, slice(*rows), slice(*columns)] = True
    return hole


def damaged(frames, hole):
    return np.where(hole[..., None], 255, frames).astype(np.uint8)


def test_a_standing_pixel_comes_from_the_frames_beside_it():
    frames, there, back = still(100, 0, 120)
    hole = block(3, [1])
    made = propagate.propagate(frames, hole, there, back)
    assert (made.frames[1][hole[1]] == 110).all()
    # One hop from either side, no miss; the colours differ by 20.
    assert np.allclose(made.confidence[1][hole[1]], 0.95 * np.exp(-0.5), atol=1e-3)
    assert made.confidence.dtype == np.float16


def test_confidence_falls_with_every_hop():
    frames, there, back = still(7, 0, 0, 0)
    hole = block(4, [1, 2, 3])
    made = propagate.propagate(frames, hole, there, back)
    for frame in (1, 2, 3):
        assert (made.frames[frame] == np.where(hole[frame, ..., None], 7, frames[frame])).all()
        assert np.allclose(made.confidence[frame][hole[frame]], 0.95**frame, atol=1e-3)


def test_confidence_falls_with_the_misses_of_all_hops():
    """There 0.6 to the right, back 0: a squared miss of 0.36 at each of two hops."""
    frames, _, back = still(0, 0, 50)
    there = np.broadcast_to(np.array([0.6, 0], np.float32), (3, H, W, 2))
    hole = block(3, [0, 1], columns=(10, 26))
    made = propagate.propagate(frames, hole, there, back)
    inner = (slice(9, 13), slice(10, 24))
    assert (made.frames[0][inner] == 50).all()
    assert np.allclose(made.confidence[0][inner], np.exp(-0.36) * 0.95**2, atol=1e-3)


def test_what_pans_behind_a_standing_hole_is_found_again():
    """Two pixels a frame through a hole of eight: four hops at most, from the right side."""
    truth, there, back = panned(9, x=2, y=1)
    hole = block(9)
    made = propagate.propagate(damaged(truth, hole), hole, there, back)
    np.testing.assert_array_equal(made.frames, truth)
    # The left column needs four hops forwards, and one backwards: nearest first.
    assert made.confidence[4, 12, 10] == pytest.approx(0.95, abs=1e-3)
    assert made.confidence[4, 8, 17] == pytest.approx(0.95, abs=1e-3)


def test_a_colour_is_sampled_once():
    """Twice half a pixel is a whole one: sampled at every hop, an impulse would be spread."""
    frames = np.zeros((3, H, W, 3), np.uint8)
    frames[2, 10, 15] = 200
    there = np.broadcast_to(np.array([0.5, 0], np.float32), (3, H, W, 2))
    hole = block(3, [0, 1])
    made = propagate.propagate(frames, hole, there, -there)
    expected = np.zeros((H, W, 3))
    expected[10, 14] = 200
    np.testing.assert_array_equal(made.frames[0], expected)


def test_a_sample_takes_in_no_pixel_of_a_hole():
    """Half a pixel from the hole of the next frame: the path goes on to the one after."""
    frames, _, _ = still(0, 250, 80)
    there = np.broadcast_to(np.array([0.5, 0], np.float32), (3, H, W, 2))
    hole = block(3, [0], columns=(10, 11)) | block(3, [1], columns=(11, 12))
    made = propagate.propagate(frames, hole, there, -there)
    assert (made.frames[0, 8:14, 10] == 80).all()


@pytest.mark.parametrize(("x", "returned"), [(3, 3), (-100, 100)])
def test_paths_that_do_not_come_back_or_leave_the_frame_carry_nothing(x, returned):
    frames, none, _ = still(10, 60, 110)
    frames[1] = picture(H, W)
    hole = block(3, [1])
    there, back = none.copy(), none.copy()
    there[..., 0], back[..., 0] = x, returned
    made = propagate.propagate(frames, hole, there, back)
    assert not made.confidence.any()
    inpainted = cv2.inpaint(frames[1], hole[1].astype(np.uint8), 3.0, cv2.INPAINT_TELEA)
    np.testing.assert_array_equal(made.frames[1][hole[1]], inpainted[hole[1]])


def test_a_frame_that_is_all_hole_and_out_of_reach_repeats_its_neighbour():
    frames, there, _ = still(10, 60, 110)
    hole = np.zeros((3, H, W), bool)
    hole[2] = True
    made = propagate.propagate(frames, hole, there + 3, there + 3)
    assert (made.frames[2] == 60).all()
    assert not made.confidence.any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_known_pixels_stay_and_confidence_is_of_the_hole(seed):
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (4, H, W, 3), np.uint8)
    hole = random.random((4, H, W)) < random.random()
    flows = random.normal(0, 0.5, (2, 4, H, W, 2)).astype(np.float32)
    made = propagate.propagate(frames, hole, *flows)
    np.testing.assert_array_equal(made.frames[~hole], frames[~hole])
    assert not made.confidence[~hole].any()
    assert ((made.confidence >= 0) & (made.confidence <= 1)).all()


def test_flow_behind_the_hole_is_that_of_its_surroundings():
    """Whatever the hole shows: even where it is all there is of a frame."""
    frames, there, back = panned(4, x=2)
    hole = block(4)
    shown = damaged(frames, hole)
    to_next, to_previous = propagate.flow_behind(shown, hole)
    assert np.abs(to_next[:-1] - there[:-1])[hole[:-1]].max() < 0.5
    assert np.abs(to_previous[1:] - back[1:])[hole[1:]].max() < 0.5
    assert not to_next[-1].any()
    assert not to_previous[0].any()
    hidden = np.where(hole[..., None], picture(H, W, seed=3), frames)
    other, _ = propagate.flow_behind(hidden, hole)
    np.testing.assert_array_equal(other, to_next)
    hole[1] = True
    to_next, _ = propagate.flow_behind(shown, hole)
    assert np.isfinite(to_next).all()
