"""Follows a mask from one frame through the next ones.

Letters
    T  frames     H  rows     W  columns
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vidprior.imaging.sampling import grid, sample
from vidprior.tracking.alignment import Alignment, Shift
from vidprior.tracking.appearance import Appearance, histogram, likeness, log_ratio, to_lab
from vidprior.tracking.evidence import Evidence, Said
from vidprior.tracking.finding import find_again
from vidprior.tracking.keeping import EVERY, Kept
from vidprior.tracking.rigid import move_mask
from vidprior.tracking.segment import segment_frame, surroundings, whole_votes

# Fewer pixels are no mask.
_FEWEST = 10
# Pixels whose forward and backward flow differ by more pixels than this are propagated only if they
# have the object's colours; not where less than this share of the mask would be left.
_CONSISTENT, _LEFT = 3.0, 0.3
# Share by which each frame renews the colours.
_RENEWAL = 0.15
# The object moved as one piece, if its motion is known, replaces a propagated mask that it overlaps
# by less than this, if its colours are at least as like the painted ones.
_OVERLAP = 0.2
# It also replaces one that lies within it by this share and has shrunk to this share of its area,
# if its colours are as like but for so much; its vote is strong, or colours would shrink it again.
_WITHIN, _SHRUNK, _AS_LIKE = 0.65, 0.9, 0.02
# So it does if the frame before was replaced and its mask has grown by no more than this.
_STAYS = 1.1
# Where the colours under the propagated mask are less like the painted ones than this, the object
# is looked for. What is found replaces it if it is so like, and more like by this; below
# `_GONE` there is no mask worth keeping, and less is asked for.
_LIKE, _BETTER = 0.85, 0.05
_GONE, _GONE_AGAIN = 0.5, 0.75


class Pursued(NamedTuple):
    """The mask in some frames.

    Attributes:
      soft: [n, H, W] float16 in [0, 1].
      likeness: [n] float32, of the colours under the mask to the painted ones, 0 to 1.
    """

    soft: np.ndarray
    likeness: np.ndarray


def pursue(
    frames: np.ndarray,
    alignment: Alignment,
    painted: np.ndarray,
    numbers: Sequence[int],
    evidence: Evidence,
    *,
    others: Sequence[Evidence] = (),
    on_frame: Callable[[], None] = lambda: None,
    kept: Kept | None = None,
    name: str = "",
) -> Pursued:
    """Follows a painted mask.

    Args:
      frames: [T, H, W, 3] uint8 RGB.
      alignment: of these frames.
      painted: [H, W] bool, in frame `numbers[0]`.
      numbers: frames one after the other, in either direction.
      evidence: of the painted frame, for the others of `numbers`.
      others: of further painted frames, for the same; they vote, too.
      on_frame: called after each frame.
      kept: what was followed before is taken from here, and the rest put there.
      name: of this mask and direction in `kept`.

    Returns:
      The masks in `numbers`.
    """
    lab = to_lab(frames[numbers[0]])
    first = Appearance(histogram(lab, painted), histogram(lab, surroundings(painted)))
    state = _State(painted.astype(np.float32), first, False, painted, 0)
    masks, likenesses = [state.soft.astype(np.float16)], [1.0]
    stored = kept.load(name) if kept is not None else {}
    if stored:
        state = _restored(stored)
        masks, likenesses = list(stored["masks"]), stored["likenesses"].tolist()
        for _ in masks[1 : len(numbers)]:
            on_frame()

    def keep() -> None:
        if kept is not None:
            so_far = {"masks": np.stack(masks), "likenesses": np.array(likenesses)}
            kept.save(name, {**_to_store(state), **so_far})

    begun = len(masks)
    for age, (before, number) in enumerate(itertools.pairwise(numbers), 1):
        if age < begun:
            continue
        said = _together(evidence.of(number), [other.of(number) for other in others])
        shifts = alignment.shift(number, before), alignment.shift(before, number)
        lab = to_lab(frames[number])
        state = _step(state, first, painted, frames[number], lab, *shifts, said)
        on_frame()
        masks.append(state.soft.astype(np.float16))
        likenesses.append(_like(first, lab, state.soft > 0.5))
        if age % EVERY == 0:
            keep()
    if len(masks) > begun:
        keep()
    count = len(numbers)
    return Pursued(np.stack(masks[:count]), np.array(likenesses[:count], np.float32))


class _State(NamedTuple):
    """What the next frame needs of the frames before.

    Attributes:
      soft: [H, W] float32, the mask.
      seen: the colours.
      replaced: whether the object as one piece replaced the propagated mask.
      last: [H, W] bool, the last propagated mask that was like the painted one.
      since: frames since then.
    """

    soft: np.ndarray
    seen: Appearance
    replaced: bool
    last: np.ndarray
    since: int


def _to_store(state: _State) -> dict[str, np.ndarray]:
    return {
        "soft": state.soft, "inside": state.seen.inside, "outside": state.seen.outside,
        "replaced": np.array(state.replaced), "last": state.last, "since": np.array(state.since),
    }  # fmt: skip


def _restored(stored: Mapping[str, np.ndarray]) -> _State:
    seen = Appearance(stored["inside"], stored["outside"])
    replaced, since = bool(stored["replaced"]), int(stored["since"])
    return _State(stored["soft"], seen, replaced, stored["last"], since)


def _together(own: Said, others: Sequence[Said]) -> Said:
    """What several painted frames say, with the motion by the first."""
    votes, matches = own.votes, own.matches
    for other in others:
        votes, matches = votes + other.votes, matches + other.matches
    return Said(votes, matches, own.motion)


def _step(
    state: _State,
    first: Appearance,
    painted: np.ndarray,
    frame: np.ndarray,
    lab: np.ndarray,
    back: Shift,
    forth: Shift,
    said: Said,
) -> _State:
    """The mask of the next frame, and what comes with it.

    Args:
      state: after the frame before.
      first: the painted colours.
      painted: [H, W] bool.
      frame: [H, W, 3] uint8 RGB, the next frame.
      lab: [H, W, 3] uint8, the same as Lab.
      back: from it to the frame before.
      forth: from the frame before to it.
      said: of it by painted frames.
    """
    votes, seen, replaced = said.votes, state.seen, False
    propagated = _propagated(state.soft, back, forth, seen, lab)
    like = _like(first, lab, propagated)
    if said.motion is not None:
        whole = move_mask(painted, said.motion)
        both, either = (propagated & whole).sum(), (propagated | whole).sum()
        like_whole = _like(first, lab, whole)
        better = like_whole - like
        least = (_STAYS if state.replaced else _SHRUNK) * whole.sum()
        shrunk = propagated.sum() < least and both > _WITHIN * propagated.sum()
        replaced = bool(shrunk and better >= -_AS_LIKE)
        if replaced:
            moved = whole_votes(whole)
            votes = np.where(np.abs(votes) > np.abs(moved), votes, moved)
        if replaced or (both < _OVERLAP * either and better >= 0):
            propagated, like = whole, like_whole
    last, since = propagated, 0
    if like < _LIKE:
        last, since = state.last, state.since + 1
        found = find_again(lab, back.own, first.inside, last, since)
        if _like(first, lab, found) > (_GONE_AGAIN if like < _GONE else max(_LIKE, like + _BETTER)):
            propagated = found
            seen = Appearance(first.inside, histogram(lab, surroundings(found)))
    if propagated.sum() < _FEWEST:
        return _State(np.zeros_like(state.soft), seen, replaced, last, since)
    soft = segment_frame(frame, lab, propagated, back.own, seen, votes, said.matches)
    inside = (histogram(lab, soft > 0.8) + first.inside) / 2
    outside = histogram(lab, surroundings(propagated) & (soft < 0.2))
    renewed = Appearance(*(
        (1 - _RENEWAL) * old + _RENEWAL * new
        for old, new in zip(seen, (inside, outside), strict=True)
    ))  # fmt: skip
    return _State(soft, renewed, replaced, last, since)


def _propagated(
    soft: np.ndarray, back: Shift, forth: Shift, seen: Appearance, lab: np.ndarray
) -> np.ndarray:
    """[H, W] bool: the mask of the frame before, propagated, without what is disoccluded.

    Flow back from there has no true end; it often ends in the object, which then leaves a trail.
    """
    mask: np.ndarray = sample(soft, back.place, outside="zero") > 0.5
    pixels = grid(slice(0, mask.shape[0]), slice(0, mask.shape[1]))
    away = np.linalg.norm(sample(forth.place, back.place) - pixels, axis=-1)
    left = mask & ((away < _CONSISTENT) | (log_ratio(seen, lab) > 0))
    return left if left.sum() > _LEFT * mask.sum() else mask


def _like(first: Appearance, lab: np.ndarray, mask: np.ndarray) -> float:
    return likeness(first.inside, histogram(lab, mask)) if mask.sum() >= _FEWEST else 0.0
