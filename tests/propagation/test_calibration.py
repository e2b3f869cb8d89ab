"""Expected errors against found ones: by hand."""

import numpy as np
import pytest

from vidprior.propagation.calibration import NOTHING_KNOWN, calibrate


def test_without_evidence_errors_stay():
    error = np.float32([0.5, 3, 12, 80])
    assert np.allclose(NOTHING_KNOWN(error), error)
    nothing = np.zeros(0, np.float32)
    assert np.allclose(calibrate(nothing, nothing)(error), error)


def test_a_class_is_regularised_by_500_pixels():
    """1,500 ratios of 1.1, of which none differs: (1500 * 1.21 / 0.623 + 500) / 2000."""
    expected = np.full(1500, np.sqrt(10 * 13))  # the middle of its class
    found = calibrate(expected, 1.1 * expected)
    assert found(expected[:1])[0] == pytest.approx(expected[0] * np.sqrt(1.70666), rel=1e-5)
    assert found.factor[0] == 1


def test_normal_errors_of_the_expected_size_need_no_correction():
    random = np.random.default_rng(0)
    expected = np.exp(random.uniform(1, 4, 400_000))
    found = expected * np.abs(random.standard_normal(len(expected)))
    assert calibrate(expected, found).factor[1:-1] == pytest.approx(np.ones(8), abs=0.02)


def test_a_tenth_of_gross_errors_has_no_effect():
    """A copy of the hole that touches something that moves by itself."""
    random = np.random.default_rng(0)
    expected = np.full(20_000, 20.0)
    found = expected * np.abs(random.standard_normal(len(expected)))
    with_gross = np.where(np.arange(len(found)) % 11 == 0, 2000.0, found)
    clean, mixed = calibrate(expected, found), calibrate(expected, with_gross)
    assert mixed.factor == pytest.approx(clean.factor, rel=0.3)


def test_corrections_are_bounded():
    expected = np.full(10**6, 20.0)
    assert calibrate(expected, 100 * expected).factor.max() == 2
    assert calibrate(expected, 0 * expected).factor.min() == 0.5


def test_what_is_corrected_comes_near_to_what_is_found():
    random = np.random.default_rng(0)
    expected = np.exp(random.uniform(1, 4, 200_000))
    truth = 0.5 * expected**1.3
    found = truth * np.abs(random.standard_normal(len(truth)))
    corrected = calibrate(expected, found)(expected)
    assert np.abs(np.log(corrected / truth)).mean() < 0.1
