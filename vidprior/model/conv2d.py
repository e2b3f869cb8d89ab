"""Two-dimensional correlation, with an input's gradient that is fast on a CPU too."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# Up to so many channels the input's gradient is better found by `_spread`.
FEW_CHANNELS = 4


def _lax_conv(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv2d(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Correlates without padding.

    Args:
      x: [N, H, W, channels].
      kernel: [kh, kw, channels, features].
      stride: of rows and columns.

    Returns:
      [N, h, w, features].
    """
    return _lax_conv(x, kernel, stride)


def _forward(x: jax.Array, kernel: jax.Array, stride: int) -> tuple[jax.Array, Any]:
    return _lax_conv(x, kernel, stride), (x, kernel)


def _backward(stride: int, kept: Any, change: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    _, pull = jax.vjp(functools.partial(_lax_conv, stride=stride), x, kernel)
    to_input, to_kernel = pull(change)
    if jax.default_backend() == "cpu":  # elsewhere the libraries know better
        few = stride == 1 and kernel.shape[2] <= FEW_CHANNELS
        to_input = (
            _input_gradient(change, kernel)
            if few
            else _kernel_gradient(change, kernel, stride=stride)
        )
        margins = [(0, x.shape[axis] - to_input.shape[axis], 0) for axis in (1, 2)]
        to_input = lax.pad(to_input, jnp.zeros((), x.dtype), [(0, 0, 0), *margins, (0, 0, 0)])
    return to_input, to_kernel


conv2d.defvjp(_forward, _backward)


def _input_gradient(change: jax.Array, kernel: jax.Array) -> jax.Array:
    """The input's gradient of stride 1: what each output sends to every input that it met.

    One matrix product; XLA's convolution to few channels takes two to four times as long.
    """
    rows, columns, channels, features = kernel.shape
    height, width = change.shape[1] + rows - 1, change.shape[2] + columns - 1
    change = jnp.pad(change, [(0, 0), (rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)])
    sent = change @ jnp.moveaxis(kernel, 3, 0).reshape(features, -1)
    taps = [
        sent[:, rows - 1 - i :, columns - 1 - j :, (i * columns + j) * channels :][
            :, :height, :width, :channels
        ]
        for i in range(rows)
        for j in range(columns)
    ]
    return functools.reduce(operator.add, taps)


def _kernel_gradient(change: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    """The input's gradient as a correlation of stride 1: what each input gets from all outputs.

    Inputs take turns in which taps of the kernel they meet, `stride` of them in each axis:
    each kind is a block of channels, which then lie between each other.
    """
    taps = [-(-size // stride) for size in kernel.shape[:2]]
    space = [(0, t * stride - size) for t, size in zip(taps, kernel.shape[:2], strict=True)]
    kernel = jnp.pad(kernel, [*space, (0, 0), (0, 0)])
    *_, channels, features = kernel.shape
    kernel = kernel.reshape(taps[0], stride, taps[1], stride, channels, features)
    kernel = kernel[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4)
    margins = [(0, 0), *((t - 1, t - 1) for t in taps), (0, 0)]
    # Apart, since XLA takes a kernel larger than the image, once it has folded the margins in,
    # for the image, and is seven times slower.
    change = lax.optimization_barrier(jnp.pad(change, margins))
    y = _lax_conv(change, kernel.reshape(*taps, features, -1))
    count, height, width, _ = y.shape
    y = y.reshape(count, height, width, stride, stride, channels).swapaxes(2, 3)
    return y.reshape(count, height * stride, width * stride, channels)
