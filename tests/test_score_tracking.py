"""Tracking measured against true masks, by the tool."""

import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from vidprior.io import images

TOOL = pathlib.Path(__file__).parents[1] / "tools/score_tracking.py"
T, SIZE = 5, (64, 96)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A bright square that moves by 3 pixels a frame."""
    folder = tmp_path_factory.mktemp("clips") / "square"
    random = np.random.default_rng(0)
    ground = cv2.GaussianBlur(random.integers(0, 120, (*SIZE, 3), np.uint8), (0, 0), 2)
    frames, masks = np.stack([ground] * T), np.zeros((T, *SIZE), np.uint8)
    for t in range(T):
        place = np.s_[20:44, 20 + 3 * t : 44 + 3 * t]
        frames[t][place], masks[t][place] = (230, 190, 90), 255
    images.write_frames(folder / "frames", frames)
    images.write_frames(folder / "masks", masks)
    return folder


def run(*words):
    asked = [sys.executable, str(TOOL), *map(str, words)]
    return subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)


def test_scores_and_curves_are_written_and_kept(clip, tmp_path):
    made = run(clip, "--output", tmp_path / "out")
    assert made.returncode == 0, made.stderr
    scores = json.loads((tmp_path / "out/scores.json").read_text())["square"]
    assert scores["one"]["painted"] == [0]
    assert scores["three"]["painted"] == [0, 2, 4]
    for scored in scores.values():
        assert len(scored["J"]) == len(scored["F"]) == len(scored["confidence"]) == T
        assert min(scored["J"]) > 0.9
    assert (tmp_path / "out/curves.png").stat().st_size > 1000
    lines = made.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["one", "square"], ["one", "mean"], ["three", "square"], ["three", "mean"],
    ]  # fmt: skip
    # What is there is not tracked again.
    scores["one"]["J"][1] = 0.25
    (tmp_path / "out/scores.json").write_text(json.dumps({"square": scores}))
    again = run(clip, "--output", tmp_path / "out")
    expected = (0.25 + sum(scores["one"]["J"][2:])) / 4
    assert f"J {expected:.3f}" in again.stdout


def test_a_clip_without_masks_is_one_line(tmp_path):
    made = run(tmp_path, "--output", tmp_path / "out")
    assert made.returncode == 2
    assert made.stderr.startswith("error: ")
    assert made.stderr.count("\n") == 1
