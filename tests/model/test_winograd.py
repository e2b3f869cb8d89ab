"""Winograd's convolution against the plain one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from vidprior.model import winograd

pytestmark = pytest.mark.slow  # compiles


def plain(x, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)


def example(height=9, width=5, channels=3, features=4, seed=0):
    random = np.random.default_rng(seed)
    kernel = random.normal(size=(3, 3, channels, features))
    x, cotangent = (random.normal(size=(2, height, width, c)) for c in (channels, features))
    return tuple(a.astype(np.float32) for a in (x, kernel, cotangent))


def test_four_rows_of_a_polynomial_product():
    """Rows 1 2 3 4 5 6 with the kernel 1 10 100: 1 + 20 + 300, 2 + 30 + 400, ..."""
    products = (winograd.G @ [1, 10, 100]) * (winograd.B @ [1, 2, 3, 4, 5, 6])
    assert np.allclose(winograd.A @ products, [321, 432, 543, 654])


@examples(15)
@given(height=st.integers(1, 10), width=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_result_is_the_plain_one(height, width, seed):
    x, kernel, _ = example(height, width, seed=seed)
    ours, expected = jax.jit(winograd.convolve_same)(x, kernel), plain(x, kernel)
    assert ours.shape == expected.shape
    assert np.allclose(ours, expected, atol=2e-6 * np.abs(expected).max())


def test_gradients_are_the_plain_ones():
    x, kernel, cotangent = example()
    ours, expected = (
        jax.jit(lambda x, kernel, f=f: jax.vjp(f, x, kernel)[1](cotangent))(x, kernel)
        for f in (winograd.convolve_same, plain)
    )
    for a, b in zip(ours, expected, strict=True):
        assert np.allclose(a, b, atol=2e-6 * np.abs(b).max())


def test_rounding_is_at_most_three_times_that_of_the_plain_form():
    x, kernel, _ = example(64, 32, channels=64, features=16)
    exact = plain_float64(x, kernel)
    error = {f: np.std(jax.jit(f)(x, kernel) - exact) for f in (winograd.convolve_same, plain)}
    assert error[winograd.convolve_same] < 3 * error[plain]


def plain_float64(x, kernel):
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("nhwcij,ijcf->nhwf", patches, kernel.astype(np.float64), optimize=True)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_dtype_is_kept(dtype):
    x, kernel, _ = example()
    given = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
    assert jax.eval_shape(winograd.convolve_same, *given).dtype == dtype
