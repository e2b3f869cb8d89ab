"""Follows a mask from one frame through the next ones.

Letters
    T  frames     H  rows     W  columns
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vidprior.imaging.sampling import sample
from vidprior.tracking.alignment import Alignment
from vidprior.tracking.anchor import Anchor
from vidprior.tracking.appearance import Appearance, histogram, likeness, to_lab
from vidprior.tracking.rigid import TrackedMask, move_mask
from vidprior.tracking.segment import painted_votes, segment_frame, surroundings, whole_votes

# Fewer pixels are no mask.
_FEWEST = 10
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
    rigid: TrackedMask,
    *,
    on_frame: Callable[[], None] = lambda: None,
) -> Pursued:
    """Follows a painted mask.

    Args:
      frames: [T, H, W, 3] uint8 RGB.
      alignment: of these frames.
      painted: [H, W] bool, in frame `numbers[0]`.
      numbers: frames one after the other, in either direction.
      rigid: the painted mask moved as one piece.
      on_frame: called after each frame.

    Returns:
      The masks in `numbers`.
    """
    lab = to_lab(frames[numbers[0]])
    first = Appearance(histogram(lab, painted), histogram(lab, surroundings(painted)))
    seen, soft = first, painted.astype(np.float32)
    anchor = Anchor(lab, painted)
    masks, likenesses = [soft.astype(np.float16)], [1.0]
    replaced = False
    for age, (before, number) in enumerate(itertools.pairwise(numbers), 1):
        shift = alignment.shift(number, before)
        lab = to_lab(frames[number])
        propagated = sample(soft, shift.place, outside="zero") > 0.5
        found = rigid.confidence[number] > _CONFIDENT
        anchored = anchor.follow(lab, shift.place, rigid.motion[number] if found else None)
        votes = painted_votes(anchored, age)
        if found:
            whole = move_mask(painted, rigid.motion[number])
            both, either = (propagated & whole).sum(), (propagated | whole).sum()
            better = _like(first, lab, whole) - _like(first, lab, propagated)
            lost = both < _OVERLAP * either and better >= 0
            least = (_STAYS if replaced else _SHRUNK) * whole.sum()
            shrunk = propagated.sum() < least and both > _WITHIN * propagated.sum()
            replaced = bool(shrunk and better >= -_AS_LIKE)
            if replaced:
                piece = whole_votes(whole)
                votes = np.where(np.abs(votes) > np.abs(piece), votes, piece)
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
    return Pursued(np.stack(masks), np.array(likenesses, np.float32))


def _like(first: Appearance, lab: np.ndarray, mask: np.ndarray) -> float:
    return likeness(first.inside, histogram(lab, mask)) if mask.sum() >= _FEWEST else 0.0
