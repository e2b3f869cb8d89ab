"""Frames that are most worth cleaning."""

import numpy as np

from tests.propagation.test_guess import H, T, W, scene
from vidprior.propagation.worth import frames_worth_cleaning


def test_a_still_camera_needs_one_frame():
    frames = np.repeat(scene(H, W)[None], T, axis=0)
    unseen = np.zeros((T, H, W), bool)
    unseen[:, 20:40, 30:50] = True
    (worth,) = frames_worth_cleaning(frames, unseen, unseen, count=3)
    assert worth.share == 1


def test_two_places_that_are_never_unseen_together_need_two_frames():
    """The first has three quarters of all unseen pixels."""
    frames = np.repeat(scene(H, W)[None], T, axis=0)
    unseen = np.zeros((T, H, W), bool)
    unseen[:5, 10:30, 20:50] = True  # 600
    unseen[5:, 40:50, 60:80] = True  # 200
    first, second = frames_worth_cleaning(frames, unseen, unseen, count=3)
    assert (first.share, second.share) == (0.75, 0.25)
    assert first.number < 5 <= second.number
    (only,) = frames_worth_cleaning(frames, unseen, unseen, count=1)
    assert only == first


def test_nothing_unseen_needs_nothing():
    frames = np.zeros((T, H, W, 3), np.uint8)
    hole = np.ones((T, H, W), bool)
    assert frames_worth_cleaning(frames, hole, np.zeros_like(hole), count=3) == []
