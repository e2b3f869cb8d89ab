"""Reading reference frames from a folder or a list."""

import cv2
import numpy as np
import pytest
from helpers import save_image

from vidprior.errors import InputError
from vidprior.io.reference_files import absolute, check_references, read_references

SIZE = (20, 30)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def saved(path, picture):
    return save_image(path, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def test_a_folder_is_read_by_the_numbers_in_its_names(picture, tmp_path):
    saved(tmp_path / "clean_00040.png", picture)
    saved(tmp_path / "clean_7.png", 255 - picture)
    found = read_references(str(tmp_path), count=41, size=SIZE)
    assert sorted(found) == [7, 40]
    np.testing.assert_array_equal(found[40], picture)
    np.testing.assert_array_equal(found[7], 255 - picture)


def test_a_list_may_have_any_names_also_with_commas(picture, tmp_path):
    saved(tmp_path / "a,b.png", picture)
    saved(tmp_path / "c.png", 255 - picture)
    given = f"3:{tmp_path}/a,b.png,5:{tmp_path}/c.png"
    found = read_references(given, count=6, size=SIZE)
    np.testing.assert_array_equal(found[3], picture)
    np.testing.assert_array_equal(found[5], 255 - picture)


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("clean") == f"{tmp_path}/clean"
    assert absolute("4:a.png,5:/b.png") == f"4:{tmp_path}/a.png,5:/b.png"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_kept(picture, tmp_path, dtype):
    alpha = np.zeros(SIZE, np.uint8)
    alpha[5:] = 255
    bgra = np.dstack([picture[..., ::-1], alpha]).astype(dtype)
    save_image(tmp_path / "0.png", bgra * dtype(257 if dtype == np.uint16 else 1))
    (found,) = read_references(str(tmp_path), count=1, size=SIZE).values()
    np.testing.assert_array_equal(found, np.dstack([picture, alpha]))


@pytest.mark.parametrize(
    ("names", "given", "says"),
    [
        ((), "missing", "no such folder; give a folder of images named by frame number"),
        (("7.png",), "7.png", "is an image; give a folder"),
        ((), "", "holds no images"),
        (("clean.png",), "", "its name has no frame number"),
        (("50.png",), "", "there is no frame 50, the clip has frames 0 to 40"),
        (("a7.png", "b7.png"), "", "frame 7 has two reference frames"),
    ],
)
def test_one_line_says_what_is_wrong(picture, tmp_path, names, given, says):
    for name in names:
        saved(tmp_path / name, picture)
    with pytest.raises(InputError, match=says):
        read_references(str(tmp_path / given), count=41, size=SIZE)


def test_another_size_is_refused_from_the_header(picture, tmp_path):
    saved(tmp_path / "7.png", picture[:, :20])
    with pytest.raises(InputError, match=r"7\.png is 20x20, but the video is 30x20"):
        read_references(f"7:{tmp_path}/7.png", count=41, size=SIZE)


@pytest.mark.parametrize(
    ("references", "says"),
    [
        ({9: np.zeros((*SIZE, 3), np.uint8)}, "there is no frame 9"),
        ({1: np.zeros((*SIZE, 3), np.float32)}, "reference frame 1 is float32"),
        ({1: np.zeros(SIZE, np.uint8)}, r"reference frame 1 is uint8 \(20, 30\)"),
        ({1: np.zeros((30, 20, 3), np.uint8)}, "reference frame 1 is 20x30"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(references, says):
    with pytest.raises(InputError, match=says):
        check_references(references, count=5, size=SIZE)
    check_references({4: np.zeros((*SIZE, 4), np.uint8)}, count=5, size=SIZE)
