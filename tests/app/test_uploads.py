"""What a browser sends is read as hostile."""

import zipfile

import cv2
import numpy as np
import pytest

from vidprior.app import project, uploads, words
from vidprior.errors import InputError
from vidprior.io import images

SIZE = (32, 48)
COUNT = 3


@pytest.fixture
def clip(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, *SIZE, 3), np.uint8)
    images.write_frames(tmp_path / "footage" / "clip", noise)
    return project.create(tmp_path / "out", tmp_path / "footage" / "clip")


def mask_of(number):
    mask = np.zeros(SIZE, bool)
    mask[4:9, 5 + number : 11 + number] = True
    return mask


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / "up" / f"m{number}.png" for number in range(COUNT)]
    for number, file in enumerate(made):
        project.write_mask(file, mask_of(number))
    return made


def zipped(tmp_path, entries):
    path = tmp_path / "masks.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def test_uploaded_masks_are_the_masks_of_the_run(clip, files):
    uploads.keep_masks(clip, files[::-1])  # numbers say which is which
    assert clip.chosen["masks"] == project.GIVEN
    order, _ = words.run(clip, "propagate", grow=0, invert=False)
    assert f"--mask={clip.ready_masks()}" in order
    for number in range(COUNT):
        assert (clip.shown_mask(number) == mask_of(number)).all()


def test_an_archive_is_unpacked_by_number_alone(clip, files, tmp_path):
    inside = [(f"../../x/{file.name}", file.read_bytes()) for file in files]
    inside.append(("__MACOSX/._m0.png", b"no image"))
    uploads.keep_masks(clip, [zipped(tmp_path, inside)])
    assert (clip.shown_mask(1) == mask_of(1)).all()
    assert not list(tmp_path.glob("**/x"))
    assert sorted(file.name for file in clip.ready_masks().iterdir()) == [
        "000000.png", "000001.png", "000002.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([("script.sh", b"rm")], "script.sh is no image"),
        ([], "the archive is no image"),
        ([("m0.png", b"no image")], "m0|000000"),
    ],
)
def test_archives_of_anything_else_are_refused(clip, tmp_path, entries, told):
    with pytest.raises(InputError, match=told):
        uploads.keep_masks(clip, [zipped(tmp_path, entries)])
    assert clip.chosen["masks"] != project.GIVEN


def test_archives_that_are_too_large_are_refused_before_they_are_unpacked(
    clip, tmp_path, monkeypatch
):
    monkeypatch.setattr(uploads, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="an archive may have"):
        uploads.keep_masks(clip, [zipped(tmp_path, [("m0.png", bytes(2000))])])


def test_masks_that_do_not_fit_are_refused_in_the_words_of_the_command_line(clip, files):
    with pytest.raises(InputError, match="3"):
        uploads.keep_masks(clip, files[:2])
    with pytest.raises(InputError, match="no file was chosen"):
        uploads.keep_masks(clip, [])


def test_corrections_replace_given_masks(clip, files):
    uploads.keep_masks(clip, files)
    untouched = clip.ready_masks()
    clip.paint(1, np.zeros(SIZE, bool))  # also to nothing
    assert not clip.shown_mask(1).any()
    corrected = clip.ready_masks()
    assert corrected != untouched
    assert not (images.read_image(corrected / "000001.png") > 127).any()
    assert ((images.read_image(corrected / "000002.png") > 127)[..., 0] == mask_of(2)).all()
    clip.choose(masks=project.SOURCES[0])  # what was painted before is there again
    assert clip.paint_of(1) is None
    with pytest.raises(InputError, match="no frame is painted"):
        clip.masks()


def test_cleaned_frames_are_given_to_the_next_run(clip, files, tmp_path):
    uploads.keep_masks(clip, files)
    first, _ = words.run(clip, "propagate", grow=0, invert=False)
    clean = tmp_path / "up2" / "00002.png"
    clean.parent.mkdir()
    cv2.imwrite(str(clean), np.zeros((*SIZE, 4), np.uint8))
    assert uploads.keep_references(clip, [clean]) == [2]
    second, _ = words.run(clip, "propagate", grow=0, invert=False)
    (given,) = [word for word in second if word.startswith("--reference=")]
    assert (project.pathlib.Path(given.removeprefix("--reference=")) / "000000002.png").exists()
    assert not [word for word in first if word.startswith("--reference=")]
    clip.choose(references="")
    assert words.run(clip, "propagate", grow=0, invert=False)[0] == first


def test_cleaned_frames_that_do_not_fit_are_refused(clip, tmp_path):
    wrong = tmp_path / "00009.png"
    cv2.imwrite(str(wrong), np.zeros((*SIZE, 4), np.uint8))
    with pytest.raises(InputError, match="no frame 9"):
        uploads.keep_references(clip, [wrong])
    assert clip.chosen["references"] == ""


@pytest.mark.parametrize("content", ["", "[]", '{"masks": 3}', '{"given": "../.."}', "null"])
def test_damaged_choices_are_no_choices(clip, content):
    (clip.path / "chosen.json").write_text(content)
    assert clip.chosen == {"masks": project.SOURCES[0], "given": "", "references": ""} | {}
