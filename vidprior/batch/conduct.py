"""Runs the rows of a manifest on an engine, and keeps account of them."""

import contextlib
import logging
import pathlib
import signal
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import filelock

from vidprior.batch.identity import Hashes, identity
from vidprior.batch.job import Job
from vidprior.batch.manifest import Row
from vidprior.batch.process import Outcome, Unit
from vidprior.batch.summary import Bars, Records
from vidprior.errors import InputError, Interrupted
from vidprior.training.progress import Progress

log = logging.getLogger("vidprior")

# What is nearest to a finished row goes first.
_ORDER = ("finish", "fit", "begin")
# Seconds between looks at logs and at whether the user wants to stop.
_STEP = 0.5


class Engine(Protocol):
    """Runs units somewhere.

    Attributes:
      memory: bytes that a unit can get at most; None: unknown.
    """

    memory: int | None

    def describe(self) -> str:
        """One line: where units run."""

    def has_room(self, unit: Unit) -> bool:
        """Whether the unit can be started now."""

    def start(self, unit: Unit) -> None:
        """Starts a unit that there is room for."""

    def wait(self, seconds: float) -> list[Outcome]:
        """The units that have ended; waits for one, but not longer than so many seconds."""

    def running(self) -> list[Unit]:
        """The units that run, the oldest first."""

    def stop(self) -> None:
        """Asks all units to save their state and end."""

    def close(self) -> None:
        """Ends what still runs."""


@contextlib.contextmanager
def locked(output: pathlib.Path) -> Iterator[None]:
    """Locks the folder of a batch; creates it if it is missing.

    Raises:
      InputError: another batch uses it, or it cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(output / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise InputError(
            f"another batch is using {output}: wait for it, or choose another --output"
        ) from error
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


def conduct(
    rows: Sequence[Row],
    engine: Engine,
    *,
    output: pathlib.Path,
    scratch: str,
    retry_failed: bool,
    about: dict[str, Any],
    on_done: Callable[[Job], None] = lambda job: None,
) -> list[Job]:
    """Runs what is not done yet; a failed row does not stop the others.

    Args:
      rows: of the manifest.
      engine: where units run.
      output: folder of the batch, locked by the caller.
      scratch: folder for what lies at URLs.
      retry_failed: whether rows that failed before are tried again.
      about: what `batch.json` says of the batch.
      on_done: called with each row that is done, when it is.

    Returns:
      A job for each row, done or failed.

    Raises:
      InputError: a file of the batch cannot be written.
      Interrupted: the user stopped it.
    """
    records = Records(output, about)
    jobs = _jobs(rows, records, output=output, retry_failed=retry_failed)
    named = {job.row.name: job for job in jobs}
    ready = [job.begin(scratch) for job in jobs if job.state == "waiting"]
    left_out = len(jobs) - len(ready)
    if left_out:
        log.info(f"{left_out} of {len(jobs)} rows are done or failed before")
    log.info(engine.describe())
    bars = Bars(len(jobs), left_out, output / "logs")
    try:
        with _Stop(engine) as stop:
            while (ready and not stop.asked) or engine.running():
                ready = [] if stop.asked else _start(ready, engine, named)
                for outcome in engine.wait(_STEP):
                    job = named[outcome.unit.task.name]
                    was = job.state
                    ready += job.after(outcome, limit=engine.memory)
                    if job.state != was and job.state in ("done", "failed"):
                        ready = [unit for unit in ready if unit.task.name != job.row.name]
                        records.ended(job)
                        bars.row(job)
                        if job.state == "done":
                            on_done(job)
                bars.at_work(next((unit.task.name for unit in engine.running()), None))
                records.write(jobs)
    finally:
        bars.close()
        engine.close()
        for job in jobs:
            job.state = "waiting" if job.state == "running" else job.state
        records.write(jobs, now=True)
    if stop.asked:
        ended = sum(job.state in ("done", "failed") for job in jobs)
        raise Interrupted(f"stopped with {ended} of {len(jobs)} rows ended")
    return jobs


def _jobs(
    rows: Sequence[Row], records: Records, *, output: pathlib.Path, retry_failed: bool
) -> list[Job]:
    """The rows with what is known of them."""
    hashes, jobs = Hashes(output / ".hashes.json"), []
    with Progress("reading inputs", total=len(rows), unit="row") as shown:
        for number, row in enumerate(rows, start=1):
            job, before = Job(row, ""), records.before(row.name)
            try:
                job.identity = identity(row, hashes)
            except InputError as error:
                job.state, job.error = "failed", str(error)
            if before.get("identity") == job.identity != "":
                if before.get("state") == "done":
                    job.state, job.measures = "done", before.get("measures")
                elif before.get("state") == "failed" and not retry_failed:
                    job.state, job.error = "failed", before.get("error")
                if job.state != "waiting":
                    job.seconds = before.get("seconds", 0.0)
                    job.segments = before.get("segments", 0)
            jobs.append(job)
            shown.advance(number)
    hashes.save()
    return jobs


def _start(ready: list[Unit], engine: Engine, named: dict[str, Job]) -> list[Unit]:
    """Starts the units that there is room for, in order; returns the others."""
    waiting = []
    for unit in sorted(ready, key=lambda unit: _ORDER.index(unit.task.kind)):
        if engine.has_room(unit):
            named[unit.task.name].state = "running"
            engine.start(unit)
        else:
            waiting.append(unit)
    return waiting


class _Stop:
    """Turns Ctrl-C and SIGTERM into a request to all units to save their state and end."""

    def __init__(self, engine: Engine):
        self.asked, self._engine, self._before = False, engine, dict[int, Any]()

    def __enter__(self) -> "_Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not the main thread: the caller handles them
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: types.FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        log.info("stopping: units save their state; press Ctrl-C again to stop immediately")
        self._engine.stop()
