"""What moves by itself is told from a scene that the camera moves over."""

import numpy as np

from vidprior.propagation.moving import find_moving

HEIGHT, WIDTH, COUNT, SIDE = 70, 110, 13, 14


def pan(number, other):
    """The camera moves right by two pixels a frame."""
    return np.array([[1, 0, 2 * (number - other)], [0, 1, 0], [0, 0, 1]], float)


def make(with_object):
    """A scene under a moving camera, and where a square moves through it against the camera."""
    rng = np.random.default_rng(0)
    wide = rng.integers(60, 120, (HEIGHT, WIDTH + 2 * COUNT, 3)).astype(np.uint8)
    frames = np.stack([wide[:, 2 * t : 2 * t + WIDTH] for t in range(COUNT)])
    squares = np.zeros(frames.shape[:3], bool)
    for t in range(COUNT):
        squares[t, 20 : 20 + SIDE, 4 + 6 * t : 4 + 6 * t + SIDE] = True
    if with_object:
        frames[squares] = 250
    return frames, squares


def test_a_moving_square_is_found_where_it_is():
    frames, squares = make(True)
    for number in (2, 6, 10):
        found = find_moving(frames, np.ones(frames.shape[:3], bool), number, pan)
        assert found[squares[number]].all()
        assert found.mean() < 3 * squares[number].mean()


def test_a_scene_under_a_moving_camera_does_not_move():
    frames, _ = make(False)
    assert not find_moving(frames, np.ones(frames.shape[:3], bool), 6, pan).any()


def test_unknown_pixels_say_nothing():
    frames, squares = make(True)
    assert not find_moving(frames, ~squares, 6, pan).any()


def test_one_other_frame_does_not_tell():
    frames, _ = make(True)
    assert not find_moving(frames[:4], np.ones((4, HEIGHT, WIDTH), bool), 0, pan).any()
