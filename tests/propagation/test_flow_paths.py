"""Paths along the flow: by hand, and against the truth of moving pictures."""

import cv2
import numpy as np
import pytest

from vidprior.propagation.flow_paths import follow_flow

H, W = 24, 32


def picture(height, width, seed=0):
    """A smooth random picture, [height, width, 3] uint8."""
    random = np.random.default_rng(seed)
    return cv2.GaussianBlur(random.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 1.5)


def still(*values):
    """Frames of one grey each, and no motion."""
    frames = np.stack([np.full((H, W, 3), value, np.uint8) for value in values])
    return frames, np.zeros((len(values), H, W, 2), np.float32)


def moving(count, x, y=0):
    return np.broadcast_to(np.array([x, y], np.float32), (count, H, W, 2))


def block(count, frames, rows=(8, 14), columns=(10, 18)):
    """A hole in the same place of the given frames."""
    hole = np.zeros((count, H, W), bool)
    hole[frames, slice(*rows), slice(*columns)] = True
    return hole


def expected_error(trust):
    return pytest.approx(10 + 40 * (1 - trust), abs=1e-3)


def test_a_standing_pixel_comes_from_the_frame_beside_it():
    frames, none = still(100, 0, 120)
    hole = block(3, [1])
    for step, value in ((1, 120), (-1, 100)):
        found = follow_flow(1, frames, hole, none, none, step=step)
        assert (found.colour == value).all()
        assert found.error == expected_error(0.95)
    assert found.colour.shape == (48, 3)
    assert found.colour.dtype == found.error.dtype == np.float32


def test_the_error_grows_with_every_hop():
    frames, none = still(7, 0, 0, 0)
    hole = block(4, [1, 2, 3])
    for frame in (1, 2, 3):
        found = follow_flow(frame, frames, hole, none, none, step=-1)
        assert (found.colour == 7).all()
        assert found.error == expected_error(0.95**frame)


def test_the_error_grows_with_the_misses_of_all_hops():
    """There 0.6 to the right, back 0: a squared miss of 0.36 at each of two hops."""
    frames, none = still(0, 0, 50)
    hole = block(3, [0, 1])
    hole[2, 8:14, 10:12] = True  # the first columns find nothing
    found = follow_flow(0, frames, hole, moving(3, 0.6), none, step=1)
    seen = np.isfinite(found.error)
    assert 0 < seen.sum() < seen.size
    assert (found.colour[seen] == 50).all()
    hops_two = found.error[found.colour[:, 0] == 50]
    assert hops_two.max() == expected_error(np.exp(-0.36) * 0.95**2)


def test_what_pans_behind_a_standing_hole_is_found_again():
    """Two pixels a frame through a hole of eight: four hops at most."""
    large = picture(H, W + 80)
    truth = np.stack([large[:, 40 - 2 * t : 40 - 2 * t + W] for t in range(9)])
    hole = block(9, slice(None))
    blank = np.where(hole[..., None], 255, truth).astype(np.uint8)
    found = follow_flow(4, blank, hole, moving(9, 2), moving(9, -2), step=1)
    np.testing.assert_array_equal(found.colour, truth[4][hole[4]])
    columns = np.nonzero(hole[4])[1]
    for column, hops in ((10, 4), (11, 4), (12, 3), (17, 1)):
        assert found.error[columns == column] == expected_error(0.95**hops)


def test_a_colour_is_sampled_once():
    """Twice half a pixel is a whole one: sampled at every hop, an impulse would be spread."""
    frames = np.zeros((3, H, W, 3), np.uint8)
    frames[2, 10, 15] = 200
    hole = block(3, [0, 1])
    found = follow_flow(0, frames, hole, moving(3, 0.5), moving(3, -0.5), step=1)
    expected = np.zeros((H, W, 3))
    expected[10, 14] = 200
    np.testing.assert_array_equal(found.colour, expected[hole[0]])


def test_a_sample_takes_in_no_pixel_of_a_hole():
    """Half a pixel from the hole of the next frame: the path goes on to the one after."""
    frames, _ = still(0, 250, 80)
    hole = block(3, [0], columns=(10, 11)) | block(3, [1], columns=(11, 12))
    found = follow_flow(0, frames, hole, moving(3, 0.5), moving(3, -0.5), step=1)
    assert (found.colour == 80).all()


@pytest.mark.parametrize(("x", "returned"), [(3, 3), (-100, 100)])
def test_paths_that_do_not_come_back_or_leave_the_frame_find_nothing(x, returned):
    frames, _ = still(10, 60, 110)
    found = follow_flow(1, frames, block(3, [1]), moving(3, x), moving(3, returned), step=1)
    assert np.isinf(found.error).all()


def test_nothing_lies_beyond_the_clip():
    frames, none = still(10, 60)
    assert np.isinf(follow_flow(1, frames, block(2, [1]), none, none, step=1).error).all()
