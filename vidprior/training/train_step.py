"""One update of the generator, and lists of them: the arithmetic of Section 3.2."""

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import struct

from vidprior.model.generator import Generator
from vidprior.runtime import compiler_options, one_graph_options
from vidprior.training import losses
from vidprior.training.packing import pack, unpack
from vidprior.training.windows import gather, pick, select
from vidprior.types import Batch, DeviceClip, Features, Params, Prediction, Window

log = logging.getLogger("vidprior")

Losses = dict[str, jax.Array]

# Updates in one dispatch on an accelerator; their losses are read afterwards.
STEPS_PER_DISPATCH = 100


@struct.dataclass
class Best:
    """The parameters with the lowest error so far.

    Attributes:
      params: the generator's parameters.
      error: scalar float32, their error; infinite before the first score.
      step: scalar int32, updates done when they were current.
    """

    params: Params
    error: jax.Array
    step: jax.Array


@struct.dataclass
class TrainState:
    """What an update changes.

    Attributes:
      params: the generator's parameters.
      opt_state: of the optimiser.
      step: scalar int32, updates done.
      best: the best parameters so far; None if they are not kept.
      ema: the exponential moving average of the parameters; None if it is not kept.
    """

    params: Params
    opt_state: Any
    step: jax.Array
    best: Best | None = None
    ema: Params | None = None

    @property
    def newest(self) -> Params:
        """The parameters after the last update: the EMA, if it is kept."""
        return self.params if self.ema is None else self.ema

    @property
    def rendered(self) -> Params:
        """The parameters that render frames: the best, if any have a score."""
        return self.newest if self.scored is None else self.scored.params

    @property
    def scored(self) -> Best | None:
        """The best parameters so far; None if they are not kept, or none has a score yet."""
        known = self.best is not None and bool(jnp.isfinite(self.best.error))
        return self.best if known else None


# Scores whose ratio is above this are equal up to rounding.
_SAME = 0.9999


def with_best(state: TrainState) -> TrainState:
    """The state, keeping its best parameters from now on.

    Their score is the image loss of every update (`make_train_step`), or the error given to
    `update_best`.
    """
    params = jax.tree.map(jnp.copy, state.params)  # both are donated: no array twice
    # With an explicit dtype: a weak type would compile the update again after the first score.
    error = jnp.array(jnp.inf, jnp.float32)
    return dataclasses.replace(state, best=Best(params, error, jnp.zeros((), jnp.int32)))


def update_best(state: TrainState, error: float) -> TrainState:
    """The state, keeping its newest parameters unless their `error` exceeds the lowest so far.

    Of equal errors the newest counts: before the network is ready, only propagated pixels are
    shown, and the score does not change. The state must come from `with_best`.
    """
    assert state.best is not None, "no best parameters are kept: see `with_best`"
    if not error <= float(state.best.error):
        return state
    params = jax.tree.map(jnp.copy, state.newest)
    best = Best(params, jnp.array(error, jnp.float32), jnp.copy(state.step))
    return dataclasses.replace(state, best=best)


def gains_nothing(state: TrainState, error_without: float) -> bool:
    """Whether the best parameters are no better than the result without a network."""
    best = state.scored
    return best is not None and float(best.error) >= _SAME * error_without


def should_stop_early(
    state: TrainState, *, total: int, trial: int = 0, error_without: float = math.inf
) -> bool:
    """Whether training should stop early.

    It stops when the best score is older than half of the steps, but not before half of
    `total`; or when after a trial the best score is no better than without a network.

    Args:
      state: scored by `update_best`.
      total: updates of the run.
      trial: updates after which a network must be better.
      error_without: score of the result without a network; infinite if there is none.
    """
    best = state.scored
    if best is None:
        return False
    if int(state.step) >= trial and gains_nothing(state, error_without):
        return True
    return int(state.step) >= max(2 * int(best.step), total / 2)


def with_ema(state: TrainState) -> TrainState:
    """The state, keeping an EMA of its parameters from now on; see `make_train_step`."""
    return dataclasses.replace(state, ema=jax.tree.map(jnp.copy, state.params))


@jax.jit
def all_finite(tree: Any) -> jax.Array:
    """Whether no array of a tree contains NaN or infinity: a bool on the device."""
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]))


TrainStep = Callable[[TrainState, DeviceClip, Window], tuple[TrainState, Losses]]


def predicted_losses(
    prediction: Prediction,
    batch: Batch,
    *,
    weights: Mapping[str, float],
    features: Features | None = None,
) -> Losses:
    """The unweighted losses; one without a weight, or with weight 0, is not computed.

    Args:
      prediction: of the window.
      batch: the window's data.
      weights: of 'image', 'flow', 'consistency', 'perceptual' (Equation 2) and 'propagated'.
      features: VGG16 with its parameters; needed by the perceptual loss.

    Returns:
      Name to scalar, for every loss with a weight.
    """
    terms: Losses = {}
    image = prediction.image
    weighted = {name for name, weight in weights.items() if weight}
    if "image" in weighted:
        terms["image"] = losses.image_loss(image, batch.image, batch.hole)
    if weighted & {"flow", "consistency"}:
        assert prediction.flow is not None, "the flow terms need a generator with a flow head"
        assert batch.flow_scale is not None, "the flow terms need flow"
        flow = pick(prediction.flow, batch.source)
        if flow.shape[-2] == 1:  # the one flow that a window needs
            flow = flow[..., 0, :]
        else:
            flow = flow[jnp.arange(len(flow)), ..., batch.offset, :]
        scale = batch.flow_scale[:, None, None, None]
        if "flow" in weighted:
            assert batch.flow is not None
            assert batch.flow_known is not None
            terms["flow"] = losses.flow_loss(flow, batch.flow / scale, batch.flow_known)
        if "consistency" in weighted:
            assert batch.flow_hole is not None
            terms["consistency"] = losses.consistency_loss(
                pick(image, batch.target), image[batch.source], flow * scale, batch.flow_hole
            )
    if "perceptual" in weighted:
        assert features is not None, "the perceptual term needs VGG16"
        assert batch.feature_hole is not None
        wanted = features(batch.image) if batch.features is None else batch.features
        terms["perceptual"] = losses.perceptual_loss(features(image), wanted, batch.feature_hole)
    if "propagated" in weighted:
        assert batch.propagated is not None, "the propagated term needs propagated pixels"
        assert batch.confidence is not None
        terms["propagated"] = losses.propagated_loss(image, batch.propagated, batch.confidence)
    return terms


def make_train_step(
    *,
    generator: Generator,
    optimizer: optax.GradientTransformation,
    weights: Mapping[str, float],
    features: Features | None = None,
    ema_decay: float = 0.0,
    best_by_image_loss: bool = False,
) -> TrainStep:
    """Builds `update(state, clip, window) -> (state, losses)`, a pure function.

    The losses belong to the parameters before the update; their weighted sum is 'total'. If
    the state keeps an EMA (`with_ema`), it moves towards the new parameters by a share of
    1 - `ema_decay`, or of 9 / (10 + u) after u updates if that is more, so that it soon
    forgets the initial parameters. With `best_by_image_loss`, a state that keeps its best
    parameters (`with_best`) keeps those with the lowest image loss.
    """

    def objective(params: Params, batch: Batch) -> tuple[jax.Array, Losses]:
        variables = {"params": unpack(params)}
        # The pairs of a window are at one offset.
        offset = (batch.offset[0],) if generator.predict_flow else ()
        prediction = cast(Prediction, generator.apply(variables, batch.noise, *offset))
        terms = predicted_losses(prediction, batch, weights=weights, features=features)
        total = jnp.sum(jnp.stack([weights[name] * term for name, term in terms.items()]))
        return total, {**terms, "total": total}

    def update(state: TrainState, clip: DeviceClip, window: Window) -> tuple[TrainState, Losses]:
        grads, terms = jax.grad(objective, has_aux=True)(state.params, gather(clip, window))
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        best = _better(state, terms["image"]) if best_by_image_loss else state.best
        params = optax.apply_updates(state.params, updates)
        ema = _update_ema(state.ema, params, step=state.step, decay=ema_decay)
        return TrainState(params, opt_state, state.step + 1, best, ema), terms

    return update


def _better(state: TrainState, error: jax.Array) -> Best:
    assert state.best is not None, "no best parameters are kept: see `with_best`"
    newest = Best(state.params, error, state.step)
    is_better = error < state.best.error
    better: Best = jax.tree.map(lambda new, old: jnp.where(is_better, new, old), newest, state.best)
    return better


def _update_ema(
    ema: Params | None, params: Params, *, step: jax.Array, decay: float
) -> Params | None:
    if ema is None:
        return None
    share = jnp.maximum(1 - decay, 9 / (10 + step))
    averaged: Params = optax.incremental_update(params, ema, share)
    return averaged


def scanned(step: TrainStep) -> TrainStep:
    """One update for each window of a list, as one program for an accelerator.

    Args:
      step: the update to repeat, for one network or several.

    Returns:
      `update(state, clip, windows) -> (state, losses)`; windows and losses have a leading axis.
    """

    def update(state: TrainState, clip: DeviceClip, windows: Window) -> tuple[TrainState, Losses]:
        packed = pack(state, params=state.params)
        packed, terms = jax.lax.scan(lambda s, window: step(s, clip, window), packed, windows)
        return unpack(packed), terms

    return update


class Fit:
    """`fit(state, clip, windows)`: one update for each window of a list.

    The state passed in is donated. The losses have a leading axis with one entry for each
    update.

    Attributes:
      length: updates that are scanned in one dispatch; 1 scans nothing.
    """

    def __init__(self, step: TrainStep, *, length: int = 1, one_graph: bool = False):
        """Compiles a step of `make_train_step` when it is first called.

        Args:
          step: the update to repeat.
          length: windows that are scanned in one dispatch, for an accelerator; the rest of a
            list is dispatched one by one, so that there are only two programs. On a CPU it
            must be 1: XLA computes the weight gradients of a scanned convolution 16 times
            slower there.
          one_graph: runs them as one CUDA graph. If the device refuses, the log says so, and
            they run as without.
        """

        def compiled(step: TrainStep, **options: str | bool) -> Any:
            options = compiler_options() | options
            return jax.jit(step, donate_argnums=0, compiler_options=options)

        self.length = length
        self._one, self._many = compiled(step), compiled(scanned(step))
        # Until it is tried.
        self._graph = compiled(scanned(step), **one_graph_options()) if one_graph else None

    def _cut(self, windows: Window) -> tuple[range, range]:
        """Where the full dispatches of a list begin, and the numbers of the windows left over."""
        count = len(windows.frames)
        whole = 0 if self.length == 1 else count - count % self.length
        return range(0, whole, self.length), range(whole, count)

    def __call__(
        self, state: TrainState, clip: DeviceClip, windows: Window
    ) -> tuple[TrainState, Losses]:
        """Fits the list's windows, one after the other."""
        full, single = self._cut(windows)
        parts: list[Losses] = []
        for start in full:
            block = select(windows, slice(start, start + self.length))
            self._try_graph(state, clip, block)
            state, terms = self._many(state, clip, block)
            parts.append(terms)
        for i in single:
            state, terms = self._one(state, clip, select(windows, i))
            parts.append({name: value[None] for name, value in terms.items()})
        if len(parts) == 1:
            return state, parts[0]
        return state, {name: jnp.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _try_graph(self, state: TrainState, clip: DeviceClip, windows: Window) -> None:
        """Takes the CUDA graph from now on if it runs: on a copy, since a failure keeps nothing."""
        if self._graph is None:
            return
        try:
            jax.block_until_ready(self._graph(jax.tree.map(jnp.copy, state), clip, windows))
            self._many = self._graph
        except jax.errors.JaxRuntimeError as error:
            log.warning(f"updates do not run as one CUDA graph here: {str(error).splitlines()[0]}")
        self._graph = None

    def temporaries(self, state: TrainState, clip: DeviceClip, windows: Window) -> int:
        """Bytes of temporaries of an update.

        Compiles everything that a call with these windows needs, and runs nothing but a CUDA
        graph that has to be tried.
        """
        full, single = self._cut(windows)
        lowered = []
        if full:
            block = select(windows, slice(self.length))
            self._try_graph(state, clip, block)
            lowered.append(self._many.lower(state, clip, block))
        if single:
            lowered.append(self._one.lower(state, clip, select(windows, single[0])))
        analyses = [cast(Any, each.compile().memory_analysis()) for each in lowered]
        return max((int(each.temp_size_in_bytes) for each in analyses), default=0)


def init_state(params: Params, *, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first update, with a fresh optimiser state."""
    params = jax.tree.map(jnp.asarray, params)
    return TrainState(
        params=params, opt_state=optimizer.init(params), step=jnp.zeros((), jnp.int32)
    )
