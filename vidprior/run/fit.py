"""Fits one network to a prepared clip, or a fresh network to every window.

Here fields of the configuration become arguments of the training loop.
"""

import functools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vidprior.propagation.blending import blend, fit_blend_weights
from vidprior.propagation.holdout import holdout_frames
from vidprior.run import build, outputs
from vidprior.run.clip_file import PreparedClip
from vidprior.run.render import holdout_pixels
from vidprior.run.workdir import Workdir
from vidprior.training import train_step
from vidprior.training.checkpoints import Checkpoints
from vidprior.training.loop import Loop, Network, block_size, trial_updates
from vidprior.training.loss_log import Row
from vidprior.training.progress import ProgressCallback
from vidprior.training.side_by_side import side_by_side
from vidprior.training.tensorboard import TensorBoard, open_tensorboard
from vidprior.training.train_step import STEPS_PER_DISPATCH, Fit, TrainState
from vidprior.training.windows import Schedule
from vidprior.types import Array, Features, Flows, Params, Propagated

log = logging.getLogger("vidprior")

# Frames, spread over the clip, whose held-out pixels score the parameters after every pass.
SELECTION_FRAMES = 12


def fit_clip(
    config: ConfigDict,
    workdir: Workdir,
    prepared: PreparedClip,
    *,
    flows: Flows | None,
    features: Features | None,
    propagated: Propagated | None = None,
    listener: ProgressCallback | None = None,
    updates_after: int = 0,
) -> TrainState:
    """Fits one network to the clip, from its newest checkpoint if there is one.

    Args:
      config: the resolved configuration.
      workdir: locked by the caller.
      prepared: frames and hole at training size.
      flows: of the clip; None if no loss needs them.
      features: VGG16; None without the perceptual loss.
      propagated: of the clip; None if not needed.
      listener: called with progress and the newest losses, instead of a progress bar.
      updates_after: updates of later segments, for the time estimate.

    Returns:
      The state after the last update; with `checkpoint.keep_best` training may stop early.

    Raises:
      NonFiniteLoss: training diverged; the previous checkpoint is kept.
      Interrupted: the user stopped the run; its state was saved.
    """
    windows = build.list_windows(config, len(prepared.frames))
    schedule = build.schedule(config, windows, len(prepared.frames))
    total = len(schedule.windows)
    saved = Checkpoints(workdir.checkpoints, keep=config.checkpoint.keep)
    state, rows = _newest(config, saved)
    begin = int(state.step)
    workdir.forget_metrics_after(begin)
    trial, error_without = trial_updates(schedule), _error_without(config, prepared, propagated)
    if begin >= total:
        return state
    if begin in schedule.pass_ends and train_step.should_stop_early(
        state, total=total, trial=trial, error_without=error_without
    ):
        log.info(f"training stopped early after update {begin}: nothing is left to do")
        return state
    clip = build.prepared_clip(
        config, workdir, prepared, flows=flows, features=features, propagated=propagated
    )
    scale = None if clip.flow_scale is None else np.asarray(clip.flow_scale).tolist()

    def save(state: TrainState, rows: Sequence[Row]) -> None:
        saved.save_in_background(state, {"flow_scale": scale, "rows": list(rows)})

    with saved, _open_tensorboard(config, workdir, begin=begin) as board:
        loop = Loop(
            fit=Fit(
                build.train_step(config, features, updates=total),
                length=_length(schedule),
                one_graph=config.schedule.one_graph,
            ),
            clip=clip,
            windows=windows,
            fill=build.feature_filler(config, features, clip),
            record=_recorder(config, workdir, board, updates=total),
            stopped=lambda done: f"stopped after update {done} of {total}; its state is saved",
            log_every=config.log.every,
            save_every=config.checkpoint.every,
            score=_score(config, clip.noise, prepared, propagated),
            preview=_preview(config, workdir, clip.noise, prepared, board),
            trial=trial,
            error_without=error_without,
        )
        network = Network(state, schedule, save, begin=begin, rows=rows)
        fitted = loop.run([network], total=total, updates_after=updates_after, listener=listener)
    assert fitted is not None
    return fitted


def _newest(config: ConfigDict, saved: Checkpoints) -> tuple[TrainState, Sequence[Row]]:
    """The newest checkpoint, or the initial state; and losses not yet recorded."""
    state = build.initial_state(config, build.initial_params(config))
    if saved.steps():
        state = saved.restore(saved.steps()[-1], state)
    begin = int(state.step)
    return state, saved.restore_extra(begin)["rows"] if begin else ()


def _recorder(
    config: ConfigDict, workdir: Workdir, board: TensorBoard, *, updates: int
) -> Callable[[Row], None]:
    """Writes rows to metrics.jsonl and, with the learning rate, to TensorBoard."""

    def record(row: Row) -> None:
        workdir.append_metrics(row)
        rate = build.learning_rate_at(config, int(row["update"]) - 1, updates=updates)
        board.losses(row, learning_rate=rate)

    return record


def fit_windows(
    config: ConfigDict,
    workdir: Workdir,
    prepared: PreparedClip,
    *,
    flows: Flows | None,
    features: Features | None,
    propagated: Propagated | None = None,
    listener: ProgressCallback | None = None,
) -> None:
    """Fits a fresh network to every window: the DIP baseline (appendix C.1).

    Windows are fitted in groups of `schedule.windows_at_once`. The checkpoint of a group
    contains the best parameters of its windows and is kept: together these are the result.
    Arguments and errors as in `fit_clip`.
    """
    windows = build.list_windows(config, len(prepared.frames))
    count, updates = len(windows.frames), config.schedule.updates_per_window
    saved = Checkpoints(workdir.checkpoints, keep=count)
    fitted = set(saved.windows())
    missing = np.setdiff1d(np.arange(count), list(fitted))
    begin = len(fitted) * updates
    workdir.forget_metrics_after(begin)
    clip = build.prepared_clip(
        config, workdir, prepared, flows=flows, features=features, propagated=propagated
    )
    rate = build.learning_rate_at(config, updates - 1, updates=updates)
    last_row: dict[str, float] = {}
    with _open_tensorboard(config, workdir, begin=begin) as board:

        def save(numbers: np.ndarray, state: TrainState, _: Sequence[Row]) -> None:
            assert state.best is not None
            best = jax.tree.map(np.asarray, state.best.params)
            step = jnp.array((int(numbers[-1]) + 1) * updates)
            result = TrainState(params=best, opt_state=(), step=step)
            saved.save(result, {"windows": numbers.tolist(), "flow_scale": None})
            fitted.update(numbers.tolist())
            workdir.append_metrics(last_row)
            board.losses(last_row, learning_rate=rate)

        step = side_by_side(build.train_step(config, features, updates=updates))
        loop = Loop(
            fit=Fit(
                step,
                length=_length(_repeat(missing[:1], updates)),
                one_graph=config.schedule.one_graph,
            ),
            clip=clip,
            windows=windows,
            fill=build.feature_filler(config, features, clip),
            record=last_row.update,
            stopped=lambda _: f"stopped with {len(fitted)} of {count} windows fitted and saved",
            log_every=1,
            save_every=updates,
        )
        networks = _window_networks(config, missing, save, begin=begin)
        loop.run(networks, total=count * updates, listener=listener)


def _window_networks(
    config: ConfigDict, numbers: np.ndarray, save: Callable[..., None], *, begin: int
) -> Iterator[Network]:
    """Fresh networks for some windows, in groups; other windows have had `begin` updates."""
    updates, group = config.schedule.updates_per_window, config.schedule.windows_at_once or 1
    for start in range(0, len(numbers), group):
        own = numbers[start : start + group]
        # The last group is padded, so that all groups share one compiled update.
        filled = np.resize(own, group)
        yield Network(
            _fresh(config, filled, updates=updates),
            _repeat(filled, updates),
            functools.partial(save, own),
            before=begin + start * updates,
            num_networks=len(own),
            can_go_on=False,
        )


def _open_tensorboard(
    config: ConfigDict, workdir: Workdir, *, begin: int
) -> AbstractContextManager[TensorBoard]:
    return open_tensorboard(workdir.summaries if config.log.tensorboard else None, begin=begin)


def _length(schedule: Schedule) -> int:
    """Updates in one dispatch: one on a CPU, see `Fit`."""
    on_cpu = jax.default_backend() == "cpu"
    return block_size(schedule, largest=1 if on_cpu else STEPS_PER_DISPATCH)


def _repeat(numbers: np.ndarray, updates: int) -> Schedule:
    """The same windows, [G], in every one of so many updates."""
    return Schedule(np.broadcast_to(numbers, (updates, *numbers.shape)), np.array([updates]))


def _fresh(config: ConfigDict, numbers: np.ndarray, *, updates: int) -> TrainState:
    """Networks for some windows before their first update, keeping their best parameters."""
    optimizer = build.optimizer(config, updates=updates)

    def one(params: Params) -> TrainState:
        return train_step.with_best(train_step.init_state(params, optimizer=optimizer))

    networks = [build.initial_params(config, int(number)) for number in numbers]
    states: TrainState = jax.vmap(one)(jax.tree.map(lambda *x: np.stack(x), *networks))
    return states


def _score(
    config: ConfigDict, noise: Array, prepared: PreparedClip, propagated: Propagated | None
) -> Callable[[Params], float] | None:
    """Held-out MSE of what would be shown, in grey levels of 255; NaN if nothing is held out."""
    if propagated is None or not config.checkpoint.keep_best:
        return None
    frames = holdout_frames(propagated.held_out, count=SELECTION_FRAMES)

    def score(params: Params) -> float:
        shown = build.render_frames(config, lambda _: params, noise, frames)
        generated, filled, truth, confidence = holdout_pixels(shown, propagated, prepared.frames)
        if not len(truth):
            return math.nan
        result = generated
        if config.render.propagated_pixels == "blend":
            weights = fit_blend_weights(generated, filled, truth, confidence)
            result = blend(generated, filled, confidence, weights)
        return float(np.square(truth - result.astype(np.float32)).mean())

    return score


def _error_without(
    config: ConfigDict, prepared: PreparedClip, propagated: Propagated | None
) -> float:
    """The score of propagated pixels without a network; infinite if not compared."""
    compared = config.checkpoint.keep_best and config.render.propagated_pixels == "blend"
    if propagated is None or not compared:
        return math.inf
    frames = holdout_frames(propagated.held_out, count=SELECTION_FRAMES)
    where = propagated.held_out[frames]
    if not where.any():
        return math.inf
    truth = prepared.frames[frames][where].astype(np.float32)
    return float(np.square(truth - propagated.frames[frames][where]).mean())


def _preview(
    config: ConfigDict,
    workdir: Workdir,
    noise: Array,
    prepared: PreparedClip,
    board: TensorBoard,
) -> Callable[[Params, int], None] | None:
    """Writes a preview: a few frames, spread over the clip."""
    if not config.log.preview_frames:
        return None
    frames = preview_frames(len(noise), config.log.preview_frames)

    def preview(params: Params, update: int) -> None:
        shown = build.render_frames(config, lambda _: params, noise, frames)
        path = workdir.previews / f"{update:06d}.png"
        board.picture(update, "preview", outputs.write_preview(path, shown, prepared))

    return preview


def preview_frames(num_frames: int, count: int) -> list[int]:
    """Numbers of at most `count` frames, spread over a clip without its ends."""
    spread = np.linspace(0, num_frames - 1, count + 2)[1:-1]
    return sorted(set(spread.astype(int).tolist()))
