"""The crop and resize between source and trained picture."""

import json
import os
import pathlib

import cv2
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.imaging import geometry

ROOT = pathlib.Path(__file__).parents[2]
GOLDENS = pathlib.Path(os.environ.get("VIDPRIOR_GOLDENS", ROOT / "../shared/goldens"))

sides = st.integers(1, 3000)


def random_images(*shape):
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("source_size", "size", "box"),
    [
        # (h - w*H/W) // 2 = (240 - 432/2) // 2 = 12
        ((240, 432), (192, 384), (12, 0, 216, 432)),
        # (480 - 854/2) // 2 = 26.5 // 1 = 26: one row more than the exact 427 stays
        ((480, 854), (192, 384), (26, 0, 428, 854)),
        # too wide: (w - h*W/H) // 2 = (1000 - 200) // 2 = 400 columns
        ((100, 1000), (192, 384), (0, 400, 100, 200)),
        # the same aspect ratio: all of it
        ((720, 1280), (90, 160), (0, 0, 720, 1280)),
        # odd sides: (7 - 5) // 2 = 1 row
        ((7, 5), (3, 3), (1, 0, 5, 5)),
    ],
)
def test_crop_by_hand(source_size, size, box):
    made = geometry.centre_crop(source_size, size)
    assert (made.top, made.left, made.height, made.width) == box
    assert (made.source_size, made.size) == (source_size, size)


@hypothesis.given(h=sides, w=sides, H=sides, W=sides)
def test_crop_lies_inside_centred_and_keeps_the_aspect_ratio(h, w, H, W):
    made = geometry.centre_crop((h, w), (H, W))
    assert made.height >= 1
    assert made.width >= 1
    assert 2 * made.top + made.height == h
    assert 2 * made.left + made.width == w
    assert made.top == 0 or made.left == 0
    # Never less than the exact crop, and less than two pixels more.
    exact_height, exact_width = min(h, w * H / W), min(w, h * W / H)
    assert exact_height - 1e-6 <= made.height < exact_height + 2
    assert exact_width - 1e-6 <= made.width < exact_width + 2


@hypothesis.given(h=sides, w=sides, H=sides, W=sides)
def test_margins_are_those_of_the_formula(h, w, H, W):
    made = geometry.centre_crop((h, w), (H, W))
    if h / w > H / W:
        assert made.top == int((h - w * H / W) // 2)
    elif h / w < H / W:
        assert made.left == int((w - h * W / H) // 2)


def test_crop_of_its_own_size_copies():
    images = random_images(2, 5, 7, 3)
    made = geometry.centre_crop((5, 7), (5, 7))
    result = geometry.crop_and_resize(made, images)
    assert np.array_equal(result, images)
    assert not np.shares_memory(result, images)


def test_crop_to_its_own_cropped_size_does_not_resample():
    images = random_images(1, 9, 4, 3)
    made = geometry.centre_crop((9, 4), (5, 4))
    assert np.array_equal(geometry.crop_and_resize(made, images), images[:, 2:7])


def test_shrinking_averages_areas():
    images = np.array([[[0, 10, 20, 30], [4, 6, 40, 50]]], np.uint8)
    made = geometry.centre_crop((2, 4), (1, 2))
    assert geometry.crop_and_resize(made, images).tolist() == [[[5, 35]]]


def test_masks_are_hole_above_127():
    # Means of pairs: 127, 127.5 (rounds up to 128), 255, 0.
    masks = np.array([[[127, 127, 255, 0, 255, 255, 0, 0]] * 2], np.uint8)
    made = geometry.centre_crop((2, 8), (1, 4))
    assert geometry.crop_and_resize_masks(made, masks).tolist() == [[[False, True, True, False]]]


def test_wrong_size_is_refused():
    made = geometry.centre_crop((8, 8), (4, 4))
    with pytest.raises(ValueError, match="8, 8"):
        geometry.crop_and_resize(made, random_images(1, 8, 9, 3))
    with pytest.raises(ValueError, match="2 images cannot replace 3"):
        geometry.paste_back(made, random_images(2, 4, 4, 3), random_images(3, 8, 8, 3))


def test_a_size_without_pixels_is_refused():
    with pytest.raises(InputError, match="8 x 8 to 0 x 4"):
        geometry.centre_crop((8, 8), (0, 4))


def test_place_back_fills_the_crop_and_nothing_else():
    source = random_images(2, 9, 4, 3)
    made = geometry.centre_crop((9, 4), (5, 4))
    images = 255 - source[:, 2:7]
    before = source.copy()
    placed = geometry.paste_back(made, images, source)
    assert np.array_equal(source, before)
    assert np.array_equal(placed[:, 2:7], images)
    assert np.array_equal(placed[:, :2], source[:, :2])
    assert np.array_equal(placed[:, 7:], source[:, 7:])


def test_place_back_undoes_apply_on_a_smooth_picture():
    y, x = np.mgrid[:90, :160]
    source = np.stack([y + x // 2, 200 - y, x], axis=-1).astype(np.uint8)[None]
    made = geometry.centre_crop((90, 160), (48, 64))
    back = geometry.paste_back(made, geometry.crop_and_resize(made, source), source)
    assert np.abs(back.astype(int) - source)[:, 3:-3].max() <= 3
    assert np.array_equal(back[:, :, : made.left], source[:, :, : made.left])


def test_place_back_shrinks_by_area():
    source = np.zeros((1, 1, 2, 3), np.uint8)
    made = geometry.centre_crop((1, 2), (2, 4))
    images = np.repeat(np.array([[[0, 10, 20, 30], [4, 6, 40, 50]]], np.uint8)[..., None], 3, -1)
    assert geometry.paste_back(made, images, source)[0, 0, :, 0].tolist() == [5, 35]


@hypothesis.given(h=sides, w=sides, H=sides, W=sides)
def test_dict_round_trip_through_json(h, w, H, W):
    made = geometry.centre_crop((h, w), (H, W))
    assert geometry.Transform.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    "change",
    [
        {"top": None},
        {"top": 1.5},
        {"top": -1},
        {"height": 10**9},
        {"size": [4]},
        {"size": [4, 0]},
        {"source_size": "88"},
    ],
)
def test_damaged_dict_is_refused(change):
    fields = geometry.centre_crop((8, 8), (4, 4)).to_dict() | change
    with pytest.raises(InputError):
        geometry.Transform.from_dict(fields)


def test_incomplete_dict_is_refused():
    fields = geometry.centre_crop((8, 8), (4, 4)).to_dict()
    del fields["left"]
    with pytest.raises(InputError, match="describe"):
        geometry.Transform.from_dict(fields)
    with pytest.raises(InputError, match="describe"):
        geometry.Transform.from_dict(None)


def test_golden_clip():
    file = GOLDENS / "clip.npz"
    if not file.exists():
        pytest.skip(f"no {file}")
    with np.load(file, allow_pickle=False) as golden:
        frames, masks = golden["frames_bgr_u8_source"], golden["mask_u8_source"]
        expected_frames = golden["frames_bgr_sub"]
        shape = tuple(golden["hole_shape"])
        expected_hole = np.unpackbits(golden["hole"], count=np.prod(shape)).reshape(shape)
    made = geometry.centre_crop(frames.shape[1:3], tuple(map(int, shape[1:])))
    resized = geometry.crop_and_resize(made, frames)
    step = round(shape[1] / expected_frames.shape[2])
    sub = resized[:, ::step, ::step].transpose(0, 3, 1, 2).astype(np.float32) / 255
    assert np.array_equal(sub, expected_frames)
    assert np.array_equal(geometry.crop_and_resize_masks(made, masks), expected_hole.astype(bool))
    assert cv2.countNonZero(expected_hole.reshape(-1)) > 0


# Around the hole


def path_of(source_size, box):
    """A path that is a box: rows and columns (first, stop)."""
    path = np.zeros(source_size, bool)
    (top, bottom), (left, right) = box
    path[top:bottom, left:right] = True
    return path


@pytest.mark.parametrize(
    ("source_size", "size", "box", "context", "crop"),
    [
        # 40x60 and half of it on each side: 80x120, of aspect 2:1 80x160, about (320, 430).
        ((720, 1280), (20, 40), ((300, 340), (400, 460)), 0.5, (280, 350, 80, 160)),
        # The same at a larger training size: nothing is enlarged, the crop is that size.
        ((720, 1280), (192, 384), ((300, 340), (400, 460)), 0.5, (224, 238, 192, 384)),
        # Near the corner it is moved inside.
        ((720, 1280), (192, 384), ((700, 720), (0, 30)), 0.5, (528, 0, 192, 384)),
        # 300 + 2 * 300 rows and 1800 columns: more than there is. The largest crop of 2:1 is
        # 640x1280, about row 450 as far as that goes: 80 to 720.
        ((720, 1280), (192, 384), ((300, 600), (400, 460)), 1.0, (80, 0, 640, 1280)),
        # A path of 700 rows does not fit into 640: the aspect ratio is given up for it.
        ((720, 1280), (192, 384), ((10, 710), (400, 460)), 0.5, (10, 0, 700, 1280)),
        # A path that covers everything: the whole frame.
        ((720, 1280), (192, 384), ((0, 720), (0, 1280)), 0.5, (0, 0, 720, 1280)),
        # A source smaller than the training size is enlarged, there is no more of it.
        ((100, 200), (192, 384), ((10, 20), (10, 20)), 0.5, (0, 0, 100, 200)),
    ],
)
def test_crop_around_a_path_by_hand(source_size, size, box, context, crop):
    made = geometry.crop_around(path_of(source_size, box), size, context=context)
    assert (made.top, made.left, made.height, made.width) == crop
    assert (made.source_size, made.size) == (source_size, size)


@hypothesis.settings(deadline=None)
@hypothesis.given(data=st.data(), H=st.integers(1, 90), W=st.integers(1, 90))
def test_crop_around_a_path_holds_it_keeps_the_aspect_and_enlarges_nothing(data, H, W):
    h, w = data.draw(st.integers(1, 120)), data.draw(st.integers(1, 120))
    top, left = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    bottom, right = data.draw(st.integers(top + 1, h)), data.draw(st.integers(left + 1, w))
    path = path_of((h, w), ((top, bottom), (left, right)))
    made = geometry.crop_around(path, (H, W), context=data.draw(st.floats(0, 3)))
    assert path[made.crop].sum() == path.sum()
    if h >= H and w >= W:
        assert made.height >= H
        assert made.width >= W
    # Half a pixel of rounding on a side, unless the path itself asks for more.
    if made.height > bottom - top and made.width > right - left:
        assert abs(made.height - made.width * H / W) <= 0.5 + 0.5 * H / W + 1e-6


def test_another_view_of_the_same_source_by_hand():
    """Columns 0 to 4 and columns 2 to 6 of a source of 2x6: two are shared."""
    first = geometry.Transform((2, 6), 0, 0, 2, 4, (2, 4))
    second = geometry.Transform((2, 6), 0, 2, 2, 4, (2, 4))
    theirs, own = random_images(2, 1, 2, 4, 3)
    seen = geometry.reproject(second, own, first, theirs)
    assert np.array_equal(seen[:, :, :2], theirs[:, :, 2:])
    assert np.array_equal(seen[:, :, 2:], own[:, :, 2:])
    assert geometry.reproject(first, own, first, theirs) is theirs


def test_another_view_at_another_scale():
    """A flat picture stays so: from half the resolution, enlarged, to the crop itself."""
    half = geometry.Transform((40, 60), 0, 0, 40, 60, (20, 30))
    whole = geometry.Transform((40, 60), 10, 20, 20, 30, (20, 30))
    images = np.full((2, 20, 30, 3), (200, 100, 50), np.uint8)
    assert np.array_equal(geometry.reproject(whole, 0 * images, half, images), images)


@pytest.mark.parametrize(
    ("factors", "margins"),
    [((1.25,), (12, 20)), ((1.25, 1.0), (0, 20)), ((1.0, 2.0), (50, 0)), ((1.0,), (0, 0))],
)
def test_margins_of_an_enlarged_frame(factors, margins):
    # 100 rows and 160 columns; a quarter of 100 is 25, half of it on each side.
    assert geometry.outpaint_margins((100, 160), factors) == margins
