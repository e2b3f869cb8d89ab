"""Assigns one of several pictures to each pixel so that seams are invisible, by graph cuts.

Letters
    H  rows     W  columns     n  pixels of the hole, in the order of `np.nonzero`
    K  shifts (y, x)
"""

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

# Rounds over all shifts.
_ROUNDS = 3
# Costs are integers of this fraction of a grey level, at most `_NEVER`.
_UNITS, _NEVER = 16, 2**24


def expand(
    picture: np.ndarray,
    hole: np.ndarray,
    shifts: np.ndarray,
    allowed: np.ndarray,
    unary: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Finds the cheapest labels by alpha expansion (Boykov et al. 2001), from `unary` alone on.

    Args:
      picture: [H, W, 3] float32.
      hole: [H, W] bool.
      shifts: [K, 2] int, (y, x): label k shows at p what the picture shows at p + shifts[k].
      allowed: [K, n] bool.
      unary: [K, n] float32, the cost of each label at each pixel, grey levels.

    Returns:
      The label of each pixel, [n], and the cost of all: `unary`, and for each pair of neighbours
      the difference between their labels' pictures at both.
    """
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
