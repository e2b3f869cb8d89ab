"""A network's vectors as one array.

XLA runs a kernel on a GPU for each array that an update changes. Most arrays of the network are
biases and scales of a few numbers each; as one array they take one kernel.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from vidprior.types import Params

_Names = tuple[tuple[str, str], ...]


@struct.dataclass
class Packed:
    """Parameters, or anything else with an array for each of them.

    Attributes:
      vectors: [..., n], all that are no kernels, or optax's `MaskedNode` if they are masked.
      kernels: layer to {'kernel': array}.
      names: layer and leaf of each vector, in order.
      sizes: of each vector.
    """

    vectors: Any
    kernels: Params
    names: _Names = struct.field(pytree_node=False)
    sizes: tuple[int, ...] = struct.field(pytree_node=False)


def pack(tree: Any, *, params: Params) -> Any:
    """A tree with a `Packed` in place of every mapping that is like `params`.

    Args:
      tree: of arrays, such as a `TrainState`.
      params: layer to leaf to array, of a network or of several along a first axis. Without
        layers, the tree stays as it is.
    """
    if not all(isinstance(leaves, Mapping) for leaves in params.values()):
        return tree
    names = tuple(
        (layer, leaf) for layer, leaves in params.items() for leaf in leaves if leaf != "kernel"
    )
    sizes = tuple(params[layer][leaf].shape[-1] for layer, leaf in names)

    def is_like(x: Any) -> bool:
        return isinstance(x, Mapping) and x.keys() == params.keys()

    def one(x: Any) -> Any:
        if not is_like(x):
            return x
        vectors = [x[layer][leaf] for layer, leaf in names]
        kernels = {
            layer: {"kernel": leaves["kernel"]} for layer, leaves in x.items() if "kernel" in leaves
        }
        masked = all(isinstance(vector, optax.MaskedNode) for vector in vectors)
        joined = optax.MaskedNode() if masked else jnp.concatenate(vectors, axis=-1)
        return Packed(joined, kernels, names, sizes)

    return jax.tree.map(one, tree, is_leaf=is_like)


def unpack(tree: Any) -> Any:
    """A tree with a mapping in place of every `Packed`; other trees stay as they are."""
    return jax.tree.map(_unpack, tree, is_leaf=lambda x: isinstance(x, Packed))


def _unpack(x: Any) -> Any:
    if not isinstance(x, Packed):
        return x
    if isinstance(x.vectors, optax.MaskedNode):
        vectors = [x.vectors] * len(x.names)
    else:
        ends = list(itertools.accumulate(x.sizes))[:-1]
        vectors = jnp.split(x.vectors, ends, axis=-1)
    layers = dict.fromkeys([*x.kernels, *(layer for layer, _ in x.names)])
    found: dict[str, dict[str, Any]] = {layer: dict(x.kernels.get(layer, {})) for layer in layers}
    for (layer, leaf), vector in zip(x.names, vectors, strict=True):
        found[layer][leaf] = vector
    return found
