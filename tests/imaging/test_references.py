"""Cleaned frames: what they give, and what is refused."""

import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.imaging.references import insert_reference

H, W = 40, 60
BOX = (slice(10, 30), slice(20, 45))


@pytest.fixture
def frame():
    return np.random.default_rng(0).integers(40, 200, (H, W, 3), np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros((H, W), np.uint8)
    mask[BOX] = 255
    return mask


@pytest.fixture
def clean(frame):
    """The frame with a flat block in its hole."""
    clean = frame.copy()
    clean[BOX] = (10, 220, 90)
    return clean


def insert(frame, mask, reference):
    return insert_reference(frame, mask, reference, name="reference frame 7")


def test_a_whole_reference_leaves_no_hole_and_keeps_its_bits(frame, mask, clean):
    shown, left = insert(frame, mask, clean)
    np.testing.assert_array_equal(shown, clean)
    assert not left.any()
    assert shown.dtype == left.dtype == np.uint8


def test_pixels_that_are_not_painted_remain_to_be_filled(frame, mask, clean):
    clean[10:30, 33:45] = frame[10:30, 33:45]  # only the left part is painted
    shown, left = insert(frame, mask, clean)
    np.testing.assert_array_equal(left > 0, (mask > 0) & (np.arange(W) >= 33))
    np.testing.assert_array_equal(shown[:, :33], clean[:, :33])
    np.testing.assert_array_equal(shown[mask == 0], frame[mask == 0])
    # Nothing of the object is left where a soft seam would mix it in.
    assert (shown[left > 0] != frame[left > 0]).any(axis=-1).mean() > 0.9


def test_a_painted_pixel_that_equals_the_frame_by_chance_is_given(frame, mask, clean):
    clean[20, 30] = frame[20, 30]
    shown, left = insert(frame, mask, clean)
    assert not left.any()
    np.testing.assert_array_equal(shown, clean)


def test_transparent_pixels_are_not_given(frame, mask, clean):
    alpha = np.where(np.arange(W) < 30, 255, 0).astype(np.uint8)
    reference = np.dstack([clean, np.broadcast_to(alpha, (H, W))])
    shown, left = insert(frame, mask, reference)
    np.testing.assert_array_equal(left > 0, (mask > 0) & (np.arange(W) >= 30))
    np.testing.assert_array_equal(shown[:, :30], clean[:, :30])


def test_changes_outside_the_hole_are_not_taken(frame, mask, clean):
    reference = clean.copy()
    reference[0, :10] = 0  # a slip of the brush: 10 of 1,900 pixels
    shown, _ = insert(frame, mask, reference)
    np.testing.assert_array_equal(shown, clean)


def test_a_shift_of_colour_is_corrected(frame, mask, clean):
    shown, left = insert(frame, mask, clean + np.uint8(12))
    np.testing.assert_array_equal(shown, clean)
    assert not left.any()


def test_noise_of_another_format_gives_nothing_that_was_not_painted(frame, mask, clean):
    noise = np.random.default_rng(1).integers(-3, 4, frame.shape)
    clean[10:30, 33:45] = frame[10:30, 33:45]
    reference = np.clip(clean + noise, 0, 255).astype(np.uint8)
    shown, left = insert(frame, mask, reference)
    np.testing.assert_array_equal(left > 0, (mask > 0) & (np.arange(W) >= 33))
    assert np.abs(shown[:, :33].astype(int) - clean[:, :33]).max() <= 4


def test_a_frame_that_is_all_hole_takes_everything(frame, clean):
    shown, left = insert(frame, np.full((H, W), 255, np.uint8), 255 - frame)
    np.testing.assert_array_equal(shown, 255 - frame)
    assert not left.any()


def test_another_frame_is_refused(frame, mask):
    with pytest.raises(InputError, match=r"reference frame 7: \d+% of its pixels outside the hole"):
        insert(frame, mask, 255 - frame)


def test_the_untouched_frame_is_refused(frame, mask):
    with pytest.raises(InputError, match="reference frame 7: the hole is as in the video"):
        insert(frame, mask, frame)


def test_a_transparent_hole_is_refused(frame, mask, clean):
    with pytest.raises(InputError, match="or transparent: paint what it should show"):
        insert(frame, mask, np.dstack([clean, 255 - mask]))


def test_a_frame_without_a_hole_is_refused(frame, mask, clean):
    with pytest.raises(InputError, match="this frame has no hole"):
        insert(frame, np.zeros_like(mask), clean)
