"""Shared by the parity tests: how they compare, and one update compiled once."""

import jax
import numpy as np
import pytest

from parity import goldens
from vidprior.model import vgg

# Where a threshold decides a pixel, rounding may decide it otherwise: at most so many.
MASK_SHARE = 1e-4


@pytest.fixture(autouse=True, scope="package")
def highest_precision():
    """Accelerators multiply float32 matrices in fewer bits unless they are told not to."""
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture
def compare(record_property):
    """Compares with a golden: `compare(name, ours, golden, allowed)`.

    Records the largest difference, for the summary at the end of the run, and fails
    where a difference exceeds `allowed`, a number or an array of their shape.
    """

    def compare(name, ours, golden, allowed):
        ours, golden = np.asarray(ours, np.float64), np.asarray(golden, np.float64)
        assert ours.shape == golden.shape, name
        difference = np.abs(ours - golden)
        allowed = np.broadcast_to(allowed, difference.shape)
        worst = np.unravel_index(np.argmax(difference / allowed), difference.shape)
        record_property(
            "golden",
            f"{name}: largest difference {difference.max():.1e}; nearest to its limit "
            f"{difference[worst]:.1e} of {allowed[worst]:.1e} allowed",
        )
        assert (difference <= allowed).all(), (
            f"{name}: {difference[worst]:.3e} exceeds {allowed[worst]:.3e} at {worst}, where "
            f"the golden is {golden[worst]:.6e}"
        )

    return compare


@pytest.fixture
def compare_masks(record_property):
    """Compares masks: `compare_masks(name, ours, golden)`."""

    def compare(name, ours, golden):
        ours, golden = np.asarray(ours, bool), np.asarray(golden, bool)
        assert ours.shape == golden.shape, name
        different = int((ours != golden).sum())
        record_property("golden", f"{name}: {different} of {golden.size} pixels differ")
        assert different <= MASK_SHARE * golden.size, f"{name}: {different} of {golden.size}"

    return compare


@pytest.fixture(scope="session")
def features():
    """VGG16 at the formula's weights, for RGB images."""
    params = vgg.make_params(goldens.vgg_arrays(), flip_channels=True)
    return lambda image: vgg.Vgg16().apply({"params": params}, image)


def pytest_terminal_summary(terminalreporter):
    """Lists the largest difference of every golden, of tests that failed too."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
    ]
    lines = [text for r in reports for name, text in r.user_properties if name == "golden"]
    if lines:
        terminalreporter.section("goldens")
        terminalreporter.write_line("\n".join(lines))
