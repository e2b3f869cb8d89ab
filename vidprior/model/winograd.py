"""3x3 convolutions with half the products, by Winograd's F(4, 3) along the rows.

Four rows of a correlation with a kernel of three rows are products of polynomials. Evaluated
at six points, they take 6 products instead of 12. The result is exact except for rounding:
with the points below, its mean error is twice that of the plain form, and less than half of
the error with textbook points.

    y = A ((G g) * (B d)),  d six rows of the input, g the kernel's three, y four of the output
"""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

OUTPUTS = 4  # rows that six products give
POINTS = (0, 0.75, -0.75, 1.5, -1.5)  # and infinity


def _matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A [4, 6], B [6, 6] and G [6, 3], by Lagrange's interpolation."""
    products = len(POINTS) + 1
    at_points = np.vander(POINTS, OUTPUTS, increasing=True)
    infinity = np.eye(products)[-1]
    a = np.vstack([at_points, infinity[-OUTPUTS:]]).T
    others = [np.delete(POINTS, i) for i in range(len(POINTS))]
    scales = [np.prod(point - rest) for point, rest in zip(POINTS, others, strict=True)]
    g = np.vstack([np.vander(POINTS, 3, increasing=True) / np.c_[scales], infinity[-3:]])
    b = np.vstack([np.append(np.poly(rest)[::-1], 0) for rest in others])
    return a, np.vstack([b, np.poly(POINTS)[::-1]]), g


A, B, G = _matrices()


@jax.custom_vjp
def convolve_same(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Correlates with zero padding.

    Args:
      x: [N, H, W, channels].
      kernel: [3, 3, channels, features].

    Returns:
      [N, H, W, features].
    """
    count, height, width, _ = x.shape
    groups = -(-height // OUTPUTS)
    x = jnp.pad(x, [(0, 0), (1, OUTPUTS * groups + 1 - height), (0, 0), (0, 0)])
    stop = OUTPUTS * (groups - 1) + 1
    rows = [x[:, i : i + stop : OUTPUTS] for i in range(len(B))]  # [N, groups, W, channels]
    kernels = jnp.einsum("pk,k...->p...", jnp.asarray(G, kernel.dtype), kernel)
    products = [
        lax.conv_general_dilated(
            row,
            kernel[None],
            window_strides=(1, 1),
            padding=((0, 0), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        for row, kernel in zip(_combine(B, rows), kernels, strict=True)
    ]
    y = jnp.stack(_combine(A, products), axis=2)  # [N, groups, 4, W, features]
    return y.reshape(count, OUTPUTS * groups, width, -1)[:, :height]


def _combine(matrix: np.ndarray, arrays: list[jax.Array]) -> list[jax.Array]:
    """Applies a matrix to a column of arrays, skipping its zeros."""
    terms = ([float(f) * x for f, x in zip(row, arrays, strict=True) if f] for row in matrix)
    return [functools.reduce(operator.add, row) for row in terms]


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve_same(x, kernel), (x, kernel)


def _backward(
    residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The input's gradient is a correlation too; the kernel's, rarely needed, is the plain one."""
    x, kernel = residuals

    def plain(kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    _, vjp = jax.vjp(plain, kernel)
    (kernel_cotangent,) = vjp(cotangent)
    turned = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    return convolve_same(cotangent, turned), kernel_cotangent


convolve_same.defvjp(_forward, _backward)
