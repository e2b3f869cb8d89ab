"""Display times of frames: repairs times that are missing, repeated or out of order.

Times are seconds as exact fractions, one for each frame in display order.
"""

import bisect
import itertools
from collections.abc import Sequence
from fractions import Fraction

# After a step back in time, this many regular frames show that the clock was restarted.
RESTART_FRAMES = 4
# The relative difference allowed between an announced and the measured rate.
RATE_TOLERANCE = 0.2


def mend_times(
    times: Sequence[Fraction], *, spacing: Fraction
) -> tuple[tuple[Fraction, ...], tuple[int, ...]]:
    """Rising times, and the numbers of the frames whose times were changed.

    A frame at the same time as the previous one, or before it, is moved half-way to the next
    (several are spaced evenly). If the clock restarts, as in joined files, times continue from
    before the restart.

    Args:
      times: as stored in the file.
      spacing: between frames, if the times do not show it.
    """
    joined = _join_restarts(list(times), spacing)
    kept = _longest_rise(joined)
    mended = list(joined)
    for place, number in enumerate(kept):
        following = kept[place + 1] if place + 1 < len(kept) else None
        end = len(joined) if following is None else following
        step = (
            spacing if following is None else (joined[following] - joined[number]) / (end - number)
        )
        for moved in range(number + 1, end):
            mended[moved] = joined[number] + (moved - number) * step
    first = kept[0] if kept else 0
    for moved in range(first):
        mended[moved] = joined[first] - (first - moved) * spacing
    moved_frames = sorted(set(range(len(joined))) - set(kept))
    return tuple(mended), tuple(moved_frames)


def choose_rate(announced: Sequence[Fraction | None], times: Sequence[Fraction]) -> Fraction | None:
    """Frames per second: the first announced rate that agrees with the times.

    Args:
      announced: by the container, in order of trust; None or 0: unknown.
      times: rising; fewer than three are ignored.

    Returns:
      The rate; if none agrees, the simple fraction nearest to the measured rate.
    """
    rates = [rate for rate in announced if rate]
    if len(times) < 3 or times[-1] <= times[0]:
        plausible = [rate for rate in rates if rate <= 1000]
        return next(iter(plausible or rates), None)
    measured = (len(times) - 1) / (times[-1] - times[0])
    # If frames were dropped, the median step is more reliable than the average.
    steps = sorted(after - before for before, after in itertools.pairwise(times))
    usual = 1 / steps[len(steps) // 2]
    for rate in rates:
        if any(abs(rate / seen - 1) <= RATE_TOLERANCE for seen in (measured, usual)):
            return rate
    return measured.limit_denominator(1001)


def places_of(times: Sequence[Fraction], rate: Fraction | None) -> tuple[int, ...]:
    """The number of each frame in a clip of constant rate with dropped frames.

    0, 1, 2, ... if the times do not match a constant rate.
    """
    plain = tuple(range(len(times)))
    if not rate or len(times) < 2:
        return plain
    exact = [(time - times[0]) * rate for time in times]
    places = tuple(round(place) for place in exact)
    fits = all(
        abs(place - near) <= Fraction(1, 4) for place, near in zip(exact, places, strict=True)
    )
    rises = all(before < after for before, after in itertools.pairwise(places))
    return places if fits and rises else plain


def _join_restarts(times: list[Fraction], spacing: Fraction) -> list[Fraction]:
    """Times without restarts of the clock: later times continue from before the restart."""
    joined, shift = list(times), Fraction(0)
    for number, time in enumerate(times):
        fell = number > 0 and time + shift < joined[number - 1] - spacing
        if fell and (number < 2 or time + shift <= joined[number - 2]):
            following = times[number : number + RESTART_FRAMES]
            steps = [after - before for before, after in itertools.pairwise(following)]
            if steps and all(0 < step <= 2 * spacing for step in steps):
                shift = joined[number - 1] + spacing - time
        joined[number] = time + shift
    return joined


def _longest_rise(times: Sequence[Fraction]) -> list[int]:
    """Positions of the longest strictly rising subsequence, the earliest of equal ones."""
    tails: list[Fraction] = []  # the smallest last time of a rise of each length
    ends: list[int] = []
    before: list[int | None] = []
    for number, time in enumerate(times):
        length = bisect.bisect_left(tails, time)
        before.append(ends[length - 1] if length else None)
        if length == len(tails):
            tails.append(time)
            ends.append(number)
        elif time < tails[length]:
            tails[length], ends[length] = time, number
    chain: list[int] = []
    last = ends[-1] if ends else None
    while last is not None:
        chain.append(last)
        last = before[last]
    return chain[::-1]
