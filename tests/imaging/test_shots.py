"""Cuts: found where a film is cut, and not where it moves."""

import os
import pathlib

import numpy as np
import pytest
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st

from vidprior.imaging.shots import find_cuts, find_shots
from vidprior.io.footage import read_frames

CLIPS = pathlib.Path(
    os.environ.get("VIDPRIOR_CLIPS", pathlib.Path(__file__).parents[2] / "../shared/clips")
)


def scene(colour, count, *, seed=0):
    """A textured picture around a colour that moves by two pixels each frame."""
    noise = np.random.default_rng(seed).integers(-20, 20, (48, 64 + 2 * count, 3))
    world = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    return np.stack([world[:, 2 * t : 2 * t + 64] for t in range(count)])


def test_scenes_are_parted_where_they_meet():
    frames = np.concatenate(
        [scene((200, 40, 40), 5), scene((40, 60, 200), 3, seed=1), scene((90, 200, 90), 6, seed=2)]
    )
    assert find_shots(frames) == [(0, 5), (5, 8), (8, 14)]
    assert find_shots(iter(frames)) == [(0, 5), (5, 8), (8, 14)]


def test_one_scene_is_one_shot():
    assert find_shots(scene((120, 90, 60), 12)) == [(0, 12)]


def test_a_flash_is_no_cut():
    frames = scene((120, 90, 60), 9)
    frames[4] = 255
    assert find_shots(frames) == [(0, 9)]


def test_a_change_of_place_alone_is_no_cut():
    """The same colours elsewhere: as when something large moves through the picture."""
    left = np.zeros((3, 36, 64, 3), np.uint8)
    left[:, :, :32] = 255
    assert find_shots(np.concatenate([left, left[:, :, ::-1]])) == [(0, 6)]


@pytest.mark.parametrize("count", [0, 1])
def test_no_frame_and_one(count):
    assert find_shots(np.zeros((count, 8, 8, 3), np.uint8)) == [(0, count)] * count


def test_cuts_by_hand():
    histogram = np.array([0.3, 0.01, 0.2, 0.19, 0.9, 0.9, 0.01, 0.5])
    difference = np.array([20.0, 4, 10, 1, 50, 60, 5, 10])
    # 0: 20 >= 2 * 4. 2: 10 >= 2 * 4. 3: too few colours. 4 and 5: side by side. 7: 10 >= 2 * 5.
    assert find_cuts(histogram, difference) == [1, 3, 8]


@examples(30)
@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(1, 4)), max_size=6),
)
def test_shots_follow_each_other_without_a_gap(parts):
    frames = [np.full((9, 16, 3), level, np.uint8) for level, count in parts for _ in range(count)]
    shots = find_shots(frames)
    assert [frame for start, stop in shots for frame in range(start, stop)] == [*range(len(frames))]


@pytest.mark.skipif(not CLIPS.is_dir(), reason="no clips (VIDPRIOR_CLIPS, default ../shared/clips)")
@pytest.mark.parametrize(
    ("clip", "cuts"),
    [
        ("bikes.mp4", [30, 76, 137, 187, 242]),
        ("tennis/frames", []),
        ("bmx-trees/frames", []),
        ("carphone.mp4", []),
    ],
)
def test_real_cuts(clip, cuts):
    shots = find_shots(read_frames(CLIPS / clip).frames)
    assert [start for start, _ in shots[1:]] == cuts
