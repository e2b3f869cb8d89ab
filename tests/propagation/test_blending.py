"""Blend weights of propagated pixels: by hand, and against a search."""

import numpy as np
import pytest
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st

from vidprior.propagation.blending import (
    EDGES,
    blend,
    fit_blend_weights,
    network_may_gain,
    weight_for,
)

CLASSES = len(EDGES) + 1


def grey(*values):
    return np.repeat(np.float32(values)[:, None], 3, axis=1)


def many(generated, filled, truth, confidence, count=20_000):
    """The same pixel many times."""
    return (
        *(np.tile(grey(value), (count, 1)) for value in (generated, filled, truth)),
        np.full(count, confidence, np.float32),
    )


@pytest.mark.parametrize(("truth", "wanted"), [(100, 1), (0, 0), (25, 0.25), (150, 1), (-50, 0)])
def test_the_share_is_where_the_truth_lies_between_both(truth, wanted):
    """Generated 0, propagated 100; of 5,000 pixels, 200 are what it leans on: 200 / 5,200 of 1."""
    shares = fit_blend_weights(*many(0, 100, truth, 0.9))
    leant = (wanted * 5000 + 200) / 5200 if 0 <= truth <= 100 else None
    assert shares[-1] == pytest.approx(wanted if leant is None else leant, abs=0.002)


def test_the_stretch_that_favours_propagated_pixels_most_counts():
    """The network is right in three quarters of the clip, and wrong in the last."""
    good, bad = many(0, 100, 0, 0.9, count=3000), many(0, 100, 100, 0.9, count=1000)
    shares = fit_blend_weights(*(np.concatenate(pair) for pair in zip(good, bad, strict=True)))
    assert shares[-1] == pytest.approx(1)


def test_a_network_that_gains_in_one_stretch_alone_is_not_shown():
    """Shares fitted in three stretches lose in the fourth what they seemed to gain."""
    random = np.random.default_rng(0)
    truth = grey(*random.uniform(80, 120, 20_000))
    filled = truth + 5 * random.standard_normal((20_000, 1)).astype(np.float32)
    network = truth + 60 * random.standard_normal((20_000, 1)).astype(np.float32)
    trust = np.full(20_000, 0.15, np.float32)
    np.testing.assert_array_equal(fit_blend_weights(network, filled, truth, trust), 1)
    better = truth + 4 * random.standard_normal((20_000, 1)).astype(np.float32)
    shares = fit_blend_weights(better, filled, truth, trust)
    assert shares[3] == pytest.approx(4**2 / (4**2 + 5**2), abs=0.05)


def test_classes_are_fitted_one_by_one():
    trusted, doubted = many(0, 100, 90, 0.9), many(0, 100, 20, 0.15)
    order = np.random.default_rng(0).permutation(40_000)  # so that every stretch has both
    mixed = (np.concatenate(pair)[order] for pair in zip(trusted, doubted, strict=True))
    shares = fit_blend_weights(*mixed)
    assert shares[-1] == pytest.approx(0.9, abs=0.03)
    assert shares[3] == pytest.approx(0.2, abs=0.06)
    # What lies between has no pixels, and follows the one above; so does what lies below.
    assert np.allclose(shares[4:6], shares[6])
    assert np.allclose(shares[:3], shares[3])


def test_without_evidence_the_confidence_decides():
    """Twice the middles of the classes: 0.015, 0.045, 0.08, 0.15, 0.3, 0.55, 0.85."""
    shares = fit_blend_weights(*(np.zeros((0, 3)),) * 3, np.zeros(0))
    assert shares == pytest.approx([0.03, 0.09, 0.16, 0.3, 0.6, 1, 1])


def test_where_both_are_the_same_there_is_nothing_to_choose():
    np.testing.assert_array_equal(fit_blend_weights(*many(7, 7, 9, 0.5, count=3)), np.ones(CLASSES))


def test_a_handful_of_pixels_is_fitted_as_one():
    """Three pixels against two hundred: 200 / 203, not the 1 of an empty stretch."""
    assert fit_blend_weights(*many(0, 100, 0, 0.9, count=3))[-1] == pytest.approx(200 / 203)


def test_a_few_pixels_are_little_evidence():
    """300 pixels of each stretch against 200 that say 1: s = (0 + 200) / (300 + 200)."""
    shares = fit_blend_weights(*many(0, 100, 0, 0.9, count=1200))
    assert shares[-1] == pytest.approx(0.4)


@examples(20)
@given(st.integers(0, 2**32 - 1))
def test_no_other_share_is_better_where_pixels_are_many(seed):
    random = np.random.default_rng(seed)
    generated, filled = random.uniform(0, 255, (2, 60_000, 3))
    truth = filled + random.uniform(-0.9, 0) * (filled - generated) + random.normal(0, 5)
    best = fit_blend_weights(generated, filled, truth, np.full(60_000, 0.5))[5]

    def error(s):
        return np.sqrt(np.square(s * filled + (1 - s) * generated - truth).mean())

    assert error(best) <= min(error(s) for s in np.linspace(0, 1, 21)) + 2


def test_shares_go_over_into_each_other():
    shares = np.float32([0, 0, 0, 0, 0, 0.5, 1])
    assert weight_for(np.float32([0.55, 0.85, 1]), shares) == pytest.approx([0.5, 1, 1])
    assert weight_for(np.float32([0.7]), shares) == pytest.approx([0.75])
    assert weight_for(np.zeros((2, 3), np.float16), shares).shape == (2, 3)


def test_propagated_pixels_are_blended_by_their_weight():
    """Confidence 0.85 is the middle of the last class, and has its share: a quarter of the way."""
    shares = np.array([0, 0, 0, 0, 0, 0, 0.25], np.float32)
    generated, filled = np.full((2, 1, 3), 10, np.uint8), np.full((2, 1, 3), 2, np.uint8)
    mixed = blend(generated, filled, np.array([[0.85], [0.0]], np.float16), shares)
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed[:, 0], [[8] * 3, [10] * 3], atol=1e-2)


def test_a_network_may_gain_only_beyond_its_own_error():
    """Of 99 errors of 19 and one of e, (e^2 - 400) / (99 * 361 + e^2) is to exceed 5 %."""

    def errors(last):
        error = np.append(np.full(99, 19.0), last)
        return 1 / (1 + np.square(error / 10))

    assert not network_may_gain(errors(19.0))
    assert not network_may_gain(errors(45.0))  # 0.043
    assert network_may_gain(errors(50.0))  # 0.055
    assert not network_may_gain(np.zeros(0))
