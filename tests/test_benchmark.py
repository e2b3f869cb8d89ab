"""The benchmark: its count of arithmetic by hand, and a whole run in small."""

import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import benchmark  # noqa: E402


def test_matrix_product_and_convolution_are_counted():
    """Twice rows x columns x inner; twice outputs x kernel."""
    assert benchmark.count_flop(jnp.matmul, jnp.ones((3, 5)), jnp.ones((5, 7))) == 2 * 3 * 7 * 5

    def convolve(x, kernel, stride):
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    x, kernel = jnp.ones((2, 9, 11, 3)), jnp.ones((3, 3, 3, 4))
    for stride, height, width in ((1, 7, 9), (2, 4, 5)):
        outputs = 2 * height * width * 4
        flop = benchmark.count_flop(lambda x, k, s=stride: convolve(x, k, s), x, kernel)
        assert flop == 2 * outputs * 9 * 3

    def gradients(x, kernel):
        return jax.vjp(lambda *a: convolve(*a, 2), x, kernel)[1](jnp.ones((2, 4, 5, 4)))

    # Forward; kernel's gradient, one product for each of the forward's; input's gradient,
    # each of 2 x 9 x 11 x 3 inputs from 9 x 4 neighbours, three quarters of them zeros.
    forward = 2 * (2 * 4 * 5 * 4) * 27
    to_input = 2 * (2 * 9 * 11 * 3) * 36 / 4
    assert benchmark.count_flop(gradients, x, kernel) == forward + forward + to_input


def test_what_is_compiled_inside_counts_too():
    inner = jax.jit(jnp.matmul)
    assert benchmark.count_flop(lambda x: inner(x, x) + inner(x, x), jnp.ones((4, 4))) == 256


def test_sizes_are_height_times_width():
    assert list(benchmark.parse_sizes("96x192,8x9")) == [(96, 192), (8, 9)]


def test_spread():
    assert benchmark.spread([3, 1, 2, 9]) == [1, 2.5, 9]


@pytest.mark.long
def test_a_small_benchmark(tmp_path):
    output = tmp_path / "numbers.json"
    options = ("--sizes=40x48", "--losses=flow", "--rounds=2", "--seconds=0.01")
    told = subprocess.run(
        [sys.executable, ROOT / "tools/benchmark.py", *options, f"--output={output}",
         "--python=/nowhere/python"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "no /nowhere/python, so no PyTorch to compare with" in told.stderr
    (row,) = json.loads(output.read_text())["rows"]
    assert (row["size"], row["loss"], row["dtype"]) == ("40x48", "flow", "float32")
    least, median, most = row["seconds"]["ours"]
    assert 0 < least <= median <= most
    assert row["updates_per_second"] == pytest.approx(1 / median)
    assert row["flop_per_second"] == pytest.approx(row["flop"] / median)
    assert row["flop"] > 1e8
    assert "40x48" in told.stdout.splitlines()[-1]
