"""A network's vectors as one array: nothing is lost, and updates stay the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vidprior.training import optimizers, packing, train_step

PARAMS = {
    "deepen_0": {"bias": [1.0], "kernel": [[2.0]]},
    "deepen_0_norm": {"bias": [3.0, 4.0], "scale": [5.0, 6.0]},
    "image": {"kernel": [[7.0, 8.0]], "bias": [9.0, 10.0]},
}


@pytest.fixture
def params():
    return jax.tree.map(jnp.asarray, PARAMS, is_leaf=lambda x: isinstance(x, list))


def equal(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and jax.tree.all(
        jax.tree.map(np.array_equal, a, b)
    )


def test_vectors_lie_one_after_the_other(params):
    packed = packing.pack(params, params=params)
    assert packed.vectors.tolist() == [1, 3, 4, 5, 6, 9, 10]
    assert {layer: x["kernel"].tolist() for layer, x in packed.kernels.items()} == {
        "deepen_0": [[2]], "image": [[7, 8]],
    }  # fmt: skip
    assert equal(packing.unpack(packed), params)


def test_parameters_without_layers_stay_as_they_are():
    params = {"a": jnp.zeros(())}
    assert packing.pack({"mu": params}, params=params) == {"mu": params}


def test_networks_side_by_side_have_their_own(params):
    several = jax.tree.map(lambda x: jnp.stack([x, -x]), params)
    packed = packing.pack(several, params=several)
    assert packed.vectors.tolist() == [[1, 3, 4, 5, 6, 9, 10], [-1, -3, -4, -5, -6, -9, -10]]
    assert equal(packing.unpack(packed), several)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_an_optimizer_changes_packed_parameters_as_others(params, name):
    """Also where it masks a part, and with an average and the best parameters beside."""
    made = optimizers.make_optimizer(name, 0.1, b1=0.9, b2=0.99, eps=1e-8)
    state = train_step.init_state(params, optimizer=made)
    state = train_step.with_ema(train_step.with_best(state))
    packed = packing.pack(state, params=params)
    arrays = len(jax.tree.leaves(state)) - len(jax.tree.leaves(packed))
    assert arrays == (4 - 1) * len([state.params, state.best, state.ema, "mu", "nu"])
    assert equal(packing.unpack(packed), state)
    for sign in (1, -1):
        gradient = jax.tree.map(lambda x, sign=sign: sign * x + 1, params)
        there = packing.pack(gradient, params=params)
        changes, opt_state = made.update(gradient, state.opt_state, state.params)
        packed_changes, packed_opt_state = made.update(there, packed.opt_state, packed.params)
        state = state.replace(params=optax.apply_updates(state.params, changes))
        packed = packed.replace(params=optax.apply_updates(packed.params, packed_changes))
        assert equal(packing.unpack(packed.params), state.params)
        assert equal(packing.unpack(packed_opt_state), opt_state)
        state = state.replace(opt_state=opt_state)
        packed = packed.replace(opt_state=packed_opt_state)


def test_a_gradient_of_packed_parameters_is_packed(params):
    def squares(tree):
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(packing.unpack(tree)))

    found = jax.grad(squares)(packing.pack(params, params=params))
    assert equal(packing.unpack(found), jax.tree.map(lambda x: 2 * x, params))
