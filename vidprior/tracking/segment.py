"""The mask of one frame: from a neighbour's mask, painted ones, colours, and motion of its own.

All of them vote for each pixel. GrabCut (Rother et al., 2004) then cuts along edges of the
picture, and both are averaged.

Letters
    H  rows     W  columns
"""

import cv2
import numpy as np

from vidprior.imaging.dilation import dilate
from vidprior.imaging.geometry import box_around
from vidprior.tracking.anchor import Anchored
from vidprior.tracking.appearance import Appearance, log_ratio

# Width of the band around the propagated mask's border in which the mask is decided, relative to
# the height.
_BAND = 1 / 40
# Votes, as log-odds: the largest of the propagated mask; weights of colours and of motion.
_PROPAGATED, _COLOUR, _MOTION = 4.5, 1.0, 4.0
# Motion votes if the median of the object's exceeds so many pixels.
_MOVES = 1.5
# What is farther outside the propagated mask than this, in bands, is not the object's.
_BEYOND, _SURELY_NOT = 2.5, -6.0
# The vote of the painted mask fades within so many frames, and its border widens in each, pixels.
_PAINTED, _FADES = 5.0, 25.0
_BORDER, _WIDENS = 1.0, 0.2
# The vote of the object moved as one piece, and the half width of its border, pixels.
_WHOLE, _WHOLE_BORDER = 8.0, 2.0
# Log-odds, of all votes inside the propagated mask or of the shape's alone, from which GrabCut is
# not asked.
_CERTAIN = 2.5


def segment_frame(
    frame: np.ndarray,
    lab: np.ndarray,
    propagated: np.ndarray,
    own: np.ndarray,
    seen: Appearance,
    shape: np.ndarray,
    matches: np.ndarray | float = 0.0,
) -> np.ndarray:
    """The mask of a frame.

    Args:
      frame: [H, W, 3] uint8 RGB.
      lab: [H, W, 3] uint8, the same as Lab.
      propagated: [H, W] bool, not empty, the mask of a neighbour, propagated along the flow.
      own: [H, W] float32, pixels by which each pixel moves against the camera's motion.
      seen: colours of the object and around it.
      shape: [H, W] float32, log-odds by the painted shape: `painted_votes` or `whole_votes`.
      matches: [H, W] float32, log-odds by patches of painted frames, see `match_labels`.

    Returns:
      [H, W] float32 in [0, 1].
    """
    band = _BAND * len(frame)
    inwards = signed_distance(propagated)
    odds = np.clip(_PROPAGATED / 3 * inwards / band, -_PROPAGATED, _PROPAGATED)
    odds += _COLOUR * log_ratio(seen, lab)
    typical = float(np.median(own[propagated]))
    if typical > _MOVES:
        odds += _MOTION * np.clip(2 * own / typical - 1, -1, 1)
    odds = np.where(inwards < -_BEYOND * band, _SURELY_NOT, odds) + shape + matches
    votes: np.ndarray = cv2.GaussianBlur(odds.astype(np.float32), (0, 0), 1.0)
    cut = _cut(frame, votes, inwards / band, propagated, shape)
    soft: np.ndarray = (1 / (1 + np.exp(-votes)) + cut) / 2
    return soft


def painted_votes(anchored: Anchored, age: int) -> np.ndarray:
    """[H, W] float32: log-odds by the painted mask, brought to a frame `age` frames away."""
    inside = anchored.mask > 0.5
    if not inside.any():
        return np.zeros_like(anchored.mask)
    inwards = signed_distance(inside) / (_BORDER + _WIDENS * age)
    result: np.ndarray = _PAINTED * np.exp(-age / _FADES) * anchored.trust * np.clip(inwards, -1, 1)
    return result


def whole_votes(whole: np.ndarray) -> np.ndarray:
    """[H, W] float32: log-odds by the painted mask moved as one piece, [H, W] bool."""
    result: np.ndarray = _WHOLE * np.clip(signed_distance(whole) / _WHOLE_BORDER, -1, 1)
    return result


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """[H, W] float32: pixels to the border of a mask [H, W] bool, positive inside."""
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5) for part in (mask, ~mask)
    )
    result: np.ndarray = inside - outside
    return result


def _cut(
    frame: np.ndarray,
    odds: np.ndarray,
    inwards: np.ndarray,
    propagated: np.ndarray,
    shape: np.ndarray,
) -> np.ndarray:
    """[H, W] float32, 0 or 1: GrabCut near the propagated mask, where the votes are not certain."""
    box = box_around(propagated | (odds > 0), margin=round(4 * _BAND * len(frame)))
    labels = np.where(odds > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[((odds > _CERTAIN) & (inwards > 0.7)) | (shape > _CERTAIN)] = cv2.GC_FGD
    labels[(odds < -_CERTAIN) | ((inwards < -2) & (odds < 0))] = cv2.GC_BGD
    labels = np.ascontiguousarray(labels[box])
    found = np.zeros(odds.shape, np.float32)
    # GrabCut fits five colours to either side, and needs some of both.
    sure = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).sum()
    if 10 < sure < labels.size - 10:
        cv2.setRNGSeed(0)  # of its clustering
        ours, theirs = np.zeros((1, 65)), np.zeros((1, 65))
        picture, unused = np.ascontiguousarray(frame[box]), (0, 0, 1, 1)
        cv2.grabCut(picture, labels, unused, ours, theirs, 1, cv2.GC_INIT_WITH_MASK)
    found[box] = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return found


def surroundings(mask: np.ndarray) -> np.ndarray:
    """[H, W] bool: a ring around a mask, as wide as half the root of its area."""
    width = max(len(mask) / 30, 0.5 * float(np.sqrt(mask.sum())))
    return dilate(mask, width) & ~mask
