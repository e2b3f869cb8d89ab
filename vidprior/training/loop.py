"""The training loop: updates in order, with saving, recording, scoring and previews in between.

It serves both kinds of run: one network for a clip, and a fresh network for every window. It
knows neither files nor the configuration; callbacks save, record, score and show.
"""

import dataclasses
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax

from vidprior.errors import Interrupted
from vidprior.training.interrupts import StopRequest
from vidprior.training.loss_log import LossLog, Row
from vidprior.training.progress import Progress, ProgressCallback
from vidprior.training.throughput import ThroughputEstimate, compile_and_report
from vidprior.training.train_step import (
    Fit,
    TrainState,
    all_finite,
    gains_nothing,
    should_stop_early,
    update_best,
)
from vidprior.training.windows import Schedule, select
from vidprior.types import Array, DeviceClip, Params, Window

log = logging.getLogger("vidprior")

# Seconds of training that a crash may lose, in a run that can resume.
SAVE_SECONDS = 120.0

# Passes of a network's trial.
TRIAL_PASSES = 2

# Smaller blocks would leave an accelerator waiting for the host between them.
SMALLEST_BLOCK = 10


class Network(NamedTuple):
    """One network and its schedule, or several networks that one update fits at once.

    Attributes:
      state: after `begin` updates.
      schedule: the window of every update, [U], or [U, G] for G networks at once; and the
        numbers of updates after which passes end.
      save: saves a state, and the losses not yet recorded. Called at the end of every pass
        and of the schedule, and in between if the network can resume.
      begin: updates done.
      rows: losses of these updates not yet recorded.
      before: updates of the run done by earlier networks.
      num_networks: the first of the G networks that count; others pad the last group.
      can_go_on: whether a saved state can be resumed. Otherwise a stop loses unfinished
        networks.
    """

    state: TrainState
    schedule: Schedule
    save: Callable[[TrainState, Sequence[Row]], None]
    begin: int = 0
    rows: Sequence[Row] = ()
    before: int = 0
    num_networks: int = 1
    can_go_on: bool = True

    def in_run(self, done: int) -> int:
        """Updates of the run when `done` of this schedule are done."""
        return self.before + self.num_networks * done


@dataclasses.dataclass
class Loop:
    """The training loop, shared by all networks of a run.

    Attributes:
      fit: the compiled step.
      clip: everything that updates read; `fill` adds features.
      windows: the list that schedules number.
      fill: adds the VGG features of some frames to a clip; the old clip is donated.
      record: called with a row: update, pass, and the mean of each loss since the last row.
      stopped: the message for a run that is stopped after so many updates.
      log_every: updates of a row.
      save_every: updates between saves, in addition to those at the ends of passes.
      score: MSE, in grey levels of 255, of parameters at the end of a pass; the state keeps
        the best. NaN is ignored; None: no score.
      preview: called with parameters and updates done at the end of a pass; None: no preview.
      trial: updates after which the score must be below `error_without`, or training stops.
      error_without: the score of the result without a network; infinite if there is none.
    """

    fit: Fit
    clip: DeviceClip
    windows: Window
    fill: Callable[[DeviceClip, Array | Iterable[int]], DeviceClip]
    record: Callable[[Row], None]
    stopped: Callable[[int], str]
    log_every: int
    save_every: int
    score: Callable[[Params], float] | None = None
    preview: Callable[[Params, int], None] | None = None
    trial: int = 0
    error_without: float = math.inf

    def is_over(self, state: TrainState, *, total: int) -> bool:
        """Whether a run of `total` updates stops early; see `should_stop_early`."""
        return should_stop_early(
            state, total=total, trial=self.trial, error_without=self.error_without
        )

    def run(
        self,
        networks: Iterable[Network],
        *,
        total: int,
        updates_after: int = 0,
        listener: ProgressCallback | None = None,
    ) -> TrainState | None:
        """Fits networks one after the other.

        Args:
          networks: drawn from the iterator one at a time.
          total: updates of the run, including those already done.
          updates_after: updates of later segments, for the time estimate.
          listener: called with progress and the newest losses, instead of a progress bar.

        Returns:
          The last network's state; None without networks.

        Raises:
          NonFiniteLoss: training diverged; the last saved state is kept.
          Interrupted: the user stopped the run.
        """
        rest = iter(networks)
        first = next(rest, None)
        if first is None:
            return None
        self.clip = self.fill(self.clip, ())
        order, ends = first.schedule
        pass_end = next((end for end in ends.tolist() if end > first.begin), len(order))
        one_pass = select(self.windows, order[first.begin : pass_end])
        compiled = compile_and_report(self.fit, first.state, self.clip, one_pass)
        done, state = first.in_run(first.begin), None
        estimate = ThroughputEstimate(
            done=done, total=total, after=updates_after, compiled=compiled
        )
        with (
            StopRequest() as stop,
            Progress("training", total=total, done=done, listener=listener) as progress,
        ):
            for network in itertools.chain([first], rest):
                state = _OneNetwork(self, network, stop, progress, estimate).run()
        return state


class _OneNetwork:
    """Runs one network through its schedule."""

    def __init__(
        self,
        loop: Loop,
        network: Network,
        stop: StopRequest,
        progress: Progress,
        estimate: ThroughputEstimate,
    ):
        self._loop, self._network, self._state = loop, network, network.state
        self._stop, self._progress, self._estimate = stop, progress, estimate
        self._total = len(network.schedule.windows)
        self._saved_at = time.monotonic()
        self._losses = LossLog(
            self._record,
            network.schedule,
            loop.windows,
            begin=network.begin,
            every=loop.log_every,
            num_networks=network.num_networks,
            rows=network.rows,
        )

    def run(self) -> TrainState:
        """Runs to the end of the schedule, or until training stops early."""
        network, ends = self._network, frozenset(self._network.schedule.pass_ends.tolist())
        for start, end in blocks(network.begin, self._total, size=self._loop.fit.length, ends=ends):
            self._update(start, end)
            # Read once: a signal that comes later is for the next block, which saves for it.
            stopping, pass_over = self._stop.asked, end in ends
            if pass_over or end == self._total or self._save_is_due(start, end, stopping=stopping):
                self._save(end, pass_over=pass_over)
            if stopping:
                raise Interrupted(self._loop.stopped(network.in_run(end)))
            if pass_over and self._loop.preview is not None:
                self._loop.preview(self._state.rendered, end)
            if pass_over and end < self._total and self._is_past_its_best(end):
                break
        return self._state

    def _update(self, start: int, end: int) -> None:
        """Dispatches updates start..end, and takes their losses."""
        loop, done = self._loop, self._network.in_run(end)
        block = select(loop.windows, self._network.schedule.windows[start:end])
        loop.clip = loop.fill(loop.clip, block.frames)
        self._estimate.start(loop.clip)
        self._state, losses = loop.fit(self._state, loop.clip, block)
        self._estimate.stop(done, losses)
        self._losses.add(start, losses)
        # Reading one block behind keeps an accelerator busy.
        behind = 0 if jax.default_backend() == "cpu" else 1
        self._progress.advance(done, self._losses.settle(behind=behind))

    def _save_is_due(self, start: int, end: int, *, stopping: bool) -> bool:
        if not self._network.can_go_on:
            return False
        every = self._loop.save_every
        long_ago = time.monotonic() - self._saved_at >= SAVE_SECONDS
        return stopping or long_ago or end // every > start // every

    def _save(self, end: int, *, pass_over: bool) -> None:
        """Saves the state after `end` updates, with a score if it ends a pass.

        Raises:
          NonFiniteLoss: nothing is saved.
        """
        finite = all_finite(self._state.params)
        self._losses.settle()
        # Losses belong to the parameters before their update, so the newest are checked here.
        if not finite:
            self._losses.refuse(end - 1, "parameters")
        if pass_over and self._loop.score is not None:
            error = self._loop.score(self._state.newest)
            self._state = update_best(self._state, error)
            if math.isfinite(error):
                log.info(f"update {end}: held-out RMSE {error**0.5:.1f}/255")
        self._network.save(self._state, self._losses.rows)
        self._saved_at = time.monotonic()

    def _is_past_its_best(self, end: int) -> bool:
        best = self._state.best
        if best is None or not self._loop.is_over(self._state, total=self._total):
            return False
        if gains_nothing(self._state, self._loop.error_without):
            reason = "the network does not improve held-out pixels: propagated pixels are shown"
        else:
            reason = f"the best score was after update {best.step}"
        log.info(f"training stopped after update {end}: {reason}")
        return True

    def _record(self, done: int, number: int, means: Row) -> None:
        self._loop.record({"update": self._network.in_run(done), "pass": number, **means})


def blocks(begin: int, total: int, *, size: int, ends: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Splits updates begin..total into blocks of `size`; the last before each end may be shorter.

    The blocks do not depend on `begin`: a resumed run repeats the dispatches of an
    uninterrupted one.
    """
    inside = sorted(end for end in ends if 0 < end < total)
    for first, last in itertools.pairwise([0, *inside, total]):
        for stop in [*range(first + size, last, size), last]:
            if begin < stop:
                yield begin, stop
                begin = stop


def trial_updates(schedule: Schedule) -> int:
    """Updates after which a network must improve on propagated pixels: two passes, or all."""
    ends = schedule.pass_ends
    return int(ends[min(TRIAL_PASSES, len(ends)) - 1])


def block_size(schedule: Schedule, *, largest: int) -> int:
    """The size of blocks, up to `largest`: one that divides all passes, if it is not too small.

    Updates left over at the end of a pass are dispatched one by one, by a second program
    (`Fit`) that may take a minute to compile. If that cannot be avoided, the size is the one
    with the fewest dispatches.
    """
    ends = [0, *schedule.pass_ends.tolist()]
    passes = [last - first for first, last in itertools.pairwise(ends)]
    sizes = range(largest, 0, -1)
    even = next(size for size in sizes if math.gcd(*passes) % size == 0)

    def dispatches(size: int) -> int:
        return sum(length // size + length % size for length in passes)

    return even if even >= SMALLEST_BLOCK else min(sizes, key=dispatches)
