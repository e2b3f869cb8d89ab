"""Marks correct masks, and begin them."""

import cv2
import numpy as np
import pytest

import vidprior
from vidprior.tracking.marks import BACKGROUND, OBJECT, correct_mask, draw_marks, shrink_marks
from vidprior.tracking.start import find_object
from vidprior.tracking.track import track

T, SIZE = 9, (90, 140)


def textured(seed, low, high):
    random = np.random.default_rng(seed)
    return cv2.GaussianBlur(random.integers(low, high, (*SIZE, 3), np.uint8), (0, 0), 2)


@pytest.fixture(scope="module")
def clip():
    """A bright square that moves right, over ground with a still bright square under its way."""
    ground, skin = textured(0, 0, 120), textured(1, 130, 256)
    ground[62:82, 60:84] = skin[62:82, 60:84]
    frames, truth = np.stack([ground] * T), np.zeros((T, *SIZE), bool)
    for t in range(T):
        truth[t, 20:60, 20 + 5 * t : 56 + 5 * t] = True
        frames[t][truth[t]] = np.roll(skin, 5 * t, axis=1)[truth[t]]
    return frames, truth


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


def test_marks_are_drawn_in_order():
    marks = draw_marks([(OBJECT, (30.0, 20.0)), (BACKGROUND, (30, 10, 6, 20))], SIZE)
    assert set(map(tuple, np.argwhere(marks == OBJECT))) == {(20, 29)}  # a disc of 1 pixel
    assert (marks[10:30, 30:36] == BACKGROUND).all()
    assert (marks == BACKGROUND).sum() == 120


def test_a_mark_of_one_pixel_survives_another_size():
    marks = np.zeros((50, 70), np.int8)
    marks[9, 9], marks[40, 60] = OBJECT, BACKGROUND
    small = shrink_marks(marks, (10, 14))
    assert np.argwhere(small == OBJECT).tolist() == [[1, 1]]
    assert np.argwhere(small == BACKGROUND).tolist() == [[8, 12]]


def test_a_point_takes_away_the_piece_that_it_marks(clip):
    frames, truth = clip
    wrong = truth[4].copy()
    wrong[62:82, 60:84] = wrong[60:62, 60:70] = True
    marks = draw_marks([(BACKGROUND, (72, 76))], SIZE)
    found = correct_mask(frames[4], np.zeros(SIZE, np.float32), wrong, marks)
    assert not found[76, 72]
    assert overlap(found, truth[4]) > overlap(wrong, truth[4])
    assert found[20:50, 40:76].all()


def test_a_point_adds_what_is_missing(clip):
    frames, truth = clip
    wrong = truth[4].copy()
    wrong[20:26] = False
    marks = draw_marks([(OBJECT, (58, 22))], SIZE)
    found = correct_mask(frames[4], np.zeros(SIZE, np.float32), wrong, marks)
    assert overlap(found, truth[4]) > 0.9


def test_a_box_takes_away_no_more_than_itself(clip):
    frames, truth = clip
    marks = draw_marks([(BACKGROUND, (30, 50, 30, 30))], SIZE)
    found = correct_mask(frames[4], np.zeros(SIZE, np.float32), truth[4], marks)
    expected = truth[4].copy()
    expected[50:80, 30:60] = False
    np.testing.assert_array_equal(found, expected)


def test_what_touches_no_mark_stays(clip):
    frames, truth = clip
    wrong = truth[4].copy()
    wrong[5:9, 120:130] = True
    marks = draw_marks([(BACKGROUND, (15, 30, 20, 20))], SIZE)
    found = correct_mask(frames[4], np.zeros(SIZE, np.float32), wrong, marks)
    assert found[5:9, 120:130].all()
    assert not found[30:50, 15:35].any()


def test_a_correction_acts_on_the_frames_around(clip):
    """What was painted too much is taken away in one frame, and so in others."""
    frames, truth = clip
    painted = truth[0].copy()
    painted[62:82, 60:84] = True
    before = track(frames, {0: painted})
    assert before.masks[1:, 65:80, 62:82].mean() > 0.5
    marks = {4: draw_marks([(BACKGROUND, (58, 61, 28, 23))], SIZE)}
    steps = []
    after = track(
        frames, {0: painted}, marks=marks, previous=before,
        on_progress=lambda *step: steps.append(step),
    )  # fmt: skip
    # Three frames before it, as frame 0 is painted, and four after it.
    assert steps == [(step, 14) for step in range(1, 15)]
    assert not after.masks[4, 61:84, 58:86].any()
    assert after.masks[3:, 65:80, 62:82].mean() < 0.1
    assert min(overlap(after.masks[t], truth[t]) for t in range(3, T)) > 0.9
    anew = track(frames, {0: painted}, marks=marks)
    np.testing.assert_array_equal(anew.masks, after.masks)
    # A second correction keeps the first.
    more = marks | {8: draw_marks([(OBJECT, (70, 30))], SIZE)}
    again = track(frames, {0: painted}, marks=more, previous=after)
    assert not again.masks[4, 61:84, 58:86].any()
    assert again.masks[8, 30, 70]


def test_a_point_begins_with_what_moves_there(clip):
    frames, truth = clip
    marks = {2: draw_marks([(OBJECT, (48, 40))], SIZE)}
    found = vidprior.track(frames, {}, marks=marks)
    assert min(overlap(found.masks[t], truth[t]) for t in range(T)) > 0.8
    with pytest.raises(vidprior.InputError, match="nothing moves by itself at the points"):
        track(frames, {}, marks={2: draw_marks([(OBJECT, (120, 75))], SIZE)})


def test_marks_in_a_box_are_obeyed(clip):
    frames, truth = clip
    inside = np.zeros(SIZE, bool)
    inside[15:85, 30:90] = True
    own = np.where(truth[4], 5, 0).astype(np.float32)
    marks = draw_marks([(BACKGROUND, (40, 20, 12, 40))], SIZE)
    found = find_object(frames[4], own, marks, inside)
    assert not found[20:60, 40:52].any()
    assert overlap(found[:, 52:], truth[4][:, 52:]) > 0.9


@pytest.mark.parametrize(
    ("marks", "says"),
    [
        ({9: np.ones(SIZE, np.int8)}, "marked frame 9: the clip has frames 0 to 8"),
        ({1: np.ones((5, 5), np.int8)}, "it must be int8"),
        ({1: np.ones(SIZE, bool)}, "it must be int8"),
        ({1: np.zeros(SIZE, np.int8)}, "no mark lies in the picture"),
        ({0: np.ones(SIZE, np.int8)}, "painted too"),
        ({1: -np.ones(SIZE, np.int8)}, "nothing is left"),
    ],
)
def test_marks_that_cannot_be_used_are_one_line(clip, marks, says):
    frames, truth = clip
    with pytest.raises(vidprior.InputError, match=says):
        track(frames, {0: truth[0]}, marks=marks)


def test_background_alone_begins_nothing(clip):
    with pytest.raises(vidprior.InputError, match="mark a point of it"):
        track(clip[0], {}, marks={1: -np.ones(SIZE, np.int8)})
