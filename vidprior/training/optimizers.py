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
    kind: str,
    rate: float | optax.Schedule,
    *,
    b1: float,
    b2: float,
    eps: float,
    dtype: jnp.dtype = jnp.float32,
) -> optax.GradientTransformation:
    """The optimiser of a generator.

    'muon' orthogonalises the updates of kernels (Jordan et al., 2024), so that all directions
    of a gradient are followed equally far, where Adam follows the few largest most. Biases,
    normalisation and heads use Adam.

    Args:
      kind: one of `OPTIMIZERS`.
      rate: the learning rate, or a function of the updates done.
      b1, b2, eps: Adam's.
      dtype: of Muon's products on an accelerator.

    Returns:
      The transformation of a tree of the generator's parameters.
    """
    adam = optax.adam(rate, b1=b1, b2=b2, eps=eps)
    if kind == "adam":
        return adam
    muon = optax.chain(
        optax.trace(_MOMENTUM, nesterov=True),
        optax.stateless(lambda updates, _: _orthogonal_updates(updates, dtype)),
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


def _orthogonal_updates(updates: Params, dtype: jnp.dtype) -> Params:
    """Kernels' updates, each a matrix from all that it sees to what it gives, orthogonalised."""
    kernels, structure = jax.tree.flatten(updates)
    matrices = [kernel.reshape(-1, kernel.shape[-1]) for kernel in kernels]
    if jax.default_backend() == "cpu":
        orthogonal = [orthogonalise(matrix) for matrix in matrices]
    else:
        orthogonal = orthogonalise_together(matrices, dtype=dtype)
    scaled = [
        (_RMS_SCALE * math.sqrt(max(matrix.shape)) * matrix).reshape(kernel.shape)
        for kernel, matrix in zip(kernels, orthogonal, strict=True)
    ]
    changes: Params = jax.tree.unflatten(structure, scaled)
    return changes


def orthogonalise(matrix: jax.Array) -> jax.Array:
    """Moves all singular values to about 1, by the Newton-Schulz iteration.

    The iteration runs on the square matrix of products of the shorter side. The polynomials
    of all steps commute and are applied to the long matrix once, which saves four fifths of
    the arithmetic. That takes all digits of float32: with the products' ten or seven bits that
    an accelerator has by default, faint directions are lost in the rounding of strong ones.

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


def orthogonalise_together(
    matrices: Sequence[jax.Array], *, dtype: jnp.dtype = jnp.float32
) -> list[jax.Array]:
    """`orthogonalise` for an accelerator: few products, of few digits.

    Matrices of one shorter side are orthogonalised together, their longer sides filled up with
    zeros, which stay zero. Every step is applied to the long matrices, and so corrects the
    rounding of those before.

    Args:
      matrices: [m, n] float32 each.
      dtype: of the products.

    Returns:
      The same shapes, float32.
    """
    wide = [x if x.shape[0] <= x.shape[1] else x.T for x in matrices]
    found = list(matrices)
    for side in sorted({x.shape[0] for x in wide}):
        members = [k for k, x in enumerate(wide) if x.shape[0] == side]
        longest = max(wide[k].shape[1] for k in members)
        together = jnp.stack(
            [jnp.pad(wide[k], [(0, 0), (0, longest - wide[k].shape[1])]) for k in members]
        )
        together = _newton_schulz(together, dtype)
        for k, x in zip(members, together, strict=True):
            x = x[:, : wide[k].shape[1]]
            found[k] = x if wide[k].shape == matrices[k].shape else x.T
    return found


def _newton_schulz(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Moves the singular values of matrices [G, m, n] to about 1."""
    x = (x / (jnp.linalg.norm(x, axis=(1, 2), keepdims=True) + 1e-8)).astype(dtype)
    once, cube, fifth = _NS_COEFFS
    for _ in range(_NS_STEPS):
        products = x @ x.swapaxes(1, 2)
        x = once * x + (cube * products + fifth * products @ products) @ x
    return x.astype(jnp.float32)
