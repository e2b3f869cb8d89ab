"""Follows painted masks through the stretches between them.

Letters
    T  frames     n  frames of a stretch
    h, w  rows and columns of the clip     H, W  of the small pictures
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.tracking.alignment import Alignment
from vidprior.tracking.evidence import Evidence, gather
from vidprior.tracking.given import enlarge, shrink
from vidprior.tracking.keeping import FORMAT, Kept
from vidprior.tracking.pursue import Pursued, pursue
from vidprior.tracking.tracked import Tracked

# Power of the likeness of colours that makes a confidence: on eight clips, below 0.6, 46 % of the
# masks overlap the true ones by less than half, and 64 % of those that do are found.
_SHARPNESS = 5

# Two painted frames; None at an end of the clip.
Span = tuple[int | None, int | None]


class Clip(NamedTuple):
    """The small frames [T, H, W, 3] uint8, the size (h, w) of the clip, SHA-256, motion."""

    small: np.ndarray
    size: tuple[int, int]
    digest: str
    alignment: Alignment


def spans(numbers: Iterable[int]) -> list[Span]:
    """Stretches between painted frames; None at the ends of the clip."""
    ends: list[int | None] = [None, *sorted(numbers), None]
    return list(itertools.pairwise(ends))


def between(span: Span, count: int) -> list[int]:
    """The frames of a stretch, without its ends."""
    begin, end = span
    return list(range(0 if begin is None else begin + 1, count if end is None else end))


def shows(starts: Mapping[int, np.ndarray], end: int | None) -> bool:
    """Whether the object is painted at the end of a stretch."""
    return end is not None and bool(starts[end].any())


def new_spans(starts: Mapping[int, np.ndarray], previous: Tracked | None) -> list[Span]:
    """The stretches that are not as in a previous result."""
    return [
        span
        for span in spans(starts)
        if previous is None
        or span not in spans(previous.painted)
        or not all(
            same(previous.painted[number], starts[number]) for number in span if number is not None
        )
    ]


def around(number: int, starts: Iterable[int], count: int) -> list[int]:
    """The frames before and after one, up to the next painted ones, without it."""
    (span,) = (s for s in spans(starts) if number in between(s, count))
    return [other for other in between(span, count) if other != number]


def same(one: np.ndarray | None, other: np.ndarray) -> bool:
    """Whether there is such an array, and it is equal."""
    return one is not None and np.array_equal(one, other)


def follow(
    clip: Clip,
    starts: Mapping[int, np.ndarray],
    previous: Tracked | None,
    on_frame: Callable[[], None],
    kept: Kept,
) -> Tracked:
    """Masks for all frames from masks [h, w] bool of some."""
    reduced_starts = {
        number: shrink(mask.astype(np.float32), clip.small.shape[1:3]) > 0.5
        for number, mask in starts.items()
        if mask.any()
    }
    for number, mask in reduced_starts.items():
        if not mask.any():
            raise InputError(f"painted frame {number}: what is painted is too small to track")
    result = np.zeros((len(clip.small), *clip.size), bool)
    confidence = np.zeros(len(clip.small), np.float32)
    for number, mask in starts.items():
        result[number], confidence[number] = mask, 1
    new = new_spans(starts, previous)
    for span in spans(starts):
        inner = between(span, len(clip.small))
        if span not in new and previous is not None:
            result[inner], confidence[inner] = previous.masks[inner], previous.confidence[inner]
        elif not reduced_starts.keys() & {*span}:
            confidence[inner] = 1  # absent, as was said
        elif inner:
            soft, found = _track_span(clip, reduced_starts, span, on_frame, kept)
            clip.alignment.forget()
            confidence[inner] = found
            for number, mask in zip(inner, soft, strict=True):
                result[number] = enlarge(mask.astype(np.float32), clip.size) > 0.5
    return Tracked(result, confidence, dict(sorted(starts.items())), clip.digest)


def _track_span(
    clip: Clip,
    painted: Mapping[int, np.ndarray],
    span: Span,
    on_frame: Callable[[], None],
    kept: Kept,
) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """Soft masks [H, W] and confidence [n] of the frames between two painted ones.

    `painted` has no mask where the object is absent.
    """
    inner = between(span, len(clip.small))
    ways = {
        start: [start, *(inner if start == span[0] else inner[::-1])]
        for start in span
        if start is not None and start in painted  # not the end of the clip, nor absent
    }
    evidence = {
        start: _gather(clip, painted[start], numbers, on_frame, kept)
        for start, numbers in ways.items()
    }
    weights, found = [], []
    for start, numbers in ways.items():
        one = _pursue(clip, painted, numbers, evidence, on_frame, kept)
        order = slice(1, None) if start == span[0] else slice(None, 0, -1)
        found.append(Pursued(one.soft[order], one.likeness[order]))
        distance = np.abs(np.array(inner) - start)
        weights.append(found[-1].likeness / distance)
    weight = np.stack(weights) / np.maximum(np.sum(weights, axis=0), 1e-6)
    like = (weight * np.stack([one.likeness for one in found])).sum(axis=0)
    return _mean(weight, [one.soft for one in found]), like**_SHARPNESS


def _mean(weight: np.ndarray, parts: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The mean [H, W] float32 of each frame's soft masks, parts [n, H, W], weights [parts, n]."""
    for number, shares in enumerate(weight.T):
        soft = np.stack([part[number] for part in parts]).astype(np.float32)
        yield (shares[:, None, None] * soft).sum(axis=0).astype(np.float32)


def follow_mask(
    clip: Clip,
    mask: np.ndarray,
    numbers: Sequence[int],
    on_frame: Callable[[], None],
    kept: Kept,
) -> Pursued:
    """Follows a mask [H, W] bool of the first frame through the others."""
    evidence = {numbers[0]: _gather(clip, mask, numbers, on_frame, kept)}
    return _pursue(clip, {numbers[0]: mask}, numbers, evidence, on_frame, kept)


def _gather(
    clip: Clip,
    mask: np.ndarray,
    numbers: Sequence[int],
    on_frame: Callable[[], None],
    kept: Kept,
) -> Evidence:
    return gather(
        clip.small, clip.alignment, mask, numbers, on_frame=on_frame, kept=kept,
        name=_name(clip, "evidence", numbers, mask),
    )  # fmt: skip


def _pursue(
    clip: Clip,
    painted: Mapping[int, np.ndarray],
    numbers: Sequence[int],
    evidence: Mapping[int, Evidence],
    on_frame: Callable[[], None],
    kept: Kept,
) -> Pursued:
    """Follows the mask of the first frame; `evidence` is of that frame and of any further ones."""
    start, others = numbers[0], [other for other in evidence if other != numbers[0]]
    return pursue(
        clip.small, clip.alignment, painted[start], numbers, evidence[start],
        others=[evidence[other] for other in others], on_frame=on_frame, kept=kept,
        name=_name(clip, "mask", numbers, *(painted[n] for n in (start, *others)), to=others),
    )  # fmt: skip


def _name(
    clip: Clip,
    what: str,
    numbers: Sequence[int],
    *masks: np.ndarray,
    to: Sequence[int] = (),
) -> str:
    """A digest of all that following masks depends on.

    Args:
      clip: the clip.
      what: is kept.
      numbers: the painted frame, and those that follow: their number does not count.
      *masks: the painted one, and those of the frames `to` which evidence reaches back.
      to: these frames.
    """
    forwards = numbers[1] > numbers[0]
    said = f"{FORMAT} {cv2.__version__} {clip.digest} {masks[0].shape} {what} {numbers[0]} "
    said += f"{forwards} {[*to]} "
    return hashlib.sha256(said.encode() + np.packbits(masks).tobytes()).hexdigest()[:32]
