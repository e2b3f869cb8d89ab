"""Composed clips: what is hidden, where, and that the same sources give the same clip."""

import json
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidprior.errors import InputError
from vidprior.evaluation import compose
from vidprior.io import footage, images
from vidprior.io.masks import read_mask_frames

SIZE = (24, 40)
LEVELS = [((0, 5), (160, 60, 40)), ((5, 9), (40, 90, 200))]


@pytest.fixture
def background():
    """Two shots of 5 and 9 textured frames."""
    random = np.random.default_rng(0)
    texture = random.integers(-20, 20, (*SIZE, 3))
    shots = [
        np.clip(np.array(colour) + np.roll(texture, t, axis=1), 0, 255)
        for (_, count), colour in LEVELS
        for t in range(count)
    ]
    return compose.Background(
        "film.mp4", np.stack(shots).astype(np.uint8), (48, 80), [(0, 5), (5, 14)], Fraction(25)
    )


@pytest.fixture
def masks():
    """Three masks of the composed size; a square moves right by one pixel each."""
    masks = np.zeros((3, *SIZE), np.uint8)
    for t in range(3):
        masks[t, 8:14, 10 + t : 16 + t] = 255
    return masks


def composed(background, masks, **changes):
    arguments = {"masks_path": "m", "start": 6, "mask_start": 0, "num_frames": 4}
    return compose.compose(background, masks, **(arguments | changes))


def test_what_the_masks_hide_is_gone_and_the_rest_is_the_truth(background, masks):
    clip = composed(background, masks)
    np.testing.assert_array_equal(clip.truth, background.frames[6:10])
    np.testing.assert_array_equal(clip.hole, masks[[0, 1, 2, 1]] > 0)
    np.testing.assert_array_equal(clip.frames[~clip.hole], clip.truth[~clip.hole])
    assert (clip.frames != clip.truth).any(axis=-1)[clip.hole].mean() > 0.9


def test_nothing_of_the_truth_is_left_in_the_hole(background, masks):
    """Other pixels under the masks, and the method sees the same frames."""
    clip = composed(background, masks)
    changed = background.frames.copy()
    changed[6:10][clip.hole] = 255 - changed[6:10][clip.hole]
    other = composed(background._replace(frames=changed), masks)
    assert (other.truth != clip.truth).any()
    np.testing.assert_array_equal(other.frames, clip.frames)


def test_the_filling_leaves_no_rim(background, masks):
    """Every colour of the hole lies between those of its surroundings."""
    clip = composed(background, masks)
    known = clip.truth[~clip.hole]
    inside = clip.frames[clip.hole]
    assert (inside >= known.min(axis=0)).all()
    assert (inside <= known.max(axis=0)).all()


def test_manifest_says_everything(background, masks):
    clip = composed(background, masks, offset=(2, -1), scale=1.5, seed=7)
    about = clip.manifest
    assert (about["frames"], about["height"], about["width"], about["seed"]) == (4, *SIZE, 7)
    assert about["rate"] == [25, 1]
    assert about["background"] == {
        "path": "film.mp4", "width": 80, "height": 48,
        "start": 6, "stop": 10, "total": 14, "shot": [5, 14],
    }  # fmt: skip
    assert about["masks"] == {
        "path": "m", "width": 40, "height": 24,
        "indices": [0, 1, 2, 1], "total": 3, "offset": [2, -1], "scale": 1.5,
    }  # fmt: skip
    assert about["hole_fraction"] == clip.hole.mean()
    assert json.loads(json.dumps(about)) == about
    again = composed(background, masks, offset=(2, -1), scale=1.5, seed=7)
    assert again.manifest == about
    moved = composed(background, masks, offset=(3, -1), scale=1.5, seed=7).manifest
    assert moved["hole_sha256"] != about["hole_sha256"]
    assert moved["truth_sha256"] == about["truth_sha256"]


def test_offset_moves_and_scale_enlarges_about_the_centre():
    masks = np.zeros((1, 20, 40), np.uint8)
    masks[0, 8:12, 18:22] = 255  # 4x4 pixels in the middle
    moved = compose.place_masks(masks, size=(20, 40), offset=(3, -2))
    expected = np.zeros((20, 40), bool)
    expected[6:10, 21:25] = True
    np.testing.assert_array_equal(moved[0], expected)
    larger = compose.place_masks(masks, size=(20, 40), scale=2.0)
    expected = np.zeros((20, 40), bool)
    expected[6:14, 16:24] = True
    np.testing.assert_array_equal(larger[0], expected)


def test_masks_are_cropped_and_resized_as_frames_are():
    masks = np.zeros((1, 40, 40), np.uint8)
    masks[0, 20:, :20] = 255
    # 20 x 10: the crop keeps rows 10 to 30, and halves them.
    placed = compose.place_masks(masks, size=(10, 20))
    expected = np.zeros((10, 20), bool)
    expected[5:, :10] = True
    np.testing.assert_array_equal(placed[0], expected)


def test_to_and_fro_by_hand():
    assert compose.to_and_fro(1, 6, 3).tolist() == [1, 2, 1, 0, 1, 2]
    assert compose.to_and_fro(0, 3, 1).tolist() == [0, 0, 0]
    assert compose.to_and_fro(2, 3, 9).tolist() == [2, 3, 4]


@given(st.integers(0, 9), st.integers(1, 40), st.integers(1, 10))
def test_to_and_fro_never_jumps(start, count, total):
    indices = compose.to_and_fro(start % total, count, total)
    assert indices[0] == start % total
    assert ((indices >= 0) & (indices < total)).all()
    assert np.abs(np.diff(indices)).max(initial=0) <= 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_a_drawn_segment_never_crosses_a_cut(seed, count):
    shots = [(0, 5), (5, 14), (14, 16)]
    background = compose.Background("film.mp4", np.zeros((16, 1, 1, 3)), (1, 1), shots, None)
    start = compose.draw_start(np.random.default_rng(seed), background, count)
    assert any(first <= start and start + count <= stop for first, stop in shots)


def test_every_possible_start_is_drawn():
    background = compose.Background("f", np.zeros((8, 1, 1, 3)), (1, 1), [(0, 3), (3, 8)], None)
    random = np.random.default_rng(0)
    starts = {compose.draw_start(random, background, 3) for _ in range(100)}
    assert starts == {0, 3, 4, 5}
    assert {compose.draw_mask_start(random, 5, 3) for _ in range(100)} == {0, 1, 2}
    assert {compose.draw_mask_start(random, 2, 3) for _ in range(9)} == {0}


def test_no_shot_long_enough(background):
    with pytest.raises(InputError, match=r"no shot of 10 frames; the longest of 2 has 9"):
        compose.draw_start(np.random.default_rng(0), background, 10)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"start": 3}, "cross a cut at 5; its shot is frames 0 to 5"),
        ({"start": -1}, "no frames -1 to 3"),
        ({"start": 11}, "no frames 11 to 15 in a clip of 14"),
        ({"mask_start": 3}, "no mask 3 in a clip of 3"),
        ({"offset": (40, 0)}, "no hole in any frame"),
        ({"scale": 50.0, "offset": (350, 50)}, "covers every frame"),
        ({"scale": 0.0}, "scaled by 0.0"),
        ({"scale": float("nan")}, "scaled by nan"),
    ],
)
def test_what_cannot_be_composed(background, masks, changes, says):
    with pytest.raises(InputError, match=says):
        composed(background, masks, **changes)


def test_what_is_written_is_read_again(background, masks, tmp_path):
    clip = composed(background, masks)
    compose.write_clip(tmp_path / "set/a", clip)
    compose.write_clip(tmp_path / "set/b", clip)
    for name, array in (("frames", clip.frames), ("truth", clip.truth)):
        read = footage.read_frames(tmp_path / "set/a" / name).frames
        np.testing.assert_array_equal(read, array)
    grey = read_mask_frames(tmp_path / "set/a/masks", size=SIZE, num_frames=4)
    np.testing.assert_array_equal(grey, 255 * clip.hole.astype(np.uint8))
    assert compose.read_manifest(tmp_path / "set/a") == clip.manifest
    assert compose.list_clips(tmp_path / "set") == [tmp_path / "set/a", tmp_path / "set/b"]
    assert compose.list_clips(tmp_path / "set/a") == [tmp_path / "set/a"]
    with pytest.raises(InputError, match="not empty: choose another --output"):
        compose.write_clip(tmp_path / "set/a", clip)
    with pytest.raises(InputError, match="no composed clips"):
        compose.list_clips(tmp_path / "set/a/truth")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "null",
        "{",
        '{"version": 1}',
        '{"version": 2, "frames": 1, "height": 1, "width": 1}',
        '{"version": 1, "frames": -1, "height": 1, "width": 1}',
        '{"version": 1, "frames": true, "height": 1, "width": 1}',
        "[" * 100000,
        "\x00\xff",
    ],
)
def test_a_manifest_that_is_none(tmp_path, text):
    (tmp_path / compose.MANIFEST).write_text(text)
    with pytest.raises(InputError, match=re.escape(str(tmp_path / compose.MANIFEST))):
        compose.read_manifest(tmp_path)


def test_sources_are_read_at_their_own_size(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (3, 20, 40, 3), np.uint8)
    images.write_frames(tmp_path / "bmx/frames", frames)
    background = compose.read_background(str(tmp_path / "bmx/frames"), size=(10, 10))
    assert background.frames.shape == (3, 10, 10, 3)
    assert background.source_size == (20, 40)
    masks = compose.read_mask_clip(str(tmp_path / "bmx/frames"))
    assert masks.shape == (3, 20, 40)
    one = compose.read_mask_clip(str(tmp_path / "bmx/frames/00001.png"))
    np.testing.assert_array_equal(one[0], masks[1])
    assert compose.label(str(tmp_path / "bmx/frames")) == "bmx-frames"
    assert compose.label(str(tmp_path / "bmx/frames/00001.png")) == "00001"
