"""Joins copies that fill a hole: no step at seams and at the rim.

Letters
    H  rows     W  columns     n  pixels of the hole, in the order of `np.nonzero`
"""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

# The largest shift of colour, of 255.
_MOST = 25.0


def join_copies(
    picture: np.ndarray,
    hole: np.ndarray,
    known: np.ndarray,
    place: np.ndarray,
    shift: np.ndarray,
) -> np.ndarray:
    """Colours with the gradients of the copies, continuous at the rim (Poisson).

    Across a seam, the gradient is the mean of both copies'.

    Args:
      picture: [H, W, 3] float32, 0 to 255.
      hole: [H, W] bool.
      known: [H, W] bool, pixels to copy from and to meet.
      place: [n, 2], (y, x) of the hole's pixels.
      shift: [n, 2], (y, x) from each of them to the pixel that is copied.

    Returns:
      [n, 3] float32, 0 to 255.
    """
    height, width = hole.shape
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(len(place))

    def at(where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, x = where.T
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
        return picture[y, x], inside & known[y, x]

    own, _ = at(place + shift)
    degree = np.zeros(len(place))
    right = np.zeros((len(place), 3))
    pairs = []
    for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        beside = place + step
        y, x = beside.T
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
        other = np.where(inside, number[y, x], -1)
        moved, valid = at(beside + shift)
        slope = np.where(valid[:, None], own - moved, 0)
        within = np.flatnonzero(other >= 0)
        theirs = other[within]
        back, fine = at(place[within] + shift[theirs])
        also = np.where(fine[:, None], back - own[theirs], slope[within])
        slope[within] = (slope[within] + also) / 2
        rim = np.flatnonzero((other < 0) & inside & known[y, x])
        # A copy is shifted in colour to meet the rim, but only so far: otherwise an object that the
        # hole cuts would bleed into it.
        meets = picture[y[rim], x[rim]]
        step_at_rim = np.clip(meets - moved[rim], -_MOST, _MOST) + own[rim]
        right[rim] += np.where(valid[rim, None], step_at_rim, meets)
        right[within] += slope[within]
        degree[np.concatenate([within, rim])] += 1
        pairs.append((within, theirs))
    lonely = degree == 0
    degree[lonely], right[lonely] = 1, own[lonely]
    first, second = np.concatenate(pairs, axis=1)
    shape = (len(place),) * 2
    matrix = scipy.sparse.diags_array(degree, format="csc") - scipy.sparse.csc_array(
        (np.ones(len(first)), (first, second)), shape
    )
    # A trace of the copies' own colours keeps parts without a rim at their level.
    matrix = matrix + scipy.sparse.diags_array(np.full(len(place), 1e-4), format="csc")
    solved = scipy.sparse.linalg.splu(scipy.sparse.csc_matrix(matrix)).solve(right + 1e-4 * own)
    # Far from known pixels, small steps at many seams add up.
    near = np.clip(solved, own - _MOST, own + _MOST)
    return np.clip(near, 0, 255).astype(np.float32)
