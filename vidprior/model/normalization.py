"""Batch normalisation in one pass over the batch, forward and backward."""

import math

import jax
import jax.numpy as jnp
from jax import lax

EPSILON = 1e-5

_Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


@jax.custom_vjp
def normalise(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Normalises every channel by the mean and variance of the batch.

    Differentiated as it is written, a mean and a variance are two passes over the batch
    forward and more backward; on a GPU each is two kernels. Here both directions take sums of
    one pass.

    Args:
      x: [batch, ..., C]; statistics are computed in float32 at least.
      scale: [C].
      bias: [C].

    Returns:
      The shape and dtype of `x`: (x - mean) / sqrt(variance + 1e-5) * scale + bias.
    """
    return _forward(x, scale, bias)[0]


def _forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array, jax.Array]]:
    wide = _widen(x)
    axes = tuple(range(x.ndim - 1))
    # E[x^2] - E[x]^2 loses digits where the mean is large. Relative to any value of the channel,
    # the mean is a few standard deviations at most.
    origin = lax.stop_gradient(wide[(0,) * len(axes)])
    offset = jnp.mean(wide - origin, axes)
    square = jnp.mean(jnp.square(wide - origin), axes)
    mean = origin + offset
    inverse = lax.rsqrt(jnp.maximum(square - jnp.square(offset), 0) + EPSILON)
    y = ((wide - mean) * (scale * inverse) + bias).astype(x.dtype)
    return y, (x, mean, inverse, scale)


def _backward(
    residuals: _Residuals, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, mean, inverse, scale = residuals
    axes = tuple(range(x.ndim - 1))
    count = math.prod(x.shape[:-1])
    normalised = (_widen(x) - mean) * inverse
    wide = _widen(cotangent)
    bias_cotangent = jnp.sum(wide, axes)
    scale_cotangent = jnp.sum(wide * normalised, axes)
    common = (bias_cotangent + normalised * scale_cotangent) / count
    x_cotangent = (scale * inverse * (wide - common)).astype(x.dtype)
    return x_cotangent, scale_cotangent.astype(scale.dtype), bias_cotangent.astype(scale.dtype)


normalise.defvjp(_forward, _backward)


def _widen(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
