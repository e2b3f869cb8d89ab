"""Comparing the norm of every parameter's gradient."""

import numpy as np

from parity.rounding import SPREAD
from vidprior.model import published

# Norms are compared to this part of themselves, and zeros to this part of the whole gradient.
RELATIVE = 1e-3
ZERO = 1e-5

MOST = 0.8


def zero_gradients(generator):
    """Published names of the parameters whose gradient is zero in exact arithmetic.

    They add a constant to a channel, and the batch-norm that follows takes it off:
    biases of convolutions before a norm, and biases of the norms before the
    convolutions that join two scales (a constant, padded by reflection, stays one).
    """
    names = published.published_names(
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


def compare_norms(title, compare, generator, gradient, golden, copies):
    """Compares all norms, and the norm of the whole.

    In place of a zero the golden holds the rounding error of a sum over the window. The
    other gradients are such sums too, and known no better: this floor is allowed to all.
    Beyond it a norm may differ by `RELATIVE`, or else by as much as rounding moves it.

    Rounding is measured twice. Norms of two gradients differ by no more than their
    distance, which bounds every parameter; the changes of the norms themselves are several
    times smaller, and bound the difference that `MOST` of the parameters stay within.

    Args:
      title: what the record calls them.
      compare: the fixture.
      generator: the network.
      gradient: a parameter tree.
      golden: published name -> norm.
      copies: gives the gradients of `rounding.copies`; called where they are needed.
    """
    ours, zero = _published(generator, gradient), zero_gradients(generator)
    assert set(ours) == set(golden)
    assert zero < set(golden)
    zeros, others = sorted(zero), sorted(set(golden) - zero)
    golden_zeros, expected = (np.array([golden[n] for n in names]) for names in (zeros, others))
    total, floor = np.linalg.norm(expected), golden_zeros.max()
    for whose, norms in {"ours": _norms(ours, zeros), "golden's": golden_zeros}.items():
        compare(f"{title}: zero gradients, {whose}", norms, 0 * norms, ZERO * total)

    found = _norms(ours, others)
    strict, strict_total = RELATIVE * expected + floor, RELATIVE * total
    met = np.abs(found - expected) <= strict
    if met.all() and abs(np.linalg.norm(found) - total) <= strict_total:
        compare(f"{title}: gradient norms", found, expected, strict)
        compare(f"{title}: whole gradient", np.linalg.norm(found), total, strict_total)
        return

    perturbed = [_published(generator, copy) for copy in copies()]
    distance = np.max(
        [_norms({name: copy[name] - ours[name] for name in others}, others) for copy in perturbed],
        axis=0,
    )
    reach = f"{met.sum()} of {len(met)} within {RELATIVE}, the others within rounding"
    compare(f"{title}: gradient norms, {reach}", found, expected, strict + SPREAD * distance)
    compare(
        f"{title}: whole gradient, within rounding",
        np.linalg.norm(found),
        total,
        strict_total + SPREAD * np.linalg.norm(distance),
    )

    def of_most(norms, reference):
        relative = np.maximum(np.abs(norms - reference) - floor, 0) / reference
        return np.quantile(relative, MOST)

    compare(
        f"{title}: gradient norms, relative difference of {MOST:.0%} of them",
        of_most(found, expected),
        0,
        RELATIVE + SPREAD * max(of_most(_norms(copy, others), found) for copy in perturbed),
    )


def _published(generator, gradient):
    arrays = published.to_published(gradient, conv_ndim=generator.conv_ndim)
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _norms(arrays, names):
    return np.array([np.linalg.norm(arrays[name]) for name in names])
