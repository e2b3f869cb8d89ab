"""The warp, its validity and both gradients; the reliability of flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity import goldens
from vidprior.flow import warp


@pytest.fixture(scope="module")
def golden():
    """Channels last."""
    return {name: np.moveaxis(x, -3, -1) for name, x in goldens.load("warp.npz").items()}


def positions(flow):
    """Columns and rows that the flow leads to."""
    height, width = flow.shape[-3:-1]
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return columns + flow[..., 0], rows[:, None] + flow[..., 1]


def rounded(position, size):
    """The way of the published sampler's coordinates through [-1, 1], in float32."""
    unit = 2 * position / np.float32(size - 1) - 1
    return (unit + 1) / 2 * np.float32(size - 1)


def test_warp(golden, compare, compare_masks):
    def total(image, flow):
        warped, valid = warp.backward_warp(image, flow)
        return jnp.sum(warped * golden["cotangent"] * valid), (warped, valid)

    gradients, (warped, valid) = jax.jit(jax.grad(total, (0, 1), has_aux=True))(
        golden["image"], golden["flow"]
    )
    compare_masks("warp: valid", valid, golden["valid"])
    # On a whole pixel bilinear interpolation has a kink, and no derivative.
    smooth = np.stack([np.abs(p - np.round(p)) > 1e-4 for p in positions(golden["flow"])], -1)
    assert smooth.any()
    for name, ours, where in (
        ("warped", warped, ...),
        ("grad_image", gradients[0], ...),
        ("grad_flow", gradients[1], smooth),
    ):
        expected = golden[name]
        allowed = 1e-5 * np.abs(expected).max()
        compare(f"warp: {name}", np.asarray(ours)[where], expected[where], allowed)


def test_gradient_on_whole_pixels(golden, compare):
    """Of the two one-sided derivatives the published one follows from its rounding."""
    height, width = golden["flow"].shape[-3:-1]
    x, y = positions(golden["flow"])

    def total(x, y):
        return jnp.sum(
            warp.sample(golden["image"], x, y)[0] * golden["cotangent"] * golden["valid"]
        )

    gradients = jax.jit(jax.grad(total, (0, 1)))(rounded(x, width), rounded(y, height))
    expected = golden["grad_flow"]
    allowed = 1e-5 * np.abs(expected).max()
    compare("warp: grad_flow as rounded", np.stack(gradients, axis=-1), expected, allowed)


@pytest.mark.parametrize(("here", "there"), [("forward", "backward"), ("backward", "forward")])
def test_reliability(compare_masks, here, there):
    golden = goldens.load("reliability.npz")
    ours = jax.jit(warp.reliable)(
        np.moveaxis(golden[f"flow_{here}"], 0, -1), np.moveaxis(golden[f"flow_{there}"], 0, -1)
    )
    compare_masks(f"reliability: {here}", ours, golden[f"reliable_{here}"])
