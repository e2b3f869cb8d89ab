"""What a painted frame says of others."""

import cv2
import numpy as np

from vidprior.tracking.alignment import Alignment
from vidprior.tracking.evidence import Evidence, gather
from vidprior.tracking.keeping import Kept

T, H, W = 7, 70, 110


def moving():
    random = np.random.default_rng(0)
    ground, body = (
        cv2.GaussianBlur(random.integers(*of, (H, W, 3), np.uint8), (0, 0), 1.5)
        for of in ((0, 120), (130, 256))
    )
    frames, truth = np.stack([ground] * T), np.zeros((T, H, W), bool)
    for t in range(T):
        truth[t, 20:50, 20 + 3 * t : 55 + 3 * t] = True
        frames[t][truth[t]] = np.roll(body, 3 * t, axis=1)[truth[t]]
    return frames, truth


def test_it_is_kept_in_twentieths_of_log_odds():
    votes = np.full((2, 1, 1), [[[30]], [[-7]]], np.int8)
    motion = np.stack([np.eye(2, 3)] * 2)
    made = Evidence((4, 3), votes, -votes, motion, np.array([True, False]))
    np.testing.assert_allclose(made.of(4).votes, 1.5)
    np.testing.assert_allclose(made.of(3).matches, 0.35)
    assert made.of(4).motion is not None
    assert made.of(3).motion is None


def test_votes_matches_and_motion_follow_the_object():
    frames, truth = moving()
    for numbers in (range(T), range(T - 1, -1, -1)):
        evidence = gather(frames, Alignment(frames), truth[numbers[0]], numbers)
        assert evidence.numbers == tuple(numbers[1:])
        assert evidence.known.all()
        for number in numbers[1:]:
            said = evidence.of(number)
            inner = cv2.erode(truth[number].astype(np.uint8), np.ones((5, 5))) > 0
            outer = cv2.dilate(truth[number].astype(np.uint8), np.ones((5, 5))) > 0
            assert np.quantile(said.votes[inner], 0.05) > 2
            assert np.quantile(said.matches[inner], 0.05) > 1
            assert said.matches[~outer].max() < 0.5
            np.testing.assert_allclose(said.motion[0, 2], 3 * (number - numbers[0]), atol=0.5)


def test_fewer_frames_are_taken_from_what_is_kept(tmp_path):
    frames, truth = moving()
    alignment, kept = Alignment(frames), Kept(tmp_path)
    told = []
    whole = gather(frames, alignment, truth[0], range(T), kept=kept, name="a")
    part = gather(
        frames, alignment, truth[0], range(4), kept=kept, name="a", on_frame=lambda: told.append(1)
    )
    assert len(told) == 3
    assert part.numbers == (1, 2, 3)
    anew = gather(frames, alignment, truth[0], range(4))
    for one, other, longer in zip(part[1:], anew[1:], whole[1:], strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, longer[:3])
