"""Finds what an object leaves outside its mask: shadows, reflections, rims.

A band around the mask is filled from other frames, as if it were missing. Where the given
pixels differ from the filled ones by a ratio that moves with the mask, and that is no error
of propagation, something belongs to the object.

Letters
    T  frames     H  rows     W  columns
"""

from typing import NamedTuple

import cv2
import numpy as np

from vidprior.imaging.dilation import dilate
from vidprior.imaging.parallel import in_threads
from vidprior.propagation.peeling import Peeling, fill_from_rim
from vidprior.propagation.propagate import camera_motions

# Width of the band around the mask, and the largest distance from it that counts as its rim,
# relative to the picture's height.
_BAND, _RIM = 1 / 9, 1 / 80
# Of clips with at least twice as many frames, about so many to twice as many are measured.
_MEASURED = 16
# Frames before and after that are averaged, and the least number of measurements.
_REACH, _FEWEST = 8, 3
# The largest change of the mask's size, by which a neighbour's measurements are scaled.
_SCALE = 1.3
# Standard deviation of the Gaussian over a ratio, in pixels.
_BLUR = 1.5
# Added to grey levels, of 255, so that the ratio of dark pixels is not noise.
_DARK = 12.0
# The absolute log ratio where a ghost begins, and up to which it extends.
_BEGINS, _EXTENDS = 0.16, 0.07
# The least ratio of the mean to its spread over frames, and to the expected error.
_STEADY, _BEYOND = 1.5, 1.0
# For the rim, where the background varies and the object does not: the least absolute difference
# in units of the expected error, and the least share of the rim that differs.
_BEYOND_RIM, _SHARE = 1.5, 0.3
# The least area of a ghost, relative to the square of the picture's height.
_AREA = 1 / 1500


class Ghosts(NamedTuple):
    """What belongs to an object, and lies outside its mask.

    Attributes:
      shadow: [T, H, W] bool: shadows and reflections; they touch the mask.
      rim: [T, H, W] bool: the rim of a mask that is too tight.
    """

    shadow: np.ndarray
    rim: np.ndarray


class _Measured(NamedTuple):
    """A measured frame: how given pixels differ from filled ones.

    Attributes:
      ratio: [H, W] float32, log ratio of their grey levels.
      apart: [H, W] float32, its RMS over colour channels, without a sign.
      error: [H, W] float32, expected, of the ratio.
      valid: [H, W] float32, 1 in the band where other frames show the background.
    """

    ratio: np.ndarray
    apart: np.ndarray
    error: np.ndarray
    valid: np.ndarray


def find_ghosts(frames: np.ndarray, mask: np.ndarray) -> Ghosts:
    """Finds what moves with a mask, outside it.

    Args:
      frames: [T, H, W, 3] uint8, of one shot, at least 16 pixels on each side.
      mask: [T, H, W] bool.
    """
    band = len(mask[0]) * _BAND
    grown = np.stack([dilate(one, band) for one in mask])
    found = Ghosts(np.zeros_like(mask), np.zeros_like(mask))
    for number, (ratio, differs) in _average(_measure(frames, mask, grown), mask).items():
        around = grown[number] & ~mask[number]
        found.shadow[number] = _touching(ratio, mask[number], around)
        found.rim[number] = _rim(differs & ~found.shadow[number], mask[number], around)
    return found


def _measure(frames: np.ndarray, mask: np.ndarray, grown: np.ndarray) -> dict[int, _Measured]:
    """The ratios of some frames, by number."""
    able = np.flatnonzero(mask.any(axis=(1, 2)) & ~grown.all(axis=(1, 2)))
    chosen = able[:: max(1, len(able) // _MEASURED)]
    wanted = np.zeros_like(mask)
    wanted[chosen] = (grown & ~mask)[chosen]
    if not wanted.any():
        return {}
    filled = Peeling(
        frames, grown, camera_motions(fill_from_rim(frames, grown), grown), wanted=wanted
    )
    filled.fill()

    def compare(number: int) -> _Measured:
        valid = wanted[number] & ~filled.unseen(number)
        colours = [
            image.astype(np.float32) + _DARK for image in (frames[number], filled.image[number])
        ]
        squares = np.square(np.log(colours[0] / colours[1])).mean(axis=-1)
        given, shown = (cv2.transform(image, np.full((1, 3), 1 / 3)) for image in colours)
        error = np.maximum(filled.error[number], 1) / shown
        weight = np.where(valid, 1 / np.square(error), 0).astype(np.float32)
        total = cv2.GaussianBlur(weight, (0, 0), _BLUR)
        ratio = cv2.GaussianBlur(weight * np.log(given / shown), (0, 0), _BLUR)
        ratio = np.where(valid, ratio / np.maximum(total, 1e-9), 0).astype(np.float32)
        # Errors of neighbouring pixels are alike, so their mean is no better than each.
        spread = np.where(valid, 1 / np.sqrt(np.maximum(total, 1e-9)), 0).astype(np.float32)
        apart = cv2.GaussianBlur(weight * squares, (0, 0), _BLUR)
        apart = np.where(valid, np.sqrt(apart / np.maximum(total, 1e-9)), 0).astype(np.float32)
        return _Measured(ratio, apart, spread, valid.astype(np.float32))

    return dict(zip(chosen.tolist(), in_threads(compare, chosen.tolist()), strict=True))


def _average(
    measured: dict[int, _Measured], mask: np.ndarray
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Averages measurements of frames before and after, which follow the mask.

    Returns:
      For every frame with enough of them: the mean ratio, [H, W] float32, 0 where it is not
      steady; and where pixels differ by more than the expected error, [H, W] bool.
    """
    places = {number: _place(one) for number, one in enumerate(mask) if one.any()}
    found = {}
    for number, place in places.items():
        near = [other for other in measured if abs(other - number) <= _REACH]
        if len(near) < _FEWEST:
            continue
        moved = np.stack(
            [_follow(np.dstack(measured[other]), places[other], place) for other in near]
        )
        valid = moved[..., 3] > 0.5
        count = np.maximum(valid.sum(axis=0), 1)

        def mean(values: np.ndarray, *, valid: np.ndarray = valid, count: np.ndarray = count):
            return (values * valid).sum(axis=0) / count

        ratio, error = mean(moved[..., 0]), mean(moved[..., 2])
        spread = np.sqrt(mean(np.square(moved[..., 0] - ratio)))
        enough, size = count >= _FEWEST, np.abs(ratio)
        steady = enough & (size > _STEADY * spread) & (size > _BEYOND * error)
        apart = np.sqrt(mean(np.square(moved[..., 1])))
        differs = enough & (apart > _BEGINS) & (apart > _BEYOND_RIM * error)
        found[number] = (np.where(steady, ratio, 0), differs)
    return found


def _place(mask: np.ndarray) -> tuple[float, float, float]:
    """Centre (x, y) of a mask, and the root of its area."""
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean()), float(np.sqrt(len(rows)))


def _follow(
    image: np.ndarray, here: tuple[float, float, float], there: tuple[float, float, float]
) -> np.ndarray:
    """Moves and scales an image like a mask that goes from one place to another."""
    scale = float(np.clip(there[2] / here[2], 1 / _SCALE, _SCALE))
    move = np.array(
        [[scale, 0, there[0] - scale * here[0]], [0, scale, there[1] - scale * here[1]]]
    )
    return cv2.warpAffine(image, move, image.shape[1::-1])


def _rim(differs: np.ndarray, mask: np.ndarray, around: np.ndarray) -> np.ndarray:
    """[H, W] bool: pixels at the mask that differ, if much of its rim does."""
    apart = _distance(mask)
    rim = around & (apart <= max(1.5, _RIM * len(mask)))
    touching = rim & (apart < 1.5)
    if (differs & touching).sum() < _SHARE * touching.sum():
        return np.zeros_like(mask)
    return rim & differs


def _touching(ratio: np.ndarray, mask: np.ndarray, around: np.ndarray) -> np.ndarray:
    """[H, W] bool: parts of the band that differ by a steady ratio and touch the mask."""
    height = len(mask)
    apart = _distance(mask)
    reach = max(1.5, _RIM * height)
    found = np.zeros_like(mask)
    for sign in (-1, 1):
        weak = (sign * ratio > _EXTENDS) & around
        count, labels, stats, _ = cv2.connectedComponentsWithStats(weak.astype(np.uint8))
        for label in range(1, count):
            own = labels == label
            large = stats[label, cv2.CC_STAT_AREA] >= _AREA * height * height
            differs = ((sign * ratio)[own] > _BEGINS).any()
            if large and differs and apart[own].min() <= 2 and apart[own].max() > reach:
                found |= own
    return found


def _distance(mask: np.ndarray) -> np.ndarray:
    """[H, W] float32: of each pixel from the mask."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
