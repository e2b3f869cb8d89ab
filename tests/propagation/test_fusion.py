"""Candidates joined by their expected errors: by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidprior.propagation.fusion import Candidates, confidence, fuse

NOWHERE = np.zeros((1, 2), np.float32)


def candidate(colour, error):
    return Candidates(np.float32([[colour] * 3]), np.float32([error]), NOWHERE, 0)


def test_weights_fall_with_the_cube_of_the_error():
    """Errors 1 and 2: weights 8/9 and 1/9; squares 1 and 4 give (8 + 4) / 9."""
    joined = fuse([candidate(90, 1), candidate(0, 2)])
    assert np.allclose(joined.colour, 80)
    assert joined.error == pytest.approx(np.sqrt(12 / 9))
    assert np.allclose(joined.weight, [[8 / 9], [1 / 9]])


def test_a_missing_candidate_counts_for_nothing():
    joined = fuse([candidate(90, np.inf), candidate(10, 30), candidate(200, np.inf)])
    assert np.allclose(joined.colour, 10)
    assert joined.error == pytest.approx(30)


def test_every_pixel_is_joined_by_itself():
    one = Candidates(np.float32([[0] * 3, [50] * 3]), np.float32([5, np.inf]), NOWHERE, 0)
    other = Candidates(np.float32([[100] * 3, [60] * 3]), np.float32([5, 7]), NOWHERE, 1)
    joined = fuse([one, other])
    assert np.allclose(joined.colour[:, 0], [50, 60])
    assert np.allclose(joined.error, [5, 7])


@given(st.lists(st.floats(0.5, 1e3), min_size=1, max_size=6))
def test_what_is_joined_lies_between_its_parts(errors):
    parts = [candidate(10 * i, error) for i, error in enumerate(errors)]
    joined = fuse(parts)
    assert -1e-3 <= joined.colour[0, 0] <= 10 * (len(errors) - 1) + 1e-3
    assert min(errors) * 0.999 <= joined.error[0] <= max(errors) * 1.001


def test_confidence_is_one_half_at_ten():
    assert np.allclose(confidence(np.array([0, 10, 20, np.inf])), [1, 0.5, 0.2, 0])
