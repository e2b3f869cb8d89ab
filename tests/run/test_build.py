"""From configuration fields to parts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import configured, double_and_row_means

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.io.npz import save_npz
from vidprior.model import vgg
from vidprior.model.generator import Generator
from vidprior.run import build
from vidprior.types import DeviceClip, Propagated


def test_published_schedule():
    config = configured()
    windows = build.list_windows(config, 60)
    assert len(windows.frames) == 288
    schedule = build.schedule(config, windows, 60)
    assert len(schedule.windows) == 102_000 == 20 * (50 + 1) * 100
    for end in schedule.pass_ends:
        last = windows.frames[schedule.windows[end - 100 : end]]
        assert (last == np.arange(30, 35)).all()


def test_dip_vid_schedule():
    config = configured("dip_vid")
    windows = build.list_windows(config, 60)
    schedule = build.schedule(config, windows, 60)
    # Every start once a pass, the median one last: 20 passes of 56 windows.
    assert len(schedule.windows) == 20 * 56 * 100
    one_pass = schedule.windows[:5600:100]
    assert sorted(one_pass) == list(range(56))
    assert windows.frames[one_pass[-1]].tolist() == [30, 31, 32, 33, 34]


@pytest.mark.parametrize(
    ("flow", "consistency", "needed"),
    [(0.0, 0.0, False), (0.1, 0.0, True), (0.0, 1.0, True), (0.1, 1.0, True)],
)
def test_flow_is_needed_by_either_of_two_terms(flow, consistency, needed):
    config = configured(loss__flow=flow, loss__consistency=consistency)
    assert build.needs_flow(config) is needed
    assert build.generator(config).predict_flow is needed


def test_generator_has_the_fields_of_model():
    assert build.generator(configured("flow")) == Generator()
    assert build.generator(configured("dip_vid_3dcn")) == Generator(conv_ndim=3, predict_flow=False)
    config = configured(
        model__channels=(4, 8), model__skip_channels=2,
        model__dtype="bfloat16", model__refine_kernel=3,
    )  # fmt: skip
    assert build.generator(config) == Generator(
        channels=(4, 8),
        skip_channels=2,
        dtype=jnp.dtype("bfloat16"),
        refine_kernel=3,
    )


def test_a_configuration_from_json_builds_the_same():
    config = configured()
    stored = type(config)(configuration.to_dict(config))
    assert build.generator(stored) == build.generator(config)
    hash(build.generator(stored))
    first, second = build.list_windows(stored, 60), build.list_windows(config, 60)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_optimizer_is_adam_with_its_fields():
    config = configured(optimizer__learning_rate=0.5, optimizer__b1=0.8, optimizer__eps=1e-3)
    made, expected = build.optimizer(config), optax.adam(0.5, b1=0.8, b2=0.999, eps=1e-3)
    value = jnp.array([1.0, 2.0])
    states = made.init(value), expected.init(value)
    for gradient in (jnp.array([0.001, -3.0]), jnp.array([0.5, 0.25])):
        ours, mine = made.update(gradient, states[0])
        theirs, their = expected.update(gradient, states[1])
        states = mine, their
        assert np.array_equal(ours, theirs)


def test_the_learning_rate_falls_along_a_cosine():
    """Adam's steps of an even gradient are the learning rate: 0.4 (1 + cos(pi u / 4)) / 2."""
    config = configured(optimizer__learning_rate=0.4, optimizer__lr_schedule="cosine")
    optimizer = build.optimizer(config, updates=4)
    value = jnp.array(1.0)
    state, steps = optimizer.init(value), []
    for _ in range(4):
        change, state = optimizer.update(value, state)
        steps.append(-float(change))
    half = np.sqrt(0.5)
    assert np.allclose(steps, [0.4, 0.2 * (1 + half), 0.2, 0.2 * (1 - half)], rtol=1e-3)


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(0)
    return {
        name: random.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in vgg.parameter_shapes().items()
    }


@pytest.mark.parametrize(("given", "flip"), [("published", True), ("imagenet", False)])
def test_features_are_those_of_the_file(arrays, tmp_path, given, flip):
    save_npz(tmp_path / "vgg16.npz", **arrays)
    config = configured(vgg__weights=str(tmp_path / "vgg16.npz"), vgg__preprocessing=given)
    image = np.random.default_rng(1).random((1, 8, 8, 3), np.float32)
    ours = jax.jit(build.features(config))(image)
    module = vgg.Vgg16(imagenet_input=given == "imagenet")
    params = vgg.make_params(arrays, flip_channels=flip)
    expected = jax.jit(module.apply)({"params": params}, image)
    for one, other in zip(ours, expected, strict=True):
        assert np.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("precision", ["default", "highest"])
def test_an_update_multiplies_as_precisely_as_asked(monkeypatch, precision):
    traced = lambda *_: jax.config.jax_default_matmul_precision  # noqa: E731
    monkeypatch.setattr(build, "make_train_step", lambda **_: traced)
    assert (
        build.train_step(configured(model__precision=precision), None)({}, None, None) == precision
    )
    assert jax.config.jax_default_matmul_precision is None


@pytest.mark.parametrize("precision", ["default", "highest"])
def test_features_multiply_as_precisely_as_asked(arrays, precision):
    features = build.bound_features(configured(model__precision=precision), arrays)
    traced = str(jax.make_jaxpr(features)(jnp.zeros((1, 8, 8, 3))))
    assert ("HIGHEST" in traced) == (precision == "highest")
    assert jax.config.jax_default_matmul_precision is None


@pytest.mark.parametrize(
    ("wanted", "available", "kept"),
    [
        ("auto", 4 * 7680, True),  # a quarter of it
        ("auto", 4 * 7680 - 1, False),
        ("auto", None, True),
        ("keep", 1, True),
        ("recompute", 2**40, False),
    ],
)
def test_features_are_kept_where_there_is_room(monkeypatch, wanted, available, kept):
    """Two frames of 4 x 6, forty float32 features a pixel: 7680 bytes and no more."""
    monkeypatch.setattr(build.runtime, "memory_limit", lambda: available)

    def forty(image):
        return (jnp.tile(image[..., :1], 40),)

    assert build.keeps_features(configured(vgg__cache=wanted), forty, (2, 4, 6)) == kept


@pytest.mark.parametrize(("wanted", "kept"), [("keep", True), ("recompute", False)])
def test_features_come_into_the_clip_where_they_are_kept(wanted, kept):
    clip = DeviceClip(
        np.ones((2, 4, 6, 3), np.uint8), np.zeros((2, 4, 6), bool), np.zeros(1, np.float32)
    )
    config = configured(vgg__cache=wanted)
    fill = build.feature_filler(config, double_and_row_means, clip)
    assert [layer.shape for layer in fill(clip, [1]).features or ()] == (
        [(2, 4, 6, 3), (2, 4, 1, 3)] if kept else []
    )
    assert build.feature_filler(config, None, clip)(clip, [1]) is clip


def test_without_the_perceptual_term_no_weights_are_needed():
    config = configured(vgg__weights="none.npz", loss__perceptual=0.0)
    assert build.features(config) is None


def test_missing_weights_say_how_to_get_them(tmp_path):
    config = configured(vgg__weights=str(tmp_path / "none.npz"))
    with pytest.raises(
        InputError, match=r"none\.npz: get them with `make vgg16-weights`"
    ) as caught:
        build.features(config)
    assert "--config.loss.perceptual=0" in str(caught.value)


def test_weights_of_another_network_name_the_array(arrays, tmp_path):
    other = {**arrays, "conv2_1.kernel": np.zeros((3, 3, 64, 64), np.float32)}
    save_npz(tmp_path / "other.npz", **other)
    config = configured(vgg__weights=str(tmp_path / "other.npz"))
    with pytest.raises(InputError) as caught:
        build.features(config)
    assert "conv2_1.kernel has shape (3, 3, 64, 64), VGG16's is (3, 3, 64, 128)" in str(
        caught.value
    )
    del other["conv3_3.bias"]
    save_npz(tmp_path / "other.npz", **other)
    with pytest.raises(InputError, match=r"conv3_3\.bias is missing"):
        build.features(config)


@pytest.mark.parametrize(
    ("name", "changes", "count", "updates"),
    [
        # 8 windows of 5, two times: 7 in the shuffle and the median, 100 updates each.
        ("dip_vid", {"schedule__num_passes": 2}, 12, 2 * (7 + 1) * 100),
        # 20 passes of 50 windows, and the median once more.
        ("flow", {}, 80, 20 * 51 * 100),
        ("footage", {}, 80, 10 * 200),
        ("dip", {}, 3, 3 * 5000),
        ("propagate", {}, 9, 0),
    ],
)
def test_updates_are_counted_beforehand(name, changes, count, updates):
    assert build.num_updates(configured(name, **changes), count) == updates


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, False),
        ({"loss__propagated": 1.0}, True),
        ({"render__propagated_pixels": "blend", "propagation__holdout": True}, True),
        ({"propagation__holdout": True}, True),
        ({"method": "propagate"}, True),
        ({"render__propagated_pixels": "only"}, True),
    ],
)
def test_pixels_are_propagated_where_a_term_or_the_result_takes_them(changes, needed):
    config = configured("dip_vid", **changes)
    assert build.needs_propagated(config) is needed
    assert build.trains(config) is (config.method == "train")


def test_the_clip_holds_propagated_pixels_for_their_loss_alone():
    held_out = np.zeros((1, 4, 4), bool)
    held_out[0, 2, 2] = True
    filled = Propagated(np.ones((1, 4, 4, 3), np.uint8), np.ones((1, 4, 4), np.float16), held_out)
    arrays = (filled.frames, np.zeros((1, 4, 4), bool), np.zeros((1, 4, 4, 1), np.float32))
    for weight in (0.0, 1.0):
        config = configured("dip_vid", loss__propagated=weight, render__propagated_pixels="blend")
        made = build.clip(config, *arrays, flows=None, features=None, propagated=filled)
        assert (made.propagated is not None) is bool(weight)
        assert np.array_equal(made.hole, held_out)  # a hole to the training
