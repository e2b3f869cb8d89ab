"""How the process uses the machine: XLA's options and cache, malloc, facts of memory."""

import platform
import subprocess
import sys
import types

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


@pytest.mark.parametrize(
    ("capability", "channels_last"),
    [("8.0", True), ("12.0", True), ("7.5", False), ("gfx90a", False), (None, False)],
)
def test_channels_are_last_where_tensor_cores_multiply_float32(
    monkeypatch, capability, channels_last
):
    about = {} if capability is None else {"compute_capability": capability}
    monkeypatch.setattr(jax, "devices", lambda: [types.SimpleNamespace(**about)])
    assert "xla_gpu_force_conv_nhwc" not in runtime.compiler_options()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    expected = {"xla_gpu_force_conv_nhwc": True} if channels_last else {}
    assert runtime.compiler_options() == expected


@pytest.mark.parametrize(("before", "after"), [(None, "cache/vidprior/xla"), ("", ""), ("x", "x")])
def test_compiled_programs_are_kept_unless_somebody_chose(monkeypatch, tmp_path, before, after):
    found = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    try:
        jax.config.update("jax_compilation_cache_dir", before)
        runtime.keep_compiled()
        kept = jax.config.jax_compilation_cache_dir
    finally:
        jax.config.update("jax_compilation_cache_dir", found)
    assert kept == (str(tmp_path / after) if before is None else after)


FAULTS = """
import resource
from vidprior.runtime import keep_memory
import numpy as np
if {keeps}:
    assert keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(2**25, 1.0)  # 256 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults() * resource.getpagesize())
"""


def bytes_faulted_in(*, keeps):
    """Bytes that the system hands out, page by page, for an array as large as one before it."""
    code = FAULTS.format(keeps=keeps)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc's malloc")
def test_large_arrays_take_the_memory_of_those_before_them():
    assert bytes_faulted_in(keeps=True) < 2**20


def test_a_c_library_without_such_settings_is_left_alone(monkeypatch):
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: object())
    assert not runtime.keep_memory()


@pytest.mark.parametrize(("told", "expected"), [({"bytes_limit": 7}, 7), ({}, None), (None, None)])
def test_an_accelerator_tells_its_limit(monkeypatch, told, expected):
    device = types.SimpleNamespace(platform="gpu", memory_stats=lambda: told)
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert runtime.memory_limit() == expected


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the memory of this machine")
def test_a_cpu_has_the_machine_s_memory():
    assert 2**28 < runtime.memory_limit() < 2**50


def test_the_peak_is_what_was_in_use():
    assert 2**24 < runtime.peak_memory() < 2**50
