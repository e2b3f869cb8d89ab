"""Averages losses into rows, and checks that they are finite."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

import numpy as np

from vidprior.errors import NonFiniteLoss
from vidprior.training.train_step import Losses
from vidprior.training.windows import Schedule, select
from vidprior.types import Window

Row = Mapping[str, float]


class LossLog:
    """Receives the losses of updates in order, and averages them into rows.

    A row is the mean since the previous row; the end of a pass also ends a row.
    """

    def __init__(
        self,
        record: Callable[[int, int, Row], None],
        schedule: Schedule,
        windows: Window,
        *,
        begin: int = 0,
        every: int,
        num_networks: int = 1,
        rows: Iterable[Row] = (),
    ):
        """Starts after update `begin`.

        Args:
          record: called with updates done, the number of the pass, from 1, and means by name.
          schedule: of all updates.
          windows: the list that the schedule numbers.
          begin: updates done.
          every: updates of a row.
          num_networks: how many of the networks of an update count, from the first.
          rows: losses of updates before `begin` not yet recorded.
        """
        self._record, self._schedule, self._windows = record, schedule, windows
        self._every, self._num_networks, self._done = every, num_networks, begin
        self._pass_ends = frozenset(schedule.pass_ends.tolist())
        self._pending: deque[tuple[int, Losses]] = deque()
        self._newest: dict[str, float] = {}
        self.rows = list(rows)

    def add(self, start: int, losses: Losses) -> None:
        """Adds the losses of updates from `start` on; the arrays may not be computed yet.

        Args:
          start: updates done before them.
          losses: name to [n], or [n, G] if an update fits G networks.
        """
        self._pending.append((start, losses))

    def settle(self, *, behind: int = 0) -> Row:
        """Reads all losses except those of the newest `behind` calls of `add`.

        Returns:
          The newest row's total, as 'loss'; empty before the first row.

        Raises:
          NonFiniteLoss: a loss is not finite; with the update and its window.
        """
        while len(self._pending) > behind:
            start, losses = self._pending.popleft()
            host = {name: np.asarray(values) for name, values in losses.items()}
            for i in range(len(host["total"])):
                self._take(start + i, {name: values[i] for name, values in host.items()})
        return self._newest

    def _take(self, number: int, losses: Mapping[str, np.ndarray]) -> None:
        shown = {
            name: np.atleast_1d(values)[: self._num_networks] for name, values in losses.items()
        }
        bad = {name: ~np.isfinite(values) for name, values in shown.items()}
        names = [name for name, values in bad.items() if values.any()]
        if names:
            self.refuse(number, ", ".join(names), network=int(bad[names[0]].argmax()))
        self.rows.append({name: float(np.mean(values)) for name, values in shown.items()})
        self._done = number + 1
        if self._done % self._every == 0 or self._done in self._pass_ends:
            mean = {name: float(np.mean([row[name] for row in self.rows])) for name in shown}
            self._record(
                self._done, int(np.searchsorted(self._schedule.pass_ends, self._done)) + 1, mean
            )
            self._newest = {"loss": mean["total"]}
            self.rows = []

    def refuse(self, number: int, what: str, *, network: int = 0) -> NoReturn:
        """Raises the error for update `number`, counted from 0.

        Args:
          number: of the update.
          what: names of the values that are not finite.
          network: index of the network, if an update fits several.

        Raises:
          NonFiniteLoss: always.
        """
        window = select(self._windows, int(np.atleast_1d(self._schedule.windows[number])[network]))
        raise NonFiniteLoss(
            f"the loss is no longer finite ({what}) at update {number + 1}, window of frames "
            f"{window.frames.tolist()}; a smaller --config.optimizer.learning_rate may help"
        )
