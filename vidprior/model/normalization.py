"""Batch normalisation in one pass over the batch, forward and backward."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

EPSILON = 1e-5

# The input, its mean and inverse deviation, scale and bias, and the result if it is needed.
_Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, jax.Array | None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalise(x: jax.Array, scale: jax.Array, bias: jax.Array, slope: float = 1.0) -> jax.Array:
    """Normalises every channel by the mean and variance of the batch.

    Differentiated as it is written, a mean and a variance are two passes over the batch
    forward and more backward. Here both directions take two sums of one pass. A LeakyReLU that
    follows is a part of it: backward, an accelerator computes the sign of its input again, and
    reads one array less.

    Args:
      x: [batch, ..., C]; statistics are computed in float32 at least.
      scale: [C].
      bias: [C].
      slope: of the LeakyReLU; 1: none follows.

    Returns:
      The shape and dtype of `x`: (x - mean) / sqrt(variance + 1e-5) * scale + bias, where it is
      negative times `slope`.
    """
    return _forward(x, scale, bias, slope)[0]


def _forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array, slope: float
) -> tuple[jax.Array, _Residuals]:
    wide = _widen(x)
    # E[x^2] - E[x]^2 loses digits where the mean is large. Relative to any value of the channel,
    # the mean is a few standard deviations at most. Half precision has lost those digits before.
    single = x.dtype.itemsize >= 4
    origin = lax.stop_gradient(wide[(0,) * (x.ndim - 1)]) if single else jnp.zeros((), wide.dtype)
    count = math.prod(x.shape[:-1])
    total, squares = _sums(wide - origin, jnp.square(wide - origin))
    offset = total / count
    mean = origin + offset
    inverse = lax.rsqrt(jnp.maximum(squares / count - jnp.square(offset), 0) + EPSILON)
    y = ((wide - mean) * (scale * inverse) + bias).astype(x.dtype)
    y = _leaky_relu(y, y, slope)
    kept = y if slope != 1 and jax.default_backend() == "cpu" else None
    return y, (x, mean, inverse, scale, bias, kept)


def _backward(
    slope: float, residuals: _Residuals, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, mean, inverse, scale, bias, y = residuals
    count = math.prod(x.shape[:-1])
    normalised = (_widen(x) - mean) * inverse
    if y is None:
        y = (_widen(x) - mean) * (scale * inverse) + bias
    wide = _widen(_leaky_relu(y, cotangent, slope))
    bias_cotangent, scale_cotangent = _sums(wide, wide * normalised)
    common = (bias_cotangent + normalised * scale_cotangent) / count
    x_cotangent = (scale * inverse * (wide - common)).astype(x.dtype)
    return x_cotangent, scale_cotangent.astype(scale.dtype), bias_cotangent.astype(scale.dtype)


normalise.defvjp(_forward, _backward)


def _leaky_relu(y: jax.Array, x: jax.Array, slope: float) -> jax.Array:
    """`x`, where `y` is negative times `slope`."""
    return x if slope == 1 else jnp.where(y >= 0, x, slope * x)


def _sums(first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both sums over all axes but the last."""
    axes = tuple(range(first.ndim - 1))
    if jax.default_backend() == "cpu":
        return jnp.sum(first, axes), jnp.sum(second, axes)
    # A GPU has one or two kernels for both, and as many for each alone.
    zero = jnp.zeros((), first.dtype)
    both = lax.reduce((first, second), (zero, zero), lambda a, b: (a[0] + b[0], a[1] + b[1]), axes)
    return both[0], both[1]


def _widen(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
