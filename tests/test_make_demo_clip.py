"""The demo clip: what it promises of truth, hole and visibility."""

import importlib.util
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "make_demo_clip.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_demo_clip", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def clip(tool):
    return tool.make_clip(16, 48, 80, 0)


def test_shapes_and_dtypes(clip):
    frames, hole, truth = clip
    assert frames.shape == truth.shape == (16, 48, 80, 3)
    assert frames.dtype == truth.dtype == np.uint8
    assert hole.shape == (16, 48, 80)
    assert hole.dtype == bool


def test_frames_equal_the_truth_outside_the_hole_and_nowhere_near_its_rim(clip):
    frames, hole, truth = clip
    changed = (frames != truth).any(axis=-1)
    assert not (changed & ~hole).any()
    grown = np.stack([cv2.dilate(np.uint8(c), np.ones((3, 3), np.uint8)) for c in changed])
    cross = grown.astype(bool) & hole
    # The mask is dilated: it holds most of a further pixel all around the change.
    assert cross.sum() > 0.9 * grown.sum()
    assert hole.sum() > 1.1 * changed.sum()


def test_the_hole_is_there_in_every_frame_and_crosses_the_picture(clip):
    _, hole, _ = clip
    share = hole.mean(axis=(1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.25
    columns = np.array([np.nonzero(h)[1].mean() for h in hole])
    assert (np.diff(columns) > 0).all()
    assert columns[-1] - columns[0] > 0.7 * hole.shape[2]


def test_the_background_moves(clip):
    """The camera pans right: shifting a later frame to the right fits better than not."""
    truth = clip[2].astype(float)
    errors = [
        np.abs(truth[0][:, 10:] - truth[6][:, 10 - shift : 80 - shift]).mean()
        for shift in range(10)
    ]
    assert 2 <= np.argmin(errors) <= 9
    assert min(errors) < 0.8 * errors[0]


def test_what_is_hidden_is_seen_in_another_frame(tool, clip):
    """Counted with room for every speed of the background between the two frames."""
    _, hole, _ = clip
    num_frames, height, width = hole.shape
    seen = np.zeros_like(hole)
    for i in range(num_frames):
        for j in range(num_frames):
            time = (j - i) / (num_frames - 1)
            # Content is moved by the pan, at 0.25 to 1.3 times its speed, and by the zoom.
            farthest = 1.3 * tool.PAN * width * -time
            margin = int(np.ceil((tool.ZOOM - 1) * width * abs(time))) + 1
            reach = sorted((0, int(np.floor(farthest)), int(np.ceil(farthest))))
            places = range(reach[0] - margin, reach[-1] + margin + 1)
            rows = cv2.dilate(np.uint8(hole[j]), np.ones((2 * margin + 1, 1), np.uint8))
            covered = np.zeros((height, width), bool)
            for shift in places:
                moved = np.ones((height, width), bool)  # outside the frame: not seen
                moved[:, max(-shift, 0) : width - max(shift, 0)] = rows[
                    :, max(shift, 0) : width + min(shift, 0)
                ]
                covered |= moved
            seen[i] |= ~covered
    assert seen[hole].mean() > 0.8


def test_deterministic_and_chosen_by_the_seed(tool):
    first, second, other = (tool.make_clip(3, 24, 32, seed) for seed in (5, 5, 6))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[2] != other[2]).mean() > 0.3


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (17, 61)])
def test_any_size(tool, size):
    frames, hole, truth = tool.make_clip(2, *size, 0)
    assert frames.shape == truth.shape == (2, *size, 3)
    assert hole.any()


@pytest.mark.parametrize("numbers", [(1, 24, 32), (3, 15, 32), (3, 32, 15)])
def test_too_small_is_refused(tool, numbers):
    with pytest.raises(ValueError, match="too few or too small"):
        tool.make_clip(*numbers, 0)


def test_command_line_writes_three_folders(tool, tmp_path):
    command = [sys.executable, str(TOOL), "--output", str(tmp_path / "demo")]
    command += ["--frames", "3", "--height", "24", "--width", "32", "--seed", "5"]
    subprocess.run(command, check=True, capture_output=True)
    expected = tool.make_clip(3, 24, 32, 5)
    for folder, pictures in zip(("frames", "masks", "truth"), expected, strict=True):
        paths = sorted((tmp_path / "demo" / folder).iterdir())
        assert [path.name for path in paths] == ["00000.png", "00001.png", "00002.png"]
        for path, picture in zip(paths, pictures, strict=True):
            stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if picture.ndim == 3:
                np.testing.assert_array_equal(stored[..., ::-1], picture)
            else:
                np.testing.assert_array_equal(stored, np.where(picture, 255, 0))


def test_command_line_refuses_an_empty_clip(tmp_path):
    command = [sys.executable, str(TOOL), "--output", str(tmp_path), "--frames", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "at least 2 frames of 16x16" in done.stderr
