"""Labels by similar patches."""

import cv2
import numpy as np

from vidprior.tracking.matching import _mean_label, match_labels

H, W = 60, 80
# All patches of one label that look alike: half of log(1.02 / 0.02).
CERTAIN = 0.5 * np.log(51)


def texture(seed, low=0, high=256):
    random = np.random.default_rng(seed)
    return cv2.GaussianBlur(random.integers(low, high, (H, W, 3), np.uint8), (0, 0), 1)


def test_two_plain_halves():
    lab = np.zeros((H, W, 3), np.uint8)
    lab[:, 40:] = 90
    mask = np.zeros((H, W), np.float32)
    mask[:, 40:] = 1
    odds = match_labels(lab, lab, mask)
    # The mask is asked for in 24 pixels around it.
    assert not odds[:, :16].any()
    np.testing.assert_allclose(odds[:, 16:36], -CERTAIN, rtol=1e-4)
    np.testing.assert_allclose(odds[:, 44:], CERTAIN, rtol=1e-4)


def test_a_thin_part_beside_the_place_where_flow_leads_is_found():
    """A pole of 3 columns stands 6 columns beside its warped mask."""
    ground, pole = texture(0, 0, 120), texture(1, 130, 256)
    before, after, truth = ground.copy(), ground.copy(), np.zeros((H, W), bool)
    before[10:50, 30:33] = pole[10:50, 30:33]
    after[10:50, 36:39] = pole[10:50, 30:33]
    truth[10:50, 36:39] = True
    mask = np.zeros((H, W), np.float32)
    mask[10:50, 30:33] = 1
    found = match_labels(after, before, mask) > 0
    assert not (truth & (mask > 0.5)).any()
    assert (found & truth).sum() > 0.85 * truth.sum()
    assert (found & ~cv2.dilate(truth.astype(np.uint8), np.ones((3, 3))).astype(bool)).sum() == 0


def test_what_looks_like_nothing_around_says_little():
    mask = np.zeros((H, W), np.float32)
    mask[20:40, 20:60] = 1
    bright, dark = texture(2, 150, 256), texture(3, 0, 100)
    assert np.abs(match_labels(bright, dark, mask)).max() < 1e-3
    assert not match_labels(texture(2), texture(2), np.zeros_like(mask)).any()


def test_the_mean_of_patches_is_that_of_plain_loops():
    random = np.random.default_rng(4)
    reach, size = 8, (7, 9)
    wide = (size[0] + 2 * reach, size[1] + 2 * reach)
    lab = random.uniform(0, 30, (*size, 3)).astype(np.float32)
    other, labels = random.uniform(0, 30, (*wide, 3)), random.uniform(0, 1, wide)
    found, least = _mean_label(lab, other.astype(np.float32), labels.astype(np.float32))
    steps = [
        (y, x) for y in range(-8, 9, 2) for x in range(-8, 9, 2) if np.hypot(y, x) <= 8
    ]  # fmt: skip
    difference = np.zeros((len(steps), *size))
    for n, (y, x) in enumerate(steps):
        for row, column in np.ndindex(size):
            there = other[row + reach + y, column + reach + x]
            difference[n, row, column] = ((lab[row, column] - there) ** 2).sum()
    padded = np.pad(difference, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    for row, column in np.ndindex(size):
        patches = padded[:, row : row + 5, column : column + 5].mean(axis=(1, 2))
        distance = [d / 60 + (y * y + x * x) / 64 for d, (y, x) in zip(patches, steps, strict=True)]
        weight = np.exp(-np.array(distance))
        label = [labels[row + reach + y, column + reach + x] for y, x in steps]
        np.testing.assert_allclose(found[row, column], np.average(label, weights=weight), rtol=1e-4)
        np.testing.assert_allclose(least[row, column], min(distance), rtol=1e-4)
