"""The finished frame: what is placed where, the seam's width, and blended gradients."""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from helpers import examples

from vidprior.imaging import geometry
from vidprior.imaging.compositing import composite_into_source, feather_weight
from vidprior.imaging.dilation import dilate_masks

SOURCE, SIZE = (24, 40), (10, 20)
TRANSFORM = geometry.centre_crop(SOURCE, SIZE)  # rows 2 to 21, doubled


def random_frame(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def box(top, bottom, left, right, size=SOURCE):
    hole = np.zeros(size, bool)
    hole[top:bottom, left:right] = True
    return hole


def enlarged(image, source, hole, *, transform, **options):
    """A picture of the trained size, enlarged into the hole of its source."""
    generated = geometry.paste_back(transform, image[None], source[None])[0]
    return composite_into_source(generated, source, hole, crop=transform.crop, **options)


@examples(40)
@hypothesis.given(hole=hnp.arrays(bool, SOURCE), feather=st.floats(0, 9), gradient=st.booleans())
def test_known_pixels_stay_bit_for_bit(hole, feather, gradient):
    source = random_frame(SOURCE)
    made = enlarged(
        random_frame(SIZE, 1), source, hole,
        transform=TRANSFORM, feather=feather, gradient=gradient,
    )  # fmt: skip
    assert made.dtype == np.uint8
    assert np.array_equal(made[~hole], source[~hole])
    assert np.array_equal(source, random_frame(SOURCE))


def test_the_hole_is_filled_with_the_resized_picture():
    image, source, hole = random_frame(SIZE, 1), random_frame(SOURCE), box(5, 15, 8, 30)
    made = enlarged(image, source, hole, transform=TRANSFORM)
    placed = geometry.paste_back(TRANSFORM, image[None], source[None])[0]
    assert np.array_equal(made[hole], placed[hole])


def test_of_equal_size_the_picture_is_copied():
    image, source, hole = random_frame(SOURCE, 1), random_frame(SOURCE), box(5, 15, 8, 30)
    made = enlarged(image, source, hole, transform=geometry.centre_crop(SOURCE, SOURCE))
    assert np.array_equal(made, np.where(hole[..., None], image, source))


def test_nothing_is_generated_outside_the_crop():
    source = random_frame(SOURCE)
    made = enlarged(random_frame(SIZE, 1), source, np.ones(SOURCE, bool), transform=TRANSFORM)
    assert np.array_equal(made[:2], source[:2])
    assert np.array_equal(made[22:], source[22:])
    assert (made[2:22] != source[2:22]).any(axis=-1).mean() > 0.9


def test_weights_by_hand():
    """Ten columns of hole: the nearest known pixel is 1, 2, 3, 4, 5, 5, 4, ... away."""
    weight = feather_weight(box(0, 24, 10, 20), 4)
    expected = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    assert np.allclose(weight[:, 9:21], expected)


@pytest.mark.parametrize("feather", [0, 0.5, 1])
def test_a_seam_of_up_to_one_pixel_is_hard(feather):
    hole = box(5, 15, 8, 30)
    assert np.array_equal(feather_weight(hole, feather), hole.astype(np.float32))


def test_a_picture_without_known_pixels_has_no_seam():
    assert (feather_weight(np.ones(SOURCE, bool), 5) == 1).all()


@examples(40)
@hypothesis.given(mask=hnp.arrays(bool, SOURCE), dilate=st.integers(0, 6))
def test_a_seam_as_wide_as_the_hole_was_grown_spares_the_mask(mask, dilate):
    """What the mask covers is generated in full: nothing of it shines through."""
    grown = dilate_masks(255 * mask[None].astype(np.uint8), dilate)[0] > 127
    assert (feather_weight(grown, dilate)[mask] == 1).all()


def test_mixed_values_by_hand():
    source, image = np.full((*SOURCE, 3), 100, np.uint8), np.full((*SIZE, 3), 200, np.uint8)
    made = enlarged(image, source, box(2, 22, 10, 20), transform=TRANSFORM, feather=4)
    assert made[12, 9:15, 0].tolist() == [100, 125, 150, 175, 200, 200]


# Blended gradients


def test_gradients_make_up_for_a_wrong_brightness():
    """The picture is right but for 30 levels: blended, the hole equals its surroundings."""
    source = np.full((*SOURCE, 3), 60, np.uint8)
    source += np.arange(SOURCE[1], dtype=np.uint8)[:, None]
    brighter = source + 30
    hole = box(6, 18, 10, 30)
    same = geometry.centre_crop(SOURCE, SOURCE)
    plain = enlarged(brighter, source, hole, transform=same)
    blended = enlarged(brighter, source, hole, transform=same, gradient=True)
    assert (plain[hole].astype(int) - source[hole] == 30).all()
    assert np.array_equal(blended, source)


def test_blending_does_not_look_beyond_the_crop():
    """Hole in the margin keeps the object: it must not bleed into the crop."""
    source = np.full((*SOURCE, 3), 100, np.uint8)
    hole = box(0, 10, 10, 30)
    source[hole] = 255
    made = enlarged(
        np.full((*SIZE, 3), 100, np.uint8), source, hole, transform=TRANSFORM, gradient=True
    )
    assert (made[2:10] == 100).all()
