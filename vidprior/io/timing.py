"""When frames are shown: times that are missing, doubled or out of order, mended.

Times are seconds as exact fractions, one for each frame in the order of showing.
"""

import bisect
import itertools
from collections.abc import Sequence
from fractions import Fraction

# After a step back, so many frames at the usual distance tell that the clock was set back.
RESTART_FRAMES = 4
# A rate that is announced may differ from the one measured by this share of it.
RATE_TOLERANCE = 0.2


def mend_times(
    times: Sequence[Fraction], *, spacing: Fraction
) -> tuple[tuple[Fraction, ...], tuple[int, ...]]:
    """Times that rise from frame to frame, and the numbers of the frames that were moved.

    A frame that shares its time with the one before, or steps back behind it, is shown half-way
    to the next (several are spaced evenly). Where the clock is set back for good, as in files
    that were joined, it goes on from where it was.

    Args:
      times: as the file says them.
      spacing: between frames, where nothing else tells.
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
      announced: by the container, in order of trust; None or 0 says nothing.
      times: rising; fewer than three tell nothing.

    Returns:
      The rate; where none agrees, the nearest simple fraction to what the times say.
    """
    rates = [rate for rate in announced if rate]
    if len(times) < 3 or times[-1] <= times[0]:
        plausible = [rate for rate in rates if rate <= 1000]
        return next(iter(plausible or rates), None)
    measured = (len(times) - 1) / (times[-1] - times[0])
    # The usual step tells more than the average where frames were dropped.
    steps = sorted(after - before for before, after in itertools.pairwise(times))
    usual = 1 / steps[len(steps) // 2]
    for rate in rates:
        if any(abs(rate / seen - 1) <= RATE_TOLERANCE for seen in (measured, usual)):
            return rate
    return measured.limit_denominator(1001)


def places_of(times: Sequence[Fraction], rate: Fraction | None) -> tuple[int, ...]:
    """The number of each frame in a clip of constant rate of which some frames were dropped.

    Frames 0, 1, 2, ... where the times are those of no such clip.
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
    """Times without restarts of the clock: from there on they follow what was before."""
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
    """Places of the longest strictly rising subsequence, the earliest of equal ones."""
    tails: list[Fraction] = []  # the smallest time that ends a rise of each length
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
