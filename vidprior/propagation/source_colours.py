"""Propagated pixels at source size.

The origin of a pixel is found at training size; its colour is sampled once, in the source, so
it is as sharp as the source. On average, colours match the picture at training size, which
contains lighting and the mean of several frames. What still differs from the known pixels at
the border of the hole is corrected there, and fades inwards.

Letters
    h, w  rows and columns of the source, or of a box of it     H, W  at training size
    M     origins of a pixel
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.imaging.geometry import Transform, box_around
from vidprior.imaging.laplace import fill_screened, normalized_blur
from vidprior.imaging.sampling import fill_nearest, grid, sample
from vidprior.types import Origins, Propagated

# A source frame [h, w, 3] uint8 and its hole [h, w] bool, by number; None if out of reach.
Lookup = Callable[[int], tuple[np.ndarray, np.ndarray] | None]

# Pixels around the hole that are processed.
_MARGIN = 12
# Samples with a smaller weight are ignored.
_LEAST = 0.01
_KNOWN = 0.999
# Displacements that differ by less belong to one surface, in pixels at training size.
_ALIKE = 0.75
# Coherence below which no detail is shown, and above which all is.
_COHERENT = (0.3, 0.6)
# Standard deviation of its mean, in pixels at training size.
_FEW = 1.5
# Standard deviation of the colour correction, in pixels at training size.
_CORRECTION = 0.7
# Distance over which the correction at the border falls to 1 / e, relative to the height of the
# source.
_SEAM_REACH = 1 / 30


class Detail(NamedTuple):
    """The origins of a frame's pixels.

    Attributes:
      frame: [H, W, M] int32, frame numbers in the run; -1 for none.
      place: [H, W, M, 2] float32, (x, y) in that frame, pixels at training size.
      weight: [H, W, M] float32.
      share: [H, W] float32 in [0, 1], weight of propagated pixels in the result.
    """

    frame: np.ndarray
    place: np.ndarray
    weight: np.ndarray
    share: np.ndarray


def trace_frame(
    propagated: Propagated, hole: np.ndarray, number: int, share: np.ndarray
) -> Detail | None:
    """The origins of a frame's pixels; None if they were not kept.

    Args:
      propagated: of the clip.
      hole: [T, H, W] bool.
      number: of the frame in the clip; origins use the same numbers.
      share: [H, W] in [0, 1], weight of propagated pixels in the result. It is lowered where the
        origins of neighbours lie all over the clip: their colours would be confetti.
    """
    if propagated.origins is None:
        return None
    missing = hole[number]
    begin = int(hole[:number].sum())
    rows = slice(begin, begin + int(missing.sum()))
    origins = Origins(*(array[rows] for array in propagated.origins))
    kept = origins.frame.shape[1]
    frame = np.full((*missing.shape, kept), -1, np.int32)
    place = np.zeros((*missing.shape, kept, 2), np.float32)
    weight = np.zeros((*missing.shape, kept), np.float32)
    frame[missing], place[missing], weight[missing] = origins
    share = share * _fade(coherence(origins, missing), missing)
    # At source size the hole may extend beyond the hole at training size.
    around = normalized_blur(share.astype(np.float32)[..., None], missing, 1.0)[..., 0]
    return Detail(frame, place, weight, np.where(missing, share, around).astype(np.float32))


def coherence(origins: Origins, missing: np.ndarray) -> np.ndarray:
    """How far neighbours come from one place.

    Args:
      origins: of the n pixels of a frame's hole, M each.
      missing: [H, W] bool, the hole.

    Returns:
      [H, W] float32 in [0, 1]: of a pixel's neighbours in the hole, the mean share of its weight
      that comes from a frame of theirs with a displacement alike; 1 without any, and outside.
    """
    frame, place, weight = origins
    y, x = np.nonzero(missing)
    row = np.full(np.add(missing.shape, 2), -1)
    row[1:-1, 1:-1][missing] = np.arange(len(y))
    moved = place - np.stack([x, y], axis=-1)[:, None]
    alike, total = np.zeros(len(y)), np.zeros(len(y))
    for down, right in ((d, r) for d in (0, 1, 2) for r in (0, 1, 2) if (d, r) != (1, 1)):
        near = row[y + down, x + right]
        same = (frame[:, :, None] == frame[near][:, None]) & (frame[:, :, None] >= 0)
        apart = np.abs(moved[:, :, None] - moved[near][:, None]).max(axis=-1)
        shared = (weight * (same & (apart < _ALIKE)).any(axis=-1)).sum(axis=-1)
        alike += np.where(near >= 0, shared, 0)
        total += np.where(near >= 0, weight.sum(axis=-1), 0)
    result = np.ones(missing.shape, np.float32)
    result[missing] = np.divide(alike, total, out=np.ones_like(alike), where=total > 0)
    return result


def _fade(coherent: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """[H, W] in [0, 1]: 0 where hardly a neighbour agrees, on average over a few pixels."""
    mean = normalized_blur(coherent[..., None], missing, _FEW)[..., 0]
    low, high = _COHERENT
    return np.clip((mean - low) / (high - low), 0, 1)


def add_detail(
    generated: np.ndarray,
    image: np.ndarray,
    source: np.ndarray,
    hole: np.ndarray,
    detail: Detail,
    *,
    view: Transform,
    lookup: Lookup,
) -> np.ndarray:
    """Adds detail sampled from the source to an enlarged picture, in the hole.

    Args:
      generated: [h, w, 3] uint8, `image` enlarged into the source.
      image: [H, W, 3] uint8, the picture at training size.
      source: [h, w, 3] uint8.
      hole: [h, w] bool.
      detail: of the frame.
      view: crop and resize from the source.
      lookup: returns source frames.

    Returns:
      [h, w, 3] uint8, a new array, equal to `source` outside the hole.
    """
    inside = np.zeros_like(hole)
    inside[view.crop] = hole[view.crop]
    result = source.copy()
    if not inside.any():
        return result
    box = _within(box_around(inside, margin=_MARGIN), view.crop)
    missing, soft, known = inside[box], generated[box].astype(np.float32), source[box]
    colour, weight = sample_origins(detail, view=view, box=box, lookup=lookup)
    found = (weight > _LEAST)[..., None]
    sharp = np.where(found, colour, soft)
    sharp += _correction(sharp, image, missing, view=view, box=box)
    shown = found * _enlarge(detail.share, view, box)[..., None]
    # Origins reach just beyond the hole, so the error at known pixels of its border is known.
    values = soft + shown * (sharp - soft)
    values += fill_screened(known - values, missing, reach=len(hole) * _SEAM_REACH)
    result[box][missing] = np.clip(np.rint(values[missing]), 0, 255)
    return result


def sample_origins(
    detail: Detail, *, view: Transform, box: tuple[slice, slice], lookup: Lookup
) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean of the source at the origins, where these are known pixels.

    Returns:
      Colours [h, w, 3] float32 of a box of the source, and the sums of weights [h, w]
      float32; 0 where there are none.
    """
    shape = tuple(side.stop - side.start for side in box)
    colour, weight = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32)
    for number in np.unique(detail.frame[detail.frame >= 0]).tolist():
        found = lookup(number)
        if found is None:
            continue
        frame, hole = found
        within, place, share = _origins_in(number, detail, view=view, box=box)
        if not share.size:
            continue
        seen = sample((~hole).astype(np.float32), place, outside="zero")
        share = np.where(seen > _KNOWN, share, 0)
        colour[within] += share[..., None] * sample(frame, place, cubic=True)
        weight[within] += share
    return colour / np.maximum(weight, 1e-6)[..., None], weight


def _origins_in(
    number: int, detail: Detail, *, view: Transform, box: tuple[slice, slice]
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Places in one source frame, for the part of a box that comes from it.

    Returns:
      The part, as slices of the box; places (x, y) [h, w, 2] and weights [h, w], float32.
    """
    height, width = detail.share.shape
    own = detail.frame == number
    taken = box_around(own.any(axis=-1), margin=1)
    own, place = own[taken], detail.place[taken]
    weight = detail.weight[taken] * own
    moved = _strongest(place - grid(*taken)[:, :, None], weight)
    scale = np.array([view.width / width, view.height / height], np.float32)
    origin = np.array([view.left, view.top], np.float32)
    within, covered = _covered(taken, view, box)
    if not covered.size:
        return within, covered, np.zeros(0, np.float32)
    spot = (covered + 0.5 - origin) / scale - 0.5
    at = spot - np.array([taken[1].start, taken[0].start], np.float32)
    moved, share = _interpolated(moved, weight.sum(axis=-1), at)
    return within, (spot + moved + 0.5) * scale - 0.5 + origin, share


def _strongest(moved: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The displacement of a pixel's strongest origin, averaged with those alike, [H, W, 2].

    Args:
      moved: [H, W, M, 2], displacements to the origins in one frame.
      weight: [H, W, M], their weights.
    """
    best = np.take_along_axis(moved, weight.argmax(axis=-1)[..., None, None], axis=2)
    weight = weight * (np.abs(moved - best).max(axis=-1) < _ALIKE)
    total = np.maximum(weight.sum(axis=-1), 1e-9)
    mean: np.ndarray = (weight[..., None] * moved).sum(axis=2) / total[..., None]
    return mean


def _interpolated(
    moved: np.ndarray, weight: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Displacements and weights between pixels at training size.

    Where neighbours come from different places, such as two copies that meet, their mean is a place
    that belongs to neither: there the displacement of the nearest pixel that has one is taken.

    Args:
      moved: [H, W, 2], displacements.
      weight: [H, W]; 0 where there is none.
      at: [h, w, 2], (x, y).

    Returns:
      Displacements [h, w, 2] and weights [h, w], float32.
    """
    present = (weight > 0).astype(np.float32)
    fields = sample(np.dstack([weight, present, moved * present[..., None]]).astype(np.float32), at)
    mean = fields[..., 2:] / np.maximum(fields[..., 1:2], 1e-6)
    nearest = np.rint(at).astype(int).clip(0, np.array(weight.shape[::-1]) - 1)
    own = fill_nearest(moved, weight > 0)[nearest[..., 1], nearest[..., 0]]
    apart = np.abs(mean - own).max(axis=-1) > _ALIKE
    return np.where(apart[..., None], own, mean).astype(np.float32), fields[..., 0]


def _within(box: tuple[slice, slice], crop: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(side.start, limit.start), min(side.stop, limit.stop))
        for side, limit in zip(box, crop, strict=True)
    )
    return rows, columns


def _covered(
    taken: tuple[slice, slice], view: Transform, box: tuple[slice, slice]
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The part of a box covered by pixels at training size, and its (x, y), [h, w, 2]."""
    (height, width), sides = view.size, []
    for side, whole, start, count, length in zip(
        taken, box, (view.top, view.left), (height, width), (view.height, view.width), strict=True
    ):
        begin = start + int(np.floor(side.start * length / count))
        end = start + int(np.ceil(side.stop * length / count))
        begin, end = max(begin, whole.start), min(end, whole.stop)
        sides.append(slice(begin, max(begin, end)))
    rows, columns = (
        slice(side.start - whole.start, side.stop - whole.start)
        for side, whole in zip(sides, box, strict=True)
    )
    return (rows, columns), grid(*sides)


def _correction(
    sharp: np.ndarray,
    image: np.ndarray,
    missing: np.ndarray,
    *,
    view: Transform,
    box: tuple[slice, slice],
) -> np.ndarray:
    """[h, w, 3]: the correction of local means in the hole to those at training size."""
    rows, columns = box
    inner = (
        slice(rows.start - view.top, rows.stop - view.top),
        slice(columns.start - view.left, columns.stop - view.left),
    )
    whole = np.zeros((view.height, view.width, 4), np.float32)
    whole[inner] = np.dstack([sharp, np.ones_like(missing)]) * missing[..., None]
    small = cv2.resize(whole, view.size[::-1], interpolation=cv2.INTER_AREA)
    covered = small[..., 3] > 0.5
    difference = image - small[..., :3] / np.maximum(small[..., 3:], 1e-6)
    smooth = normalized_blur(difference.astype(np.float32), covered, _CORRECTION)
    return _enlarge(smooth, view, box)


def _enlarge(small: np.ndarray, view: Transform, box: tuple[slice, slice]) -> np.ndarray:
    """Enlarges a field [H, W, ...] float32 to a box [h, w, ...] of the source, bilinearly."""
    (height, width) = view.size
    rows = (np.arange(box[0].start, box[0].stop) - view.top + 0.5) * height / view.height - 0.5
    columns = (np.arange(box[1].start, box[1].stop) - view.left + 0.5) * width / view.width - 0.5
    places = np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float32)
    return sample(small, places)
