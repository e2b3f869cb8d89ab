"""Names and shapes of the published networks, there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.model.generator import Generator
from vidprior.model.published import describe, from_published, published_names, to_published

NETWORKS = {
    "2D image": {"predict_flow": False},
    "2D image and flow": {"predict_flow": True},
    "3D image": {"predict_flow": False, "conv_ndim": 3},
    "small": {"channels": (5, 7), "skip_channels": 3},
}


@pytest.fixture(params=NETWORKS)
def generator(request):
    return Generator(**NETWORKS[request.param])


def tree_of(generator, *, seed=0):
    """A parameter tree of that network, every value different."""
    noise = jax.ShapeDtypeStruct((2, 130, 130, 1), jnp.float32)
    shapes = jax.eval_shape(generator.init, jax.random.key(0), noise)["params"]
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda s: random.standard_normal(s.shape).astype(np.float32), shapes)


def assert_same(first, second):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_there_and_back(generator):
    tree = tree_of(generator)
    published = to_published(tree, conv_ndim=generator.conv_ndim)
    assert_same(from_published(published), tree)
    again = to_published(from_published(published), conv_ndim=generator.conv_ndim)
    assert_same(again, published)
    assert all(array.flags.c_contiguous for array in published.values())


def test_published_arrays_describe_their_network(generator):
    published = to_published(tree_of(generator), conv_ndim=generator.conv_ndim)
    kind = describe({name: array.shape for name, array in published.items()})
    assert Generator(**kind) == generator


def test_kernels_and_colours_change_places():
    """By hand: PyTorch has (out, in, rows, columns) and BGR, we have the reverse and RGB."""
    tree = tree_of(Generator(channels=(5,), skip_channels=3))
    published = to_published(tree, conv_ndim=2)
    kernel = tree["down_0"]["kernel"]
    assert published["1.1.1.1.weight"][4, 0, 1, 3] == kernel[1, 3, 0, 4]
    for bgr, rgb in ((0, 2), (1, 1), (2, 0)):
        assert (
            published["9.conv_img.1.weight"][bgr, 4, 0, 0] == tree["image"]["kernel"][0, 0, 4, rgb]
        )
        assert published["9.conv_img.1.bias"][bgr] == tree["image"]["bias"][rgb]
    assert published["9.conv_flow.1.bias"][7] == tree["flow"]["bias"][7]


def test_time_comes_before_rows_in_three_dimensions():
    tree = tree_of(Generator(channels=(5,), conv_ndim=3, predict_flow=False))
    published = to_published(tree, conv_ndim=3)
    assert published["1.1.1.1.weight"].shape == (5, 1, 3, 5, 5)
    assert published["1.1.1.1.weight"][4, 0, 2, 1, 3] == tree["down_0"]["kernel"][2, 1, 3, 0, 4]
    assert published["9.1.weight"].shape == (3, 5, 1, 1, 1)
    assert "1.1.2.bn.weight" in published


def test_scales_are_nested():
    """The scale below sits at 1.1.7 of each scale; published names, by hand."""
    names = published_names(num_scales=3, conv_ndim=2, predict_flow=True)
    assert names["1.0.1.1"] == "skip_0"
    assert names["1.1.7.1.1.4.1"] == "deepen_1"
    assert names["1.1.7.1.1.7.6.1"] == "refine_2"
    assert names["1.1.7.2"] == "join_1_norm"
    # Eleven modules for each scale, and two heads.
    assert len(names) == len(set(names.values())) == 3 * 11 + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("1.1.7.3.1.bias"), r"missing \['1.1.7.3.1.bias'\], unknown \[\]"),
        (lambda a: a.update({"fc.weight": np.zeros(3)}), r"missing \[\], unknown \['fc.weight'\]"),
        (lambda a: a.pop("1.0.1.1.weight"), "no parameter"),
        (lambda a: a.pop("1.1.1.1.weight"), "no parameter"),
        (lambda a: a.clear(), "no parameter"),
        (lambda a: a.pop("9.conv_img.1.bias"), "missing"),
    ],
)
def test_other_networks_are_refused(change, message):
    arrays = to_published(tree_of(Generator(channels=(5, 7))), conv_ndim=2)
    change(arrays)
    with pytest.raises(InputError, match=message):
        from_published(arrays)
