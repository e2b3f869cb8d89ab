"""Comparing the norm of every parameter's gradient."""

import numpy as np

from vidprior import official

# The goldens keep gradients to 1e-3 of themselves, and zero to this share of the whole.
RELATIVE = 1e-3
ZERO = 1e-5


def norms(arrays):
    """Name -> L2 norm, in float64."""
    return {name: float(np.linalg.norm(x.astype(np.float64))) for name, x in arrays.items()}


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


def compare_norms(title, compare, generator, ours, golden, *, spread=None):
    """Compares all norms, those that ought to be zero by an absolute tolerance.

    What the golden holds in place of a zero is the rounding error of a sum over the whole
    window. Other norms are sums over the same window: they too are known to that only.

    Args:
      title: what the record calls them.
      compare: the fixture.
      generator: the network.
      ours: published name -> gradient.
      golden: published name -> norm.
      spread: published name -> how far rounding moves our gradient, added to what is allowed.
    """
    assert set(ours) == set(golden)
    ours, zero = norms(ours), zero_gradients(generator)
    total = np.sqrt(sum(norm**2 for norm in golden.values()))
    floor = max(golden[name] for name in zero)

    def stack(values, names):
        return np.array([values[name] for name in names])

    zeros, others = sorted(zero), sorted(set(golden) - zero)
    compare(f"{title}: gradients that are zero", stack(ours, zeros), np.zeros(len(zeros)), ZERO * total)
    compare(f"{title}: zero gradients of the golden", stack(golden, zeros), np.zeros(len(zeros)), ZERO * total)
    expected = stack(golden, others)
    allowed = RELATIVE * expected + floor
    if spread is not None:
        allowed += stack(spread, others)
    compare(f"{title}: gradient norms", stack(ours, others), expected, allowed)
