"""The generator G (appendix A): an encoder-decoder from noise to colour and optical flow.

Each scale of the encoder halves the size. Each scale of the decoder concatenates a thin
skip connection with the upsampled output of the scale below. `conv_ndim=3` gives the 3D
network of the DIP-Vid-3DCN baseline.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from vidprior.model.layers import (
    BatchNorm,
    Conv,
    ConvParameters,
    JoiningConv,
    convolve,
    crop_to_smallest,
    upsample,
)
from vidprior.types import OFFSETS, Prediction

# Of every LeakyReLU.
NEGATIVE_SLOPE = 0.2


def smallest_side(num_scales: int) -> int:
    """The smallest height or width, in pixels, for a network of `num_scales` scales.

    The deepest 5x5 convolution pads two pixels by reflection, so it needs three.
    """
    return 2 * 2**num_scales + 1


class Generator(nn.Module):
    """G_theta of Equation 1.

    Batch normalisation always uses the statistics of the current window, also when
    rendering: a frame's output depends on its window. `init.initial_params` draws the
    parameters; flax's `init` returns placeholders.

    Attributes:
      channels: C_k of each scale, in encoder and decoder.
      skip_channels: channels of each skip connection.
      conv_ndim: 2 treats the window as a batch of images, 3 as one volume.
      refine_kernel: size of the second convolution of each decoder scale: 1 as in the
        published code, 3 as in the paper.
      predict_flow: adds the flow head, with one flow for each of `OFFSETS`.
      dtype: of the convolutions; normalisation and heads use at least float32.
    """

    channels: Sequence[int] = (16, 32, 64, 128, 128, 128)
    skip_channels: int = 4
    conv_ndim: int = 2
    refine_kernel: int = 1
    predict_flow: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, noise: jax.Array, offset: jax.Array | None = None) -> Prediction:
        """Generates a window.

        Args:
          noise: [N, H, W, 1] float32.
          offset: scalar, the number in `OFFSETS` of the only flow that is wanted; None: all.

        Returns:
          The window's `Prediction`.

        Raises:
          ValueError: a side is too small for the number of scales.
        """
        smallest = smallest_side(len(self.channels))
        if min(noise.shape[1:3]) < smallest:
            raise ValueError(f"{noise.shape[1:3]} is too small: each side needs {smallest}")

        def block(x: jax.Array, name: str, features: int, kernel: int, stride: int = 1):
            x = Conv(stride=stride, **self._settings(name, features, kernel))(x)
            return BatchNorm(slope=NEGATIVE_SLOPE, name=f"{name}_norm")(x)

        x = noise if self.conv_ndim == 2 else noise[None]
        x = x.astype(self.dtype)
        skips = []
        for k, features in enumerate(self.channels):
            skips.append(block(x, f"skip_{k}", self.skip_channels, 1))
            x = block(x, f"down_{k}", features, 5, stride=2)
            x = block(x, f"deepen_{k}", features, 5)
        for k, features in reversed(list(enumerate(self.channels))):
            x = self._join(skips[k], x, k, features)
            x = BatchNorm(slope=NEGATIVE_SLOPE, name=f"up_{k}_norm")(x)
            x = block(x, f"refine_{k}", features, self.refine_kernel)

        x = x if self.conv_ndim == 2 else x[0]
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return self._heads(x, offset)

    def _heads(self, x: jax.Array, offset: jax.Array | None) -> Prediction:
        """Colour and flow, as one product."""
        heads = [self._head("image", 3)(x)]
        if self.predict_flow:
            of_all = self._head("flow", 2 * len(OFFSETS))(x)
            heads.append(of_all if offset is None else _of_offset(of_all, offset))
        kernel, bias = (jnp.concatenate(arrays, axis=-1) for arrays in zip(*heads, strict=True))
        y = convolve(x, kernel) + bias
        image, rest = y[..., :3], y[..., 3:]
        flow = rest.reshape(*rest.shape[:-1], -1, 2) if self.predict_flow else None
        return Prediction(image=nn.sigmoid(image), flow=flow)

    def _join(self, skip: jax.Array, deeper: jax.Array, k: int, features: int) -> jax.Array:
        """Concatenates the skip connection and the upsampled scale below, and convolves them."""
        norm = BatchNorm(name=f"join_{k}_norm")
        if skip.shape[-3:-1] == (2 * deeper.shape[-3], 2 * deeper.shape[-2]):
            # Upsampling repeats every pixel four times and changes neither mean nor variance.
            conv = JoiningConv(**self._settings(f"up_{k}", features, 3))
            return conv(*norm(skip, deeper))
        x = jnp.concatenate(crop_to_smallest(skip, upsample(deeper)), axis=-1)
        return Conv(**self._settings(f"up_{k}", features, 3))(norm(x))

    def _settings(self, name: str, features: int, kernel: int) -> dict[str, Any]:
        # A kernel of size 1 sees no neighbouring frames.
        time = (min(kernel, 3),) if self.conv_ndim == 3 else ()
        return {
            "features": features,
            "kernel_size": (*time, kernel, kernel),
            "dtype": self.dtype,
            "normalised": True,
            "name": name,
        }

    def _head(self, name: str, features: int) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
        return ConvParameters(
            features=features,
            kernel_size=(1, 1),
            dtype=jnp.promote_types(self.dtype, jnp.float32),
            name=name,
        )


def _of_offset(
    arrays: tuple[jax.Array, jax.Array], offset: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Of arrays [..., 2 K], the two channels of one offset."""

    def cut(array: jax.Array) -> jax.Array:
        by_offset = array.reshape(*array.shape[:-1], len(OFFSETS), 2)
        return lax.dynamic_index_in_dim(by_offset, offset, axis=-2, keepdims=False)

    kernel, bias = map(cut, arrays)
    return kernel, bias
