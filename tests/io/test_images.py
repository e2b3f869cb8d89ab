"""Images, folders of images, and masks made of images."""

import pathlib
import struct
import tempfile
import zlib

import cv2
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import imageio.v3
import numpy as np
import pytest
from helpers import examples, save_image, save_palette
from PIL import Image

from vidprior.errors import InputError
from vidprior.io import files
from vidprior.io.images import (
    list_images,
    read_image,
    require_consecutive,
    write_frames,
    write_image,
)  # fmt: skip

ROOT = pathlib.Path(__file__).parents[2]
CLIPS = ROOT / "../shared/clips"


def random_image(*shape, dtype=np.uint8):
    return np.random.default_rng(5).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


# ---- single images ----


def test_colour_png_is_rgb(tmp_path):
    file = save_image(tmp_path / "a.png", np.array([[[1, 2, 3]]], np.uint8))
    assert read_image(file).tolist() == [[[3, 2, 1]]]


def test_grey_is_replicated(tmp_path):
    file = save_image(tmp_path / "a.png", np.array([[7, 9]], np.uint8))
    assert read_image(file).tolist() == [[[7] * 3, [9] * 3]]


def test_16_bits_are_divided_by_257(tmp_path):
    values = np.array([[0, 128, 129, 257, 40000, 65406, 65407, 65535]], np.uint16)
    expected = [0, 0, 1, 1, round(40000 / 257), 254, 255, 255]
    grey = read_image(save_image(tmp_path / "grey.png", values))
    assert grey[0, :, 0].tolist() == expected
    colour = save_image(tmp_path / "colour.png", np.repeat(values[..., None], 3, axis=2))
    assert np.array_equal(read_image(colour), grey)
    tiff = save_image(tmp_path / "colour.tif", np.repeat(values[..., None], 3, axis=2))
    assert np.array_equal(read_image(tiff), grey)


def test_palette_is_looked_up(tmp_path):
    palette = [(0, 0, 0), (128, 0, 0), (10, 20, 30)]
    file = save_palette(tmp_path / "a.png", np.array([[0, 1, 2]], np.uint8), palette)
    assert read_image(file).tolist() == [[list(colour) for colour in palette]]


def test_alpha_is_left_out(tmp_path):
    pixels = np.array([[[1, 2, 3, 0], [4, 5, 6, 128]]], np.uint8)
    file = save_image(tmp_path / "a.png", pixels)
    assert read_image(file).tolist() == [[[3, 2, 1], [6, 5, 4]]]


def test_one_bit_image(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[255] * 3, [0] * 3]]


def test_jpeg_agrees_with_opencv_and_is_turned_upright(tmp_path):
    y, x = np.mgrid[:24, :40]
    pixels = np.stack([y * 9, x * 6, y + x], axis=-1).astype(np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.jpg", quality=95)
    plain = read_image(tmp_path / "a.jpg")
    assert np.abs(plain.astype(int) - cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]).max() <= 1
    exif = image.getexif()
    exif[0x112] = 6  # to be shown after a quarter turn clockwise
    image.save(tmp_path / "turned.jpg", quality=95, exif=exif)
    assert np.array_equal(read_image(tmp_path / "turned.jpg"), np.rot90(plain, -1))


def test_grey_and_cmyk_jpeg(tmp_path):
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.jpg")
    assert np.abs(read_image(tmp_path / "grey.jpg").astype(int) - 77).max() <= 1
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "cmyk.jpg")
    assert read_image(tmp_path / "cmyk.jpg").min() >= 254


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_cut_image_is_refused(tmp_path, suffix):
    file = save_image(tmp_path / f"a{suffix}", random_image(40, 60, 3))
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_image(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_image_is_refused(tmp_path):
    file = tmp_path / "a.png"
    for content in (b"", b"hello" * 100):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.png: cannot be read as an image"):
            read_image(file)
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "b.png")


def test_float_image_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="8 or 16 bits"):
        read_image(tmp_path / "a.tif")


def test_a_header_that_claims_too_much_is_refused_before_decoding(tmp_path, monkeypatch):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    file = tmp_path / "bomb.png"
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(InputError, match="900000000 pixels"):
        read_image(file)


# ---- folders ----


def test_folder_in_natural_order(tmp_path):
    names = ["frame10.png", "frame2.PNG", "frame1.jpg", "a.bmp", "frame02.png", "frame2b.tif"]
    for name in names:
        (tmp_path / name).touch()
    for other in [".hidden.png", "notes.txt", "Thumbs.db", "._frame3.png"]:
        (tmp_path / other).touch()
    (tmp_path / "folder.png").mkdir()
    expected = ["a.bmp", "frame1.jpg", "frame2.PNG", "frame02.png", "frame2b.tif", "frame10.png"]
    listed = [file.name for file in list_images(tmp_path)]
    assert sorted(listed) == sorted(names)
    assert [name for name in listed if name != "frame02.png"] == [
        name for name in expected if name != "frame02.png"
    ]
    # frame2 and frame02 are the same number: their place is fixed by the text around it.
    assert listed.index("frame1.jpg") < listed.index("frame02.png") < listed.index("frame10.png")


def test_empty_folder_names_the_suffixes(tmp_path):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(InputError, match=r"no images \(\.png, \.jpg"):
        list_images(tmp_path)


# ---- writing ----


@examples(30)
@hypothesis.given(
    frames=hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.just(3))
    ),
    start=st.integers(0, 100_000),
)
def test_png_round_trip(frames, start):
    with tempfile.TemporaryDirectory() as folder:
        assert write_frames(folder, iter(frames), start=start) == len(frames)
        files = list_images(folder)
        assert [int(file.stem) for file in files] == list(range(start, start + len(frames)))
        assert np.array_equal([read_image(file) for file in files], frames)


def test_names_and_stale_images(tmp_path):
    folder = tmp_path / "new" / "frames"
    frames = random_image(4, 3, 5, 3)
    write_frames(folder, frames)
    others = ["cover.png", "00000.txt", "0001.png", "00009.png.bak"]
    for name in others:
        (folder / name).write_text("mine")
    (tmp_path / "00008.png").write_text("mine")
    write_frames(folder, frames[:2], start=1)
    assert {file.name for file in folder.iterdir()} == {"00001.png", "00002.png", *others}
    assert (tmp_path / "00008.png").exists()


def test_grey_image_and_other_suffixes(tmp_path):
    grey = random_image(4, 6)
    write_image(tmp_path / "a.png", grey)
    assert imageio.v3.imread(tmp_path / "a.png").shape == (4, 6)
    assert np.array_equal(read_image(tmp_path / "a.png")[..., 0], grey)
    write_image(tmp_path / "a.JPG", np.full((8, 8, 3), (200, 100, 50), np.uint8))
    assert np.abs(read_image(tmp_path / "a.JPG").astype(int) - (200, 100, 50)).max() <= 3
    with pytest.raises(InputError, match=r"a\.xyz"):
        write_image(tmp_path / "a.xyz", grey)
    with pytest.raises(ValueError, match="float"):
        write_image(tmp_path / "a.png", grey / 255)


def test_writing_replaces_in_one_step(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")

    def fail():
        with files.replacing(file) as temporary:
            temporary.write_text("half")
            assert file.read_text() == "old"
            assert temporary.parent == tmp_path
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_who_reads_the_old_file_is_not_disturbed(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with file.open() as reader:
        with files.replacing(file) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert file.read_text() == "new"


def test_writing_where_a_folder_stands_is_refused(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match=r"a\.png: cannot be written"):
        write_image(tmp_path / "a.png", random_image(2, 2, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("names", "gap"),
    [
        (["00000", "00001", "00003", "00004"], "after 00001.png comes 00003.png"),
        (["f_5", "f_10", "f_20"], "after f_10.png comes f_20.png"),
        (["10", "12", "14", "20", "22"], "after 14.png comes 20.png"),
    ],
)
def test_missing_frames_are_named(tmp_path, names, gap):
    for name in names:
        write_image(tmp_path / f"{name}.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(InputError, match=gap):
        require_consecutive(tmp_path)


@pytest.mark.parametrize(
    "names", [["7"], ["5", "6", "7"], ["0", "5", "10"], ["a", "b"], ["x2_1", "x2_2"], ["a1", "b"]]
)
def test_frames_without_a_gap(tmp_path, names):
    for name in names:
        write_image(tmp_path / f"{name}.png", np.zeros((2, 2), np.uint8))
    require_consecutive(tmp_path)
