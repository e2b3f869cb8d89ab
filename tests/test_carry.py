"""A painted mask follows an object whose motion is known."""

import cv2
import numpy as np
import pytest

from vidprior.carry import carry, move

T, H, W = 6, 60, 90


def similarity(angle, scale, shift):
    """[2, 3]: turn by degrees and scale about the origin, then shift."""
    c, s = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def compose(outer, inner):
    return (np.vstack([outer, [0, 0, 1]]) @ np.vstack([inner, [0, 0, 1]]))[:2]


def field(motion):
    """[H, W, 2]: the flow of a motion of the whole picture."""
    y, x = np.mgrid[:H, :W].astype(np.float64)
    points = np.stack([x, y, np.ones_like(x)], axis=-1)
    return (points @ motion.T - points[..., :2]).astype(np.float32)


@pytest.fixture(scope="module")
def scene():
    """A textured picture that moves as one by `step` from frame to frame, and its flow."""
    step = similarity(2, 1.01, (3, -0.5))
    inverse = cv2.invertAffineTransform(step)
    random = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
    first = cv2.GaussianBlur(random, (0, 0), 2)
    frames, motions = [first], [np.eye(2, 3)]
    for _ in range(1, T):
        motions.append(compose(step, motions[-1]))
        frames.append(cv2.warpAffine(first, motions[-1], (W, H)))
    to_next = np.stack([field(step)] * T)
    to_previous = np.stack([field(inverse)] * T)
    return np.stack(frames), to_next, to_previous, motions


@pytest.fixture
def painted():
    mask = np.zeros((H, W), bool)
    mask[20:40, 25:50] = True
    mask[25:28, 50:60] = True  # a thin part
    return mask


@pytest.mark.parametrize("start", [0, 3, T - 1])
def test_the_motion_is_found_both_ways(scene, painted, start):
    frames, to_next, to_previous, motions = scene
    carried = carry(painted, start, frames, to_next, to_previous)
    back = cv2.invertAffineTransform(motions[start])
    corners = np.array([[25, 20, 1], [50, 20, 1], [25, 40, 1], [60, 26, 1]], float)
    for number in range(T):
        expected = corners @ compose(motions[number], back).T
        assert np.abs(corners @ carried.motion[number].T - expected).max() < 0.1
    assert carried.confidence[start] == 1
    assert (carried.confidence > 0.8).all()


def test_another_object_in_its_place_costs_confidence(scene, painted):
    frames, to_next, to_previous, motions = scene
    frames = frames.copy()
    hidden = move(painted, motions[4])
    frames[4][hidden] = np.random.default_rng(1).integers(0, 256, (hidden.sum(), 3))
    confidence = carry(painted, 0, frames, to_next, to_previous).confidence
    assert confidence[4] < 0.3
    assert confidence[[1, 2, 3, 5]].min() > 0.8


def test_flow_that_does_not_agree_loses_the_object(scene, painted):
    frames, to_next, to_previous, _ = scene
    to_previous = to_previous.copy()
    to_previous[3] += 20
    carried = carry(painted, 0, frames, to_next, to_previous)
    assert (carried.confidence[:3] > 0.8).all()
    assert (carried.confidence[3:] == 0).all()


def test_an_object_that_leaves_the_picture_is_lost(scene, painted):
    frames, _, _, _ = scene
    away, back = field(similarity(0, 1, (60, 0))), field(similarity(0, 1, (-60, 0)))
    carried = carry(painted, 0, frames, np.stack([away] * T), np.stack([back] * T))
    assert (carried.confidence[2:] == 0).all()


def test_an_object_of_one_colour_has_no_likeness(painted):
    still = np.zeros((T, H, W, 2), np.float32)
    carried = carry(painted, 0, np.full((T, H, W, 3), 7, np.uint8), still, still)
    assert carried.confidence.tolist() == [1, 0, 0, 0, 0, 0]


def test_moving_by_whole_pixels(painted):
    moved = move(painted, np.array([[1, 0, 4], [0, 1, -3.0]]))
    assert np.array_equal(moved[:-3, 4:], painted[3:, :-4])


@pytest.mark.parametrize("scale", [(2, 2), (3, 2)])
def test_a_motion_found_at_a_smaller_size(painted, scale):
    """Four columns and three rows there are 4 * scale and 3 * scale here."""
    across, down = scale
    large = painted.repeat(down, axis=0).repeat(across, axis=1)
    moved = move(large, np.array([[1, 0, 4], [0, 1, 3.0]]), scale=scale)
    expected = move(painted, np.array([[1, 0, 4], [0, 1, 3.0]]))
    assert np.array_equal(moved, expected.repeat(down, axis=0).repeat(across, axis=1))


def test_a_turn_at_a_smaller_size_turns_about_the_same_point(painted):
    """Half a turn about the centre of the small picture is one about that of the large."""
    about = np.array([[-1, 0, W - 1], [0, -1, H - 1.0]])
    large = painted.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(move(large, about, scale=(2, 2)), large[::-1, ::-1])
