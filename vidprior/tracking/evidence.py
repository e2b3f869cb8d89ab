"""What a painted frame says of the frames that follow, whatever their masks turn out to be.

Letters
    n  frames     H  rows     W  columns
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vidprior.tracking.alignment import Alignment
from vidprior.tracking.anchor import Anchor
from vidprior.tracking.appearance import to_lab
from vidprior.tracking.keeping import EVERY, Kept
from vidprior.tracking.matching import match_labels
from vidprior.tracking.rigid import Piece
from vidprior.tracking.segment import painted_votes

# The piece's motion is known if its own confidence is so high.
_CONFIDENT = 0.55
# Steps of log-odds in one of its own: in int8 they reach 6.35.
_STEPS = 20


class Said(NamedTuple):
    """What a painted frame says of one other.

    Attributes:
      votes: [H, W] float32, log-odds by the painted mask, brought to it; see `painted_votes`.
      matches: [H, W] float32, log-odds by patches of the painted frame; see `match_labels`.
      motion: [2, 3] float64, of the object as one piece; None if it is not known.
    """

    votes: np.ndarray
    matches: np.ndarray
    motion: np.ndarray | None


class Evidence(NamedTuple):
    """What a painted frame says of others.

    Attributes:
      numbers: of the n other frames.
      votes: [n, H, W] int8, log-odds in twentieths.
      matches: [n, H, W] int8, as well.
      motion: [n, 2, 3] float64, of the object as one piece.
      known: [n] bool, whether this motion is known.
    """

    numbers: tuple[int, ...]
    votes: np.ndarray
    matches: np.ndarray
    motion: np.ndarray
    known: np.ndarray

    def of(self, number: int) -> Said:
        """What is said of a frame."""
        at = self.numbers.index(number)
        votes, matches = (
            part[at].astype(np.float32) / _STEPS for part in (self.votes, self.matches)
        )
        return Said(votes, matches, self.motion[at] if self.known[at] else None)


def gather(
    frames: np.ndarray,
    alignment: Alignment,
    painted: np.ndarray,
    numbers: Sequence[int],
    *,
    on_frame: Callable[[], None] = lambda: None,
    kept: Kept | None = None,
    name: str = "",
) -> Evidence:
    """Brings a painted mask to other frames.

    Args:
      frames: [T, H, W, 3] uint8 RGB.
      alignment: of these frames.
      painted: [H, W] bool, in frame `numbers[0]`.
      numbers: at least two frames, one after the other, in either direction.
      on_frame: called after each frame.
      kept: what was gathered before is taken from here, and the rest put there.
      name: of this mask and direction in `kept`.
    """
    anchor = Anchor(to_lab(frames[numbers[0]]), painted)
    piece = Piece(painted, numbers[0], frames, alignment.flow)
    fields = Evidence._fields[1:]
    parts: list[dict[str, np.ndarray]] = []
    for begin in range(0, len(numbers) - 1, EVERY):
        part = numbers[begin : begin + EVERY + 1]
        stored = kept.load(f"{name}-{begin}") if kept is not None else {}
        if len(stored.get("known", ())) >= len(part) - 1:
            anchor.restore(stored)
            piece.restore(stored)
            for _ in part[1:]:
                on_frame()
        else:
            said = list(_follow(frames, alignment, anchor, piece, part, begin, on_frame))
            columns = zip(fields, zip(*said, strict=True), strict=True)
            stored = {field: np.stack(values) for field, values in columns}
            if kept is not None:
                kept.save(f"{name}-{begin}", {**stored, **anchor.state(), **piece.state()})
        parts.append({field: stored[field][: len(part) - 1] for field in fields})
    return Evidence(
        tuple(numbers[1:]),
        *(np.concatenate([part[field] for part in parts]) for field in fields),
    )


def _follow(
    frames: np.ndarray,
    alignment: Alignment,
    anchor: Anchor,
    piece: Piece,
    numbers: Sequence[int],
    begin: int,
    on_frame: Callable[[], None],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """The fields of `Evidence` but the first, for each of `numbers[1:]`."""
    for age, (before, number) in enumerate(itertools.pairwise(numbers), begin + 1):
        lab = to_lab(frames[number])
        motion, confidence = piece.follow(number)
        known = confidence > _CONFIDENT
        place = alignment.shift(number, before).place
        anchored = anchor.follow(lab, place, motion if known else None)
        odds = painted_votes(anchored, age), match_labels(lab, anchored.lab, anchored.mask)
        votes, matches = (np.rint(part * _STEPS).astype(np.int8) for part in odds)
        yield votes, matches, motion, np.array(known)
        on_frame()
