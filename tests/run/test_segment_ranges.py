"""Shots into segments, and who has how much of a frame."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from vidprior.run.segment_ranges import crossfade_weight, owned_ranges, split_ranges


def test_shots_that_are_short_enough_stay_whole():
    assert split_ranges([(0, 5), (5, 6), (6, 16)], longest=10, overlap=3) == [
        range(0, 5),
        range(5, 6),
        range(6, 16),
    ]
    assert split_ranges([(0, 999)], longest=0, overlap=3) == [range(0, 999)]


def test_a_long_shot_by_hand():
    """25 frames in segments of 10 that share 3: (25 - 3) / (10 - 3) = 3.1, so 4 segments.

    They have (25 + 3 * 3) / 4 = 8.5, so 9 frames, and begin every (25 - 9) / 3 = 5.3 frames.
    """
    assert split_ranges([(2, 27)], longest=10, overlap=3) == [
        range(2, 11),
        range(7, 16),
        range(12, 21),
        range(18, 27),
    ]


def test_one_frame_too_many_makes_two_halves():
    assert split_ranges([(0, 11)], longest=10, overlap=2) == [range(0, 7), range(4, 11)]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=3),
    longest=st.integers(1, 40),
    overlap=st.integers(0, 13),
)
def test_every_frame_is_in_one_part_or_in_two_of_its_shot(lengths, longest, overlap):
    overlap = min(overlap, longest // 3)
    ends = [0, *itertools.accumulate(lengths)]
    shots = list(itertools.pairwise(ends))
    parts = split_ranges(shots, longest=longest, overlap=overlap)
    having = [[part for part in parts if frame in part] for frame in range(ends[-1])]
    assert {len(found) for found in having} <= {1, 2}
    assert all(1 <= len(part) <= longest for part in parts)
    for part in parts:
        assert sum(start <= part[0] and part[-1] < stop for start, stop in shots) == 1
    for first, second in itertools.pairwise(parts):
        same_shot = any(start <= first[0] and second[-1] < stop for start, stop in shots)
        shared = first.stop - second.start
        assert shared in ((overlap, overlap + 1) if same_shot else (0,))
        assert len(first) == len(second) or not same_shot


def test_shares_rise_evenly_from_part_to_part():
    first, second = range(0, 10), range(7, 20)
    assert [crossfade_weight(first, second, frame) for frame in (7, 8, 9)] == [0.25, 0.5, 0.75]


def test_frames_belong_to_the_part_with_the_larger_share():
    assert owned_ranges([range(0, 10), range(7, 20), range(20, 22)]) == [
        range(0, 8),
        range(8, 20),
        range(20, 22),
    ]
    assert owned_ranges([range(0, 10), range(8, 20)]) == [range(0, 9), range(9, 20)]
    assert owned_ranges([range(0, 3)]) == [range(0, 3)]


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 13))
def test_every_frame_has_one_owner(count, longest, overlap):
    parts = split_ranges([(0, count)], longest=longest, overlap=min(overlap, longest // 3))
    assert list(itertools.chain(*owned_ranges(parts))) == list(range(count))
    assert all(set(own) <= set(part) for own, part in zip(owned_ranges(parts), parts, strict=True))
