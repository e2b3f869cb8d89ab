"""Image files of many pages, as clips and as masks."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image

from vidprior.errors import InputError
from vidprior.io import footage, images, masks
from vidprior.io.mask_meaning import MaskRules

SIZE = (24, 32)
COUNT = 5
# What each format loses, of 255.
FORMATS = {"a.tif": 0, "a.gif": 0, "a.png": 0, "a.apng": 0, "a.webp": 0}


def pictures(count=COUNT, size=SIZE):
    """[T, H, W, 3]: few colours, so that GIF keeps them all; unlike in every page."""
    frames = np.zeros((count, *size, 3), np.uint8)
    for t in range(count):
        frames[t, :, : 4 + 4 * t] = (200, 40, 10 * t)
    return frames


def write_pages(path, frames, **options):
    pages = [Image.fromarray(frame) for frame in frames]
    if path.suffix == ".webp":
        options |= {"lossless": True, "minimize_size": False}
    kind = "PNG" if path.suffix == ".apng" else None
    pages[0].save(path, kind, save_all=True, append_images=pages[1:], **options)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_every_page_is_a_frame(tmp_path, name):
    path = write_pages(tmp_path / name, pictures())
    video = footage.read_frames(path)
    assert video.total == COUNT
    assert np.abs(video.frames.astype(int) - pictures()).max() <= FORMATS[name]
    part = footage.read_frames(path, start=1, stop=3)
    assert np.array_equal(part.frames, video.frames[1:3])


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_animations_keep_their_times(tmp_path, name):
    steady = write_pages(tmp_path / name, pictures(), duration=40)
    opened = footage.open_footage(steady)
    assert (opened.rate, opened.shown_at()) == (Fraction(25), None)
    uneven = write_pages(tmp_path / name, pictures(3), duration=[40, 200, 100])
    shown = footage.open_footage(uneven).shown_at()
    assert shown == (0, Fraction(40, 1000), Fraction(240, 1000))


def test_a_stack_has_no_rate(tmp_path):
    assert footage.open_footage(write_pages(tmp_path / "a.tif", pictures())).rate is None


def test_a_stack_of_16_bits(tmp_path):
    deep = [np.full((*SIZE, 3), 257 * value, np.uint16) for value in (10, 100, 200)]
    assert cv2.imwritemulti(str(tmp_path / "a.tif"), deep)
    assert footage.read_frames(tmp_path / "a.tif").frames[:, 0, 0, 0].tolist() == [10, 100, 200]


@pytest.mark.parametrize("name", FORMATS)
def test_masks_of_many_pages(tmp_path, name):
    hole = np.where(pictures()[..., :1] > 0, 255, 0).astype(np.uint8).repeat(3, axis=-1)
    path = write_pages(tmp_path / name, hole)
    images.write_frames(tmp_path / "f", pictures())
    read = masks.read_masks(path, footage.open_footage(tmp_path / "f"), rate=Fraction(25))
    assert np.array_equal(read.hole, hole[..., 0])
    images.write_frames(tmp_path / "g", pictures()[:4])
    with pytest.raises(InputError, match="5 masks"):
        masks.read_masks(path, footage.open_footage(tmp_path / "g"), rate=Fraction(25))


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png", ".tif"])
def test_one_page_masks_all_frames(tmp_path, suffix):
    hole = np.zeros(SIZE, np.uint8)
    hole[4:9, 5:20] = 255
    path = tmp_path / f"a{suffix}"
    Image.fromarray(hole).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    images.write_frames(tmp_path / "f", pictures())
    read = masks.read_masks(path, footage.open_footage(tmp_path / "f"), rate=Fraction(25))
    assert np.array_equal(read.hole, np.repeat(hole[None], COUNT, axis=0))


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_folders_of_other_images(tmp_path, suffix):
    for number, frame in enumerate(pictures()):
        options = {"lossless": True} if suffix == ".webp" else {}
        Image.fromarray(frame).save(tmp_path / f"{number}{suffix}", **options)
    assert np.array_equal(footage.read_frames(tmp_path).frames, pictures())


def test_alpha_of_an_animation_is_its_mask(tmp_path):
    hole = np.zeros((3, *SIZE), np.uint8)
    for t in range(3):
        hole[t, 4:9, 5 : 12 + t] = 255
    rgba = [np.dstack([pictures()[0], mask]) for mask in hole]
    path = write_pages(tmp_path / "a.png", rgba)
    assert np.array_equal(masks.read_mask_frames(path, size=SIZE, num_frames=3), hole)


def test_a_page_of_another_size_is_refused(tmp_path):
    pages = [Image.fromarray(pictures()[0]), Image.fromarray(pictures()[0][:10])]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="page 1 is 32x10"):
        footage.read_frames(tmp_path / "a.tif")


def test_a_stack_in_a_folder_of_images_is_refused(tmp_path):
    write_pages(tmp_path / "0.tif", pictures())
    with pytest.raises(InputError, match=r"0\.tif contains 5 pages"):
        footage.read_frames(tmp_path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.05, 0.4, 0.8, 0.95])
def test_cut_files_are_refused(tmp_path, name, share):
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, *SIZE, 3), np.uint8)
    path = write_pages(tmp_path / name, noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=name):
        footage.read_frames(path)


def test_rules_hold_for_stacks(tmp_path):
    numbers = np.zeros((2, *SIZE), np.uint8)
    numbers[:, 2:10, 2:10], numbers[:, 12:20, 12:20] = 1, 255
    write_pages(tmp_path / "a.tif", numbers)
    rules = MaskRules(ignore=(255,))
    read = masks.read_mask_frames(tmp_path / "a.tif", size=SIZE, num_frames=2, rules=rules)
    assert np.array_equal(read, np.where(numbers == 1, 255, 0))


def test_a_canvas_far_larger_than_its_pictures_is_refused(tmp_path):
    """Found by torture: the header's height, forged, took memory for every page."""
    path = write_pages(tmp_path / "a.gif", pictures())
    data = bytearray(path.read_bytes())
    data[8:10] = (65535).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="next to nothing of 32x65535"):
        footage.open_footage(path)
