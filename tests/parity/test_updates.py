"""Whole updates on golden windows: losses, gradients, and a few in a row with Adam."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from parity import goldens, gradients, rounding
from parity.rounding import SPREAD
from vidprior import configuration
from vidprior.imaging import geometry
from vidprior.model.generator import Generator
from vidprior.run import build
from vidprior.runtime import compiler_options
from vidprior.training import clip, windows
from vidprior.training.train_step import TrainState, make_train_step
from vidprior.types import OFFSETS, DeviceClip

# What the goldens call the terms.
TERMS = {
    "recon_image": "image",
    "recon_flow": "flow",
    "consistency": "consistency",
    "perceptual": "perceptual",
}

# One loss.
LOSS = 1e-5

# Losses after several updates: relative tolerance, and the multiple of the spread that is
# accepted beyond it. Each of four numbers has a spread of its own, measured from a few
# samples: that is less sure than the spread of an array, and the multiple larger.
TRAJECTORY = 1e-2
TRAJECTORY_SPREAD = 3


class Setting(NamedTuple):
    """What every test here starts from."""

    generator: Generator
    optimizer: optax.GradientTransformation
    clip: DeviceClip
    windows: windows.Window
    start: TrainState
    copies: list  # the same for each of `rounding.copies`
    update: object  # leaves the gradients beside Adam's state


def keep_gradients(optimizer):
    """The same optimiser, with a state (its own, the last gradients)."""

    def init(params):
        return optimizer.init(params), jax.tree.map(jnp.zeros_like, params)

    def update(grads, state, params=None):
        changes, inner = optimizer.update(grads, state[0], params)
        return changes, (inner, grads)

    return optax.GradientTransformation(init, update)


@pytest.fixture(scope="module")
def setting(features):
    """The shipped configuration of the full method, on the golden clip."""
    config = configuration.load("flow")
    golden = goldens.load("clip.npz")
    num_frames, *size = (int(n) for n in golden["hole_shape"])
    source = golden["frames_bgr_u8_source"][..., ::-1]
    transform = geometry.centre_crop(source.shape[1:3], tuple(size))
    flows, _ = goldens.estimated_flows(num_frames, size)
    data = clip.make_clip(
        geometry.crop_and_resize(transform, source),
        goldens.unpack(golden["hole"], (num_frames, *size)),
        goldens.noise(num_frames, size),
        flows=flows,
        features=features,
    )
    listed = windows.list_windows(
        num_frames,
        length=len(goldens.load("after_10_updates.npz")["image_bgr_sub"]),
        strides=config.window.strides,
        directions=config.window.directions,
    )
    generator, params = goldens.generator("generator2d_flow")
    optimizer = keep_gradients(build.optimizer(config))
    params = jax.tree.map(jnp.asarray, params)
    start, *copies = [
        TrainState(some, optimizer.init(some), jnp.zeros((), jnp.int32))
        for some in (params, *rounding.copies(params))
    ]
    update = make_train_step(
        generator=generator, optimizer=optimizer, weights=config.loss, features=features
    )
    compiled = jax.jit(update, compiler_options=compiler_options())  # as training does
    return Setting(generator, optimizer, data, listed, start, copies, compiled)


def find(listed, start, stride, name):
    """The window that a golden names."""
    offset = OFFSETS.index(stride if name.startswith("f") else -stride)
    matches = (listed.frames[:, 0] == start) & (listed.offset[:, 0] == offset)
    return windows.select(listed, int(np.flatnonzero(matches)[0]))


def values(terms):
    """The four losses, in the order of `TERMS`."""
    return np.array([float(terms[name]) for name in TERMS.values()])


@pytest.mark.slow
def test_losses_and_gradients(setting, compare):
    for golden in goldens.load("losses.json")["batches"]:
        compare_window(setting, compare, golden)


def compare_window(setting, compare, golden):
    """The losses and gradients of one window before any update."""
    title = f"window {golden['start']} {golden['flow']}"
    window = find(setting.windows, golden["start"], golden["stride"], golden["flow"])

    def run(start):
        state, terms = setting.update(start, setting.clip, window)
        return state.opt_state[1], terms

    @functools.cache
    def copies():  # not computed where the golden is met without
        return [run(copy) for copy in setting.copies]

    gradient, terms = run(setting.start)
    for name, found in zip(TERMS, values(terms), strict=True):
        expected, reach = golden["loss"][name], ""
        allowed = LOSS * expected
        if abs(found - expected) > allowed:
            moved = [abs(float(other[TERMS[name]]) - found) for _, other in copies()]
            allowed, reach = allowed + SPREAD * max(moved), ", within rounding"
        compare(f"{title}: {name}{reach}", found, expected, allowed)
    compare(f"{title}: total", terms["total"], golden["total"], LOSS * golden["total"])
    gradients.compare_norms(
        title,
        compare,
        setting.generator,
        gradient,
        golden["grad_norm"],
        lambda: [copy for copy, _ in copies()],
    )


@pytest.mark.slow
def test_updates_in_a_row(setting, compare):
    golden = goldens.load("losses.json")["adam_trajectory"]
    assert golden["lr"] == configuration.load("flow").optimizer.learning_rate
    window = find(setting.windows, *golden["batch"])
    expected = np.array(
        [[row[name] for name in TERMS] for row in (*golden["losses"], golden["after"])]
    )
    runs, predictions = [], []
    predict = jax.jit(setting.generator.apply)
    for state in (setting.start, *setting.copies):
        rows = []
        for _ in range(len(expected)):
            params = state.params
            state, terms = setting.update(state, setting.clip, window)
            rows.append(values(terms))
        runs.append(np.log(rows))
        predictions.append(predict({"params": params}, setting.clip.noise[window.frames]))

    # All terms drift apart together: how far the one that is furthest has got on its way
    # to its largest spread says how far the others may have.
    ours, *copies = runs
    spread = np.max([np.abs(copy - ours) for copy in copies], axis=0)
    largest = spread.max(axis=0)
    progress = np.maximum.accumulate((spread / largest).max(axis=1, keepdims=True))
    allowed = TRAJECTORY + TRAJECTORY_SPREAD * progress * largest
    for step, row in enumerate(expected):
        compare(f"after {step} updates: losses, relatively", ours[step], np.log(row), allowed[step])

    after = goldens.load("after_10_updates.npz")
    for name, arrays in {
        "image_bgr_sub": [p.image[..., ::-1] for p in predictions],
        "flow_pixels_sub": [
            p.flow[window.source, ..., window.offset, :]
            * setting.clip.flow_scale[window.offset][:, None, None, None]
            for p in predictions
        ],
    }.items():
        step = goldens.CLIP_STEP
        arrays = [np.asarray(x).transpose(0, 3, 1, 2)[:, :, ::step, ::step] for x in arrays]
        ours, *copies = arrays

        def distance(some, other):
            return np.sqrt(np.mean(np.square(some - other)))

        compare(
            f"after {len(golden['losses'])} updates: {name}, root mean square",
            distance(ours, after[name]),
            0,
            SPREAD * max(distance(ours, copy) for copy in copies),
        )


def test_optimizer_is_adam_as_pytorch_has_it():
    """Against its formula in float64, on gradients of very different sizes."""
    fields = configuration.load("flow").optimizer
    optimizer = build.optimizer(configuration.load("flow"))
    random = np.random.default_rng(0)
    sizes = np.logspace(-12, 2, 40)
    params = random.standard_normal(sizes.shape)
    ours = jnp.asarray(params, jnp.float32)
    state = optimizer.init(ours)
    mean = square = np.zeros_like(params)
    for step in range(1, 11):
        gradient = (sizes * random.standard_normal(sizes.shape)).astype(np.float32)
        changes, state = optimizer.update(jnp.asarray(gradient), state, ours)
        ours = optax.apply_updates(ours, changes)
        mean = fields.b1 * mean + (1 - fields.b1) * gradient
        square = fields.b2 * square + (1 - fields.b2) * gradient.astype(np.float64) ** 2
        root = np.sqrt(square / (1 - fields.b2**step)) + fields.eps
        params = params - fields.learning_rate * mean / (1 - fields.b1**step) / root
        np.testing.assert_allclose(ours, params, rtol=0, atol=1e-6)
