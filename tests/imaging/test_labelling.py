"""Graph cuts against all labellings."""

import itertools

import numpy as np

from vidprior.imaging import labelling


def test_a_cut_is_the_cheapest_of_all_labellings():
    """Against all labellings of six pixels in a row, with random costs."""
    random = np.random.default_rng(4)
    first, second = np.arange(5), np.arange(1, 6)
    for _ in range(20):
        change, weight = random.integers(-9, 9, 6).astype(float), random.integers(0, 9, 5)
        taken = labelling._cut(change, first, second, weight)

        def cost(x, change=change, weight=weight):
            return (change * x).sum() + (weight * (1 - x[first]) * x[second]).sum()

        best = min(cost(np.array(x)) for x in itertools.product((0, 1), repeat=6))
        assert cost(taken.astype(int)) == best


def test_expansion_ends_no_higher_than_any_single_shift():
    """The energy of the result, written as loops, against that of each label alone."""
    random = np.random.default_rng(5)
    picture = random.integers(0, 256, (20, 30, 3)).astype(np.float32)
    inner = np.zeros((20, 30), bool)
    inner[8:12, 12:16] = True
    shifts = np.array([[0, -8], [0, 8], [7, 0], [-7, 1]])
    unary = random.uniform(0, 20, (4, 16)).astype(np.float32)
    place = np.argwhere(inner)

    def energy(labels):
        total = sum(unary[label, i] for i, label in enumerate(labels))
        for (i, p), (j, q) in itertools.combinations(enumerate(place), 2):
            if np.abs(p - q).sum() == 1:
                for at in (p, q):
                    one, other = (picture[tuple(at + shifts[labels[k]])] for k in (i, j))
                    total += np.abs(one - other).mean()
        return total

    labels, found = labelling.expand(picture, inner, shifts, np.ones((4, 16), bool), unary)
    np.testing.assert_allclose(found, energy(labels), rtol=1e-5)
    alone = min(energy(np.full(16, label)) for label in range(4))
    assert energy(labels) <= min(alone, energy(unary.argmin(axis=0)))
