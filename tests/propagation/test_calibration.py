"""Expected errors against found ones: by hand."""

import numpy as np
import pytest

from vidprior.propagation.calibration import NOTHING_KNOWN, calibrate


def test_without_evidence_errors_stay():
    error = np.float32([0.5, 3, 12, 80])
    assert np.allclose(NOTHING_KNOWN(error), error)
    nothing = np.zeros(0, np.float32)
    assert np.allclose(calibrate(nothing, nothing)(error), error)


def test_a_class_leans_on_what_is_expected_as_by_500_pixels():
    """1,500 pixels found twice as large: (1500 * 4 + 500) / 2000 = 3.25 in squares."""
    expected = np.full(1500, np.sqrt(10 * 13))  # the middle of its class
    found = calibrate(expected, 2 * expected)
    assert found(expected[:1])[0] == pytest.approx(expected[0] * np.sqrt(3.25), rel=1e-5)
    assert found.factor[0] == 1


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
