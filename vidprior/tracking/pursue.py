"""Follows a mask from one frame through the next ones.

Letters
    T  frames     H  rows     W  columns
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vidprior.imaging.sampling import grid, sample
from vidprior.tracking.alignment import Alignment, Shift
from vidprior.tracking.anchor import Anchor
from vidprior.tracking.appearance import Appearance, histogram, likeness, log_ratio, to_lab
from vidprior.tracking.keeping import EVERY, Kept
from vidprior.tracking.rigid import Piece, move_mask
from vidprior.tracking.segment import painted_votes, segment_frame, surroundings, whole_votes

# Fewer pixels are no mask.
_FEWEST = 10
# Pixels whose forward and backward flow differ by more pixels than this are propagated only if they
# have the object's colours; not where less than this share of the mask would be left.
_CONSISTENT, _LEFT = 3.0, 0.3
# Share by which each frame renews the colours.
_RENEWAL = 0.15
# The object moved as one piece, if its own confidence is so high, replaces a propagated mask that
# it overlaps by less than this, if its colours are at least as like the painted ones.
_CONFIDENT, _OVERLAP = 0.55, 0.2
# It also replaces one that lies within it by this share and has shrunk to this share of its area,
# if its colours are as like but for so much; its vote is strong, or colours would shrink it again.
_WITHIN, _SHRUNK, _AS_LIKE = 0.65, 0.9, 0.02
# So it does if the frame before was replaced and its mask has grown by no more than this.
_STAYS = 1.1


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
    piece: Piece,
    *,
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
      piece: the painted mask moved as one piece.
      on_frame: called after each frame.
      kept: what was followed before is taken from here, and the rest put there.
      name: of this mask and direction in `kept`.

    Returns:
      The masks in `numbers`.
    """
    lab = to_lab(frames[numbers[0]])
    first = Appearance(histogram(lab, painted), histogram(lab, surroundings(painted)))
    seen, soft = first, painted.astype(np.float32)
    anchor = Anchor(lab, painted)
    masks, likenesses = [soft.astype(np.float16)], [1.0]
    replaced = False
    stored = kept.load(name) if kept is not None else {}
    if stored:
        soft, replaced = stored["soft"], bool(stored["replaced"])
        seen = Appearance(stored["inside"], stored["outside"])
        masks, likenesses = list(stored["masks"]), stored["likenesses"].tolist()
        anchor.restore(stored)
        piece.restore(stored)
        for _ in masks[1 : len(numbers)]:
            on_frame()

    def keep() -> None:
        if kept is not None:
            kept.save(name, {
                "soft": soft, "replaced": np.array(replaced), "inside": seen.inside,
                "outside": seen.outside, "masks": np.stack(masks),
                "likenesses": np.array(likenesses), **anchor.state(), **piece.state(),
            })  # fmt: skip

    begun = len(masks)
    for age, (before, number) in enumerate(itertools.pairwise(numbers), 1):
        if age < begun:
            continue
        shift = alignment.shift(number, before)
        lab = to_lab(frames[number])
        propagated = _propagated(soft, shift, alignment.shift(before, number), seen, lab)
        motion, confidence = piece.follow(number)
        found = confidence > _CONFIDENT
        anchored = anchor.follow(lab, shift.place, motion if found else None)
        votes = painted_votes(anchored, age)
        if found:
            whole = move_mask(painted, motion)
            both, either = (propagated & whole).sum(), (propagated | whole).sum()
            better = _like(first, lab, whole) - _like(first, lab, propagated)
            lost = both < _OVERLAP * either and better >= 0
            least = (_STAYS if replaced else _SHRUNK) * whole.sum()
            shrunk = propagated.sum() < least and both > _WITHIN * propagated.sum()
            replaced = bool(shrunk and better >= -_AS_LIKE)
            if replaced:
                moved = whole_votes(whole)
                votes = np.where(np.abs(votes) > np.abs(moved), votes, moved)
                lost = True
            if lost:
                propagated = whole
        else:
            replaced = False
        if propagated.sum() < _FEWEST:
            soft = np.zeros_like(soft)
        else:
            soft = segment_frame(frames[number], lab, propagated, shift.own, seen, votes)
            inside = (histogram(lab, soft > 0.8) + first.inside) / 2
            outside = histogram(lab, surroundings(propagated) & (soft < 0.2))
            seen = Appearance(*(
                (1 - _RENEWAL) * old + _RENEWAL * new
                for old, new in zip(seen, (inside, outside), strict=True)
            ))  # fmt: skip
        on_frame()
        masks.append(soft.astype(np.float16))
        likenesses.append(_like(first, lab, soft > 0.5))
        if age % EVERY == 0:
            keep()
    if len(masks) > begun:
        keep()
    count = len(numbers)
    return Pursued(np.stack(masks[:count]), np.array(likenesses[:count], np.float32))


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
