"""Holes that grow, compared with slow definitions."""

import itertools

import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.imaging.dilation import dilate, dilate_masks

DISTANCES = {
    "disc": lambda down, right: np.hypot(down, right),
    "square": lambda down, right: np.maximum(abs(down), abs(right)),
    "diamond": lambda down, right: abs(down) + abs(right),
}


def dilate_slowly(hole, pixels, shape):
    rows, columns = np.indices(hole.shape)
    grown = np.zeros_like(hole)
    for y, x in np.argwhere(hole):
        grown |= DISTANCES[shape](rows - y, columns - x) <= pixels
    return grown


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [("disc", 1.5), *itertools.product(DISTANCES, (0, 1, 2, 5, 13))],
)
def test_dilation_agrees_with_distances(shape, pixels):
    rng = np.random.default_rng(1)
    for share in (0, 0.01, 0.1, 1):
        hole = rng.random((24, 31)) < share
        before = hole.copy()
        assert np.array_equal(dilate(hole, pixels, shape=shape), dilate_slowly(hole, pixels, shape))
        assert np.array_equal(hole, before)


def test_grey_masks_are_judged_and_grown_by_a_disc():
    masks = np.array([[[0, 0, 127, 128, 0, 0]], [[0] * 6], [[255] * 6]], np.uint8)
    grown = [[0, 0, 255, 255, 255, 0]], [[0] * 6], [[255] * 6]
    assert dilate_masks(masks, 1).tolist() == list(grown)


def test_masks_dilated_by_nothing_keep_soft_edges():
    masks = np.random.default_rng(0).integers(0, 256, (2, 6, 5), np.uint8)
    assert np.array_equal(dilate_masks(masks, 0), masks)


def test_negative_dilation_is_refused():
    with pytest.raises(InputError, match="-2"):
        dilate_masks(np.zeros((1, 2, 2), np.uint8), -2)
