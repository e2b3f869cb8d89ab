"""Features of the trained encoder, and their similarity between patches (section 5.1)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from vidprior.errors import InputError
from vidprior.model.generator import Generator
from vidprior.run.render import window_start
from vidprior.types import Array, Params


def encoder_features(
    params_for: Callable[[int], Params],
    noise: Array,
    frames: Sequence[int],
    *,
    generator: Generator,
    length: int,
    patch: int = 32,
) -> np.ndarray:
    """Features of the encoder at the scale where one position covers `patch` pixels.

    Args:
      params_for: maps the first frame of a window to the generator's parameters.
      noise: [T, H, W, 1] float32, the clip's fixed input.
      frames: frame numbers; each is computed in the window that renders it.
      generator: the network.
      length: N, the window's length in training.
      patch: pixels, a power of two; each scale of the network halves both sides.

    Returns:
      [F, ceil(H / patch), ceil(W / patch), C] float32.

    Raises:
      InputError: the network has no such scale.
    """
    patches = [2 ** (k + 1) for k in range(len(generator.channels))]
    if patch not in patches:
        raise InputError(
            f"no scale of this network has patches of {patch} pixels: there are {patches}"
        )
    name = f"deepen_{patches.index(patch)}_norm"
    found = []
    for number in frames:
        start = window_start(number, num_frames=len(noise), length=length)
        window = noise[start : start + length]
        features = _responses(params_for(start), window, generator=generator, name=name)
        found.append(np.asarray(features[number - start], np.float32))
    return np.stack(found)


def similarity(features: np.ndarray, reference: tuple[int, int, int]) -> np.ndarray:
    """Cosine similarity of every patch with a reference patch.

    Args:
      features: [F, h, w, C].
      reference: frame, row and column of the reference.

    Returns:
      [F, h, w] float64 in [-1, 1]; 0 where a feature is zero.
    """
    features = features.astype(np.float64)
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    unit = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    return unit @ unit[reference]


@functools.partial(jax.jit, static_argnames=("generator", "name"))
def _responses(params: Params, window: Array, *, generator: Generator, name: str) -> Any:
    """[N, h, w, C] after the normalisation `name` and its leaky ReLU."""
    _, state = generator.apply(
        {"params": params},
        window,
        capture_intermediates=lambda module, _: module.name == name,
        mutable=["intermediates"],
    )
    (features,) = state["intermediates"][name]["__call__"]
    return features if generator.conv_ndim == 2 else features[0]
