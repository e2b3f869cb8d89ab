"""The gradients of a correlation against XLA's own."""

import jax
import numpy as np
import pytest
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from vidprior.model import conv2d

pytestmark = pytest.mark.slow  # compiles


def plain(x, kernel, stride):
    dimensions = ("NHWC", "HWIO", "NHWC")
    strides = (stride, stride)
    return lax.conv_general_dilated(x, kernel, strides, "VALID", dimension_numbers=dimensions)


def gradients(function, x, kernel, stride, *, seed):
    """Of a random sum of the outputs, to the input and to the kernel."""
    y = jax.eval_shape(lambda x, kernel: function(x, kernel, stride), x, kernel)
    weight = np.random.default_rng(seed).normal(size=y.shape).astype(np.float32)

    @jax.jit
    def compiled(x, kernel):
        return jax.vjp(lambda x, kernel: function(x, kernel, stride), x, kernel)[1](weight)

    return compiled(x, kernel)


@examples(20)
@given(
    height=st.integers(5, 12),
    width=st.integers(5, 9),
    channels=st.sampled_from([1, 4, 5]),
    size=st.sampled_from([3, 5]),
    stride=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_gradients_are_those_of_xla(height, width, channels, size, stride, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, height, width, channels)).astype(np.float32)
    kernel = random.normal(size=(size, size, channels, 3)).astype(np.float32)
    assert np.array_equal(conv2d.conv2d(x, kernel, stride), plain(x, kernel, stride))
    ours = gradients(conv2d.conv2d, x, kernel, stride, seed=seed)
    expected = gradients(plain, x, kernel, stride, seed=seed)
    for a, b in zip(ours, expected, strict=True):
        assert a.shape == b.shape
        assert np.allclose(a, b, atol=2e-5)


@pytest.mark.parametrize(
    ("backend", "size", "own"),
    [("cpu", 1, True), ("gpu", 1, False), ("gpu", 3, False), ("gpu", 5, True), ("cpu", 5, True)],
)
def test_an_accelerator_is_left_its_own_but_for_large_kernels(monkeypatch, backend, size, own):
    """Of an image of 6 x 6, a kernel of 3 x 3 leaves 16 pixels, and one of 5 x 5 leaves 4."""
    x, kernel = np.ones((1, 6, 6, 5), np.float32), np.ones((size, size, 5, 5), np.float32)
    expected = gradients(plain, x, kernel, 1, seed=0)
    monkeypatch.setattr(conv2d.jax, "default_backend", lambda: backend)
    taken, inner = [], conv2d._vjp_by_correlation
    monkeypatch.setattr(
        conv2d, "_vjp_by_correlation", lambda *a, **k: taken.append(1) or inner(*a, **k)
    )
    ours = gradients(conv2d.conv2d, x, kernel, 1, seed=0)
    assert bool(taken) == own
    for a, b in zip(ours, expected, strict=True):
        assert np.allclose(a, b, atol=2e-5)
