"""The memory that a segment will take, predicted from its size and configuration.

The sums follow the arrays that a run holds; the factors are estimates. docs/develop/scale.md
compares them with what runs took.
"""

from ml_collections import ConfigDict

from vidprior import runtime
from vidprior.run import build
from vidprior.types import OFFSETS

# Python with JAX and OpenCV.
BASE = 350 << 20
# Tracing and compiling an update.
_COMPILING = 1180 << 20
# Bytes of a pixel of a frame at training size: frames, masks, propagated pixels, copies of them.
_PROPAGATED = 48
# Of the flow of all offsets: float16 vectors and two masks each, twice while they are made.
_FLOW = 2 * len(OFFSETS) * 6
# Of the clip on the device without flow.
_CLIP = 24
# An update keeps about so many float32 arrays for each channel of each scale of the network: 14 to
# 16 by XLA's own count, half as many more since memory that was freed stays with the process.
_ACTIVATIONS = 24
# VGG16 in an update, for each pixel of a window: XLA's temporaries, with those of the gradient.
_VGG = 3900
# The features that are kept of a clip, in float32 for each pixel: 64, 128 and 256 channels.
_FEATURES = 4 * (64 + 128 // 4 + 256 // 16)
# Of a source frame: decoded, composited, and kept for detail, with up to 121 masks and copies.
_SOURCE = 160


def predict_bytes(config: ConfigDict, shape: tuple[int, int, int], source: tuple[int, int]) -> int:
    """Bytes of memory that fitting a segment takes at most.

    Args:
      config: of the segment.
      shape: [T, H, W] of its frames at training size.
      source: (h, w) of the source.
    """
    frames, height, width = shape
    pixels = frames * height * width
    total = BASE + _PROPAGATED * pixels + _SOURCE * source[0] * source[1]
    total += frames * source[0] * source[1]  # masks
    if build.needs_flow(config) or build.needs_propagated(config):
        total += _FLOW * pixels
    if build.trains(config):
        window = min(config.window.length, frames) * height * width
        channels = config.model.channels
        kept = sum(count / 4**scale for scale, count in enumerate(channels))
        total += _COMPILING + _CLIP * pixels + int(4 * _ACTIVATIONS * kept * window)
        if config.loss.perceptual:
            total += _VGG * window
            if build.keeps_bytes(config, _FEATURES * pixels, runtime.machine_memory()):
                total += _FEATURES * pixels
    return int(total)
