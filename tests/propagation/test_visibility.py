"""Which pixels of a hole are seen in no frame."""

import numpy as np
import pytest

from vidprior.propagation.visibility import never_seen

T, H, W = 8, 30, 60


def uniform(x, y=0.0):
    return np.broadcast_to(np.array([x, y], np.float32), (T, H, W, 2))


def standing(left, right):
    hole = np.zeros((T, H, W), bool)
    hole[:, 10:20, left:right] = True
    return hole


def test_behind_a_standing_hole_nothing_appears_where_nothing_moves():
    hole = standing(20, 30)
    assert np.array_equal(never_seen(hole, uniform(0), uniform(0)), hole)


def test_a_hole_that_moves_on_shows_what_was_behind_it():
    """Two columns a frame: after 7 frames it has moved by 14, and is only 10 wide."""
    hole = np.zeros((T, H, W), bool)
    for t in range(T):
        hole[t, 10:20, 5 + 2 * t : 15 + 2 * t] = True
    assert not never_seen(hole, uniform(0), uniform(0)).any()


def test_what_a_moving_hole_never_leaves_is_not_seen():
    """One column a frame, seven in all, ten wide: columns 12 to 14 are always hole."""
    hole = np.zeros((T, H, W), bool)
    for t in range(T):
        hole[t, 10:20, 5 + t : 15 + t] = True
    expected = np.zeros((T, H, W), bool)
    expected[:, 10:20, 12:15] = True
    assert np.array_equal(never_seen(hole, uniform(0), uniform(0)), expected)


@pytest.mark.parametrize("speed", [0.4, 1.5])
def test_a_camera_that_pans_looks_behind_a_standing_hole(speed):
    """Within t frames the picture moves by speed * t under a hole of 10 columns."""
    hole = standing(20, 30)
    unseen = never_seen(hole, uniform(speed), uniform(-speed))
    for t in range(T):
        onwards, back = speed * (T - 1 - t), speed * t
        hidden = [x for x in range(20, 30) if x + onwards < 29.5 and x - back > 19.5]
        # Sampling between pixels blurs the border by about one.
        assert abs(unseen[t, 15].sum() - len(hidden)) <= 1
    assert not (unseen & ~hole).any()


def test_what_comes_from_outside_the_frame_is_not_seen():
    hole = np.zeros((T, H, W), bool)
    hole[:, :, :5] = True  # the picture moves out to the left
    unseen = never_seen(hole, uniform(-2), uniform(2))
    assert unseen[0, :, :5].all()
    assert not unseen[3:].any()  # six columns further right, three frames ago


def test_the_objects_own_flow_is_not_believed():
    """Within the hole, and just around it, the flow is that of the object, which stays."""
    hole = standing(20, 30)
    on, back = np.array(uniform(2)), np.array(uniform(-2))
    on[:, 9:21, 19:31] = back[:, 9:21, 19:31] = 0
    assert np.array_equal(never_seen(hole, on, back), never_seen(hole, uniform(2), uniform(-2)))


def test_one_frame_shows_nothing_else():
    hole = standing(20, 30)[:1]
    flow = np.zeros((1, H, W, 2), np.float32)
    assert np.array_equal(never_seen(hole, flow, flow), hole)
