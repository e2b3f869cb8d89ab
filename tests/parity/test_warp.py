"""The warp, its validity and both gradients; the reliability of flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity import goldens
from vidprior import warp


def channels_last(x):
    return np.moveaxis(x, -3, -1)


def test_warp(compare, compare_masks):
    golden = {name: channels_last(x) for name, x in goldens.load("warp.npz").items()}

    def total(image, flow):
        warped, valid = warp.backward_warp(image, flow)
        return jnp.sum(warped * golden["cotangent"] * valid), (warped, valid)

    gradients, (warped, valid) = jax.jit(jax.grad(total, (0, 1), has_aux=True))(
        golden["image"], golden["flow"]
    )
    compare_masks("warp: valid", valid, golden["valid"])
    for name, ours in {
        "warped": warped,
        "grad_image": gradients[0],
        "grad_flow": gradients[1],
    }.items():
        compare(f"warp: {name}", ours, golden[name], 1e-5 * np.abs(golden[name]).max())


@pytest.mark.parametrize(
    ("here", "there"), [("forward", "backward"), ("backward", "forward")]
)
def test_reliability(compare_masks, here, there):
    golden = goldens.load("reliability.npz")
    ours = jax.jit(warp.reliable)(
        channels_last(golden[f"flow_{here}"]), channels_last(golden[f"flow_{there}"])
    )
    compare_masks(f"reliability: {here}", ours, golden[f"reliable_{here}"])
