"""An object that was lost is looked for."""

import cv2
import numpy as np
import pytest

from vidprior.tracking.appearance import histogram, to_lab
from vidprior.tracking.finding import find_again
from vidprior.tracking.track import track

H, W = 90, 140


def scene(places):
    """Frames and true masks: a patch at places (row, column), or nowhere."""
    random = np.random.default_rng(0)
    ground, patch = (
        cv2.GaussianBlur(random.integers(*of, (H, W, 3), np.uint8), (0, 0), 1.5)
        for of in ((0, 120), (130, 256))
    )
    frames, truth = np.stack([ground] * len(places)), np.zeros((len(places), H, W), bool)
    for t, place in enumerate(places):
        if place is not None:
            box = np.s_[t, place[0] : place[0] + 24, place[1] : place[1] + 30]
            # It has turned around when it comes again.
            turned = None in places[:t]
            frames[box], truth[box] = patch[:24, :30][:: -1 if turned else 1], True
    return frames, truth


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def found_in(frame, truth, *, last, since=0):
    inside = histogram(to_lab(frame), truth)
    return find_again(to_lab(frame), 4.0 * truth.astype(np.float32), inside, last, since)


def test_the_region_of_its_colours_that_moves():
    frames, truth = scene([(30, 20), (30, 60)])
    assert overlap(found_in(frames[1], truth[1], last=truth[0]), truth[1]) > 0.9


@pytest.mark.parametrize(("since", "found"), [(0, False), (10, True)])
def test_farther_away_only_after_some_frames(since, found):
    """44 columns lie between it and its last mask; 40 pixels around that are searched, then 80."""
    frames, truth = scene([(30, 5), (30, 79)])
    assert found_in(frames[1], truth[1], last=truth[0], since=since).any() == found


def test_a_region_of_another_size_is_not_taken():
    frames, truth = scene([(30, 20)])
    speck = np.zeros_like(truth[0])
    speck[40:44, 30:34] = True  # 16 pixels; the region has 720
    assert not found_in(frames[0], truth[0], last=speck).any()


def test_an_object_that_was_hidden_for_some_frames_is_found_again():
    places = [(30, 20 + 3 * t) for t in range(16)]
    places[5:9] = [None] * 4
    frames, truth = scene(places)
    found = track(frames, {0: truth[0]})
    assert found.confidence[5:9].max() < 0.6
    assert min(overlap(found.masks[t], truth[t]) for t in range(10, 16)) > 0.9
