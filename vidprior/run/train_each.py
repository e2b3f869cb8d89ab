"""Training with a fresh network for every window: the DIP baseline (appendix C.1).

Windows are fitted in groups, many at once where the device has room. A group's
checkpoint holds the best parameters of its windows and stays for good: together
they are the result.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from vidprior.run import build
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir
from vidprior.training import checkpoints, throughput, train_step
from vidprior.training.interrupts import (
    STEPS_PER_DISPATCH,
    Interrupted,
    NonFiniteLoss,
    StopRequest,
    all_finite,
)
from vidprior.training.progress import Progress, ProgressCallback
from vidprior.training.tensorboard import open_tensorboard
from vidprior.training.train_step import TrainState
from vidprior.types import Features, Flows, Params, Propagated, Window

# Windows fitted at once on an accelerator, unless the configuration says otherwise.
PARALLEL_WINDOWS = 8


def train_each(
    config: ConfigDict,
    workdir: Workdir,
    prepared: PreparedClip,
    *,
    flows: Flows | None,
    features: Features | None,
    propagated: Propagated | None = None,
    listener: ProgressCallback | None = None,
) -> None:
    """Fits every window from scratch; arguments and errors as of `train.train`."""
    clip = build.prepared_clip(
        config, workdir, prepared, flows=flows, features=features, propagated=propagated
    )
    fill = build.feature_filler(config, features, clip)
    clip = fill(clip, ())
    windows = build.list_windows(config, len(prepared.frames))
    count, updates = len(windows.frames), config.schedule.updates_per_window
    on_cpu = jax.default_backend() == "cpu"
    group = config.schedule.windows_at_once or (1 if on_cpu else PARALLEL_WINDOWS)

    optimizer = build.optimizer(config, updates=updates)
    one = build.train_step(config, features, updates=updates)
    at_once = jax.vmap(one, in_axes=(0, None, 0))
    fit = train_step.Fit(at_once, scan=not on_cpu)
    saved = checkpoints.Checkpoints(workdir.checkpoints, keep=count)
    missing = np.setdiff1d(np.arange(count), list(_saved_windows(saved)))
    fitted = (count - len(missing)) * updates
    workdir.forget_metrics_after(fitted)
    total = count * updates
    plan = None
    last_rate = build.learning_rate_at(config, updates - 1, updates=updates)
    with (
        StopRequest() as stop,
        Progress("training", total=total, done=fitted, listener=listener) as progress,
        open_tensorboard(
            workdir.summaries if config.log.tensorboard else None, begin=fitted
        ) as told,
    ):
        for begin in range(0, len(missing), group):
            numbers = missing[begin : begin + group]
            # The last group is filled up, so that all groups share one compiled update.
            filled = np.resize(numbers, group)
            networks = [build.initial_params(config, int(number)) for number in filled]
            params = jax.tree.map(lambda *arrays: np.stack(arrays), *networks)
            state = jax.vmap(functools.partial(fresh, optimizer=optimizer))(params)
            history = []
            length = 1 if on_cpu else STEPS_PER_DISPATCH
            for done in range(0, updates, length):
                size = min(length, updates - done)
                repeated = Window(
                    *(np.broadcast_to(f[filled], (size, *f[filled].shape)) for f in windows)
                )
                clip = fill(clip, repeated.frames)
                if plan is None:
                    compiled = throughput.compile_and_report(fit, state, clip, repeated)
                    plan = throughput.ThroughputEstimate(
                        done=fitted, total=total, compiled=compiled
                    )
                plan.start(clip)
                state, losses = fit(state, clip, repeated)
                plan.stop(fitted + (done + size) * len(numbers), losses, progress)
                history.append(losses)
                if stop.asked:
                    raise Interrupted(
                        f"stopped with {fitted // updates} of {count} windows fitted and saved"
                    )
                progress.advance(fitted + (done + size) * len(numbers))
            terms = {
                name: np.concatenate([losses[name] for losses in history])[:, : len(numbers)]
                for name in history[0]
            }
            _require_finite(terms["total"], numbers, windows)
            if not all_finite(state.best.params):
                raise NonFiniteLoss(f"the parameters of windows {numbers.tolist()} are not finite")
            fitted += len(numbers) * updates
            best = jax.tree.map(np.asarray, state.best.params)
            kept = TrainState(
                params=best, opt_state=(), step=jnp.array((int(numbers[-1]) + 1) * updates)
            )
            saved.save(kept, {"windows": numbers.tolist(), "flow_scale": None})
            mean = {name: float(np.mean(values[-1])) for name, values in terms.items()}
            row = {"update": fitted, "pass": 1, **mean}
            workdir.append_metrics(row)
            told.losses(row, learning_rate=last_rate)


def fresh(params: Params, *, optimizer: optax.GradientTransformation) -> TrainState:
    """A network before its first update, remembering its best parameters."""
    return train_step.with_best(train_step.init_state(params, optimizer=optimizer))


def _require_finite(losses: np.ndarray, numbers: np.ndarray, windows: Window) -> None:
    """Checks the losses, [updates, windows], of a group."""
    bad = np.argwhere(~np.isfinite(losses))
    if len(bad):
        number, position = bad[0]
        frames = windows.frames[numbers[position]].tolist()
        raise NonFiniteLoss(
            f"the loss is no longer finite at update {number + 1} of the window of frames "
            f"{frames}; a smaller --config.optimizer.learning_rate may help"
        )


def saved_params(saved: checkpoints.Checkpoints) -> Callable[[int], Params]:
    """Maps the number of a window to its parameters, read when first asked for."""
    places = _saved_windows(saved)
    groups: dict[int, Params] = {}

    def params_for(number: int) -> Params:
        step, position = places[number]
        if step not in groups:
            groups.clear()
            groups[step] = saved.restore_params(step)[0]
        return jax.tree.map(lambda x: x[position], groups[step])

    return params_for


def _saved_windows(saved: checkpoints.Checkpoints) -> dict[int, tuple[int, int]]:
    """Window number to its checkpoint and the position in it."""
    places = {}
    for step in saved.steps():
        for position, number in enumerate(saved.restore_extra(step)["windows"]):
            places[number] = (step, position)
    return places
