"""What the numbers of masks mean."""

import pathlib

import cv2
import numpy as np
import pytest
from helpers import save_image, save_palette
from PIL import Image

from vidprior.errors import InputError
from vidprior.io import images
from vidprior.io.mask_meaning import MaskRules, Survey

ROOT = pathlib.Path(__file__).parents[2]
CLIPS = ROOT / "../shared/clips"


def decided(files, **rules):
    survey = Survey()
    for file in files:
        survey.add(file, images.read_pixels(file))
    return survey.decide(MaskRules(**rules))


def read_mask_images(files, **rules):
    meaning = decided(files, **rules)
    return np.stack([meaning.to_mask(images.read_pixels(file)) for file in files])


def masks_of(tmp_path, pictures):
    files = [save_image(tmp_path / f"{i}.png", picture) for i, picture in enumerate(pictures)]
    return read_mask_images(files)


BLOB = np.zeros((12, 16), np.uint8)
BLOB[3:7, 5:11] = 1
HOLE = BLOB * 255
NOTHING = np.zeros_like(BLOB)


@pytest.mark.parametrize("value", [1, 2, 64, 128, 254, 255])
def test_any_single_value_is_hole(tmp_path, value):
    assert np.array_equal(masks_of(tmp_path, [BLOB * value, NOTHING]), [HOLE, NOTHING])


@pytest.mark.parametrize("value", [1, 128, 255, 256, 65535])
def test_any_single_value_of_16_bits_is_hole(tmp_path, value):
    images = [BLOB.astype(np.uint16) * np.uint16(value), NOTHING.astype(np.uint16)]
    assert np.array_equal(masks_of(tmp_path, images), [HOLE, NOTHING])


def test_object_numbers_are_all_hole(tmp_path):
    numbers = BLOB.copy()
    numbers[9, :7] = [2, 3, 4, 5, 6, 7, 8]
    expected = np.where(numbers > 0, 255, 0)
    assert np.array_equal(masks_of(tmp_path, [numbers, BLOB]), [expected, HOLE])


def test_palette_of_objects_is_all_hole(tmp_path):
    palette = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (0, 0, 128), (64, 0, 0), (191, 0, 0)]
    indices = BLOB.copy()
    indices[9, :5] = [1, 2, 3, 4, 5]
    file = save_palette(tmp_path / "a.png", indices, palette)
    expected = np.where(indices > 0, 255, 0)
    assert np.array_equal(read_mask_images([file]), [expected])


def test_the_largest_colour_channel_counts(tmp_path):
    image = np.zeros((1, 4, 3), np.uint8)
    image[0, 1, 0] = image[0, 2, 1] = image[0, 3, 2] = 255
    assert masks_of(tmp_path, [image]).tolist() == [[[0, 255, 255, 255]]]


def test_soft_edges_of_a_white_mask_are_kept(tmp_path):
    soft = cv2.GaussianBlur(cv2.resize(HOLE, (64, 48)), (5, 5), 0)
    assert soft.max() == 255
    assert len(np.unique(soft)) > 10
    assert np.array_equal(masks_of(tmp_path, [soft, soft]), [soft, soft])


@pytest.mark.parametrize("peak", [100, 201, 254])
def test_soft_edges_below_white_are_scaled(tmp_path, peak):
    ramp = np.arange(peak + 1, dtype=np.uint8)[None]
    scaled = masks_of(tmp_path, [ramp])[0, 0]
    assert np.abs(scaled - np.arange(peak + 1) * 255 / peak).max() <= 0.5
    assert np.array_equal(scaled > 127, np.arange(peak + 1) > peak / 2)


@pytest.mark.parametrize("step", [1, 257])
def test_soft_edges_in_16_bits(tmp_path, step):
    ramp = (np.arange(256, dtype=np.uint16) * np.uint16(step))[None]
    masks = masks_of(tmp_path, [ramp])
    assert masks.dtype == np.uint8
    assert np.array_equal(masks[0, 0], np.arange(256))


def test_values_that_fill_areas_are_labels_however_bright_another_is(tmp_path):
    """All masks are judged together: 100 is an object, though 255 is white."""
    faint = BLOB * 100
    assert np.array_equal(masks_of(tmp_path, [HOLE, faint]), [HOLE, HOLE])


def test_a_soft_edge_along_the_border_of_the_picture_is_no_area(tmp_path):
    """Two equal columns there; 3 x 3 pixels of one value would be an object."""
    edge = np.zeros((12, 16), np.uint8)
    edge[:, :7] = [94, 94, 255, 255, 200, 120, 60]
    assert np.array_equal(masks_of(tmp_path, [edge]), [edge])
    edge[:, 1:4] = 94
    assert np.array_equal(masks_of(tmp_path, [edge])[0], np.where(edge > 0, 255, 0))


def test_noise_of_a_video_saved_as_png_is_no_hole(tmp_path):
    rng = np.random.default_rng(0)
    noisy = np.where(BLOB, 251, 2) + rng.integers(-2, 3)
    noisy[8] = np.linspace(0, 250, 16)  # edges take values in between
    noisy[9] = np.linspace(5, 245, 16)
    noisy[10] = np.linspace(7, 247, 16)
    result = masks_of(tmp_path, [noisy.astype(np.uint8)])[0]
    assert np.array_equal(result[:8] > 127, BLOB[:8] > 0)


def test_alpha_decides_where_it_varies(tmp_path):
    image = np.full((12, 16, 4), 200, np.uint8)
    image[..., 3] = HOLE
    assert np.array_equal(masks_of(tmp_path, [image]), [HOLE])


def test_alpha_that_varies_decides_for_the_whole_sequence(tmp_path):
    # In the second frame nothing is marked: its alpha is 0 throughout, its colour white.
    image = np.full((12, 16, 4), 255, np.uint8)
    image[..., 3] = HOLE
    empty = image.copy()
    empty[..., 3] = 0
    assert np.array_equal(masks_of(tmp_path, [image, empty]), [HOLE, NOTHING])


@pytest.mark.parametrize("alpha", [0, 255])
def test_constant_alpha_is_ignored(tmp_path, alpha):
    image = np.dstack([HOLE, HOLE, HOLE, np.full_like(HOLE, alpha)])
    assert np.array_equal(masks_of(tmp_path, [image, image]), [HOLE, HOLE])


def test_grey_with_alpha_and_transparent_palette(tmp_path):
    pixels = np.dstack([np.full_like(HOLE, 90), HOLE])
    Image.frombytes("LA", (16, 12), pixels.tobytes()).save(tmp_path / "a.png")
    assert np.array_equal(read_mask_images([tmp_path / "a.png"]), [HOLE])
    palette = [(255, 255, 255), (0, 0, 0)]
    file = save_palette(tmp_path / "b.png", BLOB, palette, transparency=0)
    assert np.array_equal(read_mask_images([file]), [HOLE])


def test_jpeg_masks_have_a_fixed_threshold(tmp_path):
    big = cv2.resize(HOLE, (160, 120), interpolation=cv2.INTER_NEAREST)
    assert cv2.imwrite(str(tmp_path / "a.jpg"), big, [cv2.IMWRITE_JPEG_QUALITY, 60])
    decoded = cv2.imread(str(tmp_path / "a.jpg"), cv2.IMREAD_GRAYSCALE)
    assert ((decoded > 0) & (big == 0)).any()  # there is noise to be ignored
    assert np.array_equal(read_mask_images([tmp_path / "a.jpg"])[0], big)
    assert cv2.imwrite(str(tmp_path / "b.jpg"), np.full((16, 16), 3, np.uint8))
    assert read_mask_images([tmp_path / "b.jpg"]).max() == 0


def test_masks_of_two_bit_depths_are_refused(tmp_path):
    files = [
        save_image(tmp_path / "0.png", HOLE),
        save_image(tmp_path / "1.png", HOLE.astype(np.uint16)),
    ]
    with pytest.raises(InputError, match=r"uint16, but .*0\.png is uint8"):
        read_mask_images(files)


def test_real_palette_annotations_and_masks():
    folder = CLIPS / "bmx-trees"
    if not folder.exists():
        pytest.skip(f"no {folder}")
    for number in (0, 40, 79):
        file = folder / "annotations" / f"{number:05d}.png"
        with Image.open(file) as image:
            objects = np.asarray(image) > 0
        hole = read_mask_images([file])[0]
        assert np.array_equal(hole, np.where(objects, 255, 0))
        # The masks are the same object, grown by at most six pixels.
        grown = read_mask_images([folder / "masks" / file.name])[0]
        assert (grown[objects] == 255).all()
        assert not grown[cv2.dilate(hole, np.ones((13, 13), np.uint8)) == 0].any()


# ---- labels ----


def ids(*regions, dtype=np.uint8):
    """[12, 16]: columns of numbers, four pixels wide each."""
    picture = np.zeros((12, 16), dtype)
    for place, value in enumerate(regions):
        picture[2:10, 4 * place : 4 * place + 4] = value
    return picture


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("void", ["white", 200])
def test_object_numbers_beside_a_void_value(tmp_path, dtype, void):
    void = np.iinfo(dtype).max if void == "white" else void
    masks = [ids(1, 2, void, dtype=dtype), ids(0, 1, 0, dtype=dtype)]
    files = [save_image(tmp_path / f"{i}.png", mask) for i, mask in enumerate(masks)]
    meaning = decided(files)
    assert f"2 masks, labels 1, 2 and {void}; removing all but 0" in meaning.told
    assert "mask.labels" in meaning.told
    assert "mask.ignore" in meaning.told
    expected = [np.where(mask, 255, 0) for mask in masks]
    assert np.array_equal(read_mask_images(files), expected)
    without = [np.where((mask > 0) & (mask != void), 255, 0) for mask in masks]
    assert np.array_equal(read_mask_images(files, ignore=(int(void),)), without)
    second = [np.where(mask == 2, 255, 0) for mask in masks]
    assert np.array_equal(read_mask_images(files, labels=(2,)), second)
    both = [np.where((mask == 1) | (mask == 2), 255, 0) for mask in masks]
    assert np.array_equal(read_mask_images(files, labels=(1, 2)), both)


def test_a_thin_object_beside_a_void_rim(tmp_path):
    """The object is a line of one pixel, and white a rim: no value fills an area."""
    mask = np.zeros((12, 16), np.uint8)
    mask[5], mask[4], mask[6] = 1, 255, 255
    assert np.array_equal(masks_of(tmp_path, [mask]), [np.where(mask, 255, 0)])


def test_many_objects(tmp_path):
    """More numbers than soft edges have shades, of 8 and of 16 bits."""
    numbers = np.kron(np.arange(1, 61).reshape(6, 10), np.ones((8, 8))).astype(np.uint8)
    numbers[0] = 0
    for mask in (numbers, numbers.astype(np.uint16) * 1000):
        assert np.array_equal(masks_of(tmp_path, [mask]), [np.where(mask, 255, 0)])


def test_colours_are_labels_however_dark(tmp_path):
    picture = np.zeros((12, 16, 3), np.uint8)
    picture[2:10, 2:6], picture[2:10, 8:12] = (0, 100, 0), (0, 0, 255)  # BGR: green and red
    file = save_image(tmp_path / "0.png", picture)
    meaning = decided([file])
    assert "labels 1 (#006400) and 2 (#ff0000)" in meaning.told
    assert np.array_equal(read_mask_images([file])[0], np.where(picture.any(-1), 255, 0))
    green = read_mask_images([file], labels=(1,))[0]
    assert np.array_equal(green, np.where(picture[..., 1], 255, 0))
    red = read_mask_images([file], ignore=(1,))[0]
    assert np.array_equal(red, np.where(picture[..., 2], 255, 0))


def test_one_colour_with_soft_edges_is_a_shade(tmp_path):
    soft = cv2.GaussianBlur(cv2.resize(HOLE, (64, 48)), (5, 5), 0)
    red = np.stack([np.zeros_like(soft), np.zeros_like(soft), soft], axis=-1)
    assert np.array_equal(masks_of(tmp_path, [red]), [soft])


def test_palettes_are_chosen_by_their_numbers(tmp_path):
    palette = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (224, 224, 192)]
    file = save_palette(tmp_path / "a.png", ids(1, 2, 3), palette)
    assert "labels 1 (#800000), 2 (#008000) and 3 (#e0e0c0)" in decided([file]).told
    assert np.array_equal(read_mask_images([file], ignore=(3,))[0], np.where(ids(1, 1), 255, 0))
    assert np.array_equal(read_mask_images([file], labels=(2,))[0], np.where(ids(0, 1), 255, 0))


def test_a_palette_of_black_and_white_is_read_by_brightness(tmp_path):
    file = save_palette(tmp_path / "a.png", 1 - BLOB, [(255, 255, 255), (0, 0, 0)])
    assert np.array_equal(read_mask_images([file])[0], HOLE)


def test_nothing_is_told_of_black_and_white(tmp_path):
    assert decided([save_image(tmp_path / "a.png", HOLE)]).told == ""


def test_labels_that_are_not_there_name_those_that_are(tmp_path):
    file = save_image(tmp_path / "a.png", ids(1, 2))
    with pytest.raises(InputError, match=r"no mask has the label 7 .*there are 0, 1 and 2"):
        decided([file], labels=(7,))


def test_labels_cannot_be_had_from_jpeg(tmp_path):
    assert cv2.imwrite(str(tmp_path / "a.jpg"), HOLE)
    with pytest.raises(InputError, match="lossless"):
        decided([tmp_path / "a.jpg"], labels=(1,))


def test_areas_that_stay_are_called_out_in_lossy_masks(tmp_path):
    grey = cv2.resize(np.where(BLOB, 100, 0).astype(np.uint8), (160, 120))
    assert cv2.imwrite(str(tmp_path / "a.jpg"), grey)
    assert "neither black nor white" in decided([tmp_path / "a.jpg"]).told


@pytest.mark.parametrize("picture", [HOLE, ids(1, 2), np.dstack([HOLE, HOLE, HOLE, HOLE])])
def test_inverted(tmp_path, picture):
    file = save_image(tmp_path / "a.png", picture)
    plain, inverted = read_mask_images([file]), read_mask_images([file], invert=True)
    assert np.array_equal(inverted, 255 - plain)


def test_without_zero_the_most_frequent_label_is_the_background(tmp_path):
    numbers = np.ones((20, 30), np.uint8)
    numbers[5:12, 5:12] = 2
    file = save_image(tmp_path / "a.png", numbers)
    assert np.array_equal(read_mask_images([file])[0], np.where(numbers == 2, 255, 0))
