"""Splits shots into overlapping segments, and weights for their crossfade.

Frames are numbered from the first of the run. A segment is a range of frames; each frame is
in one segment, or in two that overlap.
"""

import itertools
from collections.abc import Iterable, Sequence


def split_ranges(shots: Iterable[tuple[int, int]], *, longest: int, overlap: int) -> list[range]:
    """Splits long shots into overlapping segments of equal length.

    Args:
      shots: (start, stop) each.
      longest: maximum frames of a segment; 0 keeps every shot whole.
      overlap: frames that neighbouring segments of a shot share (sometimes one more); at
        most a third of `longest`, so that no frame is in three segments.
    """
    ranges = []
    for start, stop in shots:
        count = stop - start
        if not longest or count <= longest:
            ranges.append(range(start, stop))
            continue
        number = -(-(count - overlap) // (longest - overlap))
        # Equal lengths: an update is compiled once for all segments.
        length = -(-(count + (number - 1) * overlap) // number)
        for i in range(number):
            first = start + i * (count - length) // (number - 1)
            ranges.append(range(first, first + length))
    return ranges


def crossfade_weight(first: range, second: range, frame: int) -> float:
    """The weight of the second segment in a frame that two share; it rises linearly."""
    return (frame - second.start + 1) / (first.stop - second.start + 1)


def owned_ranges(ranges: Sequence[range]) -> list[range]:
    """The frames in which each segment has the larger weight: every frame once, in order.

    At equal weights, a frame belongs to the later segment.
    """
    starts = [ranges[0].start]
    for first, second in itertools.pairwise(ranges):
        between = range(second.start, first.stop)
        later = (frame for frame in between if crossfade_weight(first, second, frame) >= 0.5)
        starts.append(next(later, second.start))
    stops = [*starts[1:], ranges[-1].stop]
    return [range(start, stop) for start, stop in zip(starts, stops, strict=True)]
