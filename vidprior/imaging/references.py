"""Inserts a reference frame: a frame whose hole the user has filled, in part or in full.

Letters
    h, w  rows and columns of the source
"""

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.imaging.geometry import MASK_THRESHOLD
from vidprior.imaging.laplace import normalized_blur

# A pixel is given if it is at least this opaque, of 255.
_OPAQUE = 250
# A pixel outside the hole that differs by more than this, of 255, was changed; and the largest
# share of such pixels.
_CHANGED, _MOST_CHANGED = 48, 0.02
# The reference's noise outside the hole is this quantile of its differences from the frame.
# Inside, a difference counts above this multiple of it.
_QUANTILE, _TIMES = 0.99, 2.0
# Standard deviation of the colour correction, relative to the height.
_REACH = 1 / 20
# Unchanged pixels in gaps up to this many pixels between given ones are given too.
_GAP = 5


def insert_reference(
    frame: np.ndarray, mask: np.ndarray, reference: np.ndarray, *, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """A frame with what its reference gives, and the mask of what remains to be filled.

    A reference gives the pixels of the hole that are opaque and differ from the frame. They
    are shown as they are, unless the reference also differs outside the hole, as after a
    change of format: then its noise there decides what differs, and colours are corrected
    by the mean difference around the hole. Pixels that remain unknown are filled smoothly, so
    that nothing of the object shows through a soft seam.

    Args:
      frame: [h, w, 3] uint8 RGB.
      mask: [h, w] uint8, hole above 127.
      reference: [h, w, 3] or [h, w, 4] (with alpha) uint8.
      name: of the reference, for messages.

    Returns:
      The new frame [h, w, 3] and mask [h, w], uint8. Outside the hole, nothing changes.

    Raises:
      InputError: the frame has no hole, or the reference gives nothing, or differs outside
        the hole.
    """
    hole = mask > MASK_THRESHOLD
    if not hole.any():
        raise InputError(f"{name}: this frame has no hole, so there is nothing to give: omit it")
    opaque = np.ones_like(hole)
    if reference.shape[2] == 4:
        opaque = reference[..., 3] >= _OPAQUE
        reference = reference[..., :3]
    corrected, noise = _corrected(frame, reference, hole, opaque, name=name)
    given = hole & opaque & (cv2.absdiff(corrected, frame).max(axis=-1) > noise)
    if not given.any():
        raise InputError(
            f"{name}: the hole is as in the video, or transparent: paint what it should show, or "
            f"omit this reference"
        )
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_GAP, _GAP))
    closed = cv2.morphologyEx(given.astype(np.uint8), cv2.MORPH_CLOSE, disc) > 0
    given |= closed & hole & opaque
    shown = np.where(given[..., None], corrected, frame)
    left = hole & ~given
    if left.any():
        filled = cv2.inpaint(shown, left.astype(np.uint8), 3, cv2.INPAINT_TELEA)
        shown = np.where(left[..., None], filled, shown)
    return shown, np.where(left, mask, 0).astype(np.uint8)


def _corrected(
    frame: np.ndarray, reference: np.ndarray, hole: np.ndarray, opaque: np.ndarray, *, name: str
) -> tuple[np.ndarray, float]:
    """The reference with corrected colours, and its noise, of 255."""
    outside = ~hole & opaque
    if not outside.any():
        return reference, 0.0
    apart = cv2.absdiff(frame, reference).max(axis=-1)
    changed = float((apart[outside] > _CHANGED).mean())
    if changed > _MOST_CHANGED:
        raise InputError(
            f"{name}: {changed:.0%} of its pixels outside the hole differ from the video: a "
            f"reference is the same frame, changed in the hole alone"
        )
    if np.quantile(apart[outside], _QUANTILE) == 0:
        return reference, 0.0
    usual = outside & (apart <= _CHANGED)
    difference = frame.astype(np.float32) - reference
    correction = normalized_blur(difference, usual, _REACH * len(frame))
    corrected = np.clip(np.rint(reference + correction), 0, 255).astype(np.uint8)
    rest = cv2.absdiff(frame, corrected).max(axis=-1)[usual]
    return corrected, _TIMES * float(np.quantile(rest, _QUANTILE))
