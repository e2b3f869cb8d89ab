"""Features of the encoder: the right scale and window; similarity by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.evaluation.encoder import encoder_features, similarity
from vidprior.model.generator import NEGATIVE_SLOPE, Generator

pytestmark = pytest.mark.slow  # compiles


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).random((5, 20, 28, 1), np.float32)


@pytest.mark.parametrize("conv_ndim", [2, 3])
def test_features_are_those_before_the_ascent(noise, random_params, conv_ndim):
    """Changing what comes after the chosen scale changes nothing; changing it does."""
    generator = Generator(channels=(3, 4, 5), conv_ndim=conv_ndim, predict_flow=False)
    params = random_params(generator)

    def features(params, patch):
        return encoder_features(
            lambda _: params, noise, [0, 2, 4], generator=generator, length=3, patch=patch
        )

    middle = features(params, 4)
    assert middle.shape == (3, 5, 7, 4)
    assert features(params, 2).shape == (3, 10, 14, 3)
    assert features(params, 8).shape == (3, 3, 4, 5)
    for name, same in (("down_2", True), ("refine_0", True), ("deepen_1", False)):
        part = params[name]
        changed = params | {name: {key: 2 - 3 * value for key, value in part.items()}}
        assert np.array_equal(features(changed, 4), middle) == same, name


def test_features_are_normalised_and_rectified(noise, random_params):
    """After normalisation with scale 1 and bias 0, undoing the ReLU gives mean 0, variance 1."""
    generator = Generator(channels=(3, 4), predict_flow=False)
    params = random_params(generator)
    norm = {"scale": jnp.ones(4), "bias": jnp.zeros(4)}
    params = params | {"deepen_1_norm": norm}
    found = encoder_features(
        lambda _: params, noise[:3], [0, 1, 2], generator=generator, length=3, patch=4
    )
    before = np.where(found > 0, found, found / NEGATIVE_SLOPE)
    np.testing.assert_allclose(before.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(before.var(axis=(0, 1, 2)), 1, atol=1e-2)


def test_a_scale_that_is_not_there(noise):
    with pytest.raises(InputError, match=r"patches of 32 pixels: there are \[2, 4\]"):
        encoder_features(
            lambda _: {}, noise, [0], generator=Generator(channels=(3, 4)), length=3, patch=32
        )


def test_similarity_by_hand():
    features = np.array([[[[3.0, 4.0], [4.0, -3.0]], [[-6.0, -8.0], [0.0, 0.0]]]])
    expected = [[[1, 0], [-1, 0]]]
    np.testing.assert_allclose(similarity(features, (0, 0, 0)), expected, atol=1e-12)
    assert similarity(np.array([[[[3.0, 4.0], [1.0, 0.0]]]]), (0, 0, 0))[0, 0, 1] == 0.6
