"""The mean along the motion of the picture."""

import cv2
import numpy as np
import pytest

from vidprior.propagation.temporal_mean import temporal_mean

H, W, T = 64, 80, 7


def panned(step):
    """Frames whose content moves `step` pixels to the left each, and the camera's motion."""
    random = np.random.default_rng(0)
    large = cv2.GaussianBlur(random.integers(0, 256, (H, W + 40, 3), np.uint8), (0, 0), 1.5)
    frames = np.stack([large[:, step * t : step * t + W] for t in range(T)])

    def motion(here, there):
        return np.array([[1, 0, -step * (there - here)], [0, 1, 0], [0, 0, 1]], np.float64)

    return frames, motion


def middle():
    hole = np.zeros((T, H, W), bool)
    hole[:, 24:40, 30:50] = True
    return hole


def noisy(frames, hole, size=20):
    random = np.random.default_rng(1)
    noise = cv2.merge(
        [*(cv2.GaussianBlur(random.normal(size=(H, W)), (0, 0), 2) for _ in range(T))]
    )
    noise = size * np.moveaxis(noise / noise.std(), -1, 0)[..., None]
    return np.where(hole[..., None], np.clip(frames + noise, 0, 255), frames).astype(np.uint8)


def rms(made, truth, hole):
    return np.sqrt(np.square(made[hole].astype(float) - truth[hole]).mean())


@pytest.mark.parametrize("step", [0, 4])
def test_errors_that_differ_between_frames_are_averaged(step):
    truth, motion = panned(step)
    hole = middle()
    filled = noisy(truth, hole)
    made = temporal_mean(filled, hole, np.where(hole, 20, 0).astype(np.float32), motion)
    assert rms(made, truth, hole) < 0.75 * rms(filled, truth, hole)
    np.testing.assert_array_equal(made[~hole], filled[~hole])


def test_steady_content_stays():
    truth, motion = panned(4)
    hole = middle()
    made = temporal_mean(truth, hole, np.where(hole, 20, 0).astype(np.float32), motion)
    assert rms(made, truth, hole) < 2


def test_unusable_pixels_and_unaligned_frames_are_not_used():
    """Everything but the middle frame is wrong: marked unusable, or without known motion."""
    truth, motion = panned(0)
    hole = middle()
    filled = np.where(hole[..., None], 255 - truth, truth)
    filled[3] = truth[3]
    error = np.where(hole, np.inf, 0).astype(np.float32)
    error[3] = 20
    wanted = hole.copy()
    wanted[:3] = wanted[4:] = False
    made = temporal_mean(filled, wanted, error, motion)
    assert np.abs(made[3].astype(int) - truth[3])[30:34, 38:42].max() <= 1
    alone = temporal_mean(filled, wanted, np.minimum(error, 20), lambda here, there: None)
    np.testing.assert_array_equal(alone, filled)


def test_without_anything_wanted_nothing_changes():
    truth, motion = panned(2)
    nothing = np.zeros((T, H, W), bool)
    made = temporal_mean(truth, nothing, np.zeros(nothing.shape, np.float32), motion)
    np.testing.assert_array_equal(made, truth)
