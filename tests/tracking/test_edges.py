"""Soft edges of masks follow the colours of the frame, in a band along the border."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import vidprior
from vidprior.errors import InputError
from vidprior.imaging.dilation import dilate
from vidprior.io.mask_meaning import PLAIN, Survey
from vidprior.io.pages import Pixels
from vidprior.tracking.edges import soften

SIZE = 24, 40
RED, BLUE = np.array([200, 60, 40]), np.array([30, 90, 180])


def straight(first):
    """A mask of all columns from the first on."""
    mask = np.zeros(SIZE, bool)
    mask[:, first:] = True
    return mask


def blend(alpha):
    """[h, w, 3] uint8: red over blue."""
    return np.rint(alpha[..., None] * RED + (1 - alpha[..., None]) * BLUE).astype(np.uint8)


def test_without_colours_the_border_is_averaged_twice():
    """Windows of 5 columns: of 25 parts, 6, 10, 15 and 19 are object; then more contrast."""
    grey = np.full((*SIZE, 3), 90, np.uint8)
    alpha = soften(straight(20), grey, radius=2)
    expected = [255 * ((parts / 25 - 0.5) * 4 / 3 + 0.5) for parts in (6, 10, 15, 19)]
    assert np.abs(alpha[:, 18:22] - expected).max() < 0.51
    assert (alpha[:, :18] == 0).all()
    assert (alpha[:, 22:] == 255).all()


RAMP = np.tile(np.clip((np.arange(SIZE[1]) - 17) / 7, 0, 1), (SIZE[0], 1))


# Equal channels make a singular covariance.
@pytest.mark.parametrize("frame", [blend(RAMP), np.rint(RAMP[..., None] * [255, 255, 255])])
def test_a_blurred_edge_is_followed(frame):
    mask = RAMP > 0.5
    alpha = soften(mask, frame.astype(np.uint8), radius=6) / 255
    assert (np.diff(alpha, axis=1) >= 0).all()
    assert 0 < alpha[0, 20] < 0.5 < alpha[0, 21] < 1
    across = np.s_[:, 18:24]
    assert np.abs(alpha - RAMP)[across].mean() < 0.55 * np.abs(mask - RAMP)[across].mean()


@pytest.mark.parametrize("shift", [-2, 2])
def test_an_edge_beside_the_mask_is_approached(shift):
    truth = straight(20)
    mask = np.roll(truth, shift, axis=1)
    beside = np.s_[4:-4, 18:22]  # of which half is wrong
    blurred = [cv2.GaussianBlur(mask.astype(float), (0, 0), s) for s in (0.5, 1, 2, 3)]
    assert min(np.abs(soft - truth)[beside].mean() for soft in blurred) > 0.35
    alpha = soften(mask, blend(truth.astype(float)), radius=4) / 255
    assert np.abs(alpha - truth)[beside].mean() < 0.25


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_without_border_stays(value):
    mask = np.full(SIZE, value)
    assert (soften(mask, blend(np.random.default_rng(0).random(SIZE))) == 255 * value).all()


def test_what_lies_around_the_band_has_no_part():
    """The same in a larger picture, though only the box around the mask is computed."""
    random = np.random.default_rng(1)
    frame = random.integers(0, 256, (90, 120, 3), np.uint8)
    mask = np.zeros((90, 120), bool)
    mask[35:52, 50:75] = True
    inner = np.s_[35 - 8 : 52 + 8, 50 - 8 : 75 + 8]
    whole = soften(mask, frame, radius=4)
    assert np.array_equal(soften(mask[inner], frame[inner], radius=4), whole[inner])
    assert not np.array_equal(whole, mask * 255)


@given(
    arrays.arrays(bool, st.tuples(st.integers(2, 30), st.integers(2, 30))),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
def test_the_band_is_bounded(mask, radius, seed):
    frame = np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3), np.uint8)
    alpha = soften(mask, frame, radius=radius)
    assert (alpha.shape, alpha.dtype) == (mask.shape, np.uint8)
    assert (alpha[~dilate(mask, radius)] == 0).all()
    assert (alpha[~dilate(~mask, radius)] == 255).all()
    assert alpha.max(initial=0) == 255 * mask.any()


def test_a_few_dark_greys_are_left_out():
    """Here they would be 6 and 25: 0, 6, 25 and 255 are read as numbers of objects."""
    mask = np.zeros(SIZE, bool)
    mask[:, 20:22] = True
    frame = np.where(mask[..., None], np.uint8(102), np.uint8([100] * 3))
    assert np.array_equal(soften(mask, frame), mask * 255)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_soft_masks_are_not_taken_for_labels(seed, count):
    """Small clips of flat colours, with few values of alpha."""
    random = np.random.default_rng(seed)
    size = tuple(random.integers(8, 40, 2))
    survey, masks = Survey(), []
    for _ in range(count):
        frame, mask = np.empty((*size, 3), np.uint8), np.zeros(size, bool)
        frame[:] = random.integers(120, 136, 3)
        for picture, value in ((frame, random.integers(120, 136, 3)), (mask, True)):
            top, left = random.integers(0, size)
            height, width = random.integers(1, size)
            picture[top : top + height, left : left + width] = value
        masks.append(Pixels(soften(mask, frame), None, None, False))
        survey.add("mask", masks[-1])
    meaning = survey.decide(PLAIN)
    assert meaning.told == ""
    for pixels in masks:
        assert np.array_equal(meaning.to_mask(pixels) > 127, pixels.colours > 127)


def test_it_is_public():
    mask = cv2.circle(np.zeros(SIZE, np.uint8), (20, 12), 7, 1, -1) > 0
    frame = blend(mask.astype(float))
    assert np.array_equal(vidprior.soften(mask, frame), soften(mask, frame, radius=2))


@pytest.mark.parametrize(
    ("mask", "frame", "radius"),
    [
        (np.zeros(SIZE, np.uint8), np.zeros((*SIZE, 3), np.uint8), 2),
        (np.zeros(SIZE, bool), np.zeros((*SIZE, 3), np.float32), 2),
        (np.zeros(SIZE, bool), np.zeros((*SIZE[::-1], 3), np.uint8), 2),
        (np.zeros(SIZE, bool), np.zeros((*SIZE, 3), np.uint8), 0),
        (np.zeros((2, *SIZE), bool), np.zeros((2, *SIZE, 3), np.uint8), 2),
    ],
)
def test_what_cannot_be_used_is_one_line(mask, frame, radius):
    with pytest.raises(InputError, match="give") as told:
        soften(mask, frame, radius=radius)
    assert "\n" not in str(told.value)
