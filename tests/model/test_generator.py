"""The encoder-decoder: sizes, parameters, dtypes, and its numbers against NumPy."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import EVERYTHING

from vidprior.model.generator import Generator, smallest_side

pytestmark = pytest.mark.slow  # compiles


def shapes_of(generator, noise_shape):
    """The parameters and the prediction as shapes; nothing is computed."""
    noise = jax.ShapeDtypeStruct(noise_shape, jnp.float32)
    variables = jax.eval_shape(generator.init, jax.random.key(0), noise)
    return variables["params"], jax.eval_shape(generator.apply, variables, noise)


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"predict_flow": False}, 3_071_935),
        # A second 3x3 convolution in every ascent: 8 * sum of C_k^2 more.
        (
            {"predict_flow": False, "refine_kernel": 3},
            3_071_935 + 8 * (3 * 128**2 + 64**2 + 32**2 + 16**2),
        ),
        # The flow head more: 16 * 12 + 12.
        ({"predict_flow": True}, 3_072_139),
        ({"predict_flow": False, "conv_ndim": 3}, 9_089_119),
    ],
)
def test_number_of_parameters(fields, count):
    params, _ = shapes_of(Generator(**fields), (5, 192, 384, 1))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == count


def test_parameters_do_not_depend_on_the_size():
    first, _ = shapes_of(Generator(channels=(4, 6)), (1, 16, 24, 1))
    second, _ = shapes_of(Generator(channels=(4, 6)), (5, 11, 39, 1))
    assert first == second


@pytest.mark.parametrize("conv_ndim", [2, 3])
@pytest.mark.parametrize(
    "size",
    [
        pytest.param((192, 384), marks=pytest.mark.long),
        pytest.param((193, 385), marks=pytest.mark.long),
        (129, 130),
        (201, 143),
    ],
)
def test_output_has_the_size_of_the_input(conv_ndim, size):
    generator = Generator(conv_ndim=conv_ndim, predict_flow=conv_ndim == 2)
    _, prediction = shapes_of(generator, (5, *size, 1))
    assert prediction.image.shape == (5, *size, 3)
    if conv_ndim == 2:
        assert prediction.flow.shape == (5, *size, 6, 2)
    else:
        assert prediction.flow is None


@pytest.mark.parametrize("scales", [1, 2, 6])
def test_one_pixel_less_than_the_smallest_side_is_refused(scales):
    generator = Generator(channels=(4,) * scales)
    side = smallest_side(scales)
    shapes_of(generator, (1, side, side, 1))
    for size in ((side - 1, side + 9), (side + 9, side - 1)):
        with pytest.raises(ValueError, match=f"too small: each side needs {side}"):
            shapes_of(generator, (1, *size, 1))


@pytest.mark.parametrize("scales", range(1, 9))
def test_smallest_side_leaves_three_pixels_to_reflect(scales):
    def deepest(side):
        for _ in range(scales):
            side = -(-side // 2)
        return side

    assert deepest(smallest_side(scales)) == 3
    assert deepest(smallest_side(scales) - 1) == 2


@pytest.fixture(scope="module")
def noise():
    random = np.random.default_rng(0)
    return jnp.asarray(random.random((4, 9, 12, 1), np.float32) * np.float32(0.1))


@pytest.fixture(scope="module")
def apply(random_params):
    """Applies a network of two scales with random parameters."""

    @functools.cache
    def compiled(**fields):
        generator = Generator(channels=(4, 5), skip_channels=2, **fields)
        return functools.partial(jax.jit(generator.apply), {"params": random_params(generator)})

    return lambda noise, *offset, **fields: compiled(**fields)(noise, *offset)


def test_smallest_side_gives_numbers(apply, noise):
    prediction = apply(noise[:3])
    image, flow = np.asarray(prediction.image), np.asarray(prediction.flow)
    assert image.shape == (3, 9, 12, 3)
    assert np.isfinite(flow).all()
    # A sigmoid's range, and not one colour all over.
    assert 0 < image.min() < image.max() < 1
    assert (image.std(axis=(0, 1, 2)) > 0.01).all()
    # Flow is linear: it takes both signs.
    assert flow.min() < 0 < flow.max()


def test_one_flow_is_as_among_all(apply, noise):
    """The picture does not depend on it."""
    both = apply(noise[:3])
    for k in range(6):
        one = apply(noise[:3], k)
        assert one.flow.shape == (3, 9, 12, 1, 2)
        np.testing.assert_allclose(one.flow[..., 0, :], both.flow[..., k, :], atol=1e-6)
        np.testing.assert_allclose(one.image, both.image, atol=1e-6)


def convolve(x, leaves, stride=1):
    """[N, ..., C]: space padded by reflection, time by replication; space strided."""
    kernel, axes = leaves["kernel"], x.ndim - 2
    margins = [(0, 0), *((size // 2, size // 2) for size in kernel.shape[:axes]), (0, 0)]
    time = [margin if axis == 1 and axes == 3 else (0, 0) for axis, margin in enumerate(margins)]
    space = [(0, 0) if t != (0, 0) else margin for t, margin in zip(time, margins, strict=True)]
    x = np.pad(np.pad(x, space, mode="reflect"), time, mode="edge")
    patches = np.lib.stride_tricks.sliding_window_view(
        x, kernel.shape[:axes], axis=tuple(range(1, axes + 1))
    )[..., ::stride, ::stride, :, *(slice(None) for _ in range(axes))]
    # [N, ..., C, k, ...] against [k, ..., C, F]
    patches = np.moveaxis(patches, axes + 1, -1)
    return np.tensordot(patches, kernel, axes=axes + 1) + leaves["bias"]


def normalise(x, leaves):
    axes = tuple(range(x.ndim - 1))
    unit = (x - x.mean(axis=axes)) / np.sqrt(x.var(axis=axes) + 1e-5)
    return unit * leaves["scale"] + leaves["bias"]


def slow_generator(params, noise):
    """The network scale by scale, as the paper's appendix describes it, in float64."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    in_space_and_time = params["down_0"]["kernel"].ndim == 5

    def block(x, name, stride=1):
        x = normalise(convolve(x, params[name], stride), params[f"{name}_norm"])
        return np.where(x > 0, x, 0.2 * x)

    def scale(x, k):
        skip = block(x, f"skip_{k}")
        x = block(block(x, f"down_{k}", stride=2), f"deepen_{k}")
        if f"down_{k + 1}" in params:
            x = scale(x, k + 1)
        x = x.repeat(2, axis=-3).repeat(2, axis=-2)
        # What comes up is a row or column too large where the side is odd; the rest of
        # a centred crop is at the end.
        x = x[..., : skip.shape[-3], : skip.shape[-2], :]
        x = normalise(np.concatenate([skip, x], axis=-1), params[f"join_{k}_norm"])
        return block(block(x, f"up_{k}"), f"refine_{k}")

    x = noise.astype(np.float64)
    x = scale(x[None], 0)[0] if in_space_and_time else scale(x, 0)
    image = 1 / (1 + np.exp(-convolve(x, params["image"])))
    if "flow" not in params:
        return image, None
    return image, convolve(x, params["flow"]).reshape(*image.shape[:-1], 6, 2)


# Odd sides on the way, and none.
@pytest.mark.parametrize("size", [(9, 12), pytest.param((16, 24), marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "fields", [{}, {"refine_kernel": 3}, {"conv_ndim": 3, "predict_flow": False}]
)
def test_numbers_are_those_of_numpy(apply, random_params, fields, size):
    noise = np.random.default_rng(0).random((3, *size, 1), np.float32) * np.float32(0.1)
    prediction = apply(noise, **fields)
    generator = Generator(channels=(4, 5), skip_channels=2, **fields)
    image, flow = slow_generator(random_params(generator), noise)
    assert np.allclose(prediction.image, image, atol=1e-4)
    if flow is None:
        assert prediction.flow is None
    else:
        assert np.allclose(prediction.flow, flow, atol=1e-3)


def test_a_frame_depends_on_its_window(apply, noise):
    first, second = apply(noise[0:3]).image, apply(noise[1:4]).image
    # Frames 1 and 2 are in both windows; batch statistics differ.
    assert not np.allclose(first[1:], second[:-1], atol=1e-4)
    assert np.array_equal(first, apply(noise[0:3]).image)


def test_order_of_frames_matters_in_3d_alone(apply, noise):
    order = jnp.array([2, 0, 1])
    for fields in ({}, {"conv_ndim": 3, "predict_flow": False}):
        straight = apply(noise[:3], **fields).image
        shuffled = apply(noise[:3][order], **fields).image
        assert np.allclose(straight[order], shuffled, atol=1e-5) == (not fields)


def test_bfloat16_convolutions_give_float32_outputs(apply, noise):
    wide = apply(noise[:3])
    narrow = apply(noise[:3], dtype=jnp.bfloat16)
    assert narrow.image.dtype == narrow.flow.dtype == jnp.float32
    assert not np.array_equal(wide.image, narrow.image)
    # 8 bits of mantissa through ten layers
    assert np.abs(wide.image - narrow.image).max() < 0.15
    assert np.abs(wide.image - narrow.image).mean() < 0.02


def test_bfloat16_keeps_parameters_in_float32():
    params, prediction = shapes_of(Generator(channels=(4, 4), dtype=jnp.bfloat16), (1, 9, 9, 1))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert prediction.image.dtype == jnp.float32


def test_an_accelerator_s_forms_compute_the_same(random_params, monkeypatch):
    """Values and gradients in float64, of layers that have a form of their own there."""
    fields = {"channels": (3, 4) if EVERYTHING else (3,), "predict_flow": False}
    params = random_params(Generator(**fields))
    generator = Generator(dtype=jnp.float64, **fields)
    random = np.random.default_rng(0)
    noise, weight = random.random((2, 12, 20, 1)), random.normal(size=(2, 12, 20, 3))

    def loss(params):
        return jnp.sum(weight * generator.apply({"params": params}, noise).image)

    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)
        found = {}
        for backend in ("cpu", "gpu"):
            monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
            found[backend] = jax.jit(jax.value_and_grad(lambda p: loss(p)))(params)
    equal = functools.partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-10)
    jax.tree.map(equal, found["cpu"], found["gpu"])
