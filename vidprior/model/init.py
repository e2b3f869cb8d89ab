"""The generator's initial parameters.

NumPy draws them, with one random stream for each array. So they do not depend on the
version of JAX, and need no compiled program.
"""

import math
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from vidprior.model.generator import Generator, smallest_side
from vidprior.types import Params


def initial_params(
    seed: int, *, generator: Generator, initializer: str, network: int = 0
) -> Params:
    """Draws a fresh network.

    Args:
      seed: of the run.
      generator: whose parameters to draw.
      initializer: 'pytorch' as in the published code: weights and biases uniform
        within +-1/sqrt(fan in). 'lecun' as in the paper: weights normal with standard
        deviation 1/sqrt(fan in), biases zero. Normalisations start as the identity.
      network: index of the network, in a run with several.

    Returns:
      The parameter tree, float32.
    """
    side = smallest_side(len(generator.channels))
    shapes = jax.eval_shape(generator.init, jax.random.key(0), jnp.zeros((1, side, side, 1)))
    return {
        module: _module(f"{module}", leaves, [seed, network], initializer)
        for module, leaves in shapes["params"].items()
    }


def _module(name: str, leaves: Params, stream: list[int], initializer: str) -> Params:
    if "scale" in leaves:
        return {leaf: np.full(x.shape, leaf == "scale", np.float32) for leaf, x in leaves.items()}
    bound = math.prod(leaves["kernel"].shape[:-1]) ** -0.5
    drawn = {}
    for leaf, x in leaves.items():
        random = np.random.default_rng([*stream, zlib.crc32(f"{name}.{leaf}".encode())])
        if initializer == "pytorch":
            drawn[leaf] = random.uniform(-bound, bound, x.shape)
        elif leaf == "kernel":
            drawn[leaf] = bound * random.standard_normal(x.shape)
        else:
            drawn[leaf] = np.zeros(x.shape)
    return {leaf: values.astype(np.float32) for leaf, values in drawn.items()}
