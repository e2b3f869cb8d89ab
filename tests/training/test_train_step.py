"""One update, and many in a row.

A generator without scales has heads alone, a colour and a flow for every value of the
noise: an update is the same arithmetic around it, and compiles in a tenth of the time.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import Traced

from vidprior.model.generator import Generator
from vidprior.training import losses, train_step, windows
from vidprior.types import DeviceClip, Prediction

pytestmark = pytest.mark.slow  # compiles

SIZE = (16, 24)
LENGTH = 3
WEIGHTS = {"image": 1.0, "flow": 0.1, "consistency": 1.0, "perceptual": 0.01}
IMAGE_ALONE = {"image": 1.0, "flow": 0.0, "consistency": 0.0, "perceptual": 0.0}


def features(image):
    """Stands for VGG16: the image, and its 2x2 means."""
    n, h, w, c = image.shape
    return image, image.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


@pytest.fixture(scope="module")
def clip(make_random_clip):
    return make_random_clip(11, SIZE)


@pytest.fixture(scope="module")
def bare_clip(clip):
    """The same clip without anything that flow and perceptual terms need."""
    return DeviceClip(frames=clip.frames, hole=clip.hole, noise=clip.noise)


@pytest.fixture(scope="module")
def listed():
    """Every window: strides 1, 3 and 5, forward and backward."""
    return windows.list_windows(
        11, length=LENGTH, strides=(1, 3, 5), directions=("forward", "backward")
    )


@pytest.fixture(scope="module")
def generator():
    return Generator(channels=())


@pytest.fixture(scope="module")
def optimizer():
    return optax.adam(0.01)


@pytest.fixture
def state(generator, optimizer, random_params):
    params = random_params(generator)
    return train_step.TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32))


@pytest.fixture(scope="module")
def traced(generator, optimizer):
    return Traced(
        train_step.make_train_step(
            generator=generator, optimizer=optimizer, weights=WEIGHTS, features=features
        )
    )


@pytest.fixture(scope="module")
def fit(traced):
    return train_step.Fit(traced)


@pytest.fixture(scope="module")
def fit_image(generator, optimizer):
    def never(image):
        raise AssertionError("features were computed for a weight of 0")

    step = train_step.make_train_step(
        generator=generator, optimizer=optimizer, weights=IMAGE_ALONE, features=never
    )
    return train_step.Fit(step)


terms_of = jax.jit(
    functools.partial(train_step.predicted_losses, weights=WEIGHTS, features=features)
)


consistency_loss = jax.jit(losses.consistency_loss)


def random_prediction():
    random = np.random.default_rng(4)
    return Prediction(
        image=jnp.asarray(random.random((LENGTH, *SIZE, 3), np.float32)),
        flow=jnp.asarray(random.normal(size=(LENGTH, *SIZE, 6, 2)).astype(np.float32)),
    )


@pytest.mark.parametrize("index", [0, 1, 20, 21, 28, 29])
def test_terms_compare_each_pair_with_its_own_flow(clip, listed, index):
    window = windows.select(listed, index)
    batch = windows.gather(clip, window)
    prediction = random_prediction()
    terms = terms_of(prediction, batch)
    assert set(terms) == set(WEIGHTS)

    image, host = np.asarray(prediction.image), jax.tree.map(np.asarray, clip)
    known = ~host.hole[window.frames][..., None]
    wanted = host.frames[window.frames] / np.float32(255)
    assert terms["image"] == pytest.approx(np.mean((known * (image - wanted)) ** 2), rel=1e-5)

    squares, consistency = [], []
    for i, j, k in zip(window.source, window.target, window.offset, strict=True):
        flow, scale = np.asarray(prediction.flow)[i, :, :, k], host.flow_scale[k]
        pair = (k, window.frames[i])
        error = host.flow_known[pair][..., None] * (flow - host.flow[pair] / scale)
        squares.append(error**2)
        consistency.append(
            consistency_loss(
                image[None, j],
                image[None, i],
                scale * flow[None],
                host.flow_hole[pair][None, ..., None].astype(np.float32),
            )
        )
    assert terms["flow"] == pytest.approx(np.mean(squares), rel=1e-5)
    assert terms["consistency"] == pytest.approx(np.mean(consistency), rel=1e-5)

    perceptual = 0.0
    for ours, layer, hole in zip(features(image), host.features, host.feature_hole, strict=True):
        seen = ~hole[window.frames][..., None]
        perceptual += np.mean((seen * (ours - layer[window.frames])) ** 2)
    assert terms["perceptual"] == pytest.approx(perceptual, rel=1e-5)


def test_propagated_pixels_are_those_of_the_frames(clip, listed):
    window = windows.select(listed, 23)
    batch = windows.gather(clip, window)
    prediction = random_prediction()
    weights = {"image": 0.0, "propagated": 0.5}
    terms = train_step.predicted_losses(prediction, batch, weights=weights)
    assert set(terms) == {"propagated"}
    error = np.asarray(prediction.image) - np.asarray(clip.propagated)[window.frames] / 255
    trust = np.asarray(clip.confidence)[window.frames][..., None].astype(np.float64)
    assert terms["propagated"] == pytest.approx(np.mean(trust * error**2), rel=1e-5)


def test_targets_are_computed_anew_where_the_clip_does_not_keep_them(clip, listed):
    window = windows.select(listed, 3)
    batch = windows.gather(clip, window)._replace(features=None)
    weights = {**IMAGE_ALONE, "image": 0.0, "perceptual": 1.0}
    terms = train_step.predicted_losses(
        random_prediction(), batch, weights=weights, features=features
    )
    kept = batch._replace(features=features(batch.image))
    again = train_step.predicted_losses(
        random_prediction(), kept, weights=weights, features=features
    )
    assert terms["perceptual"] == again["perceptual"]
    assert terms["perceptual"] > 0


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_only_terms_with_a_weight_are_computed(clip, listed, name):
    weights = {other: float(other == name) for other in WEIGHTS}
    terms = jax.eval_shape(
        functools.partial(train_step.predicted_losses, weights=weights, features=features),
        random_prediction(),
        windows.gather(clip, windows.select(listed, 0)),
    )
    assert set(terms) == {name}


def test_a_term_of_weight_0_needs_no_data(fit_image, bare_clip, listed, state):
    """No flow in the clip, no features: with a weight of 0 nobody asks for them."""
    state, terms = fit_image(state, bare_clip, windows.select(listed, np.arange(2)))
    assert set(terms) == {"image", "total"}
    assert np.isfinite(terms["total"]).all()


def test_total_is_the_weighted_sum(fit, clip, listed, state):
    _, terms = fit(state, clip, windows.select(listed, np.arange(4)))
    assert set(terms) == {*WEIGHTS, "total"}
    assert all(values.shape == (4,) for values in terms.values())
    expected = sum(weight * terms[name] for name, weight in WEIGHTS.items())
    assert np.allclose(terms["total"], expected, rtol=1e-5)


def test_losses_are_those_before_the_update(fit, generator, clip, listed, state):
    batch = windows.gather(clip, windows.select(listed, 7))
    prediction = jax.jit(generator.apply)({"params": state.params}, batch.noise)
    expected = terms_of(prediction, batch)
    _, terms = fit(state, clip, windows.select(listed, np.array([7])))
    for name, value in expected.items():
        assert terms[name][0] == pytest.approx(float(value), rel=1e-4)


def test_forward_backward_and_every_stride_share_one_compilation(fit, traced, clip, listed, state):
    state, terms = fit(state, clip, listed)
    assert np.isfinite(terms["total"]).all()
    assert int(state.step) == len(listed.frames) == 30
    assert traced.count == 1


@pytest.mark.parametrize("channels", [(), pytest.param((4,), marks=pytest.mark.long)])
def test_scanned_updates_are_single_updates(random_params, clip, listed, channels):
    generator = Generator(channels=channels)
    # Both paths add up in different orders. Adam's first steps are mere signs, which would
    # turn a gradient's rounding error into a whole step: a large eps keeps them apart.
    optimizer = optax.adam(0.01, eps=1e-2)
    step = train_step.make_train_step(
        generator=generator, optimizer=optimizer, weights=WEIGHTS, features=features
    )
    params = random_params(generator)
    order = windows.select(listed, np.array([0, 29, 29, 13]))
    (singly, terms), (scanned, scanned_terms) = (
        train_step.Fit(step, length=length)(
            train_step.TrainState(
                jax.tree.map(jnp.copy, params), optimizer.init(params), jnp.zeros((), jnp.int32)
            ),
            clip,
            order,
        )
        for length in (1, 3)
    )
    assert int(scanned.step) == int(singly.step) == 4
    assert jax.tree.structure(scanned) == jax.tree.structure(singly)
    assert set(terms) == set(scanned_terms)
    for name, values in terms.items():
        assert np.allclose(scanned_terms[name], values, rtol=1e-4)


@pytest.mark.parametrize("refused", [False, True])
def test_one_graph_is_tried_and_dropped_where_it_is_refused(
    refused, clip, listed, random_params, caplog, monkeypatch
):
    """Here a compiler that does not know the options refuses; a CPU takes no notice of them."""
    if refused:
        unknown = {"xla_no_such_option": "1"}
        monkeypatch.setattr(train_step, "one_graph_options", lambda: unknown)
    generator = Generator(channels=(4,), predict_flow=False)
    optimizer = optax.adam(0.01)
    step = train_step.make_train_step(
        generator=generator, optimizer=optimizer, weights={"image": 1.0}
    )
    params = random_params(generator)
    order = windows.select(listed, np.array([0, 29, 29, 13]))
    plain, graph = (
        train_step.Fit(step, length=2, one_graph=one_graph) for one_graph in (False, True)
    )
    state = train_step.init_state(params, optimizer=optimizer)
    assert graph.temporaries(state, clip, order) > 0
    assert [record.levelname for record in caplog.records] == ["WARNING"] * refused
    assert ("xla_no_such_option" in caplog.text) == refused
    expected = plain(jax.tree.map(jnp.copy, state), clip, order)
    found = graph(state, clip, order)
    assert jax.tree.all(jax.tree.map(np.array_equal, found, expected))
    assert len(caplog.records) == refused


def test_bfloat16_leaves_all_that_is_kept_in_float32(random_params, clip, listed, optimizer):
    """Parameters, the optimiser's moments and every loss."""
    generator = Generator(channels=(4,), dtype=jnp.bfloat16)
    step = train_step.make_train_step(
        generator=generator, optimizer=optimizer, weights=WEIGHTS, features=features
    )
    state = train_step.init_state(random_params(generator), optimizer=optimizer)
    made = jax.eval_shape(step, state, clip, windows.select(listed, 0))
    assert {x.dtype for x in jax.tree.leaves(made)} == {jnp.dtype("float32"), jnp.dtype("int32")}


def test_temporaries_are_found_without_an_update(fit, clip, listed, state):
    before = jax.tree.map(np.array, state)
    found = fit.temporaries(state, clip, windows.select(listed, np.array([0])))
    assert found > clip.frames[:1].size * 4  # a generated frame at least
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(state), strict=True):
        assert np.array_equal(one, other)


def test_updates_repeat_bit_for_bit(fit, clip, listed, state):
    copy = jax.tree.map(jnp.copy, state)
    order = windows.select(listed, np.array([3, 8]))
    for one, other in zip(
        jax.tree.leaves(fit(state, clip, order)), jax.tree.leaves(fit(copy, clip, order)),
        strict=True,
    ):  # fmt: skip
        assert np.array_equal(one, other)


def test_a_list_in_two_parts_is_the_list(fit, clip, listed, state):
    """Adam's state carries over from window to window, and from call to call."""
    copy = jax.tree.map(jnp.copy, state)
    whole, terms = fit(state, clip, windows.select(listed, np.array([4, 4, 9])))
    first, _ = fit(copy, clip, windows.select(listed, np.array([4, 4])))
    parts, last = fit(first, clip, windows.select(listed, np.array([9])))
    assert last["total"][0] == terms["total"][2]
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        assert np.array_equal(one, other)
    assert int(whole.opt_state[0].count) == int(whole.step) == 3


def test_the_state_is_donated_and_the_clip_is_not(fit, clip, listed, state):
    fit(state, clip, windows.select(listed, np.array([0])))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.opt_state)))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(clip))


def test_one_update_is_a_step_of_the_optimiser(fit_image, generator, bare_clip, listed, state):
    """Adam's first step is lr * gradient / (|gradient| + eps): lr, against the slope."""
    before = jax.tree.map(np.asarray, jax.tree.map(jnp.copy, state.params))
    window = windows.select(listed, np.array([5]))
    after, _ = fit_image(state, bare_clip, window)
    first_moment = after.opt_state[0].mu
    for leaf in ("kernel", "bias"):
        # Adam's first moment is a tenth of the first gradient.
        gradient = 10 * np.asarray(first_moment["image"][leaf])
        moved = np.asarray(after.params["image"][leaf]) - before["image"][leaf]
        assert np.abs(gradient).min() > 1e-5
        assert np.allclose(moved, -0.01 * np.sign(gradient), rtol=2e-3)
    # The flow head has no part in the image loss.
    assert not np.asarray(first_moment["flow"]["kernel"]).any()


def test_the_loss_falls(fit_image, bare_clip, listed, state):
    colour = jnp.array([200, 40, 90], jnp.uint8)
    plain = bare_clip.replace(frames=jnp.broadcast_to(colour, bare_clip.frames.shape))
    _, terms = fit_image(state, plain, windows.select(listed, np.arange(300) % 30))
    total = np.asarray(terms["total"])
    assert total[0] > 0.01
    assert total[-5:].mean() < total[0] / 50


def test_the_best_parameters_are_those_of_the_lowest_image_loss(
    optimizer, listed, clip, generator, random_params
):
    """A learning rate of its own at every update makes the loss go down and up."""
    rates = jnp.array([0.02, 0.02, 0.5, 0.5, -0.3, 0.1])
    optimizer = optax.adam(lambda count: rates[count])
    step = train_step.make_train_step(
        generator=generator, optimizer=optimizer, weights=IMAGE_ALONE, best_by_image_loss=True
    )
    fit = train_step.Fit(step)
    params = random_params(generator)
    state = train_step.with_best(
        train_step.TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32))
    )
    assert state.best.error == np.inf
    lowest, expected = np.inf, None
    for index in (0, 9, 0, 28, 5, 0):
        before = jax.tree.map(np.asarray, jax.tree.map(jnp.copy, state.params))
        state, terms = fit(state, clip, windows.select(listed, np.array([index])))
        if terms["image"][0] < lowest:
            lowest, expected = float(terms["image"][0]), before
        assert state.best.error == np.float32(lowest)
        for one, other in zip(*map(jax.tree.leaves, (state.best.params, expected)), strict=True):
            assert np.array_equal(one, other)
    assert lowest < float(terms["image"][0])


def test_without_being_asked_no_best_parameters_are_kept(fit, clip, listed, state):
    state, _ = fit(state, clip, windows.select(listed, np.array([0])))
    assert state.best is None


def with_params(state, value):
    return dataclasses.replace(state, params={"a": jnp.full(2, value)})


def test_the_best_parameters_are_those_judged_best():
    state = train_step.with_best(
        train_step.TrainState({"a": jnp.zeros(2)}, (), jnp.zeros((), jnp.int32))
    )
    assert state.rendered["a"].tolist() == [0, 0]  # nothing was judged yet: the newest
    for value, error, best in ((1, 5.0, 1), (2, 6.0, 1), (3, np.nan, 1), (4, 4.0, 4), (5, 4.0, 5)):
        state = train_step.update_best(with_params(state, float(value)), error)
        assert state.newest["a"].tolist() == [value, value]
        assert state.rendered["a"].tolist() == [best, best]
    assert float(state.best.error) == 4


@pytest.mark.parametrize(
    ("best", "step", "past"),
    [
        (10, 50, True),
        (25, 50, True),
        (26, 50, False),
        (10, 49, False),
        (30, 60, True),
        (0, 60, False),
    ],
)
def test_a_run_is_past_its_best_when_half_of_it_brought_nothing_better(best, step, past):
    """Of 100 updates; best 0 says that nothing was judged."""
    state = train_step.TrainState({"a": jnp.ones(2)}, (), jnp.array(best, jnp.int32))
    assert not train_step.should_stop_early(state, total=100)
    state = train_step.update_best(train_step.with_best(state), 1.0 if best else np.nan)
    state = dataclasses.replace(state, step=jnp.array(step, jnp.int32))
    assert train_step.should_stop_early(state, total=100) is past


@pytest.mark.parametrize(
    ("error", "step", "ends"),
    [(50.0, 20, True), (50.0, 10, False), (49.0, 20, False), (51.0, 20, True)],
)
def test_a_run_ends_after_its_trial_if_the_network_gains_nothing(error, step, ends):
    """Without a network the error is 50; the trial is 20 updates."""
    best = train_step.Best({}, jnp.array(error), jnp.array(step))
    state = train_step.TrainState(params={}, opt_state=(), step=jnp.array(step), best=best)
    assert train_step.should_stop_early(state, total=100, trial=20, error_without=50.0) is ends
    assert not train_step.should_stop_early(state, total=100)


def test_what_is_judged_are_averaged_parameters_where_they_are_kept():
    state = train_step.TrainState({"a": jnp.ones(2)}, (), jnp.zeros((), jnp.int32))
    state = train_step.update_best(
        with_params(train_step.with_ema(train_step.with_best(state)), 9.0), 1.0
    )
    assert state.rendered["a"].tolist() == [1, 1]


def test_updates_leave_what_was_judged_alone(fit, clip, listed, state):
    state = train_step.update_best(train_step.with_best(state), 0.5)
    before = jax.tree.map(np.asarray, jax.tree.map(jnp.copy, state.params))
    state, _ = fit(state, clip, windows.select(listed, np.array([0, 1])))
    for one, other in zip(*map(jax.tree.leaves, (state.rendered, before)), strict=True):
        assert np.array_equal(one, other)
    assert (state.newest["image"]["bias"] != before["image"]["bias"]).any()


def test_parameters_are_averaged(generator, optimizer, bare_clip, listed, random_params):
    """Shares of the newest: 9/10, 9/11 and then 0.8, which is more than 9/12."""
    step = train_step.make_train_step(
        generator=generator, optimizer=optimizer, weights=IMAGE_ALONE, ema_decay=0.2
    )
    fit = train_step.Fit(step)
    params = random_params(generator)
    state = train_step.with_ema(train_step.init_state(params, optimizer=optimizer))
    expected = np.asarray(params["image"]["kernel"], np.float64)
    for share in (9 / 10, 9 / 11, 0.8):
        state, _ = fit(state, bare_clip, windows.select(listed, np.array([2])))
        newest = np.asarray(state.params["image"]["kernel"], np.float64)
        expected = expected + share * (newest - expected)
        assert np.allclose(state.ema["image"]["kernel"], expected, rtol=1e-5, atol=1e-7)
        assert not np.allclose(newest, expected, rtol=1e-5, atol=1e-7)
    assert state.rendered is state.ema


def test_without_being_asked_no_average_is_kept(fit, clip, listed, state):
    state, _ = fit(state, clip, windows.select(listed, np.array([0])))
    assert state.ema is None
    assert state.rendered is state.params


def test_a_fresh_state(optimizer):
    params = {"image": {"kernel": np.full((1, 1, 2, 3), 0.5, np.float32)}}
    state = train_step.init_state(params, optimizer=optimizer)
    assert int(state.step) == 0
    assert state.step.dtype == jnp.int32
    assert np.array_equal(state.params["image"]["kernel"], params["image"]["kernel"])
    moments = state.opt_state[0]
    assert jax.tree.structure(moments.mu) == jax.tree.structure(params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(moments))
