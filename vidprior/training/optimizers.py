"""Optimisers: Adam, the paper's, and Muon."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from vidprior.types import Params

OPTIMIZERS = ("adam", "muon")

# Of Muon: momentum, a mean over about twenty updates; and the RMS of a kernel's update
# relative to the learning rate, about Adam's, so that one learning rate suits both.
_MOMENTUM = 0.95
_RMS_SCALE = 0.2
# Coefficients and steps of the Newton-Schulz iteration.
_NS_COEFFS = (3.4445, -4.7750, 2.0315)
_NS_STEPS = 5


def make_optimizer(
    kind: str, rate: float | optax.Schedule, *, b1: float, b2: float, eps: float
) -> optax.GradientTransformation:
    """The optimiser of a generator.

    'muon' orthogonalises the updates of kernels (Jordan et al., 2024), so that all directions
    of a gradient are followed equally far, where Adam follows the few largest most. Biases,
    normalisation and heads use Adam.

    Args:
      kind: one of `OPTIMIZERS`.
      rate: the learning rate, or a function of the updates done.
      b1, b2, eps: Adam's.

    Returns:
      The transformation of a tree of the generator's parameters.
    """
    adam = optax.adam(rate, b1=b1, b2=b2, eps=eps)
    if kind == "adam":
        return adam
    muon = optax.chain(
        optax.trace(_MOMENTUM, nesterov=True),
        optax.stateless(lambda updates, _: jax.tree.map(_orthogonal_update, updates)),
        optax.scale_by_learning_rate(rate),
    )
    return optax.partition({"muon": muon, "adam": adam}, _labels)


def _labels(params: Params) -> Params:
    """The optimiser of each array: 'muon' for kernels inside the network, else 'adam'."""

    def of_one(path: Sequence[Any], _: jax.Array) -> str:
        layer, leaf = ("", *(getattr(key, "key", "") for key in path))[-2:]
        return "muon" if leaf == "kernel" and layer not in ("image", "flow") else "adam"

    kinds: Params = jax.tree_util.tree_map_with_path(of_one, params)
    return kinds


def _orthogonal_update(kernel: jax.Array) -> jax.Array:
    """A kernel's update, a matrix from all that it sees to what it gives, orthogonalised."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    size = _RMS_SCALE * math.sqrt(max(matrix.shape))
    return (size * orthogonalise(matrix)).reshape(kernel.shape)


def orthogonalise(matrix: jax.Array) -> jax.Array:
    """Moves all singular values to about 1, by the Newton-Schulz iteration.

    The iteration runs on the square matrix of products of the shorter side. The polynomials
    of all steps commute and are applied to the long matrix once, which saves four fifths of
    the arithmetic.

    Args:
      matrix: [m, n] float32.

    Returns:
      The same shape: singular values in 0.6 to 1.3, unless tiny relative to the largest.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (jnp.linalg.norm(wide) + 1e-8)
    products = wide @ wide.T
    once, cube, fifth = _NS_COEFFS
    eye = jnp.eye(len(wide), dtype=wide.dtype)
    lifts = eye
    for _ in range(_NS_STEPS):
        lift = once * eye + cube * products + fifth * products @ products
        lifts = lift @ lifts
        products = lift @ products @ lift
    lifted = lifts @ wide
    return lifted if matrix.shape[0] <= matrix.shape[1] else lifted.T
