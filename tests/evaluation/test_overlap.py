"""Agreement of masks, by hand."""

import numpy as np
import pytest

from vidprior.evaluation.overlap import boundary, region


def square(left, side=40, size=(120, 160)):
    mask = np.zeros((1, *size), bool)
    mask[0, 30 : 30 + side, left : left + side] = True
    return mask


def test_region():
    # 30 of 40 columns are common, 50 are in either.
    assert region(square(50), square(60)) == pytest.approx([30 / 50])
    empty = np.zeros((1, 4, 4), bool)
    assert region(empty, empty) == [1]


def test_boundary():
    # The diagonal is 200 pixels, so boundaries match within 2.
    assert boundary(square(50), square(52)) == pytest.approx([1])
    assert boundary(square(50), square(110)) == [0]
    # Moved by 10 columns: of the upper and the lower side 32 of 40 pixels match, of the others none
    # but 2 at each corner.
    assert 0.35 < boundary(square(50), square(60))[0] < 0.5
    empty = np.zeros((1, 120, 160), bool)
    assert boundary(square(50), empty) == [0]
    assert boundary(empty, empty) == [1]
