"""The generator's blocks against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior.model import layers

pytestmark = pytest.mark.slow  # compiles

random = np.random.default_rng(0)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_space_is_padded_by_reflection(kernel):
    x = random.random((2, 4, 5, 3), np.float32)
    margin = kernel // 2
    expected = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
    assert np.array_equal(layers.pad_for_kernel(jnp.asarray(x), (kernel, kernel)), expected)


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 3, 3), (3, 5, 5)])
def test_time_is_padded_by_replication(kernel):
    x = random.random((1, 2, 4, 5, 3), np.float32)
    t, h, w = (size // 2 for size in kernel)
    expected = np.pad(x, ((0, 0), (0, 0), (h, h), (w, w), (0, 0)), mode="reflect")
    expected = np.pad(expected, ((0, 0), (t, t), (0, 0), (0, 0), (0, 0)), mode="edge")
    assert np.array_equal(layers.pad_for_kernel(jnp.asarray(x), kernel), expected)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 3, 4, 5)])
def test_upsampling_doubles_space_alone(shape):
    x = random.random(shape, np.float32)
    expected = np.kron(x, np.ones((*(1 for _ in shape[:-3]), 2, 2, 1), np.float32))
    assert np.array_equal(layers.upsample(jnp.asarray(x)), expected)


def test_cropping_is_centred():
    a = jnp.arange(6 * 9).reshape(1, 6, 9, 1)
    b = jnp.arange(5 * 10).reshape(1, 5, 10, 1)
    c = jnp.arange(8 * 7).reshape(1, 8, 7, 1)
    cropped = layers.crop_to_smallest(a, b, c)
    # 5 rows and 7 columns stay. Odd rests leave the greater margin at the end.
    assert np.array_equal(cropped[0], a[:, 0:5, 1:8])
    assert np.array_equal(cropped[1], b[:, :, 1:8])
    assert np.array_equal(cropped[2], c[:, 1:6, :])


def slow_conv(x, kernel, bias, stride):
    """[N, ..., C] against [k, ..., C, F], centred on every `stride`-th row and column."""
    axes = kernel.ndim - 2
    strides = (1,) * (axes - 2) + (stride, stride)
    margins = [(size // 2, size // 2) for size in kernel.shape[:axes]]
    space = [(0, 0)] * (axes - 2) + margins[-2:]
    padded = np.pad(x, [(0, 0), *space, (0, 0)], mode="reflect")
    if axes == 3:
        padded = np.pad(padded, [(0, 0), margins[0], *[(0, 0)] * 3], mode="edge")
    places = [range(0, n, stride) for n, stride in zip(x.shape[1:-1], strides, strict=True)]
    out = np.zeros((len(x), *map(len, places), kernel.shape[-1]))
    for target in np.ndindex(*map(len, places)):
        start = [place[i] for place, i in zip(places, target, strict=True)]
        patch = padded[
            (slice(None), *(slice(s, s + k) for s, k in zip(start, kernel.shape, strict=False)))
        ]
        out[(slice(None), *target)] = np.tensordot(patch, kernel, axes=axes + 1) + bias
    return out


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((2, 7, 6, 3), (5, 5), 2),
        ((2, 5, 4, 3), (3, 3), 1),
        ((1, 4, 5, 6, 3), (3, 5, 5), 2),
        ((1, 3, 3, 4, 3), (1, 1, 1), 1),
    ],
)
def test_convolution_is_that_of_a_loop_over_places(shape, kernel, stride):
    x = random.normal(size=shape).astype(np.float32)
    weight = random.normal(size=(*kernel, 3, 2)).astype(np.float32)
    bias = random.normal(size=2).astype(np.float32)
    conv = layers.Conv(features=2, kernel_size=kernel, stride=stride)
    result = jax.jit(conv.apply)({"params": {"kernel": weight, "bias": bias}}, x)
    expected = slow_conv(x.astype(np.float64), weight, bias, stride)
    assert result.shape == expected.shape
    assert np.allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("skip", "deeper", "kernel"),
    [
        ((2, 6, 10, 2), (2, 3, 5, 3), (3, 3)),
        ((1, 2, 2, 2), (1, 1, 1, 3), (3, 3)),
        ((1, 4, 6, 8, 2), (1, 4, 3, 4, 3), (3, 3, 3)),
    ],
)
@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_joining_is_convolving_both_side_by_side(skip, deeper, kernel, backend, monkeypatch):
    monkeypatch.setattr(layers.jax, "default_backend", lambda: backend)
    skip = random.normal(size=skip).astype(np.float32)
    deeper = random.normal(size=deeper).astype(np.float32)
    weight = random.normal(size=(*kernel, 5, 4)).astype(np.float32)
    bias = random.normal(size=4).astype(np.float32)
    conv = layers.JoiningConv(features=4, kernel_size=kernel)
    params = {"params": {"kernel": weight, "bias": bias}}
    result = jax.jit(conv.apply)(params, skip, deeper)
    both = np.concatenate([skip, deeper.repeat(2, axis=-3).repeat(2, axis=-2)], axis=-1)
    assert np.allclose(result, slow_conv(both.astype(np.float64), weight, bias, 1), atol=1e-4)


def test_joining_has_the_parameters_of_a_convolution_of_both():
    skip, deeper = jnp.zeros((1, 4, 6, 2)), jnp.zeros((1, 2, 3, 3))
    both = jnp.zeros((1, 4, 6, 5))
    joining, plain = (
        jax.eval_shape(kind(features=4, kernel_size=(3, 3)).init, jax.random.key(0), *arrays)
        for kind, arrays in ((layers.JoiningConv, (skip, deeper)), (layers.Conv, (both,)))
    )
    assert joining == plain


def test_convolution_computes_in_its_dtype():
    conv = layers.Conv(features=2, kernel_size=(3, 3), dtype=jnp.bfloat16)
    params = conv.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
    assert jax.tree.map(lambda leaf: leaf.dtype, params["params"]) == {
        "kernel": jnp.float32,
        "bias": jnp.float32,
    }
    assert conv.apply(params, jnp.zeros((1, 4, 4, 1))).dtype == jnp.bfloat16


def normalise(x, scale, bias, slope=1.0):
    params = {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}
    return jax.jit(layers.BatchNorm(slope=slope).apply)({"params": params}, jnp.asarray(x))


def test_batch_norm_by_hand():
    # Channel 0: values 1, 3 of mean 2 and variance 1. Channel 1: 0, 4 of mean 2, variance 4.
    x = np.float32([[[[1, 0]]], [[[3, 4]]]])
    result = normalise(x, scale=[1.0, 10.0], bias=[0.5, 0.0])
    one, four = (1 + 1e-5) ** -0.5, (4 + 1e-5) ** -0.5
    expected = [[[[0.5 - one, -20 * four]]], [[[0.5 + one, 20 * four]]]]
    assert np.allclose(result, expected, atol=1e-6)
    rectified = normalise(x, scale=[1.0, 10.0], bias=[0.5, 0.0], slope=0.2)
    expected = [[[[0.1 - one / 5, -4 * four]]], [[[0.5 + one, 20 * four]]]]
    assert np.allclose(rectified, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (1, 3, 4, 5, 2)])
def test_batch_norm_takes_each_channel_over_all_other_axes(shape):
    x = random.normal(5, 3, shape).astype(np.float32)
    result = np.asarray(normalise(x, scale=[1.0, 1.0], bias=[0.0, 0.0])).reshape(-1, 2)
    assert np.allclose(result.mean(axis=0), 0, atol=1e-5)
    # v / (v + 1e-5) of a variance v near 9
    assert np.allclose(result.var(axis=0), 1, atol=1e-4)


def test_batch_norm_of_parts_is_that_of_both_side_by_side():
    skip, deeper = (random.normal(5, 3, s).astype(np.float32) for s in ((2, 4, 6, 2), (2, 2, 3, 3)))
    params = {"scale": random.random(5, np.float32), "bias": random.random(5, np.float32)}
    above = deeper.repeat(2, axis=1).repeat(2, axis=2)
    both = normalise(np.concatenate([skip, above], axis=-1), **params)
    parts = jax.jit(layers.BatchNorm().apply)({"params": params}, skip, deeper)
    assert np.allclose(parts[0], both[..., :2], atol=1e-5)
    # Every pixel four times: the same mean and variance.
    assert np.allclose(layers.upsample(parts[1]), both[..., 2:], atol=1e-5)


def test_batch_norm_of_a_constant_channel_is_its_bias():
    result = normalise(np.full((2, 3, 4, 1), 7.0, np.float32), scale=[2.0], bias=[0.25])
    assert np.allclose(result, 0.25)


def test_batch_norm_keeps_its_statistics_in_float32():
    # 256 + {0, 2}: in bfloat16 the sum of 2000 such values would lose the twos.
    x = np.where(np.arange(2000).reshape(1, 40, 50, 1) % 2, 258, 256)
    result = normalise(jnp.asarray(x, jnp.bfloat16), scale=[1.0], bias=[0.0])
    assert result.dtype == jnp.bfloat16
    assert np.allclose(np.asarray(result, np.float32), x - 257, atol=0.01)


def test_a_bias_before_normalisation_has_no_gradient():
    """It has no effect either: what is added to every pixel, the mean takes away."""
    x = jnp.asarray(random.normal(size=(2, 6, 6, 2)).astype(np.float32))
    conv = layers.Conv(features=3, kernel_size=(3, 3), normalised=True)
    kernel = random.normal(size=(3, 3, 2, 3)).astype(np.float32)

    def loss(bias):
        y = conv.apply({"params": {"kernel": kernel, "bias": bias}}, x)
        return jnp.sum(jnp.sin(normalise(y, scale=[1.0] * 3, bias=[0.0] * 3)))

    assert np.allclose(loss(jnp.zeros(3)), loss(jnp.ones(3)), atol=1e-3)
    assert not jax.grad(loss)(jnp.ones(3)).any()
