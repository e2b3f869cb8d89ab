"""VGG16 up to relu3_3: the phi_k of the perceptual loss (Equation 6)."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vidprior.model import winograd
from vidprior.types import Params

# Layers of each stage; the features of a stage are those of its last layer.
STAGES = (("conv1_1", "conv1_2"), ("conv2_1", "conv2_2"), ("conv3_1", "conv3_2", "conv3_3"))
WIDTHS = (64, 128, 256)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@jax.custom_vjp
def relu(x: jax.Array) -> jax.Array:
    """max(x, 0), whose gradient is found from the result.

    Nothing else needs `x` then, and cuDNN applies it within the convolution before.
    """
    return jnp.maximum(x, 0)


def _relu_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    y = relu(x)
    return y, y


def _relu_backward(y: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    # Not y > 0: XLA would see that x > 0 says the same, and keep `x`.
    return (jnp.where(y != 0, cotangent, 0),)


relu.defvjp(_relu_forward, _relu_backward)


def max_pool(x: jax.Array) -> jax.Array:
    """Halves rows and columns, rounding down: the largest of 2x2 pixels.

    Written as maxima, since XLA's gradient of a pooled window is a scatter on a GPU.

    Args:
      x: [N, H, W, C].

    Returns:
      [N, H // 2, W // 2, C]. Equal pixels share their gradient.
    """
    count, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    x = x.reshape(count, height // 2, 2, width // 2, 2, channels)
    rows = jnp.maximum(x[:, :, 0], x[:, :, 1])
    return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])


class Vgg16(nn.Module):
    """Features relu1_2, relu2_2 and relu3_3.

    Attributes:
      imagenet_input: normalise the image by ImageNet's mean and standard deviation first.
      dtype: of the convolutions and of the features.
      fewer_products: takes Winograd's convolutions, twice as fast on a CPU.
    """

    imagenet_input: bool = False
    dtype: jnp.dtype = jnp.float32
    fewer_products: bool = False

    @nn.compact
    def __call__(self, image: jax.Array) -> tuple[jax.Array, ...]:
        """Maps [N, H, W, 3] float in [0, 1] to [N, H, W, 64], [N, H/2, W/2, 128], [N, H/4, ...].

        Sides are halved rounding down. The channel order of `image` is that of the
        first kernel (see `make_params`).
        """
        x = image
        if self.imagenet_input:
            x = (x - jnp.array(IMAGENET_MEAN)) / jnp.array(IMAGENET_STD)
        x = x.astype(self.dtype)
        features = []
        for stage, (names, width) in enumerate(zip(STAGES, WIDTHS, strict=True)):
            if stage:
                x = max_pool(x)
            for name in names:
                x = relu(self._conv(width, name)(x))
            features.append(x)
        return tuple(features)

    def _conv(self, width: int, name: str) -> nn.Conv:
        return nn.Conv(
            width,
            (3, 3),
            padding="SAME",
            name=name,
            dtype=self.dtype,
            conv_general_dilated=_fewer_products if self.fewer_products else None,
        )


def _fewer_products(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """Replaces `lax.conv_general_dilated`, for the only kind of convolution in this network."""
    return winograd.convolve_same(x, kernel)


def make_params(arrays: Mapping[str, np.ndarray], *, flip_channels: bool) -> Params:
    """The parameter tree of `Vgg16` from the arrays of a converted file.

    Args:
      arrays: `conv1_1.kernel` [3, 3, in, out], `conv1_1.bias` [out], and so on, float32.
      flip_channels: reverses the input channels of the first kernel. The published
        code shows BGR images to a network made for RGB; this gives the same from RGB.
    """
    params: dict[str, dict[str, jax.Array]] = {
        name: {leaf: jnp.asarray(arrays[f"{name}.{leaf}"]) for leaf in ("kernel", "bias")}
        for names in STAGES
        for name in names
    }
    if flip_channels:
        params["conv1_1"]["kernel"] = params["conv1_1"]["kernel"][:, :, ::-1]
    return params


def parameter_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of a converted file."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for names, width in zip(STAGES, WIDTHS, strict=True):
        for name in names:
            shapes[f"{name}.kernel"] = (3, 3, channels, width)
            shapes[f"{name}.bias"] = (width,)
            channels = width
    return shapes


def feature_holes(hole: jax.Array) -> tuple[jax.Array, ...]:
    """1 - psi_k: every feature whose receptive field touches the hole.

    Args:
      hole: [N, H, W] bool.

    Returns:
      For each layer of `Vgg16`, [N, h, w] bool.
    """
    x = hole
    holes = []
    for stage, names in enumerate(STAGES):
        if stage:
            x = _any_in_window(x, size=2, stride=2, padding="VALID")
        for _ in names:
            x = _any_in_window(x, size=3, stride=1, padding="SAME")
        holes.append(x)
    return tuple(holes)


def _any_in_window(x: jax.Array, *, size: int, stride: int, padding: str) -> jax.Array:
    window, strides = (1, size, size), (1, stride, stride)
    return lax.reduce_window(x, False, lax.bitwise_or, window, strides, padding)
