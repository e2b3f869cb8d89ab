"""Passes that make a clip known, from the rim inwards."""

import itertools
import math

import numpy as np

from tests.propagation.test_propagate import block, damaged, panned
from vidprior.propagation.peeling import Peeling, fill_from_rim


def pan(here, there):
    """The motion of `panned` frames with x = 2."""
    return np.array([[1, 0, 2.0 * (there - here)], [0, 1, 0], [0, 0, 1]])


def neighbours(here, there):
    return pan(here, there) if abs(there - here) == 1 else None


def test_content_travels_over_frames_that_were_filled():
    """Only neighbours are laid over one another, and a hole eight hops wide is filled."""
    truth, _, _ = panned(20, x=2)
    hole = block(20, columns=(24, 40))
    peeling = Peeling(damaged(truth, hole), hole, neighbours)
    known = [int(peeling.known.sum())]
    for _ in range(9):
        peeling.fill()
        peeling.accept(math.inf)
        known.append(int(peeling.known.sum()))
    assert all(before < after for before, after in itertools.pairwise(known[:5]))
    taken = hole & peeling.known
    assert taken[10].sum() == hole[10].sum()
    assert np.abs(peeling.image[10][hole[10]] - truth[10][hole[10]].astype(float)).mean() < 12
    # Origins are where the clip was given, as many hops away as it takes.
    frame = peeling.origins.frame[taken[hole], 0]
    column, row = np.rint(peeling.origins.place[taken[hole], 0]).astype(int).T
    assert hole[frame, row, column].mean() < 0.02
    assert np.abs(frame - np.nonzero(taken)[0]).max() > 4


def test_a_strict_limit_takes_nothing_and_a_lenient_one_all_that_was_seen():
    truth, _, _ = panned(9, x=2)
    hole = block(9)
    peeling = Peeling(damaged(truth, hole), hole, lambda here, there: None)
    peeling.fill()
    peeling.accept(math.inf)  # nothing but the rim: a guess is never known
    np.testing.assert_array_equal(peeling.known, ~hole)
    peeling = Peeling(damaged(truth, hole), hole, pan)
    peeling.fill()
    peeling.accept(0.5)  # no error is below 1
    np.testing.assert_array_equal(peeling.known, ~hole)
    peeling.accept(math.inf)
    assert peeling.known.mean() > (~hole).mean()


def test_only_what_is_wanted_is_filled():
    truth, _, _ = panned(9, x=2)
    hole, wanted = block(9), block(9, rows=(18, 22))
    wanted[3:] = False
    peeling = Peeling(damaged(truth, hole), hole, pan, wanted=wanted)
    before = peeling.image.copy()
    peeling.fill()
    peeling.accept(math.inf)
    peeling.close()
    np.testing.assert_array_equal(peeling.image[~wanted], before[~wanted])
    assert not (peeling.known & hole & ~wanted).any()


def test_a_picture_without_any_known_pixel_is_black():
    frames = np.full((2, 48, 64, 3), 9, np.uint8)
    assert not fill_from_rim(frames, np.ones((2, 48, 64), bool)).any()


def test_what_agrees_with_nothing_counts_as_unseen():
    """Frames of independent noise: other frames know the hole's pixels, and show something else."""
    frames = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), np.uint8)
    hole = np.zeros(frames.shape[:3], bool)
    for number in range(6):
        hole[number, 16:32, 8 * number : 8 * number + 16] = True
    peeling = Peeling(frames, hole, lambda here, there: np.eye(3))
    peeling.fill(rim=1e3)  # a fill from the rim is worse than anything that is seen
    peeling.accept(math.inf)
    np.testing.assert_array_equal(peeling.known, ~hole)
    np.testing.assert_array_equal(peeling.image, fill_from_rim(frames, hole))
    assert all((peeling.unseen(number) == hole[number]).all() for number in range(6))
    assert (peeling.origins.frame == -1).all()
