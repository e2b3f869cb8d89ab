"""What is seen at the source's size: by hand."""

import numpy as np
import pytest

from vidprior.evaluation import picture

H, W = 10, 12


def frames(*values):
    """Flat frames of these grey values, [T, H, W, 3] uint8."""
    return np.stack([np.full((H, W, 3), value, np.uint8) for value in values])


def block(count, rows=(2, 9), columns=(3, 10)):
    hole = np.zeros((count, H, W), bool)
    hole[:, slice(*rows), slice(*columns)] = True
    return hole


def test_sharpness_is_the_ratio_of_laplacians_inside():
    """A dot of 40 has |4 * 40| in its middle and 40 at four neighbours; one of 10 a quarter."""
    truth, result = frames(100), frames(100)
    truth[0, 5, 6], result[0, 5, 6] = 140, 110
    assert picture.sharpness(truth, result, block(1)) == pytest.approx(0.25)


def test_sharpness_leaves_two_pixels_at_the_border_out():
    """Of rows 2 to 8 those from 4 to 6 count: a dot in row 2 does not reach them."""
    truth, result = frames(100), frames(100)
    truth[0, 5, 6] = result[0, 5, 6] = 140
    result[0, 2, 4] = 255
    assert picture.sharpness(truth, result, block(1)) == pytest.approx(1)
    assert picture.sharpness(truth, result, block(1, rows=(2, 6))) is None  # nothing is left


def test_a_hole_goes_on_beyond_the_picture():
    hole = block(1, rows=(0, 10), columns=(0, 12))
    truth, result = frames(100), frames(100)
    truth[0, 0, 0], result[0, 0, 0] = 140, 120
    assert picture.sharpness(truth, result, hole) == pytest.approx(0.5)
    assert np.isnan(picture.rim(truth, result, hole)).all()


def test_flicker_is_change_that_is_not_the_truths():
    """Errors of 5, 5 and -10: changes of 0 and 15, however the truth itself changes."""
    truth, result = frames(50, 90, 70), frames(55, 95, 60)
    assert picture.flicker(truth, result, block(3)).tolist() == [0, 15]


def test_flicker_looks_where_both_frames_are_hole():
    truth, result = frames(50, 50), frames(50, 50)
    result[1, :, :5] = 90
    hole = block(2)
    hole[0, :, :5] = False
    assert picture.flicker(truth, result, hole).tolist() == [0]
    hole[0] = False
    assert np.isnan(picture.flicker(truth, result, hole)).all()


def test_a_still_blur_of_what_moves_flickers():
    """Stripes that move by one: the mean of both is still, and misses every change."""
    truth = frames(0, 0)
    truth[0, :, ::2], truth[1, :, 1::2] = 100, 100
    assert picture.flicker(truth, frames(50, 50), block(2)).tolist() == [100]
    assert picture.flicker(truth, truth, block(2)).tolist() == [0]


def test_the_rim_is_one_pixel_wide():
    """Rows 2 to 8, columns 3 to 9: 24 pixels at the border, off by 6; the inside is not read."""
    truth, result = frames(100), frames(106)
    result[0, 3:8, 4:9] = 255
    assert picture.rim(truth, result, block(1)).tolist() == [6]
    result[0, 2, 3] = 106 + 24
    assert picture.rim(truth, result, block(1)).tolist() == [7]


def test_all_of_them_together():
    truth, result = frames(50, 90), frames(55, 95)
    measured = picture.measure(truth, result, block(2))
    assert measured["psnr_hole"] == pytest.approx(20 * np.log10(255 / 5))
    assert measured["sharpness"] is None  # the truth is flat
    assert (measured["flicker"], measured["rim"]) == (0, 5)
    assert (measured["width"], measured["height"]) == (W, H)
