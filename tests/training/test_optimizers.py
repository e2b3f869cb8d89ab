"""Adam, and Muon, which orthogonalises what changes a kernel."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st

from vidprior.model.generator import Generator
from vidprior.training import optimizers

pytestmark = pytest.mark.slow  # compiles

ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}


def first_change(kind, gradient, *, rate=0.5, **fields):
    """How the first update changes parameters that have a gradient."""
    made = optimizers.make_optimizer(kind, rate, **{**ADAM, **fields})
    return jax.jit(lambda gradient: made.update(gradient, made.init(gradient), gradient)[0])(
        gradient
    )


def layer(gradient, name="deepen_0", leaf="kernel"):
    return {name: {leaf: jnp.asarray(gradient, jnp.float32)}}


def test_adam_is_adam_with_its_fields():
    gradient = layer([[1.0, -3.0]])
    changed = first_change("adam", gradient, b1=0.8, b2=0.9, eps=1e-3)
    reference = optax.adam(0.5, b1=0.8, b2=0.9, eps=1e-3)
    expected = jax.jit(reference.update)(gradient, reference.init(gradient))[0]
    assert jax.tree.all(jax.tree.map(np.array_equal, changed, expected))


def test_directions_of_a_kernel_are_followed_equally():
    """Singular values 100 and 1 of a 1x1 kernel become about 1, times 0.2 sqrt(2) of the rate."""
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    changed = first_change("muon", layer((turn @ np.diag([100.0, 1.0]))[None, None]))
    (found,) = jax.tree.leaves(changed)
    values = np.diag(turn.T @ np.asarray(found[0, 0])) / (-0.5 * 0.2 * np.sqrt(2))
    assert np.all((values > 0.6) & (values < 1.3))


@examples(10)
@given(st.tuples(*(st.integers(1, 3),) * 2, *(st.integers(1, 9),) * 2), st.integers(0, 99))
def test_a_kernel_is_a_matrix_from_what_it_sees_to_what_it_gives(shape, seed):
    gradient = np.random.default_rng(seed).normal(size=shape)
    (changed,) = jax.tree.leaves(first_change("muon", layer(gradient)))
    rows, columns = np.prod(shape[:-1]), shape[-1]
    left, values, right = np.linalg.svd(gradient.reshape(rows, columns), full_matrices=False)
    there = np.asarray(changed).reshape(rows, columns) / (-0.5 * 0.2 * np.sqrt(max(rows, columns)))
    kept = values > 0.05 * values.max()  # five steps do not lift the faintest all the way
    assert np.all(np.abs(np.diag(left.T @ there @ right.T)[kept] - 1) < 0.5)
    assert np.allclose(left @ (left.T @ there @ right.T) @ right, there, atol=1e-3)


@pytest.mark.parametrize(
    ("dtype", "within"), [(jnp.float32, 1e-3), (jnp.bfloat16, 0.3)], ids=["float32", "bfloat16"]
)
def test_orthogonalised_together_as_each_alone(dtype, within):
    """Also matrices with faint directions, of several shapes, and a column and a row."""
    random = np.random.default_rng(0)
    shapes = [(4, 9), (9, 4), (4, 4), (16, 3), (1, 5), (5, 1), (16, 16)]
    matrices = []
    for shape in shapes:
        left, values, right = np.linalg.svd(random.normal(size=shape), full_matrices=False)
        values = 1.0 / np.arange(1, len(values) + 1) ** 2
        matrices.append(jnp.asarray(left * values @ right, jnp.float32))
    found = jax.jit(functools.partial(optimizers.orthogonalise_together, dtype=dtype))(matrices)
    for matrix, together in zip(matrices, found, strict=True):
        alone = jax.jit(optimizers.orthogonalise)(matrix)
        assert together.shape == matrix.shape
        assert together.dtype == jnp.float32
        assert np.linalg.norm(together - alone) < within * np.linalg.norm(alone)


def test_an_accelerator_orthogonalises_together(monkeypatch):
    gradient = layer(np.random.default_rng(0).normal(size=(3, 3, 5, 7))) | layer(
        np.random.default_rng(1).normal(size=(1, 1, 7, 4)), "skip_0"
    )
    expected = first_change("muon", gradient)
    monkeypatch.setattr(optimizers.jax, "default_backend", lambda: "gpu")
    found = first_change("muon", gradient)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-4), found, expected))


@pytest.mark.parametrize(
    ("name", "leaf"),
    [("deepen_0", "bias"), ("deepen_0_norm", "scale"), ("image", "kernel"), ("flow", "kernel")],
)
def test_all_but_inner_kernels_stay_with_adam(name, leaf):
    """Adam's first step is the rate, whatever the gradient."""
    changed = first_change("muon", layer([[3.0, -0.01]], name, leaf))
    assert np.allclose(changed[name][leaf], [[-0.5, 0.5]], rtol=1e-3)


def test_the_gradients_of_some_twenty_updates_count():
    """Nesterov's momentum: after gradients [1, 0] and [0, 1], 0.95^2 and 1.95 of them."""
    made = optimizers.make_optimizer("muon", 0.5, **ADAM)
    state = made.init(layer([[[[1.0, 0.0]]]]))
    for gradient in ([1.0, 0.0], [0.0, 1.0]):
        changed, state = made.update(layer([[[gradient]]]), state)
    along = np.asarray(changed["deepen_0"]["kernel"])[0, 0, 0]
    assert along[0] / along[1] == pytest.approx(0.95**2 / 1.95, rel=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_kernel_of_a_network_has_its_matrix(ndim):
    generator = Generator(channels=(4, 8), conv_ndim=ndim, predict_flow=ndim == 2)
    noise = jax.ShapeDtypeStruct((3, 16, 16, 1), jnp.float32)
    params = jax.eval_shape(generator.init, jax.random.key(0), noise)["params"]
    made = optimizers.make_optimizer("muon", 0.01, **ADAM)
    changes, _ = jax.eval_shape(lambda p: made.update(p, made.init(p), p), params)
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), changes, params)
    assert jax.tree.all(same)
