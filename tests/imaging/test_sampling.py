"""Pictures sampled between their pixels."""

import numpy as np
import pytest

from vidprior.imaging.sampling import fill_nearest, grid, sample

IMAGE = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)


def test_a_grid_holds_the_places_of_a_box():
    places = grid(slice(1, 4), slice(2, 7))
    assert (places.shape, places.dtype) == ((3, 5, 2), np.float32)
    assert places[0, 0].tolist() == [2, 1]
    assert places[-1, -1].tolist() == [6, 3]


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("outside", ["edge", "zero"])
def test_samples_at_pixels_are_these(cubic, outside):
    places = grid(slice(1, 4), slice(2, 7))
    assert np.array_equal(sample(IMAGE, places, cubic=cubic, outside=outside), IMAGE[1:4, 2:7])


def test_halfway_is_the_mean():
    places = np.array([[[2.5, 1.5]]], np.float32)
    assert sample(IMAGE, places)[0, 0] == pytest.approx(IMAGE[1:3, 2:4].mean(axis=(0, 1)), 1e-5)


def test_beyond_the_sides_is_the_edge_or_zero():
    places = np.array([[[-3.0, 1.0], [6.5, 4.0]]], np.float32)
    assert np.array_equal(sample(IMAGE, places)[0], [IMAGE[1, 0], IMAGE[4, 6]])
    beyond = sample(IMAGE, places, outside="zero")[0]
    assert np.array_equal(beyond[0], [0, 0, 0])
    assert beyond[1] == pytest.approx(IMAGE[4, 6] / 2)


def test_a_list_of_points_may_be_of_any_length():
    places = np.random.default_rng(1).uniform(0, 4, (70_000, 1, 2)).astype(np.float32)
    found = sample(IMAGE, places)
    assert found.shape == (70_000, 1, 3)
    assert np.array_equal(found[-5:], sample(IMAGE, places[-5:]))
    assert np.array_equal(found, sample(IMAGE, places.reshape(700, 100, 2)).reshape(-1, 1, 3))


def test_the_nearest_known_pixel_fills_all_others():
    values = np.array([[[1, 2], [0, 0], [0, 0], [5, 6]], [[0, 0], [0, 0], [0, 0], [0, 0]]])
    known = values.any(axis=-1)
    first, second = [1, 2], [5, 6]
    filled = fill_nearest(values, known)
    assert filled.dtype == values.dtype
    assert filled.tolist() == [[first, first, second, second], [first, first, second, second]]
