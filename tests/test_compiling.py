"""The options that XLA is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior import runtime


def test_the_compiler_knows_its_options():
    double = jax.jit(lambda x: 2 * x, compiler_options=runtime.compiler_options())
    assert np.array_equal(double(jnp.arange(3)), [0, 2, 4])
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        jax.jit(lambda x: 2 * x, compiler_options={"xla_no_such_option": "1"})(jnp.arange(3))


def test_long_sums_are_accurate():
    """A mean of a million squares, against float64."""
    x = np.random.default_rng(0).random(2**20, np.float32)
    mean = jax.jit(lambda x: jnp.mean(x * x), compiler_options=runtime.compiler_options())
    assert float(mean(x)) == pytest.approx(np.mean(x.astype(np.float64) ** 2), rel=3e-7)


def test_only_a_cpu_needs_any(monkeypatch):
    assert runtime.compiler_options()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not runtime.compiler_options()
