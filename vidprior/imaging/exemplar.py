"""Fills a hole with copies of its surroundings, moved by a few dominant shifts.

The shifts are those by which similar patches of the known part most often lie apart (He and
Sun, "Statistics of Patch Offsets for Image Completion", ECCV 2012), so that repeated
structures continue. A graph cut (alpha expansion, Boykov et al. 2001) assigns one of them to
each pixel of the hole so that seams are invisible. Pieces are large, and what they show is as
sharp as its source. What resembles nothing at the rim probably belongs to an object: to copy
it costs. So does what is much brighter, darker or of another colour than a smooth fill.

Letters
    H  rows     W  columns     n  pixels of the hole, in the order of `np.nonzero`
    K  shifts (y, x)
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.spatial

from vidprior.imaging.dilation import dilate
from vidprior.imaging.geometry import box_around
from vidprior.imaging.joining import join_copies
from vidprior.imaging.laplace import fill_laplace, normalized_blur

# Side of the patches, pixels, and the dimensions that are compared.
_PATCH, _DIMENSIONS = 8, 24
# Patches that are compared with others, and those they are compared with, at most.
_QUERIES, _OTHERS = 2000, 15000
# Shifts that are tried; the least length of a shift, and the distance from the hole at which a
# match counts for 1/e, relative to the longer side.
_SHIFTS, _LEAST, _FADE = 48, 1 / 20, 0.25
# Surroundings that patches are taken from: this multiple of the hole's box on each side, and
# at least a share of the longer side.
_AROUND, _SHARE = 1.0, 0.25
# Half the side of the window over which a shifted copy is compared with known pixels.
_WINDOW = 4
# Weights of that comparison, and of content unlike any at the rim; a difference up to the last
# number, in grey levels, counts as alike.
_RIM_WEIGHT, _UNLIKE_WEIGHT, _ALIKE = 2.0, 1.0, 3.0
# Weight of the difference of the low band from a smooth fill; the standard deviation of that
# band, relative to the longer side.
_SMOOTH_WEIGHT, _LOW_BAND = 0.25, 1 / 50
# Rounds over all shifts.
_ROUNDS = 3
# Costs are integers of this fraction of a grey level, at most `_NEVER`.
_UNITS, _NEVER = 16, 2**24


class Copies(NamedTuple):
    """A hole filled with copies.

    Attributes:
      colour: [n, 3] float32, 0 to 255, with gradients joined at seams.
      place: [n, 2] int32, (y, x) of the pixel that is copied.
      cost: mean cost of seams and data per pixel, grey levels.
    """

    colour: np.ndarray
    place: np.ndarray
    cost: float


def fill_by_copies(
    image: np.ndarray, hole: np.ndarray, source: np.ndarray, *, seed: int = 0
) -> Copies | None:
    """Fills a hole by shifted copies.

    Args:
      image: [H, W, 3] uint8 RGB.
      hole: [H, W] bool, to be filled, not empty.
      source: [H, W] bool, pixels to copy from; not in the hole.
      seed: for the choice of patches.

    Returns:
      The copies; None if too little is known to copy from.
    """
    box = _surroundings(hole)
    inner, known = hole[box], source[box] & ~hole[box]
    picture = image[box].astype(np.float32)
    shifts = _dominant_shifts(picture, known, inner, seed=seed)
    if shifts is None:
        return None
    place, shifts = np.argwhere(inner), _complete(shifts, known, inner)
    allowed, unary = _data_costs(picture, known, inner, shifts)
    labels, energy = _expand(picture, inner, shifts, allowed, unary)
    copied = place + shifts[labels]
    colour = join_copies(picture, inner, known, place, shifts[labels])
    cost = energy / len(place)
    corner = np.array([box[0].start, box[1].start])
    return Copies(colour, (copied + corner).astype(np.int32), cost)


def _surroundings(hole: np.ndarray) -> tuple[slice, slice]:
    tight = box_around(hole, margin=0)
    longest = max(side.stop - side.start for side in tight)
    margin = int(max(_AROUND * longest, _SHARE * max(hole.shape), 3 * _PATCH))
    return box_around(hole, margin=margin)


def _dominant_shifts(
    picture: np.ndarray, known: np.ndarray, hole: np.ndarray, *, seed: int
) -> np.ndarray | None:
    """The shifts, [K, 2], by which similar patches most often lie apart; None if there are none.

    Patches are compared in their principal components.
    """
    if min(known.shape) < 2 * _PATCH:
        return None
    size = (_PATCH, _PATCH)
    whole = cv2.erode(known.astype(np.uint8), np.ones(size), anchor=(0, 0), borderValue=0)
    corners = np.argwhere(whole[: 1 - _PATCH, : 1 - _PATCH])
    if len(corners) < 4 * _SHIFTS:
        return None
    random = np.random.default_rng(seed)
    chosen, others = _some(corners, _QUERIES, random), _some(corners, _OTHERS, random)
    windows = np.lib.stride_tricks.sliding_window_view(picture, size, axis=(0, 1))
    database, queries = (
        windows[at[:, 0], at[:, 1]].reshape(len(at), -1) for at in (others, chosen)
    )
    mean = database.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(database[:: max(1, len(database) // 4000)].T))
    basis = vectors[:, ::-1][:, :_DIMENSIONS].astype(np.float32)
    database, queries = (database - mean) @ basis, (queries - mean) @ basis
    least = max(_PATCH, _LEAST * max(known.shape))
    best = np.empty(len(chosen), np.int64)
    for start in range(0, len(chosen), 256):
        part = slice(start, start + 256)
        apart = _squares(queries[part], database)
        close = _squares(chosen[part].astype(np.float32), others.astype(np.float32)) < least**2
        apart[close] = np.inf
        best[part] = apart.argmin(axis=1)
    # Matches close to the hole count more.
    far = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)
    weight = np.exp(-far[chosen[:, 0], chosen[:, 1]] / (_FADE * max(known.shape)))
    return _peaks(others[best] - chosen, weight, known.shape)


def _squares(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared distances between all rows of two matrices."""
    apart = rows @ (-2 * others.T)
    apart += np.square(others).sum(axis=1)
    apart += np.square(rows).sum(axis=1)[:, None]
    return apart


def _some(rows: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    if len(rows) <= count:
        return rows
    return rows[np.sort(random.choice(len(rows), count, replace=False))]


def _peaks(shift: np.ndarray, weight: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The most frequent shifts, [K, 2]; each counts for its opposite as well."""
    height, width = size
    votes = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
    for sign in (1, -1):
        np.add.at(votes, tuple((sign * shift + (height, width)).T), weight)
    smooth = cv2.GaussianBlur(votes, (0, 0), 1.4)
    largest = cv2.dilate(smooth, np.ones((7, 7)))
    tops = np.argwhere((smooth == largest) & (smooth > 0))
    order = np.argsort(-smooth[tops[:, 0], tops[:, 1]], kind="stable")
    return tops[order[:_SHIFTS]] - (height, width)


def _unlike_rim(picture: np.ndarray, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """[H, W] float32: how little a pixel's surroundings resemble any at the rim, grey levels.

    Compared are local means and standard deviations of the channels.
    """
    weight = known.astype(np.float32)
    size = (_PATCH, _PATCH)
    total = np.maximum(cv2.boxFilter(weight, -1, size), 1e-3)[..., None]
    mean = cv2.boxFilter(picture * weight[..., None], -1, size) / total
    squares = cv2.boxFilter(np.square(picture) * weight[..., None], -1, size) / total
    spread = np.sqrt(np.maximum(squares - np.square(mean), 0))
    features = np.concatenate([mean, spread], axis=-1)
    rim = dilate(hole, 2 * _PATCH) & known
    apart = np.zeros(known.shape, np.float32)
    if rim.any():
        nearest, _ = scipy.spatial.cKDTree(features[rim]).query(features[known])
        apart[known] = np.maximum(nearest / math.sqrt(features.shape[-1]) - _ALIKE, 0)
    return apart


def _complete(shifts: np.ndarray, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Shifts [K, 2] of which each is of use, and which lead from all of the hole to known pixels.

    Multiples of the most frequent shifts continue repeated structures across wide holes. Where
    none is long enough, further shifts lead from the innermost pixel to the nearest known one.
    """
    longer = [factor * shifts[: _SHIFTS // 4] for factor in (2, 3)]
    tried, taken = np.unique(np.concatenate([shifts, *longer]), axis=0), []
    tried = tried[(np.abs(tried) < known.shape).all(axis=1)]
    left = hole.copy()
    for shift in tried:
        reached = _moved(known, shift) & hole
        if reached.any():
            taken.append(shift)
            left &= ~reached
    while left.any():
        far, nearest = cv2.distanceTransformWithLabels(
            (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        at = np.unravel_index(np.where(left, far, -1).argmax(), left.shape)
        found = np.argwhere(known & (nearest == nearest[at]))[0]
        taken.append(found - at)
        left &= ~_moved(known, taken[-1])
    return np.stack(taken)


def _moved(array: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """An array [H, W, ...] seen from places that lie `shift` before: result[p] = array[p + s]."""
    dy, dx = (int(value) for value in shift)
    height, width = array.shape[:2]
    result = np.zeros_like(array)
    result[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)] = array[
        max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)
    ]
    return result


def _data_costs(
    picture: np.ndarray,
    known: np.ndarray,
    hole: np.ndarray,
    shifts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Which shifts lead to known pixels, [K, n] bool, and their costs, [K, n] float32.

    A copy is compared with known pixels within the window around each pixel of the hole, and its
    low band with a smooth fill of the hole (Laplace).
    """
    size, unlike = (2 * _WINDOW + 1,) * 2, _unlike_rim(picture, known, hole)
    width = _LOW_BAND * max(picture.shape)
    low = normalized_blur(picture, known, width)
    smooth = fill_laplace(low.astype(np.float64), hole)[hole].astype(np.float32)
    allowed, cost = [], []
    for shift in shifts:
        there = _moved(known, shift)
        both = (known & there).astype(np.float32)
        apart = np.abs(_moved(picture, shift) - picture).mean(axis=-1) * both
        total = cv2.boxFilter(apart, -1, size, normalize=True)
        share = cv2.boxFilter(both, -1, size, normalize=True)
        costs = _RIM_WEIGHT * total + _UNLIKE_WEIGHT * _moved(unlike, shift)
        # A copy that has nothing to be compared with at the rim is as good as a typical one.
        missing = np.maximum(cv2.boxFilter(known.astype(np.float32), -1, size) - share, 0)
        costs += _RIM_WEIGHT * 20 * missing
        apart = np.abs(_moved(low, shift)[hole] - smooth).mean(axis=-1)
        allowed.append(there[hole])
        cost.append(costs[hole] + _SMOOTH_WEIGHT * apart)
    return np.stack(allowed), np.stack(cost)


def _expand(
    picture: np.ndarray,
    hole: np.ndarray,
    shifts: np.ndarray,
    allowed: np.ndarray,
    unary: np.ndarray,
) -> tuple[np.ndarray, float]:
    """The label of each pixel, [n], and their cost: alpha expansion from the cheapest labels on."""
    count = int(hole.sum())
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(count)
    first, second = _pairs(number)
    place = np.argwhere(hole)
    # [K, n, 3]: what each shift shows at each pixel, and at its neighbours.
    height, width = hole.shape

    def shown(at: np.ndarray, labels: np.ndarray) -> np.ndarray:
        y, x = (at + shifts[labels]).T
        return picture[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]

    def seam(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        cost = np.zeros(len(first), np.float32)
        for at in (place[first], place[second]):
            cost += np.abs(shown(at, one) - shown(at, other)).mean(axis=-1)
        return cost

    costs = np.where(allowed, unary, _NEVER / _UNITS)
    every = np.arange(count)
    labels = costs.argmin(axis=0)
    energy = np.inf
    for _ in range(_ROUNDS):
        for label in range(len(shifts)):
            new = np.full(len(first), label)
            a, b = labels[first], labels[second]
            keep, to_second, to_first = seam(a, b), seam(a, new), seam(new, b)
            change = costs[label] - costs[labels, every]
            np.add.at(change, first, to_first - keep)
            np.add.at(change, second, -to_first)
            taken = _cut(change, first, second, np.maximum(to_second + to_first - keep, 0))
            labels[taken & allowed[label]] = label
        now = float(costs[labels, every].sum() + seam(labels[first], labels[second]).sum())
        if now >= 0.999 * energy:
            break
        energy = now
    return labels, now


def _pairs(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbouring pixels of the hole, from their numbers [H, W], -1 outside."""
    first, second = [], []
    for one, other in (
        (number[:, :-1], number[:, 1:]),
        (number[:-1], number[1:]),
    ):
        both = (one >= 0) & (other >= 0)
        first.append(one[both])
        second.append(other[both])
    return np.concatenate(first), np.concatenate(second)


def _cut(
    change: np.ndarray, first: np.ndarray, second: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """[n] bool: the variables x that minimise change x + weight (1 - x[first]) x[second]."""
    count = len(change)
    capacity = np.clip(np.rint(_UNITS * np.abs(change)), 0, _NEVER).astype(np.int32)
    between = np.clip(np.rint(_UNITS * weight), 0, _NEVER).astype(np.int32)
    begin, end, every = count, count + 1, np.arange(count)
    worse = change > 0
    rows = np.concatenate([np.full(worse.sum(), begin), every[~worse], first])
    columns = np.concatenate([every[worse], np.full((~worse).sum(), end), second])
    values = np.concatenate([capacity[worse], capacity[~worse], between])
    # Older versions of SciPy find the maximum flow for indices of 32 bits alone.
    place = (rows.astype(np.int32), columns.astype(np.int32))
    graph = scipy.sparse.csr_array((values, place), (count + 2, count + 2))
    flow = scipy.sparse.csgraph.maximum_flow(graph, begin, end).flow
    left = (graph - flow) > 0
    reached = scipy.sparse.csgraph.breadth_first_order(
        left, begin, directed=True, return_predecessors=False
    )
    taken = np.ones(count + 2, bool)
    taken[reached] = False
    return taken[:count]
