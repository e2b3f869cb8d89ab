"""Batch normalisation against its definition, differentiated automatically in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior.model import normalization
from vidprior.model.normalization import normalise


def plain(x, scale, bias, slope=1.0):
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(x, axes)
    variance = jnp.mean(jnp.square(x - mean), axes)
    y = (x - mean) / jnp.sqrt(variance + 1e-5) * scale + bias
    return jnp.where(y < 0, slope * y, y)


def arguments(shape, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(3, 2, shape)
    return x, random.normal(1, 0.5, shape[-1]), random.normal(size=shape[-1])


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("slope", [1.0, 0.2])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 3, 2, 5, 2), (1, 1, 1, 3)])
def test_values_and_gradients_are_those_of_the_definition(shape, slope, backend, monkeypatch):
    """Also in the form for a GPU."""
    monkeypatch.setattr(normalization.jax, "default_backend", lambda: backend)
    with jax.enable_x64(True):
        given = tuple(map(jnp.asarray, arguments(shape)))
        weight = jnp.asarray(np.random.default_rng(1).normal(size=shape))

        @functools.partial(jax.jit, static_argnums=0)  # operations by themselves compile longer
        def value_and_gradients(function, *given):
            def loss(*given):
                value = function(*given, slope)
                return jnp.sum(weight * jnp.sin(value)), value

            gradients, value = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(*given)
            return value, gradients

        value, ours = value_and_gradients(normalise, *given)
        expected, theirs = value_and_gradients(plain, *given)
        np.testing.assert_allclose(value, expected, atol=1e-12)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_large_mean_loses_no_digits():
    """In float32, 10,000 squared leaves nothing of a variance of 1."""
    x, scale, bias = arguments((4, 16, 16, 2))
    x = (x - 3) / 2 + 10_000
    result = normalise(*(jnp.asarray(a, jnp.float32) for a in (x, scale, bias)))
    expected = plain(jnp.asarray(x, jnp.float32), scale, bias)
    np.testing.assert_allclose(result, expected, atol=2e-2)


def test_statistics_of_half_precision_are_taken_in_single():
    x, scale, bias = arguments((4, 32, 32, 3))
    half = jnp.asarray(x, jnp.bfloat16)
    result = normalise(half, jnp.asarray(scale, jnp.float32), jnp.asarray(bias, jnp.float32))
    assert result.dtype == jnp.bfloat16
    exact = plain(half.astype(jnp.float32), scale, bias)
    np.testing.assert_allclose(result.astype(jnp.float32), exact, rtol=2**-7, atol=2**-7)


def test_each_network_of_several_is_normalised_alone():
    x, scale, bias = arguments((3, 2, 4, 4, 2))
    scales, biases = np.stack([scale, 2 * scale, scale]), np.stack([bias, bias, -bias])
    several = jax.vmap(normalise)(*map(jnp.asarray, (x, scales, biases)))
    for number in range(3):
        one = normalise(*map(jnp.asarray, (x[number], scales[number], biases[number])))
        np.testing.assert_allclose(several[number], one, atol=1e-5)
