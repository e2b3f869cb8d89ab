"""A painted mask follows an object whose motion is known."""

import cv2
import numpy as np
import pytest

from vidprior.tracking.rigid import CONFIDENT, move_mask, track_mask

T, H, W = 6, 60, 90


def between(to_next, to_previous):
    """Flow between neighbouring frames, from both of a clip's flows."""
    return lambda here, there: to_next[here] if there > here else to_previous[here]


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
    step = similarity(0, 1.01, (3, -0.5))
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
    tracked = track_mask(painted, start, frames, between(to_next, to_previous))
    back = cv2.invertAffineTransform(motions[start])
    corners = np.array([[25, 20, 1], [50, 20, 1], [25, 40, 1], [60, 26, 1]], float)
    for number in range(T):
        expected = corners @ compose(motions[number], back).T
        assert np.abs(corners @ tracked.motion[number].T - expected).max() < 0.1
    assert tracked.confidence[start] == 1
    assert (tracked.confidence > 0.8).all()


@pytest.fixture(scope="module")
def passing():
    """An object of 14 x 14 pixels goes right by 3 before a background that goes left by 4.

    Frames, both flows, and where the object is: [T, H, W] bool. Flow in the object's place is
    its own, elsewhere the background's.
    """
    random = np.random.default_rng(2)
    ground, patch = (
        cv2.GaussianBlur(random.integers(0, 256, (*size, 3), np.uint8), (0, 0), 2)
        for size in ((H, W + 4 * T), (14, 14))
    )
    frames = np.stack([ground[:, 4 * t : 4 * t + W] for t in range(T)])
    places = np.zeros((T, H, W), bool)
    to_next = np.zeros((T, H, W, 2), np.float32)
    to_next[..., 0] = -4
    for t in range(T):
        place = np.s_[t, 20:34, 30 + 3 * t : 44 + 3 * t]
        frames[place], places[place], to_next[place] = patch, True, (3, 0)
    return frames, to_next, -to_next, places


def test_what_moves_against_the_background_is_followed(passing):
    """Though most of what is painted is background, here of one colour."""
    frames, to_next, to_previous, places = passing
    frames = np.where(places[..., None], frames, np.uint8(128))
    painted = np.zeros((H, W), bool)
    painted[10:44, 20:60] = True
    motion = track_mask(painted, 0, frames, between(to_next, to_previous)).motion
    for t in range(T):
        assert np.allclose(motion[t], similarity(0, 1, (3 * t, 0)), atol=1e-3)


@pytest.mark.parametrize("start", [0, T - 1])
def test_an_object_is_found_again(passing, start):
    """Two frames hide it, and no flow leads past them."""
    frames, to_next, to_previous, places = (array.copy() for array in passing)
    random = np.random.default_rng(3)
    frames[2:4] = random.integers(0, 256, frames[2:4].shape)
    to_next[1:4], to_previous[2:5] = 20, 20
    tracked = track_mask(places[start], start, frames, between(to_next, to_previous))
    assert (tracked.confidence[2:4] < CONFIDENT).all()
    seen = [t for t in range(T) if t not in (2, 3)]
    assert (tracked.confidence[seen] > 0.95).all()
    for t in seen:
        assert np.array_equal(move_mask(places[start], tracked.motion[t]), places[t])


def test_another_object_in_its_place_costs_confidence(scene, painted):
    frames, to_next, to_previous, motions = scene
    frames = frames.copy()
    hidden = move_mask(painted, motions[4])
    frames[4][hidden] = np.random.default_rng(1).integers(0, 256, (hidden.sum(), 3))
    confidence = track_mask(painted, 0, frames, between(to_next, to_previous)).confidence
    assert confidence[4] < CONFIDENT
    assert confidence[[1, 2, 3, 5]].min() > 0.8


def test_an_object_that_is_gone_is_lost(passing):
    frames, to_next, to_previous, places = (array.copy() for array in passing)
    frames[2:] = np.roll(frames[2:], 30, axis=1)
    frames[2:][np.roll(places[2:], 30, axis=1)] = 128
    confidence = track_mask(places[0], 0, frames, between(to_next, to_previous)).confidence
    assert (confidence[:2] > 0.95).all()
    assert (confidence[2:] < CONFIDENT).all()


def test_an_object_of_one_colour_has_no_likeness(painted):
    still = np.zeros((T, H, W, 2), np.float32)
    tracked = track_mask(painted, 0, np.full((T, H, W, 3), 7, np.uint8), between(still, still))
    assert tracked.confidence.tolist() == [1, 0, 0, 0, 0, 0]


def test_moving_by_whole_pixels(painted):
    moved = move_mask(painted, np.array([[1, 0, 4], [0, 1, -3.0]]))
    assert np.array_equal(moved[:-3, 4:], painted[3:, :-4])


@pytest.mark.parametrize("scale", [(2, 2), (3, 2)])
def test_a_motion_found_at_a_smaller_size(painted, scale):
    """Four columns and three rows there are 4 * scale and 3 * scale here."""
    across, down = scale
    large = painted.repeat(down, axis=0).repeat(across, axis=1)
    moved = move_mask(large, np.array([[1, 0, 4], [0, 1, 3.0]]), scale=scale)
    expected = move_mask(painted, np.array([[1, 0, 4], [0, 1, 3.0]]))
    assert np.array_equal(moved, expected.repeat(down, axis=0).repeat(across, axis=1))


def test_a_turn_at_a_smaller_size_turns_about_the_same_point(painted):
    """Half a turn about the centre of the small picture is one about that of the large."""
    about = np.array([[-1, 0, W - 1], [0, -1, H - 1.0]])
    large = painted.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(move_mask(large, about, scale=(2, 2)), large[::-1, ::-1])
