"""Comparing the norm of every parameter's gradient."""

import numpy as np

from parity.rounding import SPREAD
from vidprior import official

# Norms are compared to this part of themselves, and zeros to this part of the whole gradient.
RELATIVE = 1e-3
ZERO = 1e-5


def zero_gradients(generator):
    """Published names of the parameters whose gradient is zero in exact arithmetic.

    They add a constant to a channel, and the batch-norm that follows takes it off:
    biases of convolutions before a norm, and biases of the norms before the
    convolutions that join two scales (a constant, padded by reflection, stays one).
    """
    names = official.published_names(
        num_scales=len(generator.channels),
        conv_ndim=generator.conv_ndim,
        predict_flow=generator.predict_flow,
    )
    modules = set(names.values())
    return {
        f"{name}.bias"
        for name, module in names.items()
        if f"{module}_norm" in modules or module.startswith("join_")
    }


def compare_norms(title, compare, generator, trees, golden):
    """Compares all norms, and the norm of the whole.

    In place of a zero the golden holds the rounding error of a sum over the window. The
    other gradients are such sums too, and known no better: this floor is allowed to all.
    Beyond it a norm may differ by `RELATIVE`, and by as much as rounding moves it.

    Rounding is measured twice. Norms of two gradients differ by no more than their
    distance, which bounds every parameter; the typical change of a norm is several times
    smaller, and bounds the root mean square over the parameters.

    Args:
      title: what the record calls them.
      compare: the fixture.
      generator: the network.
      trees: the gradients of `rounding.copies`, as parameter trees.
      golden: published name -> norm.
    """
    trees = [
        {name: x.astype(np.float64) for name, x in published.items()}
        for published in (official.to_published(t, conv_ndim=generator.conv_ndim) for t in trees)
    ]
    zero = zero_gradients(generator)
    assert set(trees[0]) == set(golden)
    assert zero < set(golden)
    zeros, others = sorted(zero), sorted(set(golden) - zero)

    def norms(arrays, names):
        return np.array([np.linalg.norm(arrays[name]) for name in names])

    expected_zeros = np.array([golden[name] for name in zeros])
    expected = np.array([golden[name] for name in others])
    total, floor = np.linalg.norm(expected), expected_zeros.max()
    ours, *copies = trees
    for whose, values in {"ours": norms(ours, zeros), "golden's": expected_zeros}.items():
        compare(f"{title}: zero gradients, {whose}", values, 0 * values, ZERO * total)

    distance = np.max(
        [norms({n: copy[n] - ours[n] for n in others}, others) for copy in copies], axis=0
    )
    found = norms(ours, others)
    allowed = RELATIVE * expected + floor + SPREAD * distance
    compare(f"{title}: gradient norms", found, expected, allowed)
    compare(
        f"{title}: norm of the whole gradient",
        np.linalg.norm(found),
        total,
        RELATIVE * total + SPREAD * np.linalg.norm(distance),
    )

    def typical(some, reference):
        relative = np.maximum(np.abs(some - reference) - floor, 0) / reference
        return np.sqrt(np.mean(relative**2))

    spread = max(typical(norms(copy, others), found) for copy in copies)
    compare(
        f"{title}: gradient norms, root mean square of the relative differences",
        typical(found, expected),
        0,
        RELATIVE + SPREAD * spread,
    )
