"""Tracks an object from painted frames through the whole clip.

Letters
    T  frames     h, w  rows and columns of the clip     H, W  of the small pictures
"""

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.flow import dis
from vidprior.io.footage import PathLike, open_footage
from vidprior.tracking.alignment import Alignment
from vidprior.tracking.pursue import Pursued, pursue
from vidprior.tracking.rigid import TrackedMask, track_mask

# Columns of the small pictures.
WIDTH = 432
# Below this confidence a mask should be looked at.
CONFIDENT = 0.6
# Power of the likeness of colours that makes a confidence: on eight clips, below 0.6, 55 % of the
# masks overlap the true ones by less than half, and 70 % of those that do are found.
_SHARPNESS = 5
# Frames held at a time.
MOST_FRAMES = 1200

OnProgress = Callable[[int, int], None]


class Tracked(NamedTuple):
    """The masks of a clip.

    Attributes:
      masks: [T, h, w] bool.
      confidence: [T] float32 in [0, 1]; 1 in painted frames, and where the object is absent.
      painted: the painted masks [h, w] bool, by frame number; empty where it is absent.
      clip: SHA-256 of the frames at working size; empty if unknown.
    """

    masks: np.ndarray
    confidence: np.ndarray
    painted: Mapping[int, np.ndarray]
    clip: str = ""

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
    previous: Tracked | None = None,
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
      painted: masks [h, w] bool by frame number; an empty one says that the object is absent. At
        least one must not be empty.
      previous: result with some of the same painted masks; frames between painted masks that
        have not changed are taken from it.
      on_progress: called with (steps done, all steps); a step is a frame, and frames between two
        painted ones take two.

    Raises:
      InputError: all masks are empty, one covers everything, has another size or number;
        `previous` is of other frames; frames are too small for flow.
    """
    size, small = _reduced(frames)
    masks = _checked(painted, len(small), size)
    clip = hashlib.sha256(small.data).hexdigest()
    if previous is not None and previous.masks.shape != (len(small), *size):
        raise InputError(
            f"the previous result has masks {previous.masks.shape}, the clip needs "
            f"{(len(small), *size)}: give the result of the same clip, or none"
        )
    if previous is not None and previous.clip != clip:
        raise InputError(
            "the previous result was tracked in other frames: give the result of the same clip, or "
            "none"
        )
    reduced = {
        number: _shrink(mask.astype(np.float32), small.shape[1:3]) > 0.5
        for number, mask in masks.items()
        if mask.any()
    }
    for number, mask in reduced.items():
        if not mask.any():
            raise InputError(f"painted frame {number}: what is painted is too small to track")
    result = np.zeros((len(small), *size), bool)
    confidence = np.zeros(len(small), np.float32)
    spans = _spans(sorted(masks), len(small))
    new = [span for span in spans if not _unchanged(span, masks, previous)]
    total = sum(len(_between(span, len(small))) * len(reduced.keys() & {*span}) for span in new)
    steps = itertools.count(1)
    alignment = Alignment(small) if new else None
    for number, mask in masks.items():
        result[number], confidence[number] = mask, 1
    for span in spans:
        inner = _between(span, len(small))
        if span not in new and previous is not None:
            result[inner], confidence[inner] = previous.masks[inner], previous.confidence[inner]
        elif not reduced.keys() & {*span}:
            confidence[inner] = 1  # absent, as was said
        elif inner and alignment is not None:
            soft, found = _track_span(
                small, alignment, reduced, span, lambda: on_progress(next(steps), total)
            )
            alignment.forget()
            confidence[inner] = found
            for number, mask in zip(inner, soft, strict=True):
                result[number] = _enlarge(mask, size) > 0.5
    return Tracked(result, confidence, masks, clip)


Span = tuple[int | None, int | None]


def _spans(numbers: list[int], count: int) -> list[Span]:
    """Stretches between painted frames; None at the ends of the clip."""
    ends: list[int | None] = [None, *numbers, None]
    return list(itertools.pairwise(ends))


def _between(span: Span, count: int) -> list[int]:
    begin, end = span
    return list(range(0 if begin is None else begin + 1, count if end is None else end))


def _unchanged(span: Span, masks: Mapping[int, np.ndarray], previous: Tracked | None) -> bool:
    if previous is None or span not in _spans(sorted(previous.painted), 0):
        return False
    return all(
        np.array_equal(masks[number], previous.painted[number])
        for number in span
        if number is not None
    )


def _track_span(
    frames: np.ndarray,
    alignment: Alignment,
    painted: Mapping[int, np.ndarray],
    span: Span,
    on_frame: Callable[[], None],
) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """Soft masks [H, W] and confidence [n] of the frames between two painted ones.

    `painted` has no mask where the object is absent.
    """
    inner = _between(span, len(frames))
    begin, end = span
    weights, found = [], []
    for start, numbers in ((begin, inner), (end, inner[::-1])):
        if start is None or start not in painted:  # the end of the clip, or the object is absent
            continue
        rigid = _rigid(frames, painted[start], [start, *numbers], alignment)
        along = [start, *numbers]
        one = pursue(frames, alignment, painted[start], along, rigid, on_frame=on_frame)
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


def _rigid(
    frames: np.ndarray, painted: np.ndarray, numbers: list[int], alignment: Alignment
) -> TrackedMask:
    """The painted mask of frame `numbers[0]`, moved as one piece through the others."""
    first, last = min(numbers), max(numbers)
    found = track_mask(
        painted,
        numbers[0] - first,
        frames[first : last + 1],
        lambda here, there: alignment.flow(first + here, first + there),
    )
    motion, confidence = np.zeros((len(frames), 2, 3)), np.zeros(len(frames))
    motion[first : last + 1], confidence[first : last + 1] = found
    return TrackedMask(motion, confidence)


def _reduced(
    frames: np.ndarray | Iterable[np.ndarray] | PathLike,
) -> tuple[tuple[int, int], np.ndarray]:
    """The size (h, w) of the frames, and all of them made small, [T, H, W, 3] uint8."""
    if isinstance(frames, str | os.PathLike):
        frames = open_footage(frames).frames()
    held: list[np.ndarray] = []
    size = (0, 0)
    for frame in frames:
        if len(held) == MOST_FRAMES:
            raise InputError(f"more than {MOST_FRAMES} frames: track a shorter range of the clip")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InputError(
                f"frame {len(held)} is {frame.dtype} {frame.shape}: give RGB frames [h, w, 3] uint8"
            )
        if held and frame.shape[:2] != size:
            raise InputError(
                f"frame {len(held)} is {frame.shape[1]}x{frame.shape[0]}, the first "
                f"{size[1]}x{size[0]}: all frames must have one size"
            )
        size = (frame.shape[0], frame.shape[1])
        width = min(WIDTH, size[1])
        held.append(_shrink(frame, (round(size[0] * width / size[1]), width)))
    if not held or min(held[0].shape[:2]) < dis.MIN_SIDE:
        raise InputError(
            f"frames of {size[1]}x{size[0]} are too small to track: each side needs "
            f"{dis.MIN_SIDE} pixels, also of {WIDTH} columns"
        )
    return size, np.stack(held)


def _shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)


def _enlarge(soft: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(soft, size[::-1], interpolation=cv2.INTER_CUBIC)


def _checked(
    painted: Mapping[int, np.ndarray], count: int, size: tuple[int, int]
) -> dict[int, np.ndarray]:
    """The painted masks, in order.

    Raises:
      InputError: one cannot be used.
    """
    if not painted:
        raise InputError("no frame is painted: paint the object in one")
    masks = {}
    for number, mask in sorted(painted.items()):
        if not 0 <= number < count:
            raise InputError(f"painted frame {number}: the clip has frames 0 to {count - 1}")
        if mask.shape != size or mask.dtype != bool:
            raise InputError(
                f"painted frame {number} is {mask.dtype} {mask.shape}: it must be bool {size}, as "
                f"the frames"
            )
        if mask.all():
            raise InputError(f"painted frame {number}: everything is painted")
        masks[number] = mask
    if not any(mask.any() for mask in masks.values()):
        raise InputError("nothing is painted: paint the object in one frame")
    return masks
