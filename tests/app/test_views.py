"""Pictures that compare a result with its source."""

import numpy as np

from vidprior.app import views


def test_the_hole_is_magnified_with_its_surroundings():
    before, after = np.zeros((60, 80, 3), np.uint8), np.full((60, 80, 3), 9, np.uint8)
    before[30, 40] = 255
    hole = np.zeros((60, 80), bool)
    hole[20:40, 30:60] = True
    rows, columns = views.around(hole)
    assert (rows, columns) == (slice(12, 48), slice(21, 69))  # 8 at least; 0.3 of 30 columns
    first, second = views.magnified(before, after, hole)
    assert first.shape == second.shape == (3 * 36, 3 * 48, 3)
    assert (second == 9).all()
    assert np.argwhere(first[..., 0]).min(axis=0).tolist() == [3 * 18, 3 * 19]
    assert (first == 255).sum() == 3 * 9


def test_without_a_hole_everything_is_shown():
    empty = np.zeros((6, 8), bool)
    image = np.zeros((6, 8, 3), np.uint8)
    assert views.magnified(image, image, empty)[0].shape == (18, 24, 3)
    assert views.middle_row(empty) == 3


def test_differences_are_amplified_and_end_at_white():
    before, after = np.full((1, 2, 3), 100, np.uint8), np.full((1, 2, 3), 100, np.uint8)
    after[0, 0] = (90, 105, 250)
    shown, apart = views.difference(before, after)
    assert (shown == after).all()
    assert apart.tolist() == [[[40, 20, 255], [0, 0, 0]]]


def test_a_slice_runs_downwards_in_time():
    rows = [np.full((5, 3), value, np.uint8) for value in (1, 2, 3)]
    first, second = views.slices(rows, rows[::-1])
    assert first.shape == (240, 5, 3)
    assert first[:, 0, 0].tolist() == [1] * 80 + [2] * 80 + [3] * 80
    assert (second == first[::-1]).all()


def test_the_row_of_a_slice_goes_through_the_hole():
    hole = np.zeros((100, 20), bool)
    hole[90:100, 4:9] = True
    assert 90 <= views.middle_row(hole) < 100
