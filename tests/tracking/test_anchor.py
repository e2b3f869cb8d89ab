"""The painted mask in register with later frames."""

import cv2
import numpy as np
import pytest

from vidprior.imaging.sampling import grid
from vidprior.tracking.anchor import Anchor, Anchored
from vidprior.tracking.appearance import to_lab
from vidprior.tracking.segment import painted_votes, whole_votes
from vidprior.tracking.track import track

H, W = 64, 96


@pytest.fixture(scope="module")
def picture():
    random = np.random.default_rng(0)
    made = cv2.GaussianBlur(random.integers(0, 256, (H, W, 3), np.uint8), (0, 0), 2)
    return cv2.normalize(made, None, 0, 255, cv2.NORM_MINMAX)


@pytest.fixture(scope="module")
def painted():
    mask = np.zeros((H, W), bool)
    mask[20:40, 30:60] = True
    mask[28:31, 60:75] = True  # a thin part
    return mask


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


def test_drift_of_the_flow_is_corrected(picture, painted):
    """The picture moves by 2 pixels a frame, the flow tells 1.5."""
    anchor = Anchor(to_lab(picture), painted)
    pixels = grid(slice(0, H), slice(0, W))
    for age in range(1, 6):
        moved = np.roll(picture, 2 * age, axis=1)
        found = anchor.follow(to_lab(moved), pixels - np.float32([1.5, 0]), None)
        assert overlap(found.mask > 0.5, np.roll(painted, 2 * age, axis=1)) > 0.95
        assert found.trust[20:40, 40:60].mean() > 0.9
        brought = found.lab[20:40, 40:60].astype(np.float32) - to_lab(moved)[20:40, 40:60]
        assert np.abs(brought).mean() < 3


def test_the_shape_as_one_piece_is_taken_where_flow_fails(picture, painted):
    anchor = Anchor(to_lab(picture), painted)
    moved = np.roll(picture, 15, axis=1)
    still = grid(slice(0, H), slice(0, W))
    found = anchor.follow(to_lab(moved), still, np.array([[1, 0, 15], [0, 1, 0.0]]))
    assert overlap(found.mask > 0.5, np.roll(painted, 15, axis=1)) > 0.95


def test_other_colours_are_not_trusted(picture, painted):
    anchor = Anchor(to_lab(picture), painted)
    found = anchor.follow(to_lab(255 - picture), grid(slice(0, H), slice(0, W)), None)
    assert found.trust.mean() < 0.2


def test_votes_fade_and_widen():
    mask = np.zeros((9, 40), np.float32)
    mask[:, 20:] = 1
    trust = np.ones_like(mask)
    trust[0] = 0
    lab = np.zeros((*mask.shape, 3), np.uint8)
    near, far = (painted_votes(Anchored(mask, trust, lab), age) for age in (0, 25))
    # exp(0) = 1, within a pixel of the border; 5 / e, within 1 + 0.2 * 25 = 6 pixels.
    np.testing.assert_allclose(near[4, [0, 18, 21, 39]], [-5, -5, 5, 5], atol=0.01)
    np.testing.assert_allclose(far[4, [0, 39]], [-5 / np.e, 5 / np.e], atol=0.01)
    assert 0 < far[4, 20] < 0.2 * 5 / np.e
    assert not near[0].any()
    assert not painted_votes(Anchored(np.zeros_like(mask), trust, lab), 3).any()


def test_a_shape_that_is_found_again_outvotes_colours():
    whole = np.zeros((9, 40), bool)
    whole[:, 20:] = True
    np.testing.assert_allclose(whole_votes(whole)[4, [0, 17, 22, 39]], [-8, -8, 8, 8], atol=0.2)


def test_thin_parts_of_the_colours_of_the_ground_stay():
    """Colours cannot tell a pole from what is behind it; the painted frame can."""
    random = np.random.default_rng(1)
    ground, skin = (
        cv2.GaussianBlur(random.integers(0, 256, (90, 140, 3), np.uint8), (0, 0), 1.5)
        for _ in range(2)
    )
    truth = np.zeros((6, 90, 140), bool)
    frames = np.stack([ground] * 6)
    for t, mask in enumerate(truth):
        mask[40:70, 20 + t : 60 + t] = mask[12:40, 38 + t : 42 + t] = True
        frames[t][mask] = np.roll(skin, t, axis=1)[mask]
    found = track(frames, {0: truth[0]})
    pole = truth[:, :38]
    assert (found.masks[:, :38] & pole).sum(axis=(1, 2)).min() > 0.85 * pole[0].sum()
