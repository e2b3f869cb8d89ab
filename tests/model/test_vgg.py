"""VGG16's features and feature holes against NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior.model import vgg

pytestmark = pytest.mark.slow  # compiles


@pytest.fixture(scope="module")
def arrays():
    """A converted file's arrays, so scaled that features keep their size through the layers."""
    random = np.random.default_rng(0)
    return {
        name: random.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape).astype(np.float32)
        for name, shape in vgg.parameter_shapes().items()
    }


def image(seed=1, size=(9, 6)):
    return np.random.default_rng(seed).random((2, *size, 3), np.float32)


@functools.cache
def compiled(**fields):
    return jax.jit(vgg.Vgg16(**fields).apply)


def features(arrays, image, *, flip=False, **fields):
    return compiled(**fields)({"params": vgg.make_params(arrays, flip_channels=flip)}, image)


def convolve(x, kernel, bias):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("nhwcij,ijcf->nhwf", patches, kernel, optimize=True) + bias


def pool(x):
    n, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


def slow_features(arrays, x):
    """VGG16 as Simonyan and Zisserman's table D has it, up to the tenth layer."""
    kept = []
    for stage in (1, 2, 3):
        if stage > 1:
            x = pool(x)
        for layer in (1, 2, 3) if stage == 3 else (1, 2):
            name = f"conv{stage}_{layer}"
            x = np.maximum(convolve(x, arrays[f"{name}.kernel"], arrays[f"{name}.bias"]), 0)
        kept.append(x)
    return kept


def test_features_are_those_of_numpy(arrays):
    result = features(arrays, image())
    # 9 x 6 halved rounding down: 4 x 3, 2 x 1.
    assert [x.shape for x in result] == [(2, 9, 6, 64), (2, 4, 3, 128), (2, 2, 1, 256)]
    for ours, expected in zip(result, slow_features(arrays, image()), strict=True):
        assert np.allclose(ours, expected, atol=1e-4 * expected.max())
        assert expected.max() > 0.1


def test_fewer_products_give_the_same_features(arrays):
    result = features(arrays, image(size=(19, 14)), fewer_products=True)
    for ours, expected in zip(result, features(arrays, image(size=(19, 14))), strict=True):
        assert np.allclose(ours, expected, atol=1e-5 * float(expected.max()))


def test_flipped_channels_are_a_flipped_image(arrays):
    flipped = features(arrays, image(), flip=True)
    expected = features(arrays, image()[..., ::-1])
    straight = features(arrays, image())
    for ours, theirs, other in zip(flipped, expected, straight, strict=True):
        assert np.allclose(ours, theirs, atol=1e-4)
        assert not np.allclose(ours, other, atol=1e-2)


def test_imagenet_input_is_normalised(arrays):
    normal = (image() - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    result = features(arrays, image(), imagenet_input=True)
    for ours, expected in zip(result, features(arrays, normal), strict=True):
        assert np.allclose(ours, expected, atol=1e-4 * float(expected.max()))


def test_features_in_bfloat16(arrays):
    narrow, wide = features(arrays, image(), dtype=jnp.bfloat16), features(arrays, image())
    for ours, expected in zip(narrow, wide, strict=True):
        assert ours.dtype == jnp.bfloat16
        assert np.allclose(ours.astype(jnp.float32), expected, atol=0.05 * float(expected.max()))


def test_params_are_those_that_the_module_makes(arrays):
    wanted = jax.eval_shape(vgg.Vgg16().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    given = vgg.make_params(arrays, flip_channels=True)
    assert jax.tree.structure(dict(given)) == jax.tree.structure(dict(wanted))
    assert jax.tree.map(jnp.shape, dict(given)) == jax.tree.map(lambda x: x.shape, dict(wanted))
    assert vgg.parameter_shapes()["conv3_2.kernel"] == (3, 3, 256, 256)
    assert len(vgg.parameter_shapes()) == 14


def slow_feature_hole(hole, stage):
    """Whether the rectangle of pixels that a feature sees holds a hole pixel."""
    sides = [hole.shape]
    for _ in range(stage):
        sides.append(tuple(side // 2 for side in sides[-1]))

    def seen(place, axis):
        """The first and the last pixel that a feature of this stage depends on."""
        first = last = place
        for s in range(stage, -1, -1):
            reach = 3 if s == 2 else 2  # convolutions of the stage, one pixel each
            first, last = max(first - reach, 0), min(last + reach, sides[s][axis] - 1)
            if s:
                first, last = 2 * first, 2 * last + 1
        return slice(first, last + 1)

    result = np.zeros(sides[-1], bool)
    for row, column in np.ndindex(*result.shape):
        result[row, column] = hole[seen(row, 0), seen(column, 1)].any()
    return result


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 1.0])
def test_feature_holes_are_receptive_fields_that_touch_the_hole(share):
    hole = np.random.default_rng(5).random((6, 35, 41)) < share
    result = jax.jit(vgg.feature_holes)(hole)
    assert [x.shape for x in result] == [(6, 35, 41), (6, 17, 20), (6, 8, 10)]
    for stage, ours in enumerate(result):
        assert ours.dtype == bool
        expected = np.stack([slow_feature_hole(frame, stage) for frame in hole])
        assert np.array_equal(ours, expected)


def test_a_pixel_changes_only_features_in_its_hole(arrays):
    """What a feature hole promises, of the network itself."""
    before = image(size=(24, 28))[:1]
    after = before.copy()
    after[0, 13, 6] = 1 - after[0, 13, 6]
    hole = (before != after).any(axis=-1)
    pairs = zip(features(arrays, before), features(arrays, after), strict=True)
    for (old, new), inside in zip(pairs, vgg.feature_holes(jnp.asarray(hole)), strict=True):
        changed = (np.asarray(old) != np.asarray(new)).any(axis=-1)
        assert changed.any()
        assert not (changed & ~np.asarray(inside)).any()
        # The rim of the receptive field depends on the pixel too.
        assert changed.sum() > 0.6 * np.asarray(inside).sum()
