"""Bilinear backward warping, and the two masks of where a flow can be trusted.

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
    """Samples `image` at p + flow(p): aligns frame j with frame i.

    Differentiable in both arguments; the mask carries no gradient.

    Args:
      image: [..., H, W, C] float, frame j.
      flow: [..., H, W, 2] float, (x, y) in pixels, from frame i to frame j.

    Returns:
      The warped image, [..., H, W, C], zero where the sample lies outside, and
      `valid`, [..., H, W, 1] bool, True where it lies inside.

    Raises:
      ValueError: the leading, row or column axes of both differ.
    """
    if image.shape[:-1] != flow.shape[:-1] or flow.shape[-1] != 2:
        raise ValueError(f"image {image.shape} and flow {flow.shape} do not fit each other")
    height, width = image.shape[-3:-1]
    warped, weight = sample(image, *_displaced(flow, height, width))
    valid = jax.lax.stop_gradient(weight)[..., None] >= VALID_WEIGHT
    return warped, valid


def sample(image: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Bilinear sampling at (x, y); outside the image there are zeros.

    Args:
      image: [..., H, W, C] float.
      x: [..., H, W] columns.
      y: [..., H, W] rows.

    Returns:
      The samples, [..., H, W, C], and the share of their bilinear weight that lies
      inside the image, [..., H, W].
    """
    height, width, channels = image.shape[-3:]
    flat = image.reshape(-1, height * width, channels)
    x, y = x.reshape(-1, height * width), y.reshape(-1, height * width)
    left, top = jnp.floor(x), jnp.floor(y)

    weights, places = [], []
    for corner_x, corner_y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = left + corner_x, top + corner_y
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weight = jnp.where(inside, (1 - jnp.abs(x - column)) * (1 - jnp.abs(y - row)), 0)
        # Clipped as integers: the conversion saturates floats that would overflow.
        place = jnp.clip(row.astype(jnp.int32), 0, height - 1) * width + jnp.clip(
            column.astype(jnp.int32), 0, width - 1
        )
        weights.append(weight)
        places.append(place)
    samples, inside_weight = jnp.zeros_like(flat), jnp.zeros_like(x)
    for weight, corner in zip(weights, _look_up(flat, *places), strict=True):
        samples += weight[..., None] * corner
        inside_weight += weight
    return samples.reshape(image.shape), inside_weight.reshape(image.shape[:-1])


@jax.custom_vjp
def _look_up(flat: jax.Array, *places: jax.Array) -> tuple[jax.Array, ...]:
    """For each of several [B, M] int32 places, what a [B, N, C] array has there: [B, M, C].

    All gradients are added to the array at once: one scatter instead of one for each.
    """
    return tuple(
        jnp.take_along_axis(flat, place[..., None], axis=1, mode="promise_in_bounds")
        for place in places
    )


def _look_up_forward(
    flat: jax.Array, *places: jax.Array
) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    return _look_up(flat, *places), (flat, *places)


def _look_up_backward(
    residuals: tuple[jax.Array, ...], cotangents: tuple[jax.Array, ...]
) -> tuple[jax.Array | None, ...]:
    flat, *places = residuals
    where = jnp.arange(len(flat))[:, None], jnp.concatenate(places, axis=1)
    changes = jnp.concatenate(cotangents, axis=1)
    summed = jnp.zeros_like(flat).at[where].add(changes, mode="promise_in_bounds")
    return summed, *(None for _ in places)


_look_up.defvjp(_look_up_forward, _look_up_backward)


def _displaced(flow: jax.Array, height: int, width: int) -> tuple[jax.Array, jax.Array]:
    """Columns and rows to which the flow leads, [..., H, W] each."""
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
    """The paper's 1 - M^f_ij: flow that starts in a hole or leads to one.

    Flow leads to a hole if bilinear sampling gives any weight to a hole pixel.

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
    # A border of known pixels represents everything outside the frame.
    hole = np.pad(hole_target, 2)
    column = np.clip(left, -2, width).astype(np.int32) + 2
    row = np.clip(top, -2, height).astype(np.int32) + 2
    right, below = x > left, y > top
    touched = hole[row, column] | (right & hole[row, column + 1])
    touched |= below & (hole[row + 1, column] | (right & hole[row + 1, column + 1]))
    return hole_source | touched


def _sampled(position: np.ndarray, size: int) -> np.ndarray:
    """The position rounded as by a sampler with coordinates in [-1, 1].

    The published code samples this way. The rounding decides whether a whole-pixel flow
    touches its neighbour by 1e-6 or not at all, which changes the edge of `flow_hole`.
    Hence NumPy: no compiler rewrites its arithmetic.
    """
    span = np.float32(max(size - 1, 1))
    unit = np.float32(2) * position.astype(np.float32) / span - np.float32(1)
    return (unit + np.float32(1)) / np.float32(2) * span
