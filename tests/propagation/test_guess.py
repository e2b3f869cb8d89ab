"""What no frame shows: one guess for the shot."""

import cv2
import numpy as np
import pytest

from tests.propagation.test_propagate import damaged
from vidprior.propagation import propagate
from vidprior.propagation.guess import GUESS_ERROR, key_worth

H, W, T = 64, 96, 10


def scene(height, width, period=12):
    """Bars, as of a railing, before a smooth random picture: [height, width, 3] uint8."""
    random = np.random.default_rng(0)
    grey = cv2.GaussianBlur(random.uniform(-200, 200, (height, width, 3)), (0, 0), 2)
    bars = np.where(np.arange(width) % period < 4, 190, 90)[None, :, None]
    return np.clip(bars + grey, 0, 255).astype(np.uint8)


def pan(step):
    """A window that moves by `step` columns a frame, and a hole that stays with the scene."""
    large = scene(H, W + step * T)
    frames = np.stack([large[:, step * t : step * t + W] for t in range(T)])
    hole = np.zeros((T, H, W), bool)
    for t in range(T):
        hole[t, 20:44, 50 - step * t : 70 - step * t] = True
    return frames, hole


def moving(step):
    return lambda here, there: np.array([[1, 0, step * (here - there)], [0, 1, 0], [0, 0, 1.0]])


@pytest.fixture(scope="module", params=[0, 2])
def filled(request):
    """(truth, hole, guessed, smooth, step): a still and a panning camera."""
    truth, hole = pan(request.param)
    guessed, smooth = (
        propagate.propagate(damaged(truth, hole), hole, guess=guess)
        for guess in ("copies", "smooth")
    )
    return truth, hole, guessed, smooth, request.param


def test_what_no_frame_shows_is_told(filled):
    _, hole, guessed, smooth, _ = filled
    for made in (guessed, smooth):
        assert not (made.unseen & ~hole).any()
        assert made.unseen[hole].mean() > 0.9


def test_the_guess_moves_with_the_camera(filled):
    """A pixel of the scene looks the same in all frames."""
    _, hole, guessed, _, step = filled
    aligned = np.stack([np.roll(frame, step * t, axis=1) for t, frame in enumerate(guessed.frames)])
    within = aligned[:, hole[0]].astype(float)
    assert np.abs(np.diff(within, axis=0)).mean() < 4


def test_the_guess_is_sharper_than_a_smooth_one_and_continues_the_bars(filled):
    truth, hole, guessed, smooth, _ = filled

    def slope(frames):
        inner = hole[0] & np.roll(hole[0], 1, axis=1)
        return np.abs(np.diff(frames[0].astype(float), axis=1, prepend=0))[inner].mean()

    assert slope(guessed.frames) > 0.6 * slope(truth)
    assert slope(guessed.frames) > 2 * slope(smooth.frames)
    bars = np.arange(W) % 12 < 4
    inner = hole[0] & bars
    dark = hole[0] & ~bars
    level = guessed.frames[0].astype(float)
    assert level[inner].mean() - level[dark].mean() > 60  # of 100


def test_the_guess_is_not_trusted_and_has_origins(filled):
    _, hole, guessed, _, _ = filled
    taken = guessed.unseen
    most = 1 / (1 + (GUESS_ERROR / 10) ** 2)  # less only where known pixels are near
    assert (guessed.confidence[taken] <= most + 1e-3).mean() > 0.9
    assert guessed.confidence[taken].max() < 0.1
    origins = guessed.origins
    assert (origins.frame[taken[hole], 0] >= 0).mean() > 0.9
    known = origins.frame[:, 0] >= 0
    x, y = np.rint(origins.place[known, 0]).astype(int).T
    inside = (x >= 0) & (x < W) & (y >= 0) & (y < H)
    assert not hole[origins.frame[known, 0][inside], y[inside], x[inside]].mean() > 0.02


def test_nothing_is_guessed_where_other_frames_show_everything():
    large = scene(H, W + 8 * T, period=96)
    truth = np.stack([large[:, 8 * t : 8 * t + W] for t in range(T)])
    hole = np.zeros((T, H, W), bool)
    hole[:, 26:38, 44:52] = True  # stands in the picture, before a scene that moves on
    guessed, smooth = (
        propagate.propagate(damaged(truth, hole), hole, guess=guess)
        for guess in ("copies", "smooth")
    )
    assert not guessed.unseen.any()
    np.testing.assert_array_equal(guessed.frames, smooth.frames)
    np.testing.assert_array_equal(guessed.confidence, smooth.confidence)
    assert np.abs(guessed.frames[hole].astype(float) - truth[hole]).mean() < 4


def test_the_same_seed_gives_the_same_guess(filled):
    truth, hole, guessed, _, _ = filled
    again = propagate.propagate(damaged(truth, hole), hole, guess="copies")
    np.testing.assert_array_equal(again.frames, guessed.frames)


def test_worth_of_key_frames():
    """Three frames of a still camera; a key frame covers what lies in its own unseen part."""
    unseen = np.zeros((3, 40, 60), bool)
    unseen[0, 15:25, 20:30] = True  # 100 pixels
    unseen[1, 15:25, 20:40] = True  # 200, with the 100 of frame 0
    worth = key_worth(unseen, moving(0))
    # Their surroundings are known, so only coverage counts.
    np.testing.assert_allclose(worth, [200, 300, 0])
    # Without a motion, a frame covers itself.
    np.testing.assert_allclose(key_worth(unseen, lambda here, there: None), [100, 200, 0])


def test_a_key_frame_whose_surroundings_lie_outside_is_worth_less():
    unseen = np.zeros((2, 40, 60), bool)
    unseen[0, 15:25, :10] = True
    unseen[1, 15:25, 25:35] = True
    worth = key_worth(unseen, lambda here, there: None)
    assert worth[1] == 100
    assert 50 < worth[0] < 80
