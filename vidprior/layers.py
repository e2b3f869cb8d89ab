"""The building blocks of the generator, for two or three convolved axes.

Arrays are [batch, ..., channels]. Three convolved axes are (time, row, column):
space is padded by reflection and upsampled, time is padded by replication and
keeps its length.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

NORM_EPSILON = 1e-5
NEGATIVE_SLOPE = 0.2


def leaky_relu(x: jax.Array) -> jax.Array:
    """LeakyReLU with the slope of the paper, 0.2."""
    return jnp.where(x >= 0, x, NEGATIVE_SLOPE * x)


def pad_for_kernel(x: jax.Array, kernel_size: Sequence[int]) -> jax.Array:
    """Pads so that a stride-1 convolution keeps the size: reflection, in time replication."""
    margins = [(size // 2, size // 2) for size in kernel_size]
    space = [(0, 0), *((0, 0) for _ in margins[:-2]), *margins[-2:], (0, 0)]
    x = jnp.pad(x, space, mode="reflect")
    if len(kernel_size) == 3:
        x = jnp.pad(x, [(0, 0), margins[0], (0, 0), (0, 0), (0, 0)], mode="edge")
    return x


def upsample(x: jax.Array) -> jax.Array:
    """Doubles rows and columns by nearest neighbour."""
    rows = x.ndim - 3
    return jnp.repeat(jnp.repeat(x, 2, axis=rows), 2, axis=rows + 1)


def crop_to_smallest(*arrays: jax.Array) -> list[jax.Array]:
    """Crops rows and columns of all arrays, centred, to the smallest among them."""
    height = min(x.shape[-3] for x in arrays)
    width = min(x.shape[-2] for x in arrays)

    def crop(x: jax.Array) -> jax.Array:
        top, left = (x.shape[-3] - height) // 2, (x.shape[-2] - width) // 2
        return x[..., top : top + height, left : left + width, :]

    return [crop(x) for x in arrays]


def within_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default for convolutions: uniform within +-1/sqrt(fan_in)."""

    def init(key: jax.Array, shape: Sequence[int], dtype=jnp.float32) -> jax.Array:
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Conv(nn.Module):
    """Convolution with bias that keeps the size, or halves it with stride 2 (rounding up)."""

    features: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    initializer: str = "pytorch"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [batch, ..., channels] to [batch, ..., features] in `dtype`."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        fan_in = 1
        for size in shape[:-1]:
            fan_in *= size
        kernel_init, bias_init = {
            "pytorch": (within_fan_in(fan_in), within_fan_in(fan_in)),
            "lecun": (nn.initializers.lecun_normal(), nn.initializers.zeros),
        }[self.initializer]
        kernel = self.param("kernel", kernel_init, shape)
        bias = self.param("bias", bias_init, (self.features,))
        axes = "THW"[-len(self.kernel_size) :]
        x = lax.conv_general_dilated(
            pad_for_kernel(x, self.kernel_size).astype(self.dtype),
            kernel.astype(self.dtype),
            window_strides=self.strides,
            padding="VALID",
            dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        )
        return x + bias.astype(self.dtype)


class BatchNorm(nn.Module):
    """Normalises every channel by the mean and variance of the batch at hand.

    There are no running averages: training and rendering do the same.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [batch, ..., C] to the same shape and dtype; statistics in float32."""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        axes = tuple(range(x.ndim - 1))
        wide = x.astype(jnp.float32)
        mean = jnp.mean(wide, axes)
        variance = jnp.mean(jnp.square(wide - mean), axes)
        factor = scale * lax.rsqrt(variance + NORM_EPSILON)
        return ((wide - mean) * factor + bias).astype(x.dtype)
