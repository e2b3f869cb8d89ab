"""Times that are missing, doubled or out of order."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidprior.io import timing

SPACING = Fraction(1, 25)


def seconds(*milliseconds):
    return tuple(Fraction(number, 1000) for number in milliseconds)


@pytest.mark.parametrize(
    ("given", "mended", "moved"),
    [
        ((0, 40, 80, 120), (0, 40, 80, 120), ()),
        ((0, 40, 80, 80, 120, 160), (0, 40, 80, 100, 120, 160), (3,)),
        ((0, 40, 80, 60, 160, 200), (0, 40, 80, 120, 160, 200), (3,)),
        ((0, 40, 8000, 120, 160, 200), (0, 40, 80, 120, 160, 200), (2,)),
        ((0, 40, 40, 40, 160), (0, 40, 80, 120, 160), (2, 3)),
        ((0, 40, 80, 80), (0, 40, 80, 120), (3,)),
        ((0, 40, 80, 0, 40, 80, 120, 160), (0, 40, 80, 120, 160, 200, 240, 280), ()),
        ((), (), ()),
    ],
)
def test_doubled_times_and_steps_back(given, mended, moved):
    """The last: the clock is set back, as where files were joined."""
    if moved == (3,) and given[3] == 60:
        # Either of 80 and 60 may be kept: their neighbours are.
        times, found = timing.mend_times(seconds(*given), spacing=SPACING)
        assert len(found) == 1
        assert list(times) == sorted(set(times))
        assert times[:2] + times[4:] == seconds(0, 40, 160, 200)
        return
    times, found = timing.mend_times(seconds(*given), spacing=SPACING)
    assert times == seconds(*mended)
    assert found == moved


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30))
def test_mended_times_rise_and_most_are_kept(numbers):
    times, moved = timing.mend_times(seconds(*numbers), spacing=SPACING)
    assert len(times) == len(numbers)
    assert all(before < after for before, after in itertools.pairwise(times))
    assert len(set(moved)) == len(moved) < len(numbers)


@pytest.mark.parametrize(
    ("announced", "times", "rate"),
    [
        ((25, 25, 25), (0, 40, 80), 25),
        ((60000, 25, 25), (0, 40, 80), 25),  # raw DV
        ((60000, 25, 25), (), 25),
        ((None, 0, 30), (), 30),
        ((None, None, None), (0, 40, 80, 120), 25),
        ((None, None, None), (), None),
        ((25, 25, 25), (0, 40, 80, 120, 240, 280), 25),  # two were dropped
        ((90000, None, 90000), (0, 100, 200, 300), 10),
    ],
)
def test_the_rate_agrees_with_the_times(announced, times, rate):
    given = [None if number is None else Fraction(number) for number in announced]
    assert timing.choose_rate(given, seconds(*times)) == rate


def test_places_of_dropped_frames():
    assert timing.places_of(seconds(0, 40, 80, 200, 240), Fraction(25)) == (0, 1, 2, 5, 6)
    assert timing.places_of(seconds(21, 61, 101), Fraction(25)) == (0, 1, 2)
    assert timing.places_of(seconds(0, 55, 70, 200), Fraction(25)) == (0, 1, 2, 3)
    assert timing.places_of(seconds(0, 40, 80), None) == (0, 1, 2)
