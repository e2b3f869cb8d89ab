"""Labels by similar patches: non-local means over the pixels of another frame.

Flow that ends one pixel beside a thin part, or in what is disoccluded, leads a mask astray. So
each pixel also looks for patches like its own around the place where flow leads it, and takes the
mean of their labels; background that comes to light is like other background.

Letters
    H  rows     W  columns
"""

import cv2
import numpy as np

from vidprior.imaging.geometry import box_around

# Patches begin so many pixels around the place of a pixel, every second one; side of a patch.
_REACH, _EVERY, _PATCH = 8, 2, 5
# Squared difference of Lab colours of a pixel of two patches that are alike but for noise; and
# what a patch at the farthest place has more.
_ALIKE, _FARTHEST = 60.0, 1.0
# Labels count for 1/e where even the best patch differs by so much more than noise.
_TRUSTED = 3.0
# Pixels around the mask that are asked.
_MARGIN = 24
# Weight of the log-odds, and what keeps them finite: they reach 2.0.
_WEIGHT, _FLOOR = 0.5, 0.02
# Farther from the colours of any picture than they are from each other.
_NO_COLOUR = -200


def match_labels(lab: np.ndarray, other: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What patches of another frame, brought to this one, say of an object.

    Args:
      lab: [H, W, 3] uint8 Lab.
      other: [H, W, 3] uint8 Lab, the other frame, warped to this one.
      mask: [H, W] float32 in [0, 1], the object in it, warped too.

    Returns:
      [H, W] float32, log-odds; 0 far from the mask, or if it is empty.
    """
    odds = np.zeros(mask.shape, np.float32)
    if not (mask > 0.5).any():
        return odds
    box = box_around(mask > 0.5, margin=_MARGIN)
    wide = tuple(slice(part.start, part.stop + 2 * _REACH) for part in box)
    share, least = _mean_label(
        lab[box].astype(np.float32), _framed(other, _NO_COLOUR)[wide], _framed(mask, 0)[wide]
    )
    trust = np.exp(-np.maximum(least - 1, 0) / _TRUSTED)
    odds[box] = _WEIGHT * trust * np.log((share + _FLOOR) / (1 - share + _FLOOR))
    return odds


def _framed(picture: np.ndarray, value: float) -> np.ndarray:
    """float32, with `_REACH` pixels of a value on each side."""
    sides, values = (_REACH,) * 4, (value,) * 4
    return cv2.copyMakeBorder(
        picture.astype(np.float32), *sides, borderType=cv2.BORDER_CONSTANT, value=values
    )


def _mean_label(
    lab: np.ndarray, other: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The mean label of patches, weighted by likeness, and the distance of the likest.

    Args:
      lab: [h, w, 3] float32.
      other: [h + 2 r, w + 2 r, 3] float32, with the reach r around it.
      labels: [h + 2 r, w + 2 r] float32 in [0, 1].
    """
    height, width = lab.shape[:2]
    least = np.full((height, width), np.inf, np.float32)
    total, weights = np.zeros((2, height, width), np.float32)
    offsets = range(-_REACH, _REACH + 1, _EVERY)
    for down, across in ((y, x) for y in offsets for x in offsets if y * y + x * x <= _REACH**2):
        place = np.s_[_REACH + down :, _REACH + across :]
        difference = lab - other[place][:height, :width]
        distance = cv2.blur(np.einsum("hwc,hwc->hw", difference, difference), (_PATCH, _PATCH))
        distance /= _ALIKE
        distance += _FARTHEST * (down * down + across * across) / _REACH**2
        # Weights relative to the likest patch so far, as a softmax in one pass.
        now = np.minimum(least, distance)
        fade, weight = np.exp(now - least), np.exp(now - distance)
        total = total * fade + weight * labels[place][:height, :width]
        weights = weights * fade + weight
        least = now
    return total / weights, least
