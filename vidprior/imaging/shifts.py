"""The shifts by which the known part of an image resembles itself.

Similar patches most often lie apart by a few shifts (He and Sun, "Statistics of Patch Offsets for
Image Completion", ECCV 2012): those of repeated structures.

Letters
    H  rows     W  columns     K  shifts (y, x)
"""

import cv2
import numpy as np

# Side of the patches, pixels, and the dimensions that are compared.
PATCH, _DIMENSIONS = 8, 24
# Patches that are compared with others, and those they are compared with, at most.
_QUERIES, _OTHERS = 2000, 15000
# Shifts that are tried; the least length of a shift, and the distance from the hole at which a
# match counts for 1/e, relative to the longer side.
_SHIFTS, _LEAST, _FADE = 48, 1 / 20, 0.25


def dominant_shifts(
    picture: np.ndarray, known: np.ndarray, hole: np.ndarray, *, seed: int
) -> np.ndarray | None:
    """The shifts, [K, 2], by which similar patches most often lie apart; None if there are none.

    Patches are compared in their principal components.
    """
    if min(known.shape) < 2 * PATCH:
        return None
    size = (PATCH, PATCH)
    whole = cv2.erode(known.astype(np.uint8), np.ones(size), anchor=(0, 0), borderValue=0)
    corners = np.argwhere(whole[: 1 - PATCH, : 1 - PATCH])
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
    least = max(PATCH, _LEAST * max(known.shape))
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


def complete(shifts: np.ndarray, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Shifts [K, 2] of which each is of use, and which lead from all of the hole to known pixels.

    Multiples of the most frequent shifts continue repeated structures across wide holes. Where
    none is long enough, further shifts lead from the innermost pixel to the nearest known one.
    """
    longer = [factor * shifts[: _SHIFTS // 4] for factor in (2, 3)]
    tried, taken = np.unique(np.concatenate([shifts, *longer]), axis=0), []
    tried = tried[(np.abs(tried) < known.shape).all(axis=1)]
    left = hole.copy()
    for shift in tried:
        reached = moved(known, shift) & hole
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
        left &= ~moved(known, taken[-1])
    return np.stack(taken)


def moved(array: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """An array [H, W, ...] seen from places that lie `shift` before: result[p] = array[p + s]."""
    dy, dx = (int(value) for value in shift)
    height, width = array.shape[:2]
    result = np.zeros_like(array)
    result[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)] = array[
        max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)
    ]
    return result
