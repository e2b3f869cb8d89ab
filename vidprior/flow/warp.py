"""Bilinear backward warping, and the two masks that say where a flow may be trusted.

Pixel (x, y) is column x and row y; (0, 0) is the centre of the first pixel.
`...` stands for any number of leading batch axes.
"""

import jax
import jax.numpy as jnp
import numpy as np

# A sample is valid where at least this share of its bilinear weight lies inside the image.
VALID_WEIGHT = 0.999

# The paper's occlusion test keeps a pixel where exp(-|error|^2 / 2) exceeds this.
RELIABLE_LIKELIHOOD = 0.5


def backward_warp(image: jax.Array, flow: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Samples `image` at p + flow(p): brings frame j to where frame i sees it.

    Differentiable in both arguments; the mask carries no gradient.

    Args:
      image: [..., H, W, C] float, frame j.
      flow: [..., H, W, 2] float, (x, y) in pixels, from frame i to frame j.

    Returns:
      The warped image, [..., H, W, C], zero where it samples outside, and
      `valid`, [..., H, W, 1] bool, true where the sample lies inside.

    Raises:
      ValueError: when the leading, row or column axes of both differ.
    """
    if image.shape[:-1] != flow.shape[:-1] or flow.shape[-1] != 2:
        raise ValueError(f"image {image.shape} and flow {flow.shape} do not fit each other")
    height, width = image.shape[-3:-1]
    warped, weight = sample(image, *_displaced(flow, height, width))
    valid = jax.lax.stop_gradient(weight)[..., None] >= VALID_WEIGHT
    return warped, valid


def sample(image: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Bilinear sampling at (x, y); what lies outside the image counts as zero.

    Args:
      image: [..., H, W, C] float.
      x: [..., H, W] columns.
      y: [..., H, W] rows.

    Returns:
      The samples, [..., H, W, C], and the share of each one's weight that lies
      inside the image, [..., H, W].
    """
    height, width, channels = image.shape[-3:]
    flat = image.reshape(-1, height * width, channels)
    x, y = x.reshape(-1, height * width), y.reshape(-1, height * width)
    left, top = jnp.floor(x), jnp.floor(y)

    samples = jnp.zeros_like(flat)
    inside_weight = jnp.zeros_like(x)
    for corner_x, corner_y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = left + corner_x, top + corner_y
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weight = jnp.where(inside, (1 - jnp.abs(x - column)) * (1 - jnp.abs(y - row)), 0)
        # Clipped as integers: a float that overflows the index saturates first.
        index = jnp.clip(row.astype(jnp.int32), 0, height - 1) * width + jnp.clip(
            column.astype(jnp.int32), 0, width - 1
        )
        corner = jnp.take_along_axis(flat, index[..., None], axis=1, mode="promise_in_bounds")
        samples += weight[..., None] * corner
        inside_weight += weight
    return samples.reshape(image.shape), inside_weight.reshape(image.shape[:-1])


def _displaced(flow: jax.Array, height: int, width: int) -> tuple[jax.Array, jax.Array]:
    """Columns and rows that the flow leads to, [..., H, W] each."""
    return flow[..., 0] + jnp.arange(width), flow[..., 1] + jnp.arange(height)[:, None]


def reliable(flow_forward: jax.Array, flow_backward: jax.Array) -> jax.Array:
    """The paper's O_ij: forward and backward flow cancel to within about a pixel.

    Keeps p where exp(-|F_ij(p) + F_ji(p + F_ij(p))|^2 / 2) > 0.5.

    Args:
      flow_forward: [..., H, W, 2] pixels, F_ij.
      flow_backward: [..., H, W, 2] pixels, F_ji.

    Returns:
      [..., H, W] bool.
    """
    returned, _ = backward_warp(flow_backward, flow_forward)
    error = jnp.sum(jnp.square(flow_forward + returned), axis=-1)
    return jnp.exp(-error / 2) > RELIABLE_LIKELIHOOD


def flow_hole(hole_source: np.ndarray, hole_target: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The paper's 1 - M^f_ij: flow that starts in, or leads to, a hole.

    A pixel leads to a hole where bilinear sampling gives a hole pixel any weight.

    Args:
      hole_source: [H, W] bool, the hole of frame i.
      hole_target: [H, W] bool, the hole of frame j.
      flow: [H, W, 2] pixels, F_ij.

    Returns:
      [H, W] bool.
    """
    height, width = hole_source.shape
    x = _sampled(np.arange(width, dtype=np.float32) + flow[..., 0], width)
    y = _sampled(np.arange(height, dtype=np.float32)[:, None] + flow[..., 1], height)
    left, top = np.floor(x), np.floor(y)
    # A border of known pixels stands for everything outside the frame.
    hole = np.pad(hole_target, 2)
    column = np.clip(left, -2, width).astype(np.int32) + 2
    row = np.clip(top, -2, height).astype(np.int32) + 2
    right, below = x > left, y > top
    touched = hole[row, column] | (right & hole[row, column + 1])
    touched |= below & (hole[row + 1, column] | (right & hole[row + 1, column + 1]))
    return hole_source | touched


def _sampled(position: np.ndarray, size: int) -> np.ndarray:
    """The same position, rounded as by a sampler whose coordinates lie in [-1, 1].

    The published code samples so. The rounding decides whether a whole-pixel flow
    touches its neighbour by 1e-6 or not at all, and with it the edge of
    `flow_hole`: hence NumPy, whose arithmetic no compiler rewrites.
    """
    span = np.float32(max(size - 1, 1))
    unit = np.float32(2) * position.astype(np.float32) / span - np.float32(1)
    return (unit + np.float32(1)) / np.float32(2) * span
