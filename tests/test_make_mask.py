"""Masks from boxes and from painted frames, through the tool as it is typed."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from vidprior.io import images
from vidprior.io.footage import open_footage, read_frames
from vidprior.io.masks import read_mask_frames

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "make_mask.py"
T, SIZE = 8, (96, 128)


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_mask", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def run(*arguments):
    return subprocess.run(
        [sys.executable, TOOL, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(TOOL.parents[1]), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.mark.slow
def test_a_painted_frame_is_tracked_both_ways(clip, tmp_path):
    folder, truth = clip
    made = run(
        "--video", folder / "frames", "--output", tmp_path / "m",
        "--painted", f"3:{folder / 'painted3.png'}", "--width", 64,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    masks = read_mask_frames(tmp_path / "m", size=SIZE, num_frames=T) > 127
    assert np.array_equal(masks[3], truth[3])
    assert min(overlap(m, t) for m, t in zip(masks, truth, strict=True)) > 0.85
    preview = read_frames(tmp_path / "m.mp4")
    assert preview.frames.shape == (T, *SIZE, 3)
    confidence = json.loads((tmp_path / "m.json").read_text())["confidence"]
    assert len(confidence) == T
    assert confidence[3] == 1
    assert min(confidence) > 0.6
    assert "confidence: " in made.stdout
    assert "doubtful" not in made.stdout


def test_the_best_of_several_painted_frames_is_taken(tool, clip):
    """Each frame takes the mask that fits it best; here both do."""
    folder, truth = clip
    footage = open_footage(folder / "frames")
    masks, confidence = tool.tracked_masks(footage, {0: truth[0], 6: truth[6]}, width=128)
    assert confidence[[0, 6]].tolist() == [1, 1]
    assert min(overlap(m, t) for m, t in zip(masks, truth, strict=True)) > 0.85


def test_boxes_change_evenly(tool):
    masks = tool.box_masks({2: (0, 10, 20, 8), 6: (40, 10, 20, 16)}, 9, SIZE)
    for frame, (left, height) in enumerate(
        [(0, 8), (0, 8), (0, 8), (10, 10), (20, 12), (30, 14), (40, 16), (40, 16), (40, 16)]
    ):
        expected = np.zeros(SIZE, bool)
        expected[10 : 10 + height, left : left + 20] = True
        assert np.array_equal(masks[frame], expected)


def test_a_box_may_reach_beyond_the_picture(tool):
    (mask,) = tool.box_masks({0: (-10, -5, 30, 10)}, 1, SIZE)
    expected = np.zeros(SIZE, bool)
    expected[:5, :20] = True
    assert np.array_equal(mask, expected)


def test_boxes_through_the_command(clip, tmp_path):
    folder, _ = clip
    made = run("--video", folder / "frames", "--output", tmp_path / "m", "--box", "0:40,20,64,48")
    assert made.returncode == 0, made.stderr
    masks = read_mask_frames(tmp_path / "m", size=SIZE, num_frames=T) > 127
    expected = np.zeros(SIZE, bool)
    expected[20:68, 40:104] = True
    assert np.array_equal(masks, np.broadcast_to(expected, (T, *SIZE)))


@pytest.mark.parametrize(
    ("confidence", "says"),
    [
        ([1, 0.9, 0.8], "mean 0.90, minimum 0.80"),
        ([1, 0.5, 0.9, 0.1, 0.1, 0.1], "low in frames 1, 3-5: paint frame 4 too"),
    ],
)
def test_what_is_told_of_the_confidence(tool, confidence, says):
    assert tool.describe(np.array(confidence)).endswith(says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--box or --painted"),
        (("--box", "0:1,2,3,4", "--painted", "0:x.png"), "--box or --painted"),
        (("--box", "1,2,3,4"), "from 0 to 7"),
        (("--box", "8:1,2,3,4"), "from 0 to 7"),
        (("--box", "0:1,2,3"), "LEFT,TOP,WIDTH,HEIGHT"),
        (("--box", "0:1,2,0,4"), "above 0"),
        (("--painted", "0:/nowhere.png"), "nowhere.png"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    tool, clip, tmp_path, monkeypatch, capsys, arguments, says
):
    folder, _ = clip
    flags = ["make_mask.py", f"--video={folder / 'frames'}", f"--output={tmp_path / 'm'}"]
    monkeypatch.setattr(sys, "argv", [*flags, *arguments])
    with pytest.raises(SystemExit) as stopped:
        tool.main()
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert says in told
    assert told.count("\n") == 1


def test_an_empty_painting_is_refused(tool, clip, tmp_path, monkeypatch, capsys):
    folder, _ = clip
    images.write_image(tmp_path / "black.png", np.zeros(SIZE, np.uint8))
    flags = ["make_mask.py", f"--video={folder / 'frames'}", f"--output={tmp_path / 'm'}"]
    monkeypatch.setattr(sys, "argv", [*flags, f"--painted=0:{tmp_path / 'black.png'}"])
    with pytest.raises(SystemExit):
        tool.main()
    assert "nothing is painted" in capsys.readouterr().err
