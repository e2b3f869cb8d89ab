"""How gradients become changes of the parameters: Adam, the paper's, or Muon."""

import jax
import optax
from optax import contrib

from vidprior.types import Params

KINDS = ("adam", "muon")

# A changed kernel moves by as much as Adam would move it: one learning rate fits both.
_LIKE_ADAM = 0.2


def make_optimizer(
    kind: str, rate: float | optax.Schedule, *, b1: float, b2: float, eps: float
) -> optax.GradientTransformation:
    """The optimiser of a generator.

    'muon' orthogonalises what changes a kernel (Jordan et al., 2024): all the directions that a
    window asks for are followed equally far, where Adam follows most the few that are
    loudest. Kernels of any size are matrices from what they see to what they give. Biases,
    normalisation and heads stay with Adam, with Nesterov's momentum.

    Args:
      kind: one of `KINDS`.
      rate: the learning rate, or a function of the updates done.
      b1, b2, eps: Adam's.

    Returns:
      The transformation of a tree of the generator's parameters.
    """
    if kind == "adam":
        return optax.adam(rate, b1=b1, b2=b2, eps=eps)
    return contrib.muon(
        rate,
        consistent_rms=_LIKE_ADAM,
        adam_b1=b1,
        adam_b2=b2,
        eps=eps,
        muon_weight_dimension_numbers=_matrices,
    )


def _matrices(params: Params) -> Params:
    """Which axes of every kernel inside the network are rows and columns; None for the rest."""

    def of_one(path: tuple[jax.tree_util.DictKey, ...], x: jax.Array) -> object:
        layer, leaf = path[0].key, path[-1].key
        if leaf != "kernel" or layer in ("image", "flow"):
            return None
        last = x.ndim - 1
        return contrib.MuonDimensionNumbers(tuple(range(last)), (last,))

    return jax.tree_util.tree_map_with_path(of_one, params)
