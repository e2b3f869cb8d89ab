"""Several networks in one program: each as if it were alone, and no grouped convolution."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vidprior.model.generator import Generator
from vidprior.training import train_step, windows
from vidprior.training.side_by_side import side_by_side
from vidprior.types import DeviceClip, Window

pytestmark = pytest.mark.slow  # compiles

WEIGHTS = {"image": 1.0, "flow": 0.0, "consistency": 0.0, "perceptual": 0.0}
GENERATOR = Generator(channels=(4,), predict_flow=False)
OPTIMIZER = optax.adam(0.01)
NETWORKS = 3


@pytest.fixture(scope="module")
def clip(make_random_clip):
    made = make_random_clip(NETWORKS, (16, 24))
    return DeviceClip(frames=made.frames, hole=made.hole, noise=made.noise)


@pytest.fixture(scope="module")
def step():
    return train_step.make_train_step(generator=GENERATOR, optimizer=OPTIMIZER, weights=WEIGHTS)


@pytest.fixture(scope="module")
def states(random_params):
    """Networks of different parameters."""
    return [
        train_step.init_state(random_params(GENERATOR, seed=seed), optimizer=OPTIMIZER)
        for seed in range(NETWORKS)
    ]


@pytest.fixture(scope="module")
def listed():
    """A frame for each network."""
    return windows.list_windows(NETWORKS, length=1, strides=(1,), directions=("forward",))


def stacked(trees):
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def group(listed):
    """The windows in another order than the networks."""
    return Window(*(np.asarray(x)[[2, 0, 1]] for x in listed))


def test_each_network_is_fitted_as_if_it_were_alone(clip, step, states, listed):
    own = group(listed)
    together = jax.jit(side_by_side(step))
    alone = jax.jit(step)
    found = stacked(states)
    expected = list(states)
    for _ in range(2):
        found, losses = together(found, clip, own)
        each = [alone(state, clip, windows.select(own, k)) for k, state in enumerate(expected)]
        expected = [state for state, _ in each]
    np.testing.assert_allclose(losses["total"], [x["total"] for _, x in each], rtol=1e-5)
    assert len(set(np.asarray(losses["total"]).tolist())) == NETWORKS
    for one, other in zip(
        jax.tree.leaves(found.params), jax.tree.leaves(stacked(expected).params), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.step, [2] * NETWORKS)


def test_no_convolution_is_grouped(clip, step, states, listed):
    """As `vmap` groups them."""

    def groups(update):
        text = jax.jit(update).lower(stacked(states), clip, group(listed)).as_text()
        return {int(n) for n in re.findall(r"feature_group_count = (\d+)", text)}

    assert groups(side_by_side(step)) == {1}
    assert NETWORKS in groups(jax.vmap(step, in_axes=(0, None, 0)))
