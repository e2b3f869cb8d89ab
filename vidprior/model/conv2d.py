"""Two-dimensional correlation with an input gradient that is also fast on a CPU."""

import functools
import math
import operator

import jax
import jax.numpy as jnp
from jax import lax

# Up to so many channels the input's gradient is better found by `_vjp_by_products`.
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


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _lax_conv(x, kernel, stride), (x, kernel)


def _backward(
    stride: int, residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # XLA's gradient to the input is always slow on a CPU. Elsewhere it is slow only if the kernel
    # has more pixels than the result: XLA swaps the two, in both gradients, and computes six
    # times the products of the input's.
    x, kernel = residuals
    _, vjp = jax.vjp(functools.partial(_lax_conv, stride=stride), x, kernel)
    x_cotangent, kernel_cotangent = vjp(cotangent)
    larger = math.prod(kernel.shape[:2]) > math.prod(cotangent.shape[1:3])
    if larger:
        kernel_cotangent = _kernel_vjp_by_products(x, cotangent, kernel, stride=stride)
    if larger or jax.default_backend() == "cpu":
        if stride == 1 and kernel.shape[2] <= FEW_CHANNELS:
            x_cotangent = _vjp_by_products(cotangent, kernel)
        else:
            x_cotangent = _vjp_by_correlation(cotangent, kernel, stride=stride)
        margins = [(0, x.shape[axis] - x_cotangent.shape[axis], 0) for axis in (1, 2)]
        zero = jnp.zeros((), x.dtype)
        x_cotangent = lax.pad(x_cotangent, zero, [(0, 0, 0), *margins, (0, 0, 0)])
    return x_cotangent, kernel_cotangent


conv2d.defvjp(_forward, _backward)


def _vjp_by_products(cotangent: jax.Array, kernel: jax.Array) -> jax.Array:
    """The input gradient for stride 1, as one matrix product from outputs to inputs.

    XLA's convolution to few channels takes two to four times as long.
    """
    rows, columns, channels, features = kernel.shape
    height, width = cotangent.shape[1] + rows - 1, cotangent.shape[2] + columns - 1
    cotangent = jnp.pad(
        cotangent, [(0, 0), (rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)]
    )
    sent = cotangent @ jnp.moveaxis(kernel, 3, 0).reshape(features, -1)
    taps = [
        sent[:, rows - 1 - i :, columns - 1 - j :, (i * columns + j) * channels :][
            :, :height, :width, :channels
        ]
        for i in range(rows)
        for j in range(columns)
    ]
    return functools.reduce(operator.add, taps)


def _vjp_by_correlation(cotangent: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    """The input gradient as a correlation of stride 1.

    Inputs fall into `stride` phases in each axis, which meet different taps of the kernel.
    Each phase is a block of channels; the blocks are interleaved at the end.
    """
    taps = [-(-size // stride) for size in kernel.shape[:2]]
    space = [(0, t * stride - size) for t, size in zip(taps, kernel.shape[:2], strict=True)]
    kernel = jnp.pad(kernel, [*space, (0, 0), (0, 0)])
    *_, channels, features = kernel.shape
    kernel = kernel.reshape(taps[0], stride, taps[1], stride, channels, features)
    kernel = kernel[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4)
    margins = [(0, 0), *((t - 1, t - 1) for t in taps), (0, 0)]
    # The barrier keeps XLA from folding the padding in: it would then swap a kernel larger than
    # the image with the image, and be seven times slower.
    cotangent = lax.optimization_barrier(jnp.pad(cotangent, margins))
    y = _lax_conv(cotangent, kernel.reshape(*taps, features, -1))
    count, height, width, _ = y.shape
    y = y.reshape(count, height, width, stride, stride, channels).swapaxes(2, 3)
    return y.reshape(count, height * stride, width * stride, channels)


def _kernel_vjp_by_products(
    x: jax.Array, cotangent: jax.Array, kernel: jax.Array, *, stride: int
) -> jax.Array:
    """The kernel gradient of few pixels, as one matrix product of what every tap sees."""
    rows, columns = (stride * (size - 1) + 1 for size in cotangent.shape[1:3])
    seen = [
        x[:, i : i + rows : stride, j : j + columns : stride]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    return jnp.einsum("nhwtc,nhwf->tcf", jnp.stack(seen, 3), cotangent).reshape(kernel.shape)
