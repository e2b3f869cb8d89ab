"""Noise that is measured around a hole and added in it."""

import cv2
import numpy as np
import pytest

from vidprior.imaging.grain import add_grain, measure_grain

H, W = 160, 240


def noisy(strength, blur=0.0, seed=0):
    """A smooth ramp with noise; `strength` is a number or depends on brightness [H, W]."""
    ramp = np.linspace(40, 210, W)[None, :, None] + np.zeros((H, W, 3))
    noise = np.random.default_rng(seed).standard_normal((H, W, 3))
    if blur:
        noise = cv2.GaussianBlur(noise, (0, 0), blur)
        noise /= noise.std()
    amount = strength(ramp[..., :1]) if callable(strength) else strength
    return np.clip(np.rint(ramp + amount * noise), 0, 255).astype(np.uint8), ramp


@pytest.fixture
def hole():
    hole = np.zeros((H, W), bool)
    hole[40:120, 20:220] = True
    return hole


def added(frame, ramp, hole, seed=1):
    """What is added to a smooth fill."""
    clean = np.where(hole[..., None], np.rint(ramp), frame).astype(np.uint8)
    grain = measure_grain(frame, ~hole)
    result = add_grain(clean, hole, grain, random=np.random.default_rng(seed))
    np.testing.assert_array_equal(result[~hole], frame[~hole])
    return result.astype(float) - clean


def test_as_much_noise_is_added_as_there_is(hole):
    frame, ramp = noisy(6.0)
    noise = added(frame, ramp, hole)[hole]
    assert noise.std() == pytest.approx(6.0, rel=0.15)
    assert np.abs(noise.mean(axis=0)).max() < 0.3
    # Channels are independent, as they were.
    assert np.abs(np.corrcoef(noise.T)[0, 1]) < 0.15


def test_grey_noise_stays_grey(hole):
    frame, ramp = noisy(6.0)
    frame = np.repeat(frame[..., :1], 3, axis=-1)
    noise = added(frame, ramp, hole)[hole]
    assert np.corrcoef(noise.T)[0, 1] > 0.95
    assert noise.std() == pytest.approx(6.0, rel=0.15)


def test_strength_follows_brightness(hole):
    frame, ramp = noisy(lambda level: level / 25)
    noise = added(frame, ramp, hole)
    dark, bright = (noise[40:120, columns].std() for columns in (slice(25, 60), slice(180, 215)))
    assert bright > 1.6 * dark


def test_the_spectrum_is_kept(hole):
    """Neighbours of coarse grain are alike: exp(-1/4) for a blur by one pixel."""
    frame, ramp = noisy(6.0, blur=1.0)
    noise = added(frame, ramp, hole)[40:120, 20:220, 1]
    alike = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    assert alike == pytest.approx(np.exp(-1 / 4), abs=0.1)


def test_nothing_is_added_to_what_has_grain_already(hole):
    frame, _ = noisy(6.0)
    grain = measure_grain(frame, ~hole)
    result = add_grain(frame, hole, grain, random=np.random.default_rng(0))
    assert (result.astype(float) - frame)[hole].std() < 3


def test_every_draw_is_new_and_follows_from_the_generator(hole):
    frame, ramp = noisy(6.0)
    one, other, again = (added(frame, ramp, hole, seed)[hole] for seed in (1, 2, 1))
    np.testing.assert_array_equal(one, again)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_a_clean_or_hidden_picture_has_no_grain(hole):
    frame, _ = noisy(0.0)
    assert measure_grain(frame, ~hole) is None
    frame, _ = noisy(6.0)
    assert measure_grain(frame, np.zeros_like(hole)) is None
    assert measure_grain(frame[:8], np.ones((8, W), bool)) is None
