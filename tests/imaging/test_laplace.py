"""Laplace's equation in a hole."""

import cv2
import numpy as np
import pytest

from vidprior.imaging.laplace import (
    extrapolate_flow,
    fill_laplace,
    fill_screened,
    normalized_blur,
)

SOURCE = (24, 40)


def box(top, bottom, left, right, size):
    hole = np.zeros(size, bool)
    hole[top:bottom, left:right] = True
    return hole


def slow_membrane(border, hole, rounds=20_000):
    """Every pixel of the hole becomes the mean of its neighbours, until nothing changes."""
    values = np.where(hole[..., None], 0, border)
    for _ in range(rounds):
        padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
        around = [padded[2:, 1:-1], padded[:-2, 1:-1], padded[1:-1, 2:], padded[1:-1, :-2]]
        values = np.where(hole[..., None], np.nanmean(around, axis=0), border)
    return np.where(hole[..., None], values, 0)


def test_the_membrane_agrees_with_a_slow_one():
    random = np.random.default_rng(0)
    border = random.normal(size=(7, 8, 2))
    hole = box(1, 5, 2, 7, (7, 8)) | box(4, 7, 0, 3, (7, 8))
    assert np.allclose(fill_laplace(border, hole), slow_membrane(border, hole), atol=1e-6)


def test_a_membrane_between_two_values_is_a_slope():
    border = np.zeros((5, 11, 1))
    border[:, 10] = 10
    hole = box(0, 5, 1, 10, (5, 11))
    assert np.allclose(fill_laplace(border, hole)[2, :, 0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0])


@pytest.mark.parametrize("hole", [np.ones(SOURCE, bool), np.zeros(SOURCE, bool)])
def test_without_border_there_is_no_membrane(hole):
    assert not fill_laplace(np.ones((*SOURCE, 3)), hole).any()


def test_screened_values_agree_with_a_slow_solution():
    """Every pixel of the hole becomes the sum of its neighbours over 4 + 1 / reach^2."""
    random = np.random.default_rng(0)
    border = random.normal(size=(7, 8, 2)).astype(np.float32)
    hole = box(1, 5, 2, 7, (7, 8)) | box(4, 7, 0, 3, (7, 8))
    values = np.where(hole[..., None], 0, border)
    for _ in range(500):
        padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
        total = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
        values = np.where(hole[..., None], total / (4 + 1 / 3**2), border)
    found = fill_screened(border, hole, reach=3)
    assert np.allclose(found, np.where(hole[..., None], values, 0), atol=3e-3)


def test_screened_values_fade_over_their_reach():
    """One bright side of a long strip: e^-1 after the reach, without other borders nearby."""
    border = np.zeros((101, 101, 1), np.float32)
    border[:, 0] = 100
    hole = box(0, 101, 1, 101, (101, 101))
    row = fill_screened(border, hole, reach=5)[50, :, 0]
    assert row[5 + 1] / row[1] == pytest.approx(np.exp(-1), abs=0.01)
    assert row[0] == 0
    assert abs(row[60]) < 0.1


@pytest.mark.parametrize("hole", [np.ones(SOURCE, bool), np.zeros(SOURCE, bool)])
def test_without_border_nothing_is_screened(hole):
    assert not fill_screened(np.ones((*SOURCE, 3), np.float32), hole, reach=4).any()


def test_flow_is_continued_from_beyond_the_rim():
    """A slope of one pixel a column; in the hole and one pixel about it, something else."""
    slope = np.zeros((5, 11, 2), np.float32)
    slope[..., 0] = np.arange(11)
    hole = box(0, 5, 3, 8, (5, 11))
    near = box(0, 5, 2, 9, (5, 11))
    flow = np.where(near[..., None], 99, slope).astype(np.float16)
    assert np.allclose(extrapolate_flow(flow, hole, rim=1), slope, atol=1e-5)
    assert not extrapolate_flow(flow, np.ones_like(hole), rim=1).any()
    assert np.array_equal(extrapolate_flow(flow, np.zeros_like(hole), rim=1), flow)


def test_spread_is_a_weighted_mean_of_what_is_known():
    """One known pixel alone gives its value everywhere; of two, the nearer counts more."""
    values = np.zeros((9, 40, 1), np.float32)
    known = np.zeros((9, 40), bool)
    known[4, 5], values[4, 5] = True, 7
    assert np.allclose(normalized_blur(values, known, 3.0), 7)
    known[4, 15], values[4, 15] = True, 17
    made = normalized_blur(values, known, 3.0)
    assert made[4, 10, 0] == pytest.approx(12, abs=1e-3)
    assert 7 < made[4, 7, 0] < 8
    assert made[4, 39, 0] == pytest.approx(12, abs=0.2)  # out of reach: the mean


def test_spread_reads_no_unknown_value():
    random = np.random.default_rng(0)
    values = random.random((12, 13, 2)).astype(np.float32)
    known = random.random((12, 13)) < 0.5
    other = np.where(known[..., None], values, np.nan).astype(np.float32)
    np.testing.assert_array_equal(
        normalized_blur(values, known, 2.0), normalized_blur(other, known, 2.0)
    )
    assert not normalized_blur(values, np.zeros_like(known), 2.0).any()


def test_what_is_known_better_counts_for_more():
    values = np.zeros((9, 20, 1), np.float32)
    values[4, 5], values[4, 9] = 10, 20
    weight = np.zeros((9, 20), np.float32)
    weight[4, 5], weight[4, 9] = 3, 1
    assert normalized_blur(values, weight, 3.0)[4, 7, 0] == pytest.approx(12.5, abs=1e-2)


def test_a_wide_blur_in_a_smaller_picture_is_near_that_in_full():
    random = np.random.default_rng(0)
    values = cv2.GaussianBlur(random.random((75, 101, 2)).astype(np.float32), (0, 0), 3)
    known = np.ones((75, 101), bool)
    known[20:50, 30:70] = False
    mean = values[known].mean(axis=0)
    above = np.where(known[..., None], values - mean, 0)
    share = cv2.GaussianBlur(known.astype(np.float32), (0, 0), 9.0)[..., None]
    full = mean + cv2.GaussianBlur(above, (0, 0), 9.0) / (share + 1e-3)
    apart = np.abs(normalized_blur(values, known, 9.0) - full)
    assert apart.mean() < 0.15 * full.std()
    assert apart[8:-8, 8:-8].max() < 0.5 * full.std()
