"""Masks of another number, rate or size than the video's."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidprior.errors import InputError
from vidprior.io import images
from vidprior.io.footage import open_footage
from vidprior.io.mask_meaning import MaskRules
from vidprior.io.masks import nearest, read_mask_frames, read_masks
from vidprior.io.video_writer import write_video

SIZE = (8, 12)
RATE = Fraction(25)


def numbered(count, size=SIZE):
    """[T, H, W, 3] masks that name themselves: of frame t, t columns from the left are hole."""
    masks = np.zeros((count, *size, 3), np.uint8)
    for t in range(count):
        masks[t, :, :t] = 255
    return masks


def columns(masks):
    """The numbers that `numbered` wrote, and nothing else in the masks."""
    counts = (masks[:, 0] > 127).sum(axis=1)
    for mask, count in zip(masks, counts, strict=True):
        np.testing.assert_array_equal(mask > 127, np.broadcast_to(np.arange(SIZE[1]) < count, SIZE))
    return counts.tolist()


@pytest.fixture
def film(tmp_path):
    """Builds a video of a number of frames at a rate, and a range of it."""

    def make(count, rate=RATE, **which):
        frames = np.zeros((count, *SIZE, 3), np.uint8)
        write_video(tmp_path / "film.mkv", frames, rate=rate, lossless=True)
        return open_footage(tmp_path / "film.mkv", **which)

    return make


@pytest.fixture
def mask_video(tmp_path):
    """Writes masks that name themselves as a video."""

    def make(count, rate):
        write_video(tmp_path / "masks.mkv", numbered(count), rate=rate, lossless=True)
        return tmp_path / "masks.mkv"

    return make


def taken(path, footage, **options):
    masks = read_masks(path, footage, **options)
    return masks.hole, "\n".join(masks.notes)


def fitted(path, footage):
    masks, told = taken(path, footage, rate=RATE, fit=True)
    assert masks.shape == (footage.count, *SIZE)
    return columns(masks), told


@pytest.mark.parametrize("fit", [False, True])
def test_masks_that_fit_are_taken_as_they_are(film, mask_video, fit):
    masks, told = taken(mask_video(5, RATE), film(5), rate=RATE, fit=fit)
    assert (columns(masks), told) == ([0, 1, 2, 3, 4], "")


@pytest.mark.parametrize("fit", [False, True])
def test_one_mask_for_each_frame_fits_whatever_its_rate(film, mask_video, fit):
    """Many tools write masks at a rate of their own. It is said all the same."""
    path, ntsc = mask_video(5, Fraction(24)), film(5, Fraction(30000, 1001))
    masks, told = taken(path, ntsc, rate=RATE, fit=fit)
    assert columns(masks) == [0, 1, 2, 3, 4]
    assert told == (
        "mask: 5 masks of 12x8 at 24 frames/s for 5 frames of 12x8 at 29.97 frames/s: "
        "taken frame by frame"
    )
    path = mask_video(5, Fraction(2997, 100))
    assert taken(path, ntsc, rate=RATE, fit=fit)[1] == ""


def test_masks_of_another_number_name_all_of_both(film, mask_video):
    path = mask_video(5, Fraction(25, 2))
    with pytest.raises(InputError) as caught:
        read_masks(path, film(10, Fraction(30000, 1001)), rate=RATE, fit=False)
    message = str(caught.value)
    assert f"{path} has 5 masks of 12x8 at 12.5 frames/s" in message
    assert "film.mkv has 10 frames of 12x8 at 29.97 frames/s" in message
    assert "--config.mask.fit=True" in message


def test_half_the_rate(film, mask_video):
    """Frame 1 lies between masks 0 and 1, as near to either: the earlier one."""
    shown, told = fitted(mask_video(5, Fraction(25, 2)), film(10))
    assert shown == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert told == (
        "mask: 5 masks of 12x8 at 12.5 frames/s are fitted to 10 frames of 12x8 at 25 frames/s: "
        "nearest in time"
    )


def test_twice_the_rate(film, mask_video):
    assert fitted(mask_video(10, Fraction(50)), film(5))[0] == [0, 2, 4, 6, 8]


def test_30_frames_a_second_for_24(film, mask_video):
    """At 0, 1.25, 2.5 (as near to 2 as to 3), 3.75, 5 frames of the masks; Matroska rounds."""
    shown, _ = fitted(mask_video(6, Fraction(30)), film(5, Fraction(24)))
    assert shown[:2] + shown[3:] == [0, 1, 4, 5]
    assert shown[2] in (2, 3)


def test_masks_that_end_early(film, mask_video):
    """They end at 0.12 s: the frames at 0.12, 0.16 and 0.20 s come after."""
    shown, told = fitted(mask_video(3, RATE), film(6))
    assert shown == [0, 1, 2, 2, 2, 2]
    assert told.endswith("nearest in time, the last one for 3 frames after its end")


def test_images_without_numbers_are_spread_evenly(film, tmp_path):
    for name, mask in zip("abcd", numbered(4), strict=True):
        images.write_image(tmp_path / "masks" / f"{name}.png", mask)
    shown, told = fitted(tmp_path / "masks", film(8))
    assert shown == [0, 0, 1, 1, 2, 2, 3, 3]
    assert told.startswith("mask: 4 masks of 12x8 are fitted to 8 frames of 12x8 at 25 frames/s")
    assert "spread evenly" in told


def test_a_range_takes_the_masks_of_its_time(film, mask_video):
    shown, told = fitted(mask_video(5, Fraction(25, 2)), film(10, start=5, stop=8))
    assert shown == [2, 3, 3]
    assert "to 3 frames (of 10) of 12x8" in told


def test_frames_of_a_variable_rate(write_clip, mask_video, tmp_path):
    """A pause of 0.2 s after the second frame."""
    times = [Fraction(n, 25) for n in (0, 1, 6, 7)]
    write_clip(tmp_path / "film.mp4", np.zeros((4, *SIZE, 3), np.uint8), shown_at=times)
    footage = open_footage(tmp_path / "film.mp4")
    assert fitted(mask_video(8, RATE), footage)[0] == [0, 1, 6, 7]


def test_images_as_footage_have_the_rate_that_is_given(mask_video, tmp_path):
    images.write_frames(tmp_path / "frames", np.zeros((4, *SIZE, 3), np.uint8))
    footage = open_footage(tmp_path / "frames")
    assert fitted(mask_video(8, 2 * RATE), footage)[0] == [0, 2, 4, 6]


@pytest.mark.parametrize("scale", [2, Fraction(1, 2)])
def test_another_size_is_resized_by_area(film, tmp_path, scale):
    """Halves and doubles of whole blocks: each column of the result stands for its own."""
    size = tuple(int(side * scale) for side in SIZE)
    masks = np.zeros((3, *size, 3), np.uint8)
    masks[:, :, : size[1] // 3] = 255
    images.write_frames(tmp_path / "masks", masks)
    with pytest.raises(InputError, match=rf"3 masks of {size[1]}x{size[0]}, .* of 12x8"):
        read_masks(tmp_path / "masks", film(3), rate=RATE, fit=False)
    shown, told = fitted(tmp_path / "masks", film(3))
    assert shown == [4, 4, 4]
    assert told.endswith("frame by frame, resized")


def test_one_image_of_another_size_for_all(film, tmp_path):
    images.write_image(tmp_path / "mask.png", numbered(7, (4, 6))[2])
    shown, told = fitted(tmp_path / "mask.png", film(3))
    assert shown == [4, 4, 4]
    assert told.endswith("one for all, resized")


times = st.lists(st.fractions(0, 10, max_denominator=60), min_size=1, max_size=20, unique=True)


@given(wanted=times, available=times.map(sorted))
def test_nearest_is_nearest(wanted, available):
    for time, index in zip(wanted, nearest(wanted, available), strict=True):
        distances = [abs(time - other) for other in available]
        assert index == distances.index(min(distances))


# ---- masks that have numbers ----


def numbered_folder(folder, numbers, *, pattern="{:05d}.png", size=SIZE):
    """A folder of masks that name themselves: that of number n has n columns."""
    for number in numbers:
        images.write_image(folder / pattern.format(number), numbered(number % 12 + 1, size)[-1])
    return folder


def paired(folder, footage, **rules):
    masks, told = taken(folder, footage, rate=RATE, rules=MaskRules(**rules))
    return columns(masks), told


def test_a_gap_is_named(film, tmp_path):
    folder = numbered_folder(tmp_path / "m", [0, 1, 2, 4, 5])
    with pytest.raises(InputError, match=r"none for frame 3.*mask\.missing=empty"):
        paired(folder, film(6))
    shown, told = paired(folder, film(6), missing="empty")
    assert shown == [0, 1, 2, 0, 4, 5]
    assert told == "mask: frame 3 has no mask and stays as it is"


def test_frames_and_masks_with_different_gaps(tmp_path):
    """As many of both, and yet frame 2 has no mask."""
    frames = numbered_folder(tmp_path / "f", [0, 1, 2, 4], pattern="shot_{:03d}_v2.png")
    masks = numbered_folder(tmp_path / "m", [0, 1, 3, 4], pattern="mask{:05d}.png")
    footage = open_footage(frames)
    with pytest.raises(InputError, match="none for frame 2"):
        paired(masks, footage)
    assert paired(masks, footage, missing="empty")[0] == [0, 1, 0, 4]
    assert any("after" in note and "shot_004" in note for note in footage.notes())


def test_masks_of_more_frames_than_there_are(tmp_path):
    frames = numbered_folder(tmp_path / "f", [2, 3, 6])
    shown, told = paired(numbered_folder(tmp_path / "m", range(8)), open_footage(frames))
    assert shown == [2, 3, 6]
    assert "5 masks have no frame" in told


def test_masks_of_some_frames(film, tmp_path):
    folder = numbered_folder(tmp_path / "m", [4, 5, 6])
    with pytest.raises(InputError, match="none for frames 0 to 3 and 7 to 9, counted from 0"):
        paired(folder, film(10))
    assert paired(folder, film(10), missing="empty")[0] == [0, 0, 0, 0, 4, 5, 6, 0, 0, 0]
    assert paired(folder, film(10, start=4, stop=7))[0] == [4, 5, 6]


def test_numbered_masks_are_never_spread(film, tmp_path):
    folder = numbered_folder(tmp_path / "m", [4, 5, 6])
    with pytest.raises(InputError, match="none for frames 0 to 3"):
        taken(folder, film(10), rate=RATE, fit=True)


def test_masks_that_count_from_1(film, tmp_path):
    assert paired(numbered_folder(tmp_path / "m", range(1, 7)), film(6))[0] == [1, 2, 3, 4, 5, 6]
    folder = numbered_folder(tmp_path / "n", [1, 2, 3, 5, 6])
    with pytest.raises(InputError, match="none for frame 3, counted from 0"):
        paired(folder, film(6))


def test_frames_and_masks_that_count_from_different_numbers(tmp_path):
    frames = numbered_folder(tmp_path / "f", [10, 11, 12, 13])
    masks = numbered_folder(tmp_path / "m", [0, 1, 2, 3])
    footage = open_footage(frames)
    shown, told = paired(masks, footage)
    assert shown == [0, 1, 2, 3]
    assert "in order" in told
    assert paired(masks, open_footage(frames, start=1, stop=3))[0] == shown[1:3]


# ---- other kinds ----


def test_one_mask_for_all_frames(film, tmp_path):
    images.write_image(tmp_path / "7.png", numbered(8)[7] // 2)
    assert paired(tmp_path / "7.png", film(3))[0] == [7, 7, 7]


def test_a_hole_that_is_most_of_the_picture_is_called_out(film, tmp_path):
    images.write_image(tmp_path / "a.png", numbered(11)[10])
    _, told = paired(tmp_path / "a.png", film(2))
    assert "83% of the frames is hole" in told
    assert "--config.mask.invert=True" in told
    masks, told = taken(tmp_path / "a.png", film(2), rate=RATE, rules=MaskRules(invert=True))
    assert (masks[:, :, 10:] == 255).all()
    assert not masks[:, :, :10].any()
    assert told == ""


def test_known_by_nothing_but_their_number(tmp_path):
    images.write_frames(tmp_path / "m", numbered(4))
    assert columns(read_mask_frames(tmp_path / "m", size=SIZE, num_frames=4)) == [0, 1, 2, 3]
    with pytest.raises(InputError, match="4 masks do not match 5 frames"):
        read_mask_frames(tmp_path / "m", size=SIZE, num_frames=5)
    with pytest.raises(InputError, match="no such file or folder"):
        read_mask_frames(tmp_path / "n", size=SIZE, num_frames=1)
    with pytest.raises(InputError, match=r"12x8, but its frame is 80x60"):
        read_mask_frames(tmp_path / "m", size=(60, 80), num_frames=4)
