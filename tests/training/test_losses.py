"""The four terms, by hand and against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior.training import losses

pytestmark = pytest.mark.slow  # compiles


def test_image_loss_by_hand():
    # One frame of two pixels. Known: errors 0.1, 0.2 and 0; hole: anything.
    prediction = jnp.array([[[[0.5, 0.6, 0.3], [0.9, 0.9, 0.9]]]])
    image = jnp.array([[[[0.4, 0.8, 0.3], [0.1, 0.2, 0.3]]]])
    hole = jnp.array([[[[0.0], [1.0]]]])
    # (0.01 + 0.04 + 0 + 0 + 0 + 0) / 6: the divisor counts the hole too.
    assert losses.image_loss(prediction, image, hole) == pytest.approx(0.05 / 6)
    # Without a hole, 0.64 + 0.49 + 0.36 more.
    assert losses.image_loss(prediction, image, 0 * hole) == pytest.approx(1.54 / 6)


def test_flow_loss_by_hand():
    # Two pairs of one pixel: errors (1, -2) known, (3, 0) not.
    prediction = jnp.array([[[[2.0, 1.0]]], [[[4.0, 0.0]]]])
    flow = jnp.array([[[[1.0, 3.0]]], [[[1.0, 0.0]]]])
    known = jnp.array([[[[1.0]]], [[[0.0]]]])
    # (1 + 4) / 4 elements
    assert losses.flow_loss(prediction, flow, known) == pytest.approx(5 / 4)
    # (1 + 4 + 9 + 0) / 4
    assert losses.flow_loss(prediction, flow, jnp.ones_like(known)) == pytest.approx(14 / 4)


def test_propagated_loss_by_hand():
    # One frame of two pixels: errors 0.1, 0.2 and 0 at confidence 0.5; anything at none.
    prediction = jnp.array([[[[0.5, 0.6, 0.3], [0.9, 0.9, 0.9]]]])
    filled = jnp.array([[[[0.4, 0.8, 0.3], [0.1, 0.2, 0.3]]]])
    confidence = jnp.array([[[[0.5], [0.0]]]])
    # 0.5 (0.01 + 0.04) / 6: confidence weighs the square.
    assert losses.propagated_loss(prediction, filled, confidence) == pytest.approx(0.025 / 6)


def test_consistency_loss_by_hand():
    # Frame j is 0.1 0.2 0.3 0.4; flow of a pixel to the right brings 0.2 0.3 0.4 and
    # nothing to frame i, which is 0.5 all over.
    target = jnp.array([0.1, 0.2, 0.3, 0.4]).reshape(1, 1, 4, 1)
    source = jnp.full((1, 1, 4, 1), 0.5)
    flow = jnp.broadcast_to(jnp.array([1.0, 0.0]), (1, 1, 4, 2))
    everywhere = jnp.ones((1, 1, 4, 1))
    consistency_loss = jax.jit(losses.consistency_loss)
    # 0.09 + 0.04 + 0.01; the last pixel leads outside and is not valid. Divisor 4.
    assert consistency_loss(target, source, flow, everywhere) == pytest.approx(0.14 / 4)
    # In the hole of the flow alone: the second pixel.
    flow_hole = jnp.array([0.0, 1.0, 0.0, 1.0]).reshape(1, 1, 4, 1)
    assert consistency_loss(target, source, flow, flow_hole) == pytest.approx(0.04 / 4)


def test_consistency_holds_frame_i_fixed():
    target = jnp.array([0.1, 0.2, 0.3, 0.4]).reshape(1, 1, 4, 1)
    source = jnp.full((1, 1, 4, 1), 0.5)
    flow = jnp.broadcast_to(jnp.array([0.5, 0.0]), (1, 1, 4, 2))
    everywhere = jnp.ones((1, 1, 4, 1))
    to_target, to_source, to_flow = jax.jit(jax.grad(losses.consistency_loss, (0, 1, 2)))(
        target, source, flow, everywhere
    )
    assert not np.asarray(to_source).any()
    # Warped: 0.15, 0.25, 0.35, and half of 0.4, not valid. Errors: -0.35, -0.25, -0.15.
    # By d/dw of (w - i)^2 / 4 and the weights 1/2 of both neighbours:
    expected = np.array([-0.35, -0.35 - 0.25, -0.25 - 0.15, -0.15]) * 2 / 4 / 2
    assert np.allclose(to_target[0, 0, :, 0], expected)
    # The warped image rises by 0.1 a pixel.
    expected = np.array([-0.35, -0.25, -0.15, 0]) * 2 / 4 * 0.1
    assert np.allclose(to_flow[0, 0, :, 0], expected, atol=1e-6)


def test_perceptual_loss_by_hand():
    ours = (jnp.array([[[[1.0, 2.0]], [[3.0, 4.0]]]]), jnp.array([[[[2.0]]]]))
    theirs = (jnp.zeros((1, 2, 1, 2)), jnp.array([[[[5.0]]]]))
    holes = (jnp.array([[[[0.0]], [[1.0]]]]), jnp.zeros((1, 1, 1, 1)))
    # (1 + 4) / 4 of the first layer, 9 / 1 of the second: layers' means are summed.
    assert losses.perceptual_loss(ours, theirs, holes) == pytest.approx(1.25 + 9)


def test_perceptual_loss_takes_narrow_features():
    ours = (jnp.full((1, 1, 1, 2), 1.0, jnp.bfloat16),)
    theirs = (jnp.full((1, 1, 1, 2), 257.0, jnp.float32),)
    loss = losses.perceptual_loss(ours, theirs, (jnp.zeros((1, 1, 1, 1)),))
    assert loss.dtype == jnp.float32
    assert loss == 256.0**2


def test_perceptual_loss_needs_all_layers():
    layer = jnp.zeros((1, 1, 1, 1))
    with pytest.raises(ValueError, match="zip"):
        losses.perceptual_loss((layer, layer), (layer,), (layer, layer))


def test_masked_elements_get_no_gradient():
    random = np.random.default_rng(0)
    prediction, image = random.random((2, 2, 4, 5, 3), np.float32)
    hole = (random.random((2, 4, 5, 1)) < 0.4).astype(np.float32)
    to_image = jax.jit(jax.grad(losses.image_loss))(jnp.asarray(prediction), image, hole)
    expected = 2 * (1 - hole) * (prediction - image) / prediction.size
    assert np.allclose(to_image, expected, atol=1e-7)
    flow, wanted = random.normal(size=(2, 2, 4, 5, 2)).astype(np.float32)
    to_flow = jax.jit(jax.grad(losses.flow_loss))(jnp.asarray(flow), wanted, 1 - hole)
    assert np.allclose(to_flow, 2 * (1 - hole) * (flow - wanted) / flow.size, atol=1e-6)
