"""Tracks an object from painted frames through the whole clip.

Letters
    T  frames     h, w  rows and columns of the clip     H, W  of the small pictures
"""

import hashlib
import itertools
import pathlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from vidprior.errors import InputError
from vidprior.imaging.dilation import dilate
from vidprior.imaging.sampling import sample
from vidprior.io.footage import PathLike
from vidprior.tracking.alignment import Alignment
from vidprior.tracking.background import seems_background
from vidprior.tracking.following import (
    Clip,
    around,
    between,
    follow,
    follow_mask,
    new_spans,
    same,
    shows,
)
from vidprior.tracking.given import checked_marks, checked_masks, enlarge, reduced, shrink
from vidprior.tracking.keeping import Kept
from vidprior.tracking.marks import BACKGROUND, OBJECT, correct_mask, shrink_marks
from vidprior.tracking.start import find_object, own_motion
from vidprior.tracking.tracked import Tracked

# Width of the rim around what a correction changes that it changes too, relative to the height.
_RIM = 1 / 60
OnProgress = Callable[[int, int], None]


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
    painted one. Between two of them both vote in every frame, both ways are followed, and the
    results are averaged; the nearer frame counts more. Where the object is lost, it is looked for.
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
      on_progress: called with (steps done, all steps): two for each frame, and four for those
        between two painted ones.

    Raises:
      InputError: nothing is painted or marked, a mask covers everything, has another size or
        number; marks have another size or number, leave nothing, or do not show an object that
        moves; `previous` is of other frames; frames are too small for flow.
    """
    size, small = reduced(frames)
    clip = Clip(small, size, hashlib.sha256(small.data).hexdigest(), Alignment(small))
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
    followed = sum(
        len(between(span, len(small))) * sum(shows(starts, end) for end in span)
        for span in new_spans(starts, previous)
    ) + sum(len(around(number, starts, len(small))) for number in left)
    total = 2 * followed
    steps = itertools.count(1)

    def on_frame() -> None:
        on_progress(next(steps), total)

    kept = Kept(None if keep is None else pathlib.Path(keep))
    tracked = follow(clip, starts, previous, on_frame, kept)
    for number, mark in left.items():
        after = _correct(clip, number, tracked.masks[number], mark)
        _propagate_correction(clip, tracked, number, after, on_frame, kept)
    for number, mark in (marks or {}).items():
        if number not in starts:
            masks = tracked.masks
            masks[number] = (masks[number] | (mark == OBJECT)) & (mark != BACKGROUND)
    kept.tidy()
    doubtful = tuple(n for n in sorted(painted) if painted[n].any() and _doubtful(clip, painted, n))
    return tracked._replace(marks=dict(marks or {}), doubtful=doubtful)


def _start(clip: Clip, marks: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
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


def _doubtful(clip: Clip, painted: Mapping[int, np.ndarray], number: int) -> bool:
    """Whether background seems to be painted; not asked where the frames around are painted too."""
    if number - 1 in painted and number + 1 in painted:
        return False
    mask = shrink(painted[number].astype(np.float32), clip.small.shape[1:3]) > 0.5
    own = own_motion(clip.alignment, number, len(clip.small))
    clip.alignment.forget()
    return seems_background(clip.small[number], own, mask)


def _correct(clip: Clip, number: int, mask: np.ndarray, marks: np.ndarray) -> np.ndarray:
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
        and all(same(previous.painted[number], mask) for number, mask in starts.items())
        and all(same(marks.get(number), mark) for number, mark in previous.marks.items())
    )


def _propagate_correction(
    clip: Clip,
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
    others = around(number, tracked.painted, len(clip.small))
    later, earlier = ([n for n in others if n > number], [n for n in others if n < number])
    for numbers in filter(None, (later, earlier[::-1])):
        along = [number, *numbers]
        soft = follow_mask(clip, start, along, on_frame, kept).soft
        region = changed.astype(np.float32)
        for (before, other), mask in zip(itertools.pairwise(along), soft[1:], strict=True):
            region = sample(region, clip.alignment.shift(other, before).place, outside="zero")
            place = enlarge(region, clip.size) > 0.5
            found = enlarge(mask.astype(np.float32), clip.size) > 0.5
            tracked.masks[other][place] = found[place]
    clip.alignment.forget()


def _check_previous(previous: Tracked | None, clip: Clip) -> None:
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
