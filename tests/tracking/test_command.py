"""Masks from boxes and from painted frames, through the command."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from unittest import mock

import cv2
import numpy as np
import pytest

import vidprior
from vidprior.errors import InputError
from vidprior.imaging.dilation import dilate
from vidprior.io import images
from vidprior.io.footage import open_footage, read_frames
from vidprior.io.masks import read_mask_frames, read_masks
from vidprior.tracking import command
from vidprior.tracking.tracked import Tracked

T, SIZE = 8, (96, 128)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A textured patch moves by (5, 2) pixels a frame over a still, textured background."""
    folder = tmp_path_factory.mktemp("clip")
    random = np.random.default_rng(0)
    ground, patch = (
        cv2.GaussianBlur(random.integers(0, 256, (*size, 3), np.uint8), (0, 0), 2)
        for size in (SIZE, (36, 44))
    )
    frames = np.stack([ground] * T)
    truth = np.zeros((T, *SIZE), bool)
    for t in range(T):
        place = np.s_[20 + 2 * t : 56 + 2 * t, 15 + 5 * t : 59 + 5 * t]
        frames[t][place], truth[t][place] = patch, True
    images.write_frames(folder / "frames", frames)
    for t in range(T):
        images.write_image(folder / f"painted{t}.png", truth[t].astype(np.uint8) * 255)
    return folder, truth


def run(capsys, *arguments):
    assert command.main([str(word) for word in arguments]) == 0
    return capsys.readouterr().out


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


def test_a_painted_frame_is_tracked_both_ways(clip, tmp_path, capsys):
    folder, truth = clip
    told = run(
        capsys, "--video", folder / "frames", "--output", tmp_path / "m",
        "--painted", f"3:{folder / 'painted3.png'}",
    )  # fmt: skip
    masks = read_mask_frames(tmp_path / "m", size=SIZE, num_frames=T) > 127
    assert np.array_equal(masks[3], truth[3])
    assert min(overlap(m, t) for m, t in zip(masks, truth, strict=True)) > 0.85
    preview = read_frames(tmp_path / "m.mp4")
    assert preview.frames.shape == (T, *SIZE, 3)
    confidence = json.loads((tmp_path / "m.json").read_text())["confidence"]
    assert len(confidence) == T
    assert confidence[3] == 1
    assert min(confidence) > 0.6
    assert "confidence: " in told
    assert "paint frame" not in told


def test_a_folder_holds_painted_masks_of_any_frames(clip, tmp_path, capsys):
    """Empty masks, as other programs write them where the object is away, are left out."""
    folder, truth = clip
    (tmp_path / "painted").mkdir()
    for number in (0, 6):
        shutil.copy(folder / f"painted{number}.png", tmp_path / f"painted/{number:05d}.png")
    images.write_image(tmp_path / "painted/00007.png", np.zeros(SIZE, np.uint8))
    words = ("--video", folder / "frames", "--output", tmp_path / "m")
    words += ("--painted", tmp_path / "painted")
    run(capsys, *words)
    masks = read_mask_frames(tmp_path / "m", size=SIZE, num_frames=T) > 127
    assert np.array_equal(masks[[0, 6]], truth[[0, 6]])
    assert min(overlap(m, t) for m, t in zip(masks, truth, strict=True)) > 0.85
    with pytest.raises(InputError, match="frame 0 is painted twice"):
        command.main([*map(str, words), f"--painted=0:{folder / 'painted0.png'}"])


def test_a_frame_without_the_object_ends_the_tracking(clip, tmp_path, capsys):
    folder, _ = clip
    words = ["--video", folder / "frames", "--output", tmp_path / "m", "--absent=5"]
    run(capsys, *words, "--painted", f"3:{folder / 'painted3.png'}")
    masks = read_mask_frames(tmp_path / "m", size=SIZE, num_frames=T) > 127
    assert masks.any(axis=(1, 2)).tolist() == [True] * 5 + [False] * 3
    for more, told in (
        (["--absent=3", f"--painted=3:{folder / 'painted3.png'}"], "painted too"),
        (["--box=0:1,2,3,4"], "--absent corrects what is tracked"),
        (["--absent=99", f"--painted=3:{folder / 'painted3.png'}"], "frames 0 to 7"),
    ):
        with pytest.raises(InputError, match=told):
            command.main([*map(str, words), *more])


def test_the_object_in_a_box_is_tracked(clip, tmp_path, capsys):
    _, truth = clip
    flat = tmp_path / "flat"
    images.write_frames(flat, np.where(truth[..., None], np.uint8([230, 200, 90]), np.uint8(40)))
    run(capsys, "--video", flat, "--output", tmp_path / "m", "--object", "0:8,12,60,52")
    masks = read_mask_frames(tmp_path / "m", size=SIZE, num_frames=T) > 127
    assert overlap(masks[0], truth[0]) > 0.95


def test_points_and_boxes_correct(clip, tmp_path, capsys):
    """What is painted too low follows the object, and then is corrected in another frame."""
    folder, truth = clip
    wrong = truth[0] | np.roll(truth[0], 14, axis=0)
    images.write_image(tmp_path / "wrong.png", wrong.astype(np.uint8) * 255)
    words = ("--video", folder / "frames", "--output", tmp_path / "m")
    words += ("--painted", f"0:{tmp_path / 'wrong.png'}")
    run(capsys, *words)
    before = read_mask_frames(tmp_path / "m", size=SIZE, num_frames=T) > 127
    assert before[4, 65:].any()
    # In frame 4 the object ends above row 64.
    run(capsys, *words, "--background=4:20,65,80,30", "--point=4:57,46")
    after = read_mask_frames(tmp_path / "m", size=SIZE, num_frames=T) > 127
    assert not after[4, 65:].any()
    assert after[4, 46, 57]
    assert not np.array_equal(after[5], before[5])


def test_painted_background_is_told(clip, tmp_path, capsys):
    folder, _ = clip
    ground = np.zeros(SIZE, np.uint8)
    ground[60:90, 80:120] = 255
    images.write_image(tmp_path / "ground.png", ground)
    words = ("--video", folder / "frames", "--output", tmp_path / "m")
    told = run(capsys, *words, "--painted", f"0:{tmp_path / 'ground.png'}")
    assert "warning: what is painted in frame 0 looks and moves as what is around it" in told
    told = run(capsys, *words, "--painted", f"3:{folder / 'painted3.png'}")
    assert "warning" not in told


def test_soft_masks_differ_at_the_border_alone(clip, tmp_path, capsys):
    """Of painted frames too; preview and values do not change, and masks are read as before."""
    folder, truth = clip
    words = ("--video", folder / "frames", "--painted", f"3:{folder / 'painted3.png'}")
    told = [run(capsys, *words, "--output", tmp_path / "hard"),
            run(capsys, *words, "--output", tmp_path / "soft", "--soft")]  # fmt: skip
    assert told[1] == told[0].replace("hard", "soft")
    for end in (".mp4", ".json"):
        assert (tmp_path / f"hard{end}").read_bytes() == (tmp_path / f"soft{end}").read_bytes()
    footage = open_footage(folder / "frames")
    hard, soft = (
        read_masks(tmp_path / name, footage, rate=Fraction(25)) for name in ("hard", "soft")
    )
    assert soft.notes == ()
    assert np.isin(hard.hole, (0, 255)).all()
    assert np.array_equal(soft.hole[3], vidprior.soften(truth[3], list(footage.frames())[3]))
    for one, other in zip(hard.hole > 127, soft.hole, strict=True):
        assert set(np.unique(other)) - {0, 255}
        band = dilate(one, 2) & dilate(~one, 2)
        assert np.array_equal(other[~band] > 127, one[~band])
        assert overlap(one, other > 127) > 0.9


def test_soft_masks_are_written_one_by_one(tmp_path):
    """Frames are not collected: each mask is a file before the next frame is asked for."""
    written = []

    def frames():
        for _ in range(3):
            written.append(len(list((tmp_path / "m").glob("*.png"))))
            yield np.zeros((*SIZE, 3), np.uint8)

    footage = mock.Mock(frames=frames, rate=None)
    tracked = Tracked(np.zeros((3, *SIZE), bool), np.ones(3), {})
    command._write(tmp_path / "m", footage, tracked, soft=True)
    assert written == [0, 1, 2, 3, 3, 3]  # once for masks, once for the preview


def test_the_earlier_name_is_the_same_command(clip):
    tool = pathlib.Path(__file__).parents[2] / "tools/make_mask.py"
    asked = [sys.executable, tool, "--video", clip[0] / "frames", "--output", "m"]
    made = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 2
    assert made.stderr == (
        "error: give --box, or --painted, --object or --point, one or more of them\n"
    )


def test_boxes_through_the_command(clip, tmp_path, capsys):
    folder, _ = clip
    video = ("--video", folder / "frames", "--output", tmp_path / "m")
    run(capsys, *video, "--box", "0:40,20,64,48")
    masks = read_mask_frames(tmp_path / "m", size=SIZE, num_frames=T) > 127
    expected = np.zeros(SIZE, bool)
    expected[20:68, 40:104] = True
    assert np.array_equal(masks, np.broadcast_to(expected, (T, *SIZE)))


@pytest.mark.parametrize(
    ("confidence", "says"),
    [
        ([1, 0.9, 0.8], "mean 0.90, minimum 0.80"),
        ([1, 0.5, 0.9, 0.1, 0.1, 0.1], "low in frames 1 and 3 to 5: paint frame 4 too"),
    ],
)
def test_what_is_told_of_the_confidence(confidence, says):
    tracked = Tracked(np.zeros((len(confidence), 1, 1), bool), np.array(confidence), {})
    assert command.describe(tracked).endswith(says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give --box, or"),
        (("--box", "0:1,2,3,4", "--painted", "0:x.png"), "give --box, or"),
        (("--box", "1,2,3,4"), "from 0 to 7"),
        (("--box", "8:1,2,3,4"), "from 0 to 7"),
        (("--box", "0:1,2,3"), "LEFT,TOP,WIDTH,HEIGHT"),
        (("--box", "0:1,2,0,4"), "above 0"),
        (("--painted", "0:/nowhere.png"), "nowhere.png"),
        (("--box", "2:1,2,3,4", "--box", "2:5,6,7,8"), "frame 2 has a box already"),
        (("--object", "2:1,2,3,4", "--object", "2:5,6,7,8"), "frame 2 has a box already"),
        (("--object", "0:0,0,128,96"), "leave some around it"),
        (("--object", "0:500,0,10,10"), "part of the frame"),
        (("--paint", "0:x.png"), "unrecognized"),
        (("--point", "0:1,2,3,4"), "give FRAME:X,Y"),
        (("--point", "0:1,x"), "give FRAME:X,Y"),
        (("--point", "0:128,2"), "the clip has 128x96 pixels"),
        (("--point", "8:1,2"), "from 0 to 7"),
        (("--point", "0:1,2", "--background", "0:1,2,3"), "LEFT,TOP,WIDTH,HEIGHT"),
        (("--point", "0:1,2", "--background", "3:200,0,9,9"), "no mark lies in the picture"),
        (("--background", "0:1,2"), "give --box, or"),
        (("--box", "0:1,2,3,4", "--background", "0:1,2"), "leave one out"),
        (("--box", "0:1,2,3,4", "--soft"), "--soft follows the border of an object"),
    ],
)
def test_what_cannot_be_used_is_one_line(clip, tmp_path, arguments, says):
    folder, _ = clip
    with pytest.raises(InputError, match=re.escape(says)):
        command.main([f"--video={folder / 'frames'}", f"--output={tmp_path / 'm'}", *arguments])


@pytest.mark.parametrize(
    ("painting", "says"),
    [
        (np.zeros(SIZE, np.uint8), "nothing is painted"),
        (np.full(SIZE, 255, np.uint8), "everything is painted"),
        (np.eye(*SIZE, dtype=np.uint8)[::2, ::2] * 255, "64x48"),
    ],
)
def test_a_painting_that_cannot_be_used_is_one_line(clip, tmp_path, painting, says):
    folder, _ = clip
    images.write_image(tmp_path / "painted.png", painting)
    words = [f"--video={folder / 'frames'}", f"--output={tmp_path / 'm'}"]
    with pytest.raises(InputError, match=says) as told:
        command.main([*words, f"--painted=0:{tmp_path / 'painted.png'}"])
    assert "\n" not in str(told.value)


def test_a_box_and_a_painting_of_one_frame_are_refused(clip, tmp_path):
    folder, _ = clip
    words = [f"--video={folder / 'frames'}", f"--output={tmp_path / 'm'}"]
    words += [f"--painted=3:{folder / 'painted3.png'}", "--object=3:8,12,60,52"]
    with pytest.raises(InputError, match="frame 3 is painted too"):
        command.main(words)


def test_a_folder_numbered_beyond_the_clip_is_refused(clip, tmp_path):
    folder, _ = clip
    (tmp_path / "painted").mkdir()
    shutil.copy(folder / "painted0.png", tmp_path / "painted/00040.png")
    words = [f"--video={folder / 'frames'}", f"--output={tmp_path / 'm'}"]
    with pytest.raises(InputError, match="has frames 0 to 7"):
        command.main([*words, f"--painted={tmp_path / 'painted'}"])


def test_values_are_kept_if_writing_them_fails(tmp_path, monkeypatch):
    """They are written under another name, and renamed when they are whole."""
    (tmp_path / "m.json").write_text("before")
    footage = mock.Mock(frames=lambda: np.zeros((1, *SIZE, 3), np.uint8), rate=None)
    tracked = Tracked(np.zeros((1, *SIZE), bool), np.ones(1), {})
    monkeypatch.setattr(pathlib.Path, "write_text", mock.Mock(side_effect=OSError("disk full")))
    with pytest.raises(InputError, match="cannot be written"):
        command._write(tmp_path / "m", footage, tracked)
    assert (tmp_path / "m.json").read_text() == "before"
