"""Tracks an object from painted frames through the whole clip.

Letters
    T  frames     h, w  rows and columns of the clip     H, W  of the small pictures
"""

import hashlib
import itertools
import pathlib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.imaging.dilation import dilate
from vidprior.imaging.sampling import sample
from vidprior.io.footage import PathLike
from vidprior.tracking.alignment import Alignment
from vidprior.tracking.background import seems_background
from vidprior.tracking.given import checked_marks, checked_masks, enlarge, reduced, shrink
from vidprior.tracking.keeping import FORMAT, Kept
from vidprior.tracking.marks import BACKGROUND, OBJECT, correct_mask, shrink_marks
from vidprior.tracking.pursue import Pursued, pursue
from vidprior.tracking.rigid import Piece
from vidprior.tracking.start import find_object, own_motion

# Width of the rim around what a correction changes that it changes too, relative to the height.
_RIM = 1 / 60
# Below this confidence a mask should be looked at.
CONFIDENT = 0.6
# Power of the likeness of colours that makes a confidence: on eight clips, below 0.6, 55 % of the
# masks overlap the true ones by less than half, and 70 % of those that do are found.
_SHARPNESS = 5

OnProgress = Callable[[int, int], None]


class Tracked(NamedTuple):
    """The masks of a clip.

    Attributes:
      masks: [T, h, w] bool.
      confidence: [T] float32 in [0, 1]; 1 in painted frames, and where the object is absent.
      painted: the painted masks [h, w] bool, by frame number, or the one found at a point; empty
        where the object is absent.
      clip: SHA-256 of the frames at working size; empty if unknown.
      marks: the marks [h, w] int8, by frame number.
      doubtful: painted frames in which what is painted cannot be told from what is around it.
    """

    masks: np.ndarray
    confidence: np.ndarray
    painted: Mapping[int, np.ndarray]
    clip: str = ""
    marks: Mapping[int, np.ndarray] = types.MappingProxyType({})
    doubtful: tuple[int, ...] = ()

    @property
    def weakest(self) -> int | None:
        """The frame whose painting would help most; None if all masks are confident.

        It is the middle of the longest run of frames below `CONFIDENT`.
        """
        runs = [
            list(run)
            for weak, run in itertools.groupby(
                range(len(self.confidence)), lambda t: bool(self.confidence[t] < CONFIDENT)
            )
            if weak
        ]
        if not runs:
            return None
        longest = max(runs, key=len)
        return longest[len(longest) // 2]


def track(
    frames: np.ndarray | Iterable[np.ndarray] | PathLike,
    painted: Mapping[int, np.ndarray],
    *,
    marks: Mapping[int, np.ndarray] | None = None,
    previous: Tracked | None = None,
    keep: PathLike | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Tracked:
    """Tracks an object.

    From every painted frame the mask is followed forwards and backwards, up to the next
    painted one. Between two of them, both results are averaged; the nearer frame counts more.
    From a frame in which the object is absent nothing is followed: up to the next painted one on
    the other side, or the end of the clip, it stays absent.

    Args:
      frames: [T, h, w, 3] uint8 RGB, such frames one after the other, or the path of a video or
        of a folder of images.
      painted: masks [h, w] bool by frame number; an empty one says that the object is absent.
        There may be no other if marks show a point of the object.
      marks: [h, w] int8 by frame number: 1 where the object is, -1 where it is not, 0 elsewhere
        (see `vidprior.tracking.marks.draw_marks`). They correct the mask that is tracked to that
        frame, and what changes there is followed to the frames around. If nothing is painted, the
        first frame with a point begins: what moves with it is the object.
      previous: result with some of the same painted masks and marks; frames between painted masks
        that have not changed are taken from it.
      keep: a folder for the state: an interrupted call with the same arguments goes on there, and
        a later one with other painted masks or marks takes from it what has not changed.
      on_progress: called with (steps done, all steps); a step is a frame, and frames between two
        painted ones take two.

    Raises:
      InputError: nothing is painted or marked, a mask covers everything, has another size or
        number; marks have another size or number, leave nothing, or do not show an object that
        moves; `previous` is of other frames; frames are too small for flow.
    """
    size, small = reduced(frames)
    clip = _Clip(small, size, hashlib.sha256(small.data).hexdigest(), Alignment(small))
    _check_previous(previous, clip)
    starts = checked_masks(painted, len(small), size)
    left = checked_marks(marks or {}, starts, len(small), size)
    if not any(mask.any() for mask in starts.values()):
        starts = dict(sorted({**starts, **_start(clip, left)}.items()))
    done = {} if previous is None else previous.marks
    if previous is not None and not _goes_on(previous, starts, marks or {}):
        # Where it was corrected by marks that are not given now is not known.
        previous, done = (None, {}) if done else (previous, {})
    left = {number: mark for number, mark in left.items() if number not in done}
    total = sum(
        len(_between(span, len(small))) * sum(_shows(starts, end) for end in span)
        for span in _new_spans(starts, previous)
    ) + sum(len(_around(number, starts, len(small))) for number in left)
    steps = itertools.count(1)

    def on_frame() -> None:
        on_progress(next(steps), total)

    kept = Kept(None if keep is None else pathlib.Path(keep))
    tracked = _follow(clip, starts, previous, on_frame, kept)
    for number, mark in left.items():
        after = _correct(clip, number, tracked.masks[number], mark)
        _carry_on(clip, tracked, number, after, on_frame, kept)
    for number, mark in (marks or {}).items():
        if number not in starts:
            masks = tracked.masks
            masks[number] = (masks[number] | (mark == OBJECT)) & (mark != BACKGROUND)
    kept.tidy()
    doubtful = tuple(n for n in sorted(painted) if painted[n].any() and _doubtful(clip, painted, n))
    return tracked._replace(marks=dict(marks or {}), doubtful=doubtful)


class _Clip(NamedTuple):
    """The small frames [T, H, W, 3] uint8, the size (h, w) of the clip, SHA-256, motion."""

    small: np.ndarray
    size: tuple[int, int]
    digest: str
    alignment: Alignment


def _start(clip: _Clip, marks: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """The mask of the first frame with a point of the object; its marks are taken out."""
    number = next((n for n, mark in marks.items() if (mark == OBJECT).any()), None)
    if number is None:
        raise InputError("no frame is painted: paint the object in one, or mark a point of it")
    marked = shrink_marks(marks.pop(number), clip.small.shape[1:3])
    own = own_motion(clip.alignment, number, len(clip.small))
    found = find_object(clip.small[number], own, marked)
    if not found.any():
        raise InputError(
            f"marked frame {number}: nothing moves by itself at the points: give a box around the "
            f"object, or paint it"
        )
    return {number: enlarge(found.astype(np.float32), clip.size) > 0.5}


def _doubtful(clip: _Clip, painted: Mapping[int, np.ndarray], number: int) -> bool:
    """Whether background seems to be painted; not asked where the frames around are painted too."""
    if number - 1 in painted and number + 1 in painted:
        return False
    mask = shrink(painted[number].astype(np.float32), clip.small.shape[1:3]) > 0.5
    own = own_motion(clip.alignment, number, len(clip.small))
    clip.alignment.forget()
    return seems_background(clip.small[number], own, mask)


def _correct(clip: _Clip, number: int, mask: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """A mask [h, w] bool, corrected by marks [h, w] int8; what is far from them keeps its bits."""
    size = clip.small.shape[1:3]
    before = shrink(mask.astype(np.float32), size) > 0.5
    own = own_motion(clip.alignment, number, len(clip.small))
    after = correct_mask(clip.small[number], own, before, shrink_marks(marks, size))
    changed = enlarge((before != after).astype(np.float32), clip.size) > 0.5
    found = np.where(changed, enlarge(after.astype(np.float32), clip.size) > 0.5, mask)
    found = (found | (marks == OBJECT)) & (marks != BACKGROUND)
    if not found.any():
        raise InputError(
            f"marked frame {number}: nothing is left of the mask: mark a point of the object, too"
        )
    return found


def _goes_on(
    previous: Tracked, starts: Mapping[int, np.ndarray], marks: Mapping[int, np.ndarray]
) -> bool:
    """Whether a previous result had the same painted masks, and no other marks than these."""
    return (
        previous.painted.keys() == starts.keys()
        and all(_same(previous.painted[number], mask) for number, mask in starts.items())
        and all(_same(marks.get(number), mark) for number, mark in previous.marks.items())
    )


def _around(number: int, starts: Iterable[int], count: int) -> list[int]:
    """The frames before and after one, up to the next painted ones, without it."""
    (span,) = (s for s in _spans(starts) if number in _between(s, count))
    return [other for other in _between(span, count) if other != number]


def _carry_on(
    clip: _Clip,
    tracked: Tracked,
    number: int,
    after: np.ndarray,
    on_frame: Callable[[], None],
    kept: Kept,
) -> None:
    """Corrects `tracked` in place: a frame, and others where the flow leads what changed in it."""
    size = clip.small.shape[1:3]
    differs = shrink((after != tracked.masks[number]).astype(np.float32), size) > 0
    changed = dilate(differs, size[0] * _RIM)
    tracked.masks[number], tracked.confidence[number] = after, 1
    start = shrink(after.astype(np.float32), size) > 0.5
    others = _around(number, tracked.painted, len(clip.small))
    for direction, numbers in (
        ("forwards", [n for n in others if n > number]),
        ("backwards", [n for n in others if n < number][::-1]),
    ):
        along = [number, *numbers]
        soft = _pursue(clip, start, along, direction, on_frame, kept).soft
        region = changed.astype(np.float32)
        for (before, other), mask in zip(itertools.pairwise(along), soft[1:], strict=True):
            region = sample(region, clip.alignment.shift(other, before).place, outside="zero")
            place = enlarge(region, clip.size) > 0.5
            found = enlarge(mask.astype(np.float32), clip.size) > 0.5
            tracked.masks[other][place] = found[place]
    clip.alignment.forget()


def _follow(
    clip: _Clip,
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
    new = _new_spans(starts, previous)
    for span in _spans(starts):
        inner = _between(span, len(clip.small))
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


def _check_previous(previous: Tracked | None, clip: _Clip) -> None:
    if previous is None:
        return
    shape = (len(clip.small), *clip.size)
    if previous.masks.shape != shape:
        raise InputError(
            f"the previous result has masks {previous.masks.shape}, the clip needs {shape}: give "
            f"the result of the same clip, or none"
        )
    if previous.clip != clip.digest:
        raise InputError(
            "the previous result was tracked in other frames: give the result of the same clip, or "
            "none"
        )


Span = tuple[int | None, int | None]


def _spans(numbers: Iterable[int]) -> list[Span]:
    """Stretches between painted frames; None at the ends of the clip."""
    ends: list[int | None] = [None, *sorted(numbers), None]
    return list(itertools.pairwise(ends))


def _between(span: Span, count: int) -> list[int]:
    begin, end = span
    return list(range(0 if begin is None else begin + 1, count if end is None else end))


def _shows(starts: Mapping[int, np.ndarray], end: int | None) -> bool:
    """Whether the object is painted at the end of a stretch."""
    return end is not None and bool(starts[end].any())


def _new_spans(starts: Mapping[int, np.ndarray], previous: Tracked | None) -> list[Span]:
    """The stretches that are not as in a previous result."""
    return [
        span
        for span in _spans(starts)
        if previous is None
        or span not in _spans(previous.painted)
        or not all(
            _same(previous.painted[number], starts[number]) for number in span if number is not None
        )
    ]


def _same(one: np.ndarray | None, other: np.ndarray) -> bool:
    return one is not None and np.array_equal(one, other)


def _track_span(
    clip: _Clip,
    painted: Mapping[int, np.ndarray],
    span: Span,
    on_frame: Callable[[], None],
    kept: Kept,
) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """Soft masks [H, W] and confidence [n] of the frames between two painted ones.

    `painted` has no mask where the object is absent.
    """
    inner = _between(span, len(clip.small))
    begin, end = span
    weights, found = [], []
    for start, numbers in ((begin, inner), (end, inner[::-1])):
        if start is None or start not in painted:  # the end of the clip, or the object is absent
            continue
        mask = painted[start]
        direction = "forwards" if start == begin else "backwards"
        one = _pursue(clip, mask, [start, *numbers], direction, on_frame, kept)
        order = slice(1, None) if start == begin else slice(None, 0, -1)
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


def _pursue(
    clip: _Clip,
    mask: np.ndarray,
    numbers: list[int],
    direction: str,
    on_frame: Callable[[], None],
    kept: Kept,
) -> Pursued:
    """Follows a mask [H, W] bool of the first frame through the others."""
    piece = Piece(mask, numbers[0], clip.small, clip.alignment.flow)
    return pursue(
        clip.small, clip.alignment, mask, numbers, piece, on_frame=on_frame, kept=kept,
        name=_name(clip, numbers[0], mask, direction),
    )  # fmt: skip


def _name(clip: _Clip, start: int, mask: np.ndarray, direction: str) -> str:
    """A digest of all that following a mask depends on."""
    said = f"{FORMAT} {cv2.__version__} {clip.digest} {mask.shape} {start} {direction} "
    return hashlib.sha256(said.encode() + np.packbits(mask).tobytes()).hexdigest()[:32]
