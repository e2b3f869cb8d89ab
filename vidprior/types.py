"""The containers that modules exchange, and the conventions of the project.

Letters
    T  frames of the clip            N  frames of a window
    H  rows, W  columns              C  colour channels, RGB
    K  flow offsets d, in the order of `OFFSETS` unless a container has its own
    P  pairs (i, j) of a window with flow and consistency losses

Arrays are channels last. Colour is RGB: `uint8` in 0..255, `float32` in [0, 1]. `hole` is
1 (True) where content is missing; the paper's M is its opposite. Flow is (x, y) in pixels
of the array that it indexes: `flow[i]` with offset d leads from a pixel of frame i to its
place in frame i + d.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import struct

# f1 b1 f3 b3 f5 b5: the order of the network's flow channels.
OFFSETS = (1, -1, 3, -3, 5, -5)

Array = jax.Array | np.ndarray
Params = Mapping[str, Any]  # a tree of arrays

# VGG16 with its parameters: maps [N, H, W, 3] in [0, 1] to one [N, h, w, c] per layer.
Features = Callable[[jax.Array], tuple[jax.Array, ...]]


class Flows(NamedTuple):
    """Estimated optical flow of a clip, on the host: the content of a flow file.

    Attributes:
      offsets: [K] int32, the frame distance d of each flow, never 0.
      flow: [K, T, H, W, 2] float16 or float32, pixels; zero where `exists` is False.
      reliable: [K, T, H, W] bool, the paper's O: forward and backward flow agree.
      exists: [K, T] bool, False where frame i + d lies outside the clip.
      estimator: name of the estimator and what identifies its weights.
      source_sha256: hash of the clip's frames; see `flow_file.frames_sha256`.
    """

    offsets: np.ndarray
    flow: np.ndarray
    reliable: np.ndarray
    exists: np.ndarray
    estimator: str
    source_sha256: str


class Origins(NamedTuple):
    """Where the n pixels of a hole come from, in the order of `np.nonzero(hole)`.

    Attributes:
      frame: [n, M] int32, number of a frame of the clip; -1 for none.
      place: [n, M, 2] float32, (x, y) in that frame, pixels.
      weight: [n, M] float32, in the mean; the rest, up to 1, has no origin.
    """

    frame: np.ndarray
    place: np.ndarray
    weight: np.ndarray


class Propagated(NamedTuple):
    """A clip whose hole is filled with propagated pixels, on the host.

    Attributes:
      frames: [T, H, W, 3] uint8; those of the clip outside the hole and held-out pixels.
      confidence: [T, H, W] float16 in [0, 1], of propagated pixels; 0 elsewhere.
      held_out: [T, H, W] bool, held-out pixels: known, but filled like the hole, so that
        errors can be measured there; never in the hole.
      origins: of the hole's pixels; None in files of earlier versions.
      unseen: [T, H, W] bool, pixels of the hole that no frame shows: they are guessed; None
        in files of earlier versions.
    """

    frames: np.ndarray
    confidence: np.ndarray
    held_out: np.ndarray
    origins: Origins | None = None
    unseen: np.ndarray | None = None


@struct.dataclass
class DeviceClip:
    """Everything that an update reads, resident on the device.

    Attributes:
      frames: [T, H, W, 3] uint8.
      hole: [T, H, W] bool.
      noise: [T, H, W, 1] float32 in [0, 0.1), the fixed input of the generator.
      flow: [K, T, H, W, 2] float16 or float32, pixels; None without flow losses.
      flow_known: [K, T, H, W] bool, M^f and O together: outside the holes of both
        frames, and reliable. Mask of the flow loss.
      flow_hole: [K, T, H, W] bool, 1 - M^f. Mask of the consistency loss.
      flow_scale: [K] float32, pixels for one unit of the network's flow output.
      features: VGG features of the frames, one [T, h, w, c] per layer; None without the
        perceptual loss, or if each update computes them.
      feature_hole: one [T, h, w] bool per layer; None without the perceptual loss.
      propagated: [T, H, W, 3] uint8, as in `Propagated`; None without that loss.
      confidence: [T, H, W] float16, as in `Propagated`; None without that loss.
    """

    frames: Array
    hole: Array
    noise: Array
    flow: Array | None = None
    flow_known: Array | None = None
    flow_hole: Array | None = None
    flow_scale: Array | None = None
    features: tuple[Array, ...] | None = None
    feature_hole: tuple[Array, ...] | None = None
    propagated: Array | None = None
    confidence: Array | None = None


class Window(NamedTuple):
    """The frames of one update as index arrays: data, never Python branches.

    A list of windows is the same container with a leading axis.

    Attributes:
      frames: [N] int32, indices into the clip.
      source: [P] int32, position within the window of frame i of each pair.
      target: [P] int32, position within the window of frame j of each pair.
      offset: [P] int32, index k into the clip's offsets, so that
        frames[target] - frames[source] == offsets[offset]. One for all pairs of a window.
    """

    frames: Array
    source: Array
    target: Array
    offset: Array


class Batch(NamedTuple):
    """One window's data, gathered from a `DeviceClip`: float32, N frames and P pairs.

    Attributes:
      noise: [N, H, W, 1].
      image: [N, H, W, 3] in [0, 1].
      hole: [N, H, W, 1], 0 or 1.
      source, target, offset: as in `Window`.
      flow: [P, H, W, 2] pixels, or None.
      flow_known, flow_hole: [P, H, W, 1], 0 or 1, or None.
      flow_scale: [P] float32, or None.
      features: one [N, h, w, c] per VGG layer, or None.
      feature_hole: one [N, h, w, 1] per VGG layer, 0 or 1, or None.
      propagated: [N, H, W, 3] in [0, 1], or None.
      confidence: [N, H, W, 1] in [0, 1], 0 where training knows the pixel, or None.
    """

    noise: jax.Array
    image: jax.Array
    hole: jax.Array
    source: jax.Array
    target: jax.Array
    offset: jax.Array
    flow: jax.Array | None = None
    flow_known: jax.Array | None = None
    flow_hole: jax.Array | None = None
    flow_scale: jax.Array | None = None
    features: tuple[jax.Array, ...] | None = None
    feature_hole: tuple[jax.Array, ...] | None = None
    propagated: jax.Array | None = None
    confidence: jax.Array | None = None


class Prediction(NamedTuple):
    """The generator's output for a window.

    Attributes:
      image: [N, H, W, 3] float32 in (0, 1).
      flow: [N, H, W, K, 2] float32, in units of `DeviceClip.flow_scale`; K is 1 if one offset
        was asked for; None without a flow head.
    """

    image: jax.Array
    flow: jax.Array | None
