"""The layers of the generator, in 2D and 3D.

Arrays are [batch, ..., channels]. In 3D the convolved axes are (time, row, column):
space is padded by reflection and upsampled; time is padded by replication and keeps
its length.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from vidprior.model.conv2d import conv2d
from vidprior.model.normalization import normalise


def pad_for_kernel(x: jax.Array, kernel_size: Sequence[int]) -> jax.Array:
    """Pads so that a stride-1 convolution keeps the size: space by reflection, time by edge."""
    margins = [(size // 2, size // 2) for size in kernel_size]
    space = [(0, 0), *((0, 0) for _ in margins[:-2]), *margins[-2:], (0, 0)]
    x = jnp.pad(x, space, mode="reflect")
    if len(kernel_size) == 3:
        x = jnp.pad(x, [(0, 0), margins[0], (0, 0), (0, 0), (0, 0)], mode="edge")
    return x


def upsample(x: jax.Array) -> jax.Array:
    """Doubles rows and columns by nearest-neighbour interpolation."""
    rows = x.ndim - 3
    return jnp.repeat(jnp.repeat(x, 2, axis=rows), 2, axis=rows + 1)


def crop_to_smallest(*arrays: jax.Array) -> list[jax.Array]:
    """Centre-crops rows and columns of all arrays to the smallest height and width."""
    height = min(x.shape[-3] for x in arrays)
    width = min(x.shape[-2] for x in arrays)

    def crop(x: jax.Array) -> jax.Array:
        top, left = (x.shape[-3] - height) // 2, (x.shape[-2] - width) // 2
        return x[..., top : top + height, left : left + width, :]

    return [crop(x) for x in arrays]


def convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> jax.Array:
    """Correlates without padding.

    Args:
      x: [batch, ..., H, W, channels].
      kernel: [..., kh, kw, channels, features], with or without a time axis.
      stride: of rows and columns.

    Returns:
      [batch, ..., h, w, features].
    """
    if stride == 1 and math.prod(kernel.shape[:-2]) == 1:
        # One matrix product for each image: the weight gradient is then a sum of one product
        # for each image too, several times faster than one product over all pixels.
        images = x.reshape(len(x), -1, x.shape[-1])
        kernels = jnp.broadcast_to(kernel.reshape(kernel.shape[-2:]), (len(x), *kernel.shape[-2:]))
        return (images @ kernels).reshape(*x.shape[:-1], -1)
    if kernel.ndim == 5:
        # The frames under a kernel become channels of one image: XLA has no fast 3D convolution
        # on a CPU.
        length = kernel.shape[0]
        times = x.shape[1] - length + 1
        x = jnp.concatenate([x[:, t : t + times] for t in range(length)], axis=-1)
        kernel = jnp.moveaxis(kernel, 0, 2).reshape(*kernel.shape[1:3], -1, kernel.shape[-1])
    y = conv2d(x.reshape(-1, *x.shape[-3:]), kernel, stride)
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def convolve_upsampled(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 convolution of `upsample(x)`, padded by reflection, in sub-pixel form.

    Each input pixel becomes four output pixels, and each of these sees only two rows and
    two columns of the input. Kernel rows (and columns) that meet the same input row are
    added beforehand. This takes 4 products instead of 9, at a quarter of the size.
    Reflecting the upsampled image by one pixel equals repeating the input's edge.

    Args:
      x: [batch, ..., H, W, channels].
      kernel: [..., 3, 3, channels, features]; a leading time axis is convolved as usual.

    Returns:
      [batch, ..., 2 H, 2 W, features].
    """
    time = kernel.ndim - 4
    phases = _fold(_fold(kernel, axis=time), axis=time + 1)
    return _convolve_phases(_pad_by_edge(x, kernel.shape[:time]), phases)


def convolve_joined(skip: jax.Array, deeper: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 convolution of `skip` next to `upsample(deeper)`, as one in sub-pixel form.

    Four pixels of `skip` are seen as four channels of one. A third of the products is by zero,
    but an accelerator has one kernel instead of two for this, and for each gradient.

    Args:
      skip: [batch, ..., 2 H, 2 W, S].
      deeper: [batch, ..., H, W, D].
      kernel: [..., 3, 3, S + D, features]; a leading time axis is convolved as usual.

    Returns:
      [batch, ..., 2 H, 2 W, features].
    """
    time, width = kernel.ndim - 4, skip.shape[-1]
    for_skip, for_deeper = kernel[..., :width, :], kernel[..., width:, :]
    deeper = _pad_by_edge(deeper, kernel.shape[:time])
    skip = pad_for_kernel(skip, (*kernel.shape[:time], 5, 5))
    *batch, rows, columns, _ = skip.shape
    skip = skip.reshape(*batch, rows // 2, 2, columns // 2, 2, width).swapaxes(-4, -3)
    skip = skip.reshape(*batch, rows // 2, columns // 2, 4 * width)
    phases = _fold(_fold(for_deeper, axis=time), axis=time + 1)
    # [..., row of four pixels, column, S, phase of the row, of the column, features]
    spread = _spread(_spread(for_skip, axis=time), axis=time + 1)
    spread = spread.reshape(*spread.shape[:time], 2, 2, 2, 2, *spread.shape[time + 2 :])
    spread = spread.swapaxes(time + 1, time + 2)
    spread = spread.reshape(*spread.shape[: time + 2], 4 * width, *spread.shape[time + 5 :])
    x = jnp.concatenate([deeper, skip], axis=-1)
    return _convolve_phases(x, jnp.concatenate([phases, spread], axis=time + 2))


def _pad_by_edge(x: jax.Array, kernel_time: Sequence[int]) -> jax.Array:
    """Pads rows and columns by one, and time for a kernel of that length."""
    margins = [(size // 2, size // 2) for size in kernel_time]
    return jnp.pad(x, [(0, 0), *margins, (1, 1), (1, 1), (0, 0)], mode="edge")


def _convolve_phases(x: jax.Array, phases: jax.Array) -> jax.Array:
    """Four pixels for each pair of rows and columns.

    Args:
      x: [batch, ..., H + 2, W + 2, channels].
      phases: [..., 2, 2, channels, 2, 2, features], the last axes but one: row and column.

    Returns:
      [batch, ..., 2 H, 2 W, features].
    """
    features = phases.shape[-1]
    y = convolve(x, phases.reshape(*phases.shape[:-3], 4 * features))
    *batch, height, width, _ = y.shape
    # Interleaved, the phases form an image that is one pixel larger on each side.
    y = y.reshape(*batch, height, width, 2, 2, features).swapaxes(-4, -3)
    return y.reshape(*batch, 2 * height, 2 * width, features)[..., 1:-1, 1:-1, :]


def _fold(kernel: jax.Array, *, axis: int) -> jax.Array:
    """Adds kernel entries that meet the same input: `axis` from 3 to 2, and a new phase axis.

    The odd output pixels come first, since they see their own input pixel and the next:
    between two input pixels, the odd output of the first precedes the even one of the
    second.
    """
    first, middle, last = (lax.index_in_dim(kernel, i, axis, keepdims=False) for i in range(3))
    even = jnp.stack([first, middle + last], axis)
    odd = jnp.stack([first + middle, last], axis)
    return jnp.stack([odd, even], axis=-2)


def _spread(kernel: jax.Array, *, axis: int) -> jax.Array:
    """The kernel as odd and even output pixels see four pixels: `axis` from 3 to 4, as `_fold`."""

    def beside(margins: tuple[int, int]) -> jax.Array:
        return jnp.pad(kernel, [margins if k == axis else (0, 0) for k in range(kernel.ndim)])

    return jnp.stack([beside((0, 1)), beside((1, 0))], axis=-2)


class _Convolution(nn.Module):
    """Kernel and bias of a convolution.

    Attributes:
      features: output channels.
      kernel_size: for each convolved axis.
      stride: of rows and columns; the stride in time is 1.
      dtype: of the arithmetic and of the result.
      normalised: batch normalisation follows and subtracts the mean. The bias would have no
        effect, and is not added.
    """

    features: int
    kernel_size: tuple[int, ...]
    stride: int = 1
    dtype: jnp.dtype = jnp.float32
    normalised: bool = False

    def _parameters(self, channels: int) -> tuple[jax.Array, jax.Array | None]:
        shape = (*self.kernel_size, channels, self.features)
        # Placeholders: `init.initial_params` draws the values.
        kernel = self.param("kernel", nn.initializers.zeros, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return kernel.astype(self.dtype), None if self.normalised else bias.astype(self.dtype)


class ConvParameters(_Convolution):
    """The parameters alone, of a convolution that is computed together with another."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Kernel and bias for [batch, ..., channels]."""
        kernel, bias = self._parameters(x.shape[-1])
        assert bias is not None, "a normalised convolution has no bias"
        return kernel, bias


class Conv(_Convolution):
    """Convolution that keeps the size, or halves it with stride 2 (rounding up)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [batch, ..., channels] to [batch, ..., features]."""
        kernel, bias = self._parameters(x.shape[-1])
        x = pad_for_kernel(x.astype(self.dtype), self.kernel_size)
        y = convolve(x, kernel, stride=self.stride)
        return y if bias is None else y + bias


class JoiningConv(_Convolution):
    """A 3x3 convolution of a skip connection concatenated with the upsampled scale below."""

    @nn.compact
    def __call__(self, skip: jax.Array, deeper: jax.Array) -> jax.Array:
        """Convolves the concatenation of `skip` and `upsample(deeper)`.

        Args:
          skip: [batch, ..., 2 H, 2 W, S].
          deeper: [batch, ..., H, W, D], not yet upsampled.

        Returns:
          [batch, ..., 2 H, 2 W, features].
        """
        width = skip.shape[-1]
        kernel, bias = self._parameters(width + deeper.shape[-1])
        skip, deeper = skip.astype(self.dtype), deeper.astype(self.dtype)
        if jax.default_backend() == "cpu":
            for_skip, for_deeper = kernel[..., :width, :], kernel[..., width:, :]
            y = convolve(pad_for_kernel(skip, self.kernel_size), for_skip)
            y += convolve_upsampled(deeper, for_deeper)
        else:
            y = convolve_joined(skip, deeper, kernel)
        return y if bias is None else y + bias


class BatchNorm(nn.Module):
    """Normalises every channel by the mean and variance of the current batch.

    There are no running averages: training and rendering compute the same.

    Attributes:
      slope: of a LeakyReLU that follows; 1: none does.
    """

    slope: float = 1.0

    @nn.compact
    def __call__(self, *parts: jax.Array) -> Any:
        """Normalises the channels of one or more arrays, as if they were concatenated.

        Args:
          *parts: [batch, ..., C] each; statistics are computed in float32.

        Returns:
          The same shapes and dtypes: one array, or a tuple of several.
        """
        channels = sum(x.shape[-1] for x in parts)
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        normalised, begin = [], 0
        for x in parts:
            own = slice(begin, begin := begin + x.shape[-1])
            normalised.append(normalise(x, scale[own], bias[own], self.slope))
        return normalised[0] if len(parts) == 1 else tuple(normalised)
