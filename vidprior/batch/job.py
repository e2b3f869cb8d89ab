"""A row on its way: which units it needs next, and what came of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from vidprior.batch.manifest import Row
from vidprior.batch.process import Outcome, Unit
from vidprior.batch.unit import Task

# Bytes set aside for a unit whose needs are not known yet: it says so before it takes more.
FIRST_MEMORY = 1 << 30
# Further tries of a unit that was killed.
RETRIES = 2
# Seconds that such a try waits for the process before.
PATIENCE = 30.0


@dataclasses.dataclass
class Job:
    """A row of a batch and its state.

    Attributes:
      row: the row.
      identity: what its result depends on.
      state: 'waiting', 'running', 'done' or 'failed'.
      seconds: of its units together.
      segments: how many are fitted by themselves; 0: the run was not divided.
      segments_done: of them.
      retried: units that were begun again after they were killed.
      measures: where there is truth.
      error: the one line of its failure.
      predicted: bytes of memory that its largest unit was predicted to take.
      peak: bytes that a unit took at most; None: none told.
    """

    row: Row
    identity: str
    state: str = "waiting"
    seconds: float = 0.0
    segments: int = 0
    segments_done: int = 0
    retried: int = 0
    measures: Mapping[str, Any] | None = None
    error: str | None = None
    predicted: int | None = None
    peak: int | None = None

    def record(self) -> dict[str, Any]:
        """What is written about it."""
        fields = dataclasses.asdict(self)
        del fields["row"], fields["segments_done"]
        return {**fields, "workdir": self.row.workdir, "seconds": round(self.seconds, 2)}

    def begin(self, scratch: str) -> Unit:
        """The first unit."""
        row = self.row
        task = Task(
            kind="begin",
            name=row.name,
            flags=row.flags,
            video=row.video,
            mask=row.mask,
            workdir=row.workdir,
            reference=row.reference,
            truth=row.truth,
            protocol=row.protocol,
            granted=FIRST_MEMORY,
            scratch=scratch,
        )
        return Unit(task, FIRST_MEMORY)

    def after(self, outcome: Outcome, *, limit: int | None) -> list[Unit]:
        """Takes in the end of a unit.

        Args:
          outcome: of a unit of this row.
          limit: bytes that a unit can get at most.

        Returns:
          The units that can start now.
        """
        unit, report = outcome.unit, outcome.report
        self.seconds += outcome.seconds
        self.peak = max(self.peak or 0, report.get("peak") or 0) or None
        self.predicted = report.get("predicted", self.predicted)
        if outcome.died and unit.attempt < RETRIES and self.state == "running":
            self.retried += 1
            task = dataclasses.replace(unit.task, patience=PATIENCE)
            return [Unit(task, unit.memory, attempt=unit.attempt + 1)]
        if "error" in report or outcome.died:
            self.state, self.error = "failed", report.get("error", "its process was killed")
        if "stopped" in report and self.state == "running":
            self.state = "waiting"
        if self.state != "running":
            return []
        if "needs" in report:
            return self._granted([self._with_memory(unit, report["needs"])], limit)
        if "segments" in report:
            found = report["segments"]
            self.segments, self.segments_done = len(found), 0
            self.predicted = self._largest = max(size for _, _, size in found)
            return self._granted([self._fit(unit, *segment) for segment in found], limit)
        if unit.task.kind == "fit":
            self.segments_done += 1
            if self.segments_done < self.segments:
                return []
            task = dataclasses.replace(unit.task, kind="finish", segment=None)
            return [Unit(task, self._largest)]
        self.state, self.measures = "done", report.get("measures")
        return []

    def _with_memory(self, unit: Unit, memory: int) -> Unit:
        return Unit(dataclasses.replace(unit.task, granted=memory), memory)

    def _fit(self, unit: Unit, start: int, stop: int, memory: int) -> Unit:
        task = dataclasses.replace(unit.task, kind="fit", segment=(start, stop))
        return Unit(task, memory)

    def _granted(self, units: list[Unit], limit: int | None) -> list[Unit]:
        most = max(unit.memory for unit in units)
        if limit is None or most <= limit:
            return units
        self.state = "failed"
        self.error = (
            f"a segment needs about {most / 2**30:.1f} GiB of memory, there are "
            f"{limit / 2**30:.1f}: make it smaller with --config.video.max_segment_frames or "
            f"--config.video.height and width, or say what there is with --memory"
        )
        return []
