"""The four losses of Equation 2, and one that is not the paper's, as functions of arrays.

Each loss is a mean over *all* elements: masks set entries to zero and do not change the
divisor, as in the published code. Colours are in [0, 1]; masks are float32, 0 or 1, with
a last axis of size 1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vidprior.flow.warp import backward_warp


def image_loss(prediction: jax.Array, image: jax.Array, hole: jax.Array) -> jax.Array:
    """L_r, Equation 3: squared error on known pixels.

    Args:
      prediction: [N, H, W, 3], the generated frames.
      image: [N, H, W, 3], the frames of the clip.
      hole: [N, H, W, 1].

    Returns:
      A scalar.
    """
    return jnp.mean(jnp.square((1 - hole) * (prediction - image)))


def flow_loss(prediction: jax.Array, flow: jax.Array, known: jax.Array) -> jax.Array:
    """L_f, Equation 4: squared error on known, reliable flow.

    Args:
      prediction: [P, H, W, 2], generated flow in units of the clip's flow scale.
      flow: [P, H, W, 2], estimated flow in the same units.
      known: [P, H, W, 1], O_ij and M^f_ij together.

    Returns:
      A scalar.
    """
    return jnp.mean(jnp.square(known * (prediction - flow)))


def consistency_loss(
    target: jax.Array, source: jax.Array, flow: jax.Array, flow_hole: jax.Array
) -> jax.Array:
    """L_c, Equation 5: in the hole, frame j warped along the generated flow equals frame i.

    Frame i is constant: the gradient reaches frame j and the flow.

    Args:
      target: [P, H, W, 3], generated frames j.
      source: [P, H, W, 3], generated frames i.
      flow: [P, H, W, 2], generated flow from i to j, pixels.
      flow_hole: [P, H, W, 1], 1 - M^f_ij.

    Returns:
      A scalar.
    """
    warped, valid = backward_warp(target, flow)
    error = warped - jax.lax.stop_gradient(source)
    return jnp.mean(jnp.square(flow_hole * valid * error))


def perceptual_loss(
    prediction: Sequence[jax.Array], features: Sequence[jax.Array], holes: Sequence[jax.Array]
) -> jax.Array:
    """L_p, Equation 6: squared error on known features.

    Args:
      prediction: one [N, h, w, c] per layer, features of the generated frames.
      features: one [N, h, w, c] per layer, features of the clip's frames.
      holes: one [N, h, w, 1] per layer.

    Returns:
      A scalar: the sum of the layers' means.
    """
    terms = [
        jnp.mean(jnp.square((1 - hole) * (ours.astype(hole.dtype) - theirs.astype(hole.dtype))))
        for ours, theirs, hole in zip(prediction, features, holes, strict=True)
    ]
    return jnp.sum(jnp.stack(terms))


def propagated_loss(
    prediction: jax.Array, propagated: jax.Array, confidence: jax.Array
) -> jax.Array:
    """Squared error on propagated pixels, weighted by their confidence. Not the paper's.

    Args:
      prediction: [N, H, W, 3], the generated frames.
      propagated: [N, H, W, 3], propagated pixels.
      confidence: [N, H, W, 1] in [0, 1], 0 where training knows the pixel.

    Returns:
      A scalar.
    """
    return jnp.mean(confidence * jnp.square(prediction - propagated))
