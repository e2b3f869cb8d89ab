"""What tracked masks cost a removal, measured by the tool."""

import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from vidprior.io import images

TOOL = pathlib.Path(__file__).parents[1] / "tools/score_removal.py"
sys.path.insert(0, str(TOOL.parent))
import score_removal  # noqa: E402

T, SIZE = 5, (64, 96)


def ground(seed):
    random = np.random.default_rng(seed)
    return cv2.GaussianBlur(random.integers(0, 120, (*SIZE, 3), np.uint8), (0, 0), 2)


def square(t):
    return np.s_[20:44, 20 + 6 * t : 44 + 6 * t]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A bright square that moves by 6 pixels a frame, and a background that stands still."""
    folder = tmp_path_factory.mktemp("clips")
    frames, masks = np.stack([ground(0)] * T), np.zeros((T, *SIZE), np.uint8)
    for t in range(T):
        frames[t][square(t)], masks[t][square(t)] = (230, 190, 90), 255
    images.write_frames(folder / "square/frames", frames)
    images.write_frames(folder / "square/masks", masks)
    images.write_frames(folder / "still/frames", np.stack([ground(1)] * T))
    return folder


def run(*words):
    asked = [sys.executable, str(TOOL), *map(str, words), "--size=96x64"]
    return subprocess.run(asked, capture_output=True, text=True, timeout=240, check=False)


def shown(number):
    frame = ground(1)
    frame[square(number)] = 230, 190, 90
    return frame


def test_the_square_is_pasted_over_the_background(clips):
    pasted = score_removal.paste(clips / "square", clips / "still", frames=4, size=SIZE)
    np.testing.assert_array_equal(pasted.frames, [shown(number) for number in range(4)])
    np.testing.assert_array_equal(pasted.truth, [ground(1)] * 4)
    assert all(mask[square(number)].all() for number, mask in enumerate(pasted.masks))
    np.testing.assert_array_equal(pasted.masks.sum(axis=(1, 2)), 24 * 24)
    spoilt = np.where(pasted.masks[..., None], pasted.truth ^ 1, pasted.truth)
    assert score_removal.psnr(pasted.truth, spoilt, pasted.masks) == pytest.approx(
        20 * np.log10(255)
    )


@pytest.mark.long
def test_the_removed_square_gives_the_background(clips, tmp_path):
    made = run(f"{clips / 'square'}:{clips / 'still'}", "--output", tmp_path)
    assert made.returncode == 0, made.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())["square-over-still"]
    assert scores["J"] > 0.9
    assert scores["not covered"] == 0
    for how in ("true", "tracked", "true, either", "tracked, either"):
        assert scores[how] > 30  # other frames show what the square hides
    folder = tmp_path / "square-over-still"
    frame, truth, mask = (
        images.read_image(next((folder / name).glob("*3.png")))
        for name in ("frames", "truth", "masks")
    )
    np.testing.assert_array_equal(truth, ground(1))
    np.testing.assert_array_equal(frame, shown(3))
    assert (mask.squeeze()[square(3)] > 0).all()
    assert [line.split()[0] for line in made.stdout.splitlines()] == ["square-over-still", "mean"]


def test_bad_input_is_one_line(clips, tmp_path):
    made = run(f"{clips / 'still'}:{clips / 'still'}", "--output", tmp_path)
    assert made.returncode == 2
    assert made.stderr.startswith("error: ")
    assert made.stderr.count("\n") == 1
