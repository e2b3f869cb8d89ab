"""Tracking in Python: an object that moves and changes its shape, corrections, bad input."""

import cv2
import numpy as np
import pytest

import vidprior
from vidprior.io import images
from vidprior.tracking.appearance import histogram, likeness, to_lab
from vidprior.tracking.following import spans
from vidprior.tracking.segment import signed_distance
from vidprior.tracking.track import track
from vidprior.tracking.tracked import Tracked

T, SIZE = 9, (90, 140)


@pytest.fixture(scope="module")
def clip():
    """An ellipse that moves right and grows taller, before a background of other colours."""
    random = np.random.default_rng(0)
    ground = cv2.GaussianBlur(random.integers(0, 120, (*SIZE, 3), np.uint8), (0, 0), 2)
    skin = cv2.GaussianBlur(random.integers(130, 256, (*SIZE, 3), np.uint8), (0, 0), 2)
    frames, truth = np.stack([ground] * T), np.zeros((T, *SIZE), bool)
    for t in range(T):
        shape = np.zeros(SIZE, np.uint8)
        cv2.ellipse(shape, (40 + 5 * t, 45), (16, 14 + 2 * t), 0, 0, 360, 1, -1)
        moved = np.roll(skin, 5 * t, axis=1)
        truth[t] = shape > 0
        frames[t][truth[t]] = moved[truth[t]]
    return frames, truth


def overlaps(masks, truth):
    return (masks & truth).sum(axis=(1, 2)) / (masks | truth).sum(axis=(1, 2))


def test_the_mask_follows_a_shape_that_changes(clip):
    frames, truth = clip
    found = vidprior.track(frames, {0: truth[0]})
    assert isinstance(found, vidprior.Tracked)
    assert overlaps(found.masks, truth).min() > 0.9
    # The painted shape, moved along, would be much too small at the end.
    moved = np.roll(truth[0], 5 * (T - 1), axis=1)
    assert overlaps(moved[None], truth[-1:])[0] < 0.6
    assert found.confidence.min() > 0.6
    assert found.weakest is None


def test_an_object_that_covers_most_of_a_tall_picture_is_followed():
    random = np.random.default_rng(1)
    ground, skin = (
        cv2.GaussianBlur(random.integers(*range_, (384, 216, 3), np.uint8), (0, 0), 2)
        for range_ in ((0, 120), (130, 256))
    )
    truth = np.zeros((2, 384, 216), bool)
    truth[0, 30:350, 20:170] = truth[1, 30:350, 24:174] = True  # more than 2**15 pixels
    frames = np.where(truth[..., None], np.stack([skin, np.roll(skin, 4, axis=1)]), ground)
    assert overlaps(track(frames, {0: truth[0]}).masks, truth).min() > 0.95


def test_the_same_bits_again_and_frames_may_come_one_by_one(clip):
    frames, truth = clip
    one, other = track(frames, {4: truth[4]}), track(iter(frames), {4: truth[4]})
    np.testing.assert_array_equal(one.masks, other.masks)
    np.testing.assert_array_equal(one.confidence, other.confidence)


def test_a_correction_changes_only_what_lies_beside_it(clip, monkeypatch):
    frames, truth = clip
    first = track(frames, {0: truth[0], 4: truth[4]})
    steps = []
    both = {0: truth[0], 4: truth[4], 8: truth[8]}
    again = track(frames, both, previous=first, on_progress=lambda *step: steps.append(step))
    np.testing.assert_array_equal(again.masks[:5], first.masks[:5])
    np.testing.assert_array_equal(again.masks[8], truth[8])
    # Frames 5 to 7 are new, from both sides, two steps each.
    assert steps == [(step, 12) for step in range(1, 13)]
    anew = track(frames, both)
    np.testing.assert_array_equal(again.masks, anew.masks)


def test_a_mask_painted_anew_is_not_taken_from_before(clip):
    frames, truth = clip
    wrong = np.roll(truth[0], 30, axis=0)
    first = track(frames, {0: wrong})
    again = track(frames, {0: truth[0]}, previous=first)
    np.testing.assert_array_equal(again.masks, track(frames, {0: truth[0]}).masks)


def test_a_previous_result_of_other_frames_is_refused(clip):
    frames, truth = clip
    first = track(frames, {0: truth[0]})
    with pytest.raises(vidprior.InputError, match="tracked in other frames"):
        track(frames[::-1], {0: truth[8]}, previous=first)
    with pytest.raises(vidprior.InputError, match="give the result of the same clip"):
        track(frames[:-1], {0: truth[0]}, previous=first)


def test_an_object_that_leaves_is_told(clip):
    frames, truth = clip
    gone = frames.copy()
    gone[5:] = gone[0, :, :1]
    found = track(gone, {0: truth[0]})
    assert found.confidence[6:].max() < 0.6
    assert found.weakest in (6, 7)


def test_where_it_is_absent_nothing_is_followed(clip):
    """Painted in 0 and 7, absent in 3 and 5: followed up to 3, and back from 7 to behind 5."""
    frames, truth = clip
    nothing = np.zeros(SIZE, bool)
    steps = []
    found = track(
        frames, {0: truth[0], 3: nothing, 5: nothing, 7: truth[7]},
        on_progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert found.masks.any(axis=(1, 2)).tolist() == [True] * 3 + [False] * 3 + [True] * 3
    assert overlaps(found.masks, truth)[[1, 2, 6, 8]].min() > 0.9
    assert found.confidence[3:6].tolist() == [1, 1, 1]
    assert steps == [(step, 8) for step in range(1, 9)]  # frames 1, 2, 6 and 8
    # What lies on the other side has no effect.
    alone = track(frames, {0: truth[0], 3: nothing})
    np.testing.assert_array_equal(alone.masks[:3], found.masks[:3])
    assert not alone.masks[3:].any()
    again = track(frames, {0: truth[0], 3: nothing, 4: truth[4]}, previous=alone)
    np.testing.assert_array_equal(again.masks[:4], alone.masks[:4])
    assert overlaps(again.masks, truth)[4:].min() > 0.9


def test_the_middle_of_the_longest_weak_run_is_to_be_painted():
    confidence = np.array([1, 0.2, 1, 0.5, 0.1, 0.5, 1], np.float32)
    assert Tracked(np.zeros((7, 1, 1), bool), confidence, {}).weakest == 4


def test_spans_lie_between_painted_frames():
    assert spans([2, 5]) == [(None, 2), (2, 5), (5, None)]


def test_distances_have_a_sign():
    mask = np.zeros((5, 7), bool)
    mask[1:4, 2:5] = True
    found = signed_distance(mask)
    assert found[2, 3] == pytest.approx(2, abs=0.05)
    assert found[2, 0] == pytest.approx(-2, abs=0.05)


def test_histograms_of_other_colours_are_unlike(clip):
    frames, truth = clip
    lab = to_lab(frames[0])
    inside, outside = histogram(lab, truth[0]), histogram(lab, ~truth[0])
    assert inside.sum() == pytest.approx(1, abs=1e-3)
    assert likeness(inside, inside) == pytest.approx(1, abs=1e-3)
    assert likeness(inside, outside) < 0.2
    assert histogram(lab, np.zeros(SIZE, bool)).sum() == 0


@pytest.mark.parametrize(
    ("painted", "says"),
    [
        ({}, "no frame is painted"),
        ({9: "mask"}, "frames 0 to 8"),
        ({0: "empty"}, "no frame is painted"),
        ({0: "full"}, "everything is painted"),
        ({0: "small"}, "it must be bool"),
        ({0: "grey"}, "it must be bool"),
    ],
)
def test_what_cannot_be_tracked_is_one_line(clip, painted, says):
    frames, truth = clip
    masks = {
        "mask": truth[0], "empty": np.zeros(SIZE, bool), "full": np.ones(SIZE, bool),
        "small": truth[0, ::2], "grey": truth[0].astype(np.uint8),
    }  # fmt: skip
    with pytest.raises(vidprior.InputError, match=says):
        track(frames, {number: masks[name] for number, name in painted.items()})


def test_frames_that_are_too_small_are_refused():
    with pytest.raises(vidprior.InputError, match="too small"):
        track(np.zeros((3, 8, 8, 3), np.uint8), {0: np.eye(8, dtype=bool)})


def test_frames_may_be_the_path_of_a_clip(clip, tmp_path):
    frames, truth = clip
    images.write_frames(tmp_path / "frames", frames)
    found = track(tmp_path / "frames", {0: truth[0]})
    np.testing.assert_array_equal(found.masks, track(frames, {0: truth[0]}).masks)
