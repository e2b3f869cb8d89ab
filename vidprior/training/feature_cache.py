"""VGG features of a clip's frames, computed when an update first needs them.

The features of all frames take as long as about ten updates; this way the first update
waits only for its own frames.
"""

import dataclasses
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from vidprior.runtime import compiler_options
from vidprior.types import Array, DeviceClip, Features


class FeatureCache:
    """Features on the device; memory for all frames is allocated at once.

    Each frame is computed by itself, so its bits do not depend on the order of requests.
    """

    def __init__(self, features: Features, frames: Array):
        """Allocates the arrays; computes nothing yet.

        Args:
          features: VGG16 with its parameters bound.
          frames: [T, H, W, 3] uint8.
        """

        def put(arrays: tuple[jax.Array, ...], frames: jax.Array, number: jax.Array):
            image = jax.lax.dynamic_slice_in_dim(frames, number, 1).astype(jnp.float32) / 255
            return tuple(
                jax.lax.dynamic_update_slice_in_dim(array, layer, number, axis=0)
                for array, layer in zip(arrays, features(image), strict=True)
            )

        one = jax.ShapeDtypeStruct((1, *frames.shape[1:]), jnp.float32)
        self._arrays = tuple(
            jnp.zeros((len(frames), *layer.shape[1:]), layer.dtype)
            for layer in jax.eval_shape(features, one)
        )
        self._frames = jnp.asarray(frames)
        self._missing = np.ones(len(frames), bool)
        self._put = jax.jit(put, donate_argnums=0, compiler_options=compiler_options())

    def require(self, frames: Iterable[int]) -> tuple[jax.Array, ...]:
        """Computes the features of some frames, unless they are computed already.

        Args:
          frames: numbers of the frames that are needed.

        Returns:
          One [T, h, w, c] per layer, zero for frames never requested. The next call
          donates these arrays: do not keep them.
        """
        for number in sorted(set(map(int, frames))):
            if self._missing[number]:
                self._arrays = self._put(self._arrays, self._frames, np.int32(number))
                self._missing[number] = False
        return self._arrays

    def fill(self, clip: DeviceClip, frames: Array | Iterable[int]) -> DeviceClip:
        """The clip with the features of `require`; `frames` has any shape."""
        return dataclasses.replace(clip, features=self.require(np.ravel(np.asarray(frames))))
