"""The one training loop: fits a clip, saves as it goes, renders at the end."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import numpy as np
from ml_collections import ConfigDict

from vidprior.propagation.blending import blend, fit_blend_weights
from vidprior.propagation.holdout import holdout_frames
from vidprior.run import build, outputs
from vidprior.run.clip_file import PreparedClip
from vidprior.run.render import RenderedFrame, holdout_pixels
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
from vidprior.training.train_step import Losses, TrainState
from vidprior.training.windows import Schedule, select
from vidprior.types import Array, Features, Flows, Params, Propagated, Window

# Frames, spread over the clip, whose rehearsal judges the parameters after every pass.
SELECTION_FRAMES = 12


def blocks(begin: int, total: int, *, size: int, ends: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Cuts updates begin..total into blocks of `size`, none across one of `ends`.

    The cuts do not depend on where a run was taken up again: it repeats the very
    dispatches of an uninterrupted one.
    """
    stops = sorted({*range(0, total, size), total, *ends})
    for stop in stops:
        if begin < stop <= total:
            yield begin, stop
            begin = stop


def train(
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
    """Fits the clip, from its newest checkpoint if there is one.

    Args:
      config: the resolved configuration.
      workdir: already claimed by this run.
      prepared: frames and hole at training size.
      flows: of the clip; None when no term needs them.
      features: VGG16; None when the perceptual term is off.
      propagated: pixels carried into the hole; None when no term needs them.
      listener: told of progress, with the newest losses, instead of a person.
      updates_after: of later parts of the run, for the time that is announced.

    Returns:
      The state after the last update; with `checkpoint.keep_best` a run may end early.

    Raises:
      NonFiniteLoss: the last checkpoint before is kept.
      Interrupted: after saving.
    """
    num_frames = len(prepared.frames)
    windows = build.list_windows(config, num_frames)
    schedule = build.schedule(config, windows, num_frames)
    total = len(schedule.windows)

    on_cpu = jax.default_backend() == "cpu"
    fit = train_step.Fit(build.train_step(config, features, updates=total), scan=not on_cpu)
    state = build.initial_state(config, build.initial_params(config))

    saved = checkpoints.Checkpoints(workdir.checkpoints, keep=config.checkpoint.keep)
    if saved.steps():
        state = saved.restore(saved.steps()[-1], state)
    begin = int(state.step)
    rows = saved.restore_extra(begin)["rows"] if begin else []
    workdir.forget_metrics_after(begin)
    if begin >= total or (
        begin in schedule.pass_ends and train_step.should_stop_early(state, total=total)
    ):
        return state
    clip = build.prepared_clip(
        config, workdir, prepared, flows=flows, features=features, propagated=propagated
    )
    scale = clip.flow_scale
    extra = {"flow_scale": None if scale is None else np.asarray(scale).tolist()}
    size = 1 if on_cpu else STEPS_PER_DISPATCH
    grid = frozenset(range(0, total, config.log.every)) | frozenset(schedule.pass_ends.tolist())
    fill = build.feature_filler(config, features, clip)
    clip = fill(clip, ())
    first = select(windows, schedule.windows[begin : begin + size])
    compiled = throughput.compile_and_report(fit, state, clip, first)
    plan = throughput.ThroughputEstimate(
        done=begin, total=total, after=updates_after, compiled=compiled
    )

    with (
        StopRequest() as stop,
        Progress("training", total=total, done=begin, listener=listener) as progress,
        open_tensorboard(
            workdir.summaries if config.log.tensorboard else None, begin=begin
        ) as told,
    ):

        def record(row: Mapping[str, float]) -> None:
            workdir.append_metrics(row)
            rate = build.learning_rate_at(config, int(row["update"]) - 1, updates=total)
            told.losses(row, learning_rate=rate)

        log = _Log(record, schedule, windows, begin=begin, every=config.log.every, rows=rows)
        for start, end in blocks(begin, total, size=size, ends=grid):
            list_of_windows = select(windows, schedule.windows[start:end])
            clip = fill(clip, list_of_windows.frames)
            plan.start(clip)
            state, losses = fit(state, clip, list_of_windows)
            plan.stop(end, losses, progress)
            log.add(start, losses)
            # Looking one block behind leaves the device busy while the host reads.
            progress.advance(end, log.settle(keep=0 if on_cpu else 1))

            pass_over = end in log.pass_ends
            crossed = end // config.checkpoint.every > start // config.checkpoint.every
            if pass_over or crossed or end == total or stop.asked:
                log.settle(keep=0)
                # A loss is that of the parameters before its update.
                if not all_finite(state.params):
                    raise NonFiniteLoss(log.describe(end - 1, "parameters"))
                if pass_over and config.checkpoint.keep_best and propagated is not None:
                    error = _holdout_error(state.newest, clip.noise, propagated, prepared, config)
                    state = train_step.update_best(state, error)
                    if math.isfinite(error):
                        progress.say(f"rehearsed: {error**0.5:.1f} off after update {end}")
                saved.save(state, {**extra, "rows": log.rows})
            if stop.asked:
                raise Interrupted(f"stopped after update {end} of {total}; its state is saved")
            if pass_over and config.log.preview_frames:
                path = workdir.previews / f"{end:06d}.png"
                shown = _preview(state.rendered, clip.noise, config)
                told.picture(end, "preview", outputs.write_preview(path, shown, prepared))
            if pass_over and end < total and train_step.should_stop_early(state, total=total):
                progress.say(f"ended after update {end}: none was better since {state.best.step}")
                break
    return state


def _holdout_error(
    params: Params, noise: Array, propagated: Propagated, prepared: PreparedClip, config: ConfigDict
) -> float:
    """Mean square error, of 0 to 255, of what will be shown; NaN where nothing is rehearsed."""
    frames = holdout_frames(propagated.rehearsal, count=SELECTION_FRAMES)
    shown = build.render_frames(config, lambda _: params, noise, frames)
    generated, carried, truth, confidence = holdout_pixels(shown, propagated, prepared.frames)
    if not len(truth):
        return math.nan
    result = generated
    if config.render.propagated_pixels == "blend":
        shares = fit_blend_weights(generated, carried, truth, confidence)
        result = blend(generated, carried, confidence, shares)
    return float(np.square(truth - result.astype(np.float32)).mean())


def _preview(params: Params, noise: Array, config: ConfigDict) -> Iterator[RenderedFrame]:
    """A few frames, spread over the clip."""
    shown = np.linspace(0, len(noise) - 1, config.log.preview_frames + 2)[1:-1]
    return build.render_frames(
        config, lambda _: params, noise, sorted(set(shown.astype(int).tolist()))
    )


class _Log:
    """Losses on their way from the device to where rows of them are recorded."""

    def __init__(
        self,
        record: Callable[[Mapping[str, float]], None],
        schedule: Schedule,
        windows: Window,
        *,
        begin: int,
        every: int,
        rows: Iterable[Mapping[str, float]] = (),
    ):
        """Goes on after update `begin`, with the `rows` that were not yet written then."""
        self.pass_ends = frozenset(schedule.pass_ends.tolist())
        self._record, self._schedule, self._windows, self._every = (
            record,
            schedule,
            windows,
            every,
        )
        self._pending: deque[tuple[int, Losses]] = deque()
        self.rows = list(rows)
        self._shown: dict[str, float] = {}
        self._done = begin

    def add(self, start: int, losses: Losses) -> None:
        """Takes a block's losses, as arrays that may not be computed yet."""
        self._pending.append((start, losses))

    def settle(self, *, keep: int) -> dict[str, float]:
        """Reads all blocks but the newest `keep`; returns the newest values.

        Raises:
          NonFiniteLoss: naming the update and its window.
        """
        while len(self._pending) > keep:
            start, losses = self._pending.popleft()
            host = {name: np.asarray(values) for name, values in losses.items()}
            for i in range(len(host["total"])):
                row = {name: float(values[i]) for name, values in host.items()}
                if not all(map(math.isfinite, row.values())):
                    bad = [name for name, value in row.items() if not math.isfinite(value)]
                    raise NonFiniteLoss(self.describe(start + i, ", ".join(bad)))
                self.rows.append(row)
                self._done = start + i + 1
                if self._done % self._every == 0 or self._done in self.pass_ends:
                    self._flush()
        return self._shown

    def _flush(self) -> None:
        mean = {name: float(np.mean([row[name] for row in self.rows])) for name in self.rows[0]}
        number = int(np.searchsorted(self._schedule.pass_ends, self._done)) + 1
        self._record({"update": self._done, "pass": number, **mean})
        self._shown = {"loss": mean["total"]}
        self.rows = []

    def describe(self, number: int, bad: str) -> str:
        """What is to be said when update `number`, counted from 0, has gone wrong."""
        window = select(self._windows, int(self._schedule.windows[number]))
        return (
            f"the loss is no longer finite ({bad}) at update {number + 1}, window of frames "
            f"{window.frames.tolist()}; a smaller --config.optimizer.learning_rate may help"
        )
