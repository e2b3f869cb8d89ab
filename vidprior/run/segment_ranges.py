"""How a run is divided: shots into segments that overlap, and what each has of a frame.

Frames are numbered from the run's first. A part is a range of them; each frame is in one
part, or in two that overlap.
"""

import itertools
from collections.abc import Iterable, Sequence


def split_ranges(shots: Iterable[tuple[int, int]], *, longest: int, overlap: int) -> list[range]:
    """Cuts shots that are too long into overlapping segments of one length.

    Args:
      shots: (start, stop) each.
      longest: frames that a segment may have; 0 leaves every shot whole.
      overlap: frames that neighbouring segments of a shot share, or one more; at most a
        third of `longest`, so that no frame is in three.
    """
    parts = []
    for start, stop in shots:
        count = stop - start
        if not longest or count <= longest:
            parts.append(range(start, stop))
            continue
        number = -(-(count - overlap) // (longest - overlap))
        # All as long as the longest needs to be: an update is compiled once, and found again.
        length = -(-(count + (number - 1) * overlap) // number)
        for i in range(number):
            first = start + i * (count - length) // (number - 1)
            parts.append(range(first, first + length))
    return parts


def crossfade_weight(first: range, second: range, frame: int) -> float:
    """How much of a frame that two parts have is the second's: from little to much, evenly."""
    return (frame - second.start + 1) / (first.stop - second.start + 1)


def owned_ranges(parts: Sequence[range]) -> list[range]:
    """The frames of which each part has the larger share: every frame once, in order.

    Where shares are equal, the frame is the later part's.
    """
    starts = [parts[0].start]
    for first, second in itertools.pairwise(parts):
        between = range(second.start, first.stop)
        later = (frame for frame in between if crossfade_weight(first, second, frame) >= 0.5)
        starts.append(next(later, second.start))
    stops = [*starts[1:], parts[-1].stop]
    return [range(start, stop) for start, stop in zip(starts, stops, strict=True)]
