"""Shared by several test files: small random clips, flows and networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior.types import OFFSETS, Clip, Flows


@pytest.fixture(scope="session")
def make_flows():
    """Builds random `Flows` of [K, T, H, W]; pairs that leave the clip do not exist."""

    def make(num_frames, size, *, offsets=OFFSETS, seed=0):
        random = np.random.default_rng(seed)
        offsets = np.array(offsets, np.int32)
        partner = np.arange(num_frames) + offsets[:, None]
        exists = (partner >= 0) & (partner < num_frames)
        shape = (*exists.shape, *size)
        flow = random.normal(0, 2, (*shape, 2)) * exists[:, :, None, None, None]
        reliable = (random.random(shape) < 0.7) & exists[:, :, None, None]
        return Flows(offsets, flow.astype(np.float16), reliable, exists, "random", "0" * 64)

    return make


@pytest.fixture(scope="session")
def make_random_clip():
    """Builds a `Clip` whose every array is drawn by itself; two layers of features."""

    def make(num_frames, size, *, seed=0):
        random = np.random.default_rng(seed)
        frames_shape, flow_shape = (num_frames, *size), (len(OFFSETS), num_frames, *size)
        half = (num_frames, size[0] // 2, size[1] // 2)
        arrays = Clip(
            frames=random.integers(0, 256, (*frames_shape, 3), np.uint8),
            hole=random.random(frames_shape) < 0.2,
            noise=random.random((*frames_shape, 1), np.float32) * np.float32(0.1),
            flow=random.normal(0, 2, (*flow_shape, 2)).astype(np.float16),
            flow_known=random.random(flow_shape) < 0.6,
            flow_hole=random.random(flow_shape) < 0.4,
            flow_scale=random.uniform(1, 9, len(OFFSETS)).astype(np.float32),
            features=tuple(random.random((*s, 3), np.float32) for s in (frames_shape, half)),
            feature_hole=tuple(random.random(s) < 0.3 for s in (frames_shape, half)),
        )
        return jax.tree.map(jnp.asarray, arrays)

    return make


@pytest.fixture(scope="session")
def random_params():
    """Draws a generator's parameters in NumPy: `Generator.init` takes seconds to compile."""

    def draw(generator, *, seed=0):
        shapes = jax.eval_shape(
            generator.init, jax.random.key(0), jnp.zeros((1, 32, 32, 1), jnp.float32)
        )["params"]
        random = np.random.default_rng(seed)

        def leaf(path, shape):
            x = random.uniform(-1, 1, shape.shape).astype(np.float32)
            if path[-1].key == "scale":
                return jnp.asarray(1 + x / 10)
            fan_in = np.prod(shape.shape[:-1]) if path[-1].key == "kernel" else 16
            return jnp.asarray(x / np.sqrt(np.float32(fan_in)))

        return jax.tree_util.tree_map_with_path(leaf, shapes)

    return draw
