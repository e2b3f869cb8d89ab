"""From a configuration to network, optimiser, losses and schedule: fields become arguments."""

import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from vidprior import runtime
from vidprior.errors import InputError
from vidprior.io.npz import load_npz
from vidprior.model import init, vgg
from vidprior.model.generator import Generator
from vidprior.run.clip_file import PreparedClip
from vidprior.run.render import RenderedFrame, render
from vidprior.run.workdir import Workdir
from vidprior.training import optimizers, resources, windows
from vidprior.training.clip import make_clip, make_noise
from vidprior.training.feature_cache import FeatureCache
from vidprior.training.train_step import (
    Losses,
    TrainState,
    TrainStep,
    init_state,
    make_train_step,
    with_best,
    with_ema,
)
from vidprior.types import Array, DeviceClip, Features, Flows, Params, Propagated, Window

# The share of a device's memory that VGG features of a clip may take.
FEATURES_SHARE = 0.25


def needs_flow(config: ConfigDict) -> bool:
    """Whether any loss with a weight needs flow."""
    return bool(config.loss.flow or config.loss.consistency)


def needs_propagated(config: ConfigDict) -> bool:
    """Whether propagated pixels are needed."""
    wanted = config.loss.propagated or config.propagation.holdout
    return bool(wanted) or not trains(config) or config.render.propagated_pixels != "none"


def trains(config: ConfigDict) -> bool:
    """Whether a network is fitted; otherwise the result is propagated pixels alone."""
    return bool(config.method == "train")


def generator(config: ConfigDict) -> Generator:
    """The network that `config.model` describes, with a flow head if any loss needs it."""
    return Generator(
        channels=tuple(config.model.channels),
        skip_channels=config.model.skip_channels,
        conv_ndim=config.model.conv_ndim,
        predict_flow=needs_flow(config),
        refine_kernel=config.model.refine_kernel,
        dtype=jnp.dtype(config.model.dtype),
    )


def noise(config: ConfigDict, workdir: Workdir, hole: np.ndarray) -> np.ndarray:
    """The fixed input of a clip whose hole is [T, H, W]: stored with the run, or from the seed."""
    kept = workdir.read_noise(hole)
    if kept is not None:
        return kept
    num_frames, height, width = hole.shape
    return make_noise(config.seed, num_frames, (height, width), high=config.model.noise_high)


def clip(
    config: ConfigDict,
    frames: np.ndarray,
    hole: np.ndarray,
    noise: np.ndarray,
    *,
    flows: Flows | None,
    features: Features | None,
    propagated: Propagated | None = None,
) -> DeviceClip:
    """Everything that an update reads but VGG features (see `feature_filler`), on the device.

    Held-out pixels are part of the hole here.
    """
    return make_clip(
        frames,
        hole if propagated is None else hole | propagated.held_out,
        noise,
        flows=flows,
        features=features,
        keep_features=False,
        propagated=propagated if config.loss.propagated else None,
    )


def feature_filler(
    config: ConfigDict, features: Features | None, clip: DeviceClip
) -> Callable[[DeviceClip, Array | Iterable[int]], DeviceClip]:
    """A function that adds VGG features of some frames: `FeatureCache.fill`, if they are kept."""
    if features is None or not keeps_features(config, features, clip.frames.shape[:3]):
        return lambda clip, _: clip
    return FeatureCache(features, clip.frames).fill


def keeps_features(config: ConfigDict, features: Features, shape: tuple[int, ...]) -> bool:
    """Whether a clip's VGG features are computed once and kept, or in every update.

    By default they are kept if they take at most `FEATURES_SHARE` of the memory.

    Args:
      config: the configuration.
      features: VGG16.
      shape: [T, H, W] of the clip.
    """
    described = jax.eval_shape(features, jax.ShapeDtypeStruct((*shape, 3), jnp.float32))
    return keeps_bytes(config, resources.tree_bytes(described), runtime.memory_limit())


def keeps_bytes(config: ConfigDict, size: int, available: int | None) -> bool:
    """Whether VGG features of `size` bytes are kept, if `available` bytes of memory are known."""
    if config.vgg.cache != "auto":
        return bool(config.vgg.cache == "keep")
    return available is None or size <= FEATURES_SHARE * available


def prepared_clip(
    config: ConfigDict,
    workdir: Workdir,
    prepared: PreparedClip,
    *,
    flows: Flows | None,
    features: Features | None,
    propagated: Propagated | None = None,
) -> DeviceClip:
    """`clip` for a prepared clip, with the run's noise."""
    return clip(
        config,
        prepared.frames,
        prepared.hole,
        noise(config, workdir, prepared.hole),
        flows=flows,
        features=features,
        propagated=propagated,
    )


def train_step(config: ConfigDict, features: Features | None, *, updates: int = 0) -> TrainStep:
    """One update of the configured network under the configured losses; see `optimizer`.

    On an accelerator, float32 products use fewer bits (TF32) unless `config.model.precision`
    is 'highest'.
    """
    one = make_train_step(
        generator=generator(config),
        optimizer=optimizer(config, updates=updates),
        weights=config.loss.to_dict(),
        features=features,
        ema_decay=config.optimizer.ema_decay,
        best_by_image_loss=config.schedule.reset_per_window,
    )

    def precise(state: TrainState, clip: DeviceClip, window: Window) -> tuple[TrainState, Losses]:
        with jax.default_matmul_precision(config.model.precision):
            return one(state, clip, window)

    return precise


def render_frames(
    config: ConfigDict,
    params_for: Callable[[int], Params],
    noise: Array,
    frames: Sequence[int],
) -> Iterator[RenderedFrame]:
    """Frames of the configured network, see `render.render`."""
    return render(
        params_for,
        noise,
        frames,
        generator=generator(config),
        length=config.window.length,
        rounding=config.render.rounding,
        precision=config.model.precision,
    )


def initial_params(config: ConfigDict, network: int = 0) -> Params:
    """A fresh network; `network` counts where a run has several."""
    return init.initial_params(
        config.seed,
        generator=generator(config),
        initializer=config.model.initializer,
        network=network,
    )


def initial_state(config: ConfigDict, params: Params) -> TrainState:
    """The state before the first update."""
    # The optimiser's state depends on updates done, not on those to come.
    state = init_state(params, optimizer=optimizer(config, updates=1))
    state = with_ema(state) if config.optimizer.ema_decay else state
    return with_best(state) if config.checkpoint.keep_best else state


def optimizer(config: ConfigDict, *, updates: int = 0) -> optax.GradientTransformation:
    """The configured one; its state carries over from window to window.

    Args:
      config: the configuration.
      updates: of a network from first to last; must be given where the learning rate
        decays over them, and is not read elsewhere.
    """
    fields = config.optimizer
    return optimizers.make_optimizer(
        fields.name,
        learning_rate(config, updates=updates),
        b1=fields.b1,
        b2=fields.b2,
        eps=fields.eps,
        dtype=jnp.dtype(config.model.dtype),
    )


def learning_rate(config: ConfigDict, *, updates: int) -> float | optax.Schedule:
    """The optimiser's; a function of the updates done where it decays over `updates` of them."""
    rate = config.optimizer.learning_rate
    if config.optimizer.lr_schedule == "cosine":
        return optax.cosine_decay_schedule(rate, updates)
    return rate


def learning_rate_at(config: ConfigDict, done: int, *, updates: int) -> float:
    """That of the update after `done` of a network's `updates`."""
    rate = learning_rate(config, updates=updates)
    return float(rate(done) if callable(rate) else rate)


def list_windows(config: ConfigDict, num_frames: int) -> Window:
    """All windows of a clip."""
    return windows.list_windows(
        num_frames,
        length=config.window.length,
        strides=config.window.strides,
        directions=config.window.directions,
    )


def schedule(config: ConfigDict, window_list: Window, num_frames: int) -> windows.Schedule:
    """The order of all updates."""
    fields = config.schedule
    return windows.make_schedule(
        seed=config.seed,
        num_windows=len(window_list.frames),
        num_passes=fields.num_passes,
        windows_per_pass=fields.windows_per_pass,
        updates_per_window=fields.updates_per_window,
        median=windows.median_window(window_list, num_frames),
        median_role=fields.median_window,
    )


def num_updates(config: ConfigDict, num_frames: int) -> int:
    """Updates of a run of so many frames, from first to last."""
    if not trains(config):
        return 0
    listed = list_windows(config, num_frames)
    if config.schedule.reset_per_window:
        return len(listed.frames) * config.schedule.updates_per_window
    return len(schedule(config, listed, num_frames).windows)


def features(config: ConfigDict) -> Features | None:
    """VGG16 with its weights, or None when the perceptual term is off.

    Raises:
      InputError: when the weights are missing or are not VGG16's.
    """
    if not config.loss.perceptual:
        return None
    path = pathlib.Path(config.vgg.weights)
    if not path.exists():
        raise InputError(
            f"the perceptual loss needs VGG16's weights at {path}: get them with "
            f"`make vgg16-weights` in a checkout, or do without: --config.loss.perceptual=0"
        )
    shapes = vgg.parameter_shapes()
    fields = {name: ("f", len(shape)) for name, shape in shapes.items()}
    arrays = load_npz(path, fields=fields, max_bytes=2**24)
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise InputError(f"{path}: {name} has shape {arrays[name].shape}, VGG16's is {shape}")
    return bound_features(config, arrays)


def bound_features(config: ConfigDict, arrays: Mapping[str, np.ndarray]) -> Features:
    """VGG16 with the arrays of a weights file, as the configuration wants it."""
    imagenet = config.vgg.preprocessing == "imagenet"
    dtype = jnp.dtype(config.model.dtype)
    module = vgg.Vgg16(
        imagenet_input=imagenet,
        dtype=dtype,
        # Elsewhere the libraries choose for themselves; bfloat16 has no digits to spare.
        fewer_products=jax.default_backend() == "cpu" and dtype == jnp.float32,
    )
    params = vgg.make_params(arrays, flip_channels=not imagenet)

    def features(image: jax.Array) -> tuple[jax.Array, ...]:
        with jax.default_matmul_precision(config.model.precision):
            return cast(Any, module.apply({"params": params}, image))

    return features
