import jax
import numpy as np
import pytest

from vidprior.model.generator import Generator
from vidprior.model.init import initial_params


def draw(initializer, **keywords):
    generator = Generator(channels=(8, 64), predict_flow=False)
    return initial_params(0, generator=generator, initializer=initializer, **keywords)


def test_pytorch_values_lie_within_fan_in():
    # U(+-1/sqrt(fan_in)) for kernel and bias; deepen_1 has fan_in = 5 * 5 * 64 = 1600.
    bound = 1600**-0.5
    for leaf in draw("pytorch")["deepen_1"].values():
        assert np.abs(leaf).max() <= bound
        assert leaf.max() > 0.8 * bound
        assert leaf.min() < -0.8 * bound
        # The deviation of U(-b, b) is b / sqrt(3).
        assert np.std(leaf) == pytest.approx(bound / 3**0.5, rel=0.15)


def test_lecun_values_are_normal_and_biases_zero():
    params = draw("lecun")["deepen_1"]
    assert np.std(params["kernel"]) == pytest.approx(1600**-0.5, rel=0.02)
    # Not uniform: a normal distribution goes beyond sqrt(3) deviations.
    assert np.abs(params["kernel"]).max() > 3 * 1600**-0.5
    assert not params["bias"].any()


def test_normalisations_begin_as_the_identity():
    for initializer in ("pytorch", "lecun"):
        norm = draw(initializer)["join_0_norm"]
        assert (norm["scale"] == 1).all()
        assert (norm["bias"] == 0).all()


def test_structure_and_dtype_are_the_generators():
    generator = Generator(channels=(8, 64), predict_flow=False)
    shapes = jax.eval_shape(generator.init, jax.random.key(0), np.zeros((1, 16, 16, 1)))["params"]
    drawn = draw("pytorch")
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes) == jax.tree.map(
        lambda x: (x.shape, x.dtype), drawn
    )


def test_every_array_and_every_network_has_a_stream_of_its_own():
    first, again, second = draw("pytorch"), draw("pytorch"), draw("pytorch", network=1)
    kernel = ("deepen_1", "kernel")
    get = lambda tree: tree[kernel[0]][kernel[1]]  # noqa: E731
    assert np.array_equal(get(first), get(again))
    assert not np.array_equal(get(first), get(second))
    assert not np.array_equal(first["skip_1"]["bias"][:3], first["refine_0"]["bias"][:3])


def test_wide_fan_in_of_three_dimensions():
    generator = Generator(channels=(4,), conv_ndim=3, predict_flow=False)
    params = initial_params(0, generator=generator, initializer="pytorch")
    assert params["deepen_0"]["kernel"].shape == (3, 5, 5, 4, 4)
    assert np.abs(params["deepen_0"]["kernel"]).max() <= (3 * 5 * 5 * 4) ** -0.5
