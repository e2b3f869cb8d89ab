"""One update of the generator, and many in a row: the arithmetic of Section 3.2."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import struct

from vidprior.model.generator import Generator
from vidprior.runtime import compiler_options
from vidprior.training import losses
from vidprior.training.windows import gather, select
from vidprior.types import Batch, DeviceClip, Features, Params, Prediction, Window

Losses = dict[str, jax.Array]

# Updates in one dispatch on an accelerator: its losses are looked at afterwards.
STEPS_PER_DISPATCH = 100


@struct.dataclass
class TrainState:
    """What an update changes.

    Attributes:
      params: the generator's parameters.
      opt_state: of the optimiser.
      step: scalar int32, updates done.
      best: the best parameters so far, when they are asked for.
      average: the parameters averaged over updates, when they are asked for.
    """

    params: Params
    opt_state: Any
    step: jax.Array
    best: Any = None
    average: Any = None

    @property
    def newest(self) -> Params:
        """The parameters after the last update: averaged ones, if there are."""
        return self.params if self.average is None else self.average

    @property
    def rendered(self) -> Params:
        """The parameters that frames are generated with: the best, if any were judged."""
        return self.best.params if self.judged else self.newest

    @property
    def judged(self) -> bool:
        """Whether best parameters are kept, and there are some."""
        return self.best is not None and bool(jnp.isfinite(self.best.error))


@struct.dataclass
class Best:
    """The parameters of least error so far.

    Attributes:
      params: the generator's parameters.
      error: theirs; infinite before any was known.
      step: scalar int32, updates that led to them.
    """

    params: Params
    error: jax.Array
    step: jax.Array


def with_best(state: TrainState) -> TrainState:
    """The state, from now on remembering its best parameters.

    They are judged by the image loss of every update (`make_update`), or now and then by
    whoever calls `judge`.
    """
    params = jax.tree.map(jnp.copy, state.params)  # both are donated: no array twice
    step = jnp.zeros((), jnp.int32)
    return dataclasses.replace(state, best=Best(params, jnp.array(jnp.inf), step))


def update_best(state: TrainState, error: float) -> TrainState:
    """The state, remembering its newest parameters unless their `error` exceeds the least so far.

    Of equals the newest count: before a network is ready, carried pixels alone are shown, and
    what is judged does not change.
    """
    if not error <= float(state.best.error):
        return state
    params = jax.tree.map(jnp.copy, state.newest)
    best = Best(params, jnp.array(error, jnp.float32), jnp.copy(state.step))
    return dataclasses.replace(state, best=best)


def should_stop_early(state: TrainState, *, total: int) -> bool:
    """Whether half of the updates so far, and these at least half of `total`, changed no best."""
    return state.judged and int(state.step) >= max(2 * int(state.best.step), total / 2)


def with_ema(state: TrainState) -> TrainState:
    """The state, from now on averaging its parameters; see `make_update`."""
    return dataclasses.replace(state, average=jax.tree.map(jnp.copy, state.params))


@jax.jit
def all_finite(tree: Any) -> jax.Array:
    """Whether no array of a tree holds NaN or infinity: a bool on the device, not waited for."""
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]))


TrainStep = Callable[[TrainState, DeviceClip, Window], tuple[TrainState, Losses]]


def predicted_losses(
    prediction: Prediction,
    batch: Batch,
    *,
    weights: Mapping[str, float],
    features: Features | None = None,
) -> Losses:
    """The unweighted terms of the loss; one without a weight, or of weight 0, is not computed.

    Args:
      prediction: of the window.
      batch: the window's data.
      weights: of 'image', 'flow', 'consistency', 'perceptual' (Equation 2) and 'propagated'.
      features: VGG16 with its parameters bound; needed by the perceptual term.

    Returns:
      Name to scalar, for every term with a weight.
    """
    terms: Losses = {}
    image = prediction.image
    weighted = {name for name, weight in weights.items() if weight}
    if "image" in weighted:
        terms["image"] = losses.image_loss(image, batch.image, batch.hole)
    if weighted & {"flow", "consistency"}:
        assert prediction.flow is not None, "the flow terms need a generator with a flow head"
        flow = prediction.flow[batch.source, ..., batch.offset, :]
        scale = batch.flow_scale[:, None, None, None]
        if "flow" in weighted:
            terms["flow"] = losses.flow_loss(flow, batch.flow / scale, batch.flow_known)
        if "consistency" in weighted:
            terms["consistency"] = losses.consistency_loss(
                image[batch.target], image[batch.source], flow * scale, batch.flow_hole
            )
    if "perceptual" in weighted:
        assert features is not None, "the perceptual term needs VGG16"
        wanted = features(batch.image) if batch.features is None else batch.features
        terms["perceptual"] = losses.perceptual_loss(features(image), wanted, batch.feature_hole)
    if "propagated" in weighted:
        assert batch.propagated is not None, "the propagated term needs propagated pixels"
        terms["propagated"] = losses.propagated_loss(image, batch.propagated, batch.confidence)
    return terms


def make_train_step(
    *,
    generator: Generator,
    optimizer: optax.GradientTransformation,
    weights: Mapping[str, float],
    features: Features | None = None,
    average: float = 0.0,
    judge_image: bool = False,
) -> TrainStep:
    """Builds `update(state, clip, window) -> (state, losses)`, a pure function.

    The losses are those of the parameters that came in, with their weighted sum
    under 'total'. A state that keeps averaged parameters (`keep_average`) takes them
    towards the new ones by a share of 1 - `average`, and by more in its first updates,
    9 / (10 + u) after u of them: the random beginning is soon forgotten. With `judge_image`,
    a state that keeps its best parameters (`keep_best`) takes those of least image loss.
    """

    def objective(params: Params, batch: Batch) -> tuple[jax.Array, Losses]:
        prediction = cast(Prediction, generator.apply({"params": params}, batch.noise))
        terms = predicted_losses(prediction, batch, weights=weights, features=features)
        total = jnp.sum(jnp.stack([weights[name] * term for name, term in terms.items()]))
        return total, {**terms, "total": total}

    def update(state: TrainState, clip: DeviceClip, window: Window) -> tuple[TrainState, Losses]:
        grads, terms = jax.grad(objective, has_aux=True)(state.params, gather(clip, window))
        changes, opt_state = optimizer.update(grads, state.opt_state, state.params)
        best = _better(state, terms["image"]) if judge_image else state.best
        params = optax.apply_updates(state.params, changes)
        averaged = _update_ema(state.average, params, step=state.step, decay=average)
        return TrainState(params, opt_state, state.step + 1, best, averaged), terms

    return update


def _better(state: TrainState, error: jax.Array) -> Best:
    newest = Best(state.params, error, state.step)
    is_better = error < state.best.error
    return jax.tree.map(lambda new, old: jnp.where(is_better, new, old), newest, state.best)


def _update_ema(average: Params | None, params: Params, *, step: jax.Array, decay: float) -> Any:
    if average is None:
        return None
    share = jnp.maximum(1 - decay, 9 / (10 + step))
    return optax.incremental_update(params, average, share)


class Fit:
    """`fit(state, clip, windows)`: one update for each window of a list.

    The state that is passed in is donated. The losses gain a leading axis, one
    entry for each update.
    """

    def __init__(self, update: TrainStep, *, scan: bool):
        """Takes an update of `make_update`.

        Args:
          update: that is to be repeated.
          scan: runs the list in one dispatch, as an accelerator wants it. On a CPU XLA
            leaves the weight gradients of a scanned convolution on a slow path, some 16
            times slower: there each update is dispatched by itself.
        """

        def scanned(
            state: TrainState, clip: DeviceClip, windows: Window
        ) -> tuple[TrainState, Losses]:
            return jax.lax.scan(lambda s, window: update(s, clip, window), state, windows)

        self._scan = scan
        self._compiled = jax.jit(
            scanned if scan else update, donate_argnums=0, compiler_options=compiler_options()
        )

    def __call__(
        self, state: TrainState, clip: DeviceClip, windows: Window
    ) -> tuple[TrainState, Losses]:
        """Fits the list's windows, one after the other."""
        if self._scan:
            return self._compiled(state, clip, windows)
        rows = []
        for i in range(len(windows.frames)):
            state, terms = self._compiled(state, clip, select(windows, i))
            rows.append(terms)
        return state, {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}

    def temporaries(self, state: TrainState, clip: DeviceClip, windows: Window) -> int:
        """Bytes that an update takes beside its arguments. Compiles it, and runs nothing."""
        once = windows if self._scan else select(windows, 0)
        compiled = self._compiled.lower(state, clip, once).compile()
        return int(cast(Any, compiled.memory_analysis()).temp_size_in_bytes)


def init_state(params: Params, *, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first update: fresh parameters, a fresh optimiser."""
    params = jax.tree.map(jnp.asarray, params)
    return TrainState(
        params=params, opt_state=optimizer.init(params), step=jnp.zeros((), jnp.int32)
    )
