"""From frames, hole and flow to a `DeviceClip`: all masks and targets, derived once."""

import dataclasses
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from vidprior.flow.warp import flow_hole
from vidprior.model.vgg import feature_holes
from vidprior.training.feature_cache import FeatureCache
from vidprior.types import DeviceClip, Features, Flows, Propagated


def make_noise(seed: int, num_frames: int, size: tuple[int, int], *, high: float) -> np.ndarray:
    """The generator's fixed input N_i (appendix B): uniform in [0, high).

    NumPy draws it, since its stream does not change with the version of JAX: a checkpoint
    renders the same frames later.

    Returns:
      [T, H, W, 1] float32.
    """
    random = np.random.default_rng([seed, zlib.crc32(b"noise")])
    return random.random((num_frames, *size, 1), np.float32) * np.float32(high)


def flow_scales(flows: Flows) -> np.ndarray:
    """Pixels for one unit of the network's flow output, for each offset.

    The largest absolute flow value of the clip at that frame distance, over both
    directions and both components; at least 1.

    Returns:
      [K] float32.
    """
    largest = np.array([np.abs(flow).max(initial=0) for flow in flows.flow], np.float32)
    distance = np.abs(flows.offsets)
    by_distance = {d: max(largest[distance == d].max(), 1) for d in distance}
    return np.array([by_distance[d] for d in distance], np.float32)


def make_clip(
    frames: np.ndarray,
    hole: np.ndarray,
    noise: np.ndarray,
    *,
    flows: Flows | None = None,
    features: Features | None = None,
    keep_features: bool = True,
    propagated: Propagated | None = None,
) -> DeviceClip:
    """Puts everything that an update reads on the device.

    Args:
      frames: [T, H, W, 3] uint8 RGB.
      hole: [T, H, W] bool.
      noise: [T, H, W, 1] float32.
      flows: of the clip; None without flow terms.
      features: VGG16 with its parameters bound, for the perceptual term.
      keep_features: computes the features of all frames. Otherwise a `FeatureCache` adds
        them, or each update computes those of its window.
      propagated: of the clip, for the loss `propagated`; None without it.
    """
    clip = DeviceClip(frames=jnp.asarray(frames), hole=jnp.asarray(hole), noise=jnp.asarray(noise))
    if flows is not None:
        in_hole = np.stack(
            [
                _flow_hole(hole, flow, int(d))
                for flow, d in zip(flows.flow, flows.offsets, strict=True)
            ]
        )
        known = flows.reliable & flows.exists[:, :, None, None] & ~in_hole
        clip = dataclasses.replace(
            clip,
            flow=jnp.asarray(flows.flow),
            flow_known=jnp.asarray(known),
            flow_hole=jnp.asarray(in_hole),
            flow_scale=jnp.asarray(flow_scales(flows)),
        )
    if propagated is not None:
        clip = dataclasses.replace(
            clip,
            propagated=jnp.asarray(propagated.frames),
            confidence=jnp.asarray(propagated.confidence),
        )
    if features is not None:
        clip = dataclasses.replace(clip, feature_hole=jax.jit(feature_holes)(clip.hole))
        if keep_features:
            clip = FeatureCache(features, frames).fill(clip, np.arange(len(frames)))
    return clip


def _flow_hole(hole: np.ndarray, flow: np.ndarray, offset: int) -> np.ndarray:
    """[T, H, W] bool for one offset; no pair reads it for frames without a partner."""
    num_frames = len(hole)
    start, stop = max(0, -offset), min(num_frames, num_frames - offset)
    result = hole.copy()
    for i in range(start, stop):
        result[i] = flow_hole(hole[i], hole[i + offset], flow[i])
    return result
