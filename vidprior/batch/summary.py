"""What a batch leaves and shows: `batch.json`, a file for each row, a table, bars."""

import json
import logging
import pathlib
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from vidprior import __version__
from vidprior.batch.job import Job
from vidprior.batch.process import progress
from vidprior.evaluation import tables
from vidprior.run.workdir import write_json
from vidprior.training.progress import duration

log = logging.getLogger("vidprior")

# Seconds between two versions of batch.json while rows run.
_WRITE_EVERY = 2.0


class Records:
    """The files of a batch: `batch.json`, and `rows/NAME.json` for rows that have ended."""

    def __init__(self, output: pathlib.Path, about: Mapping[str, Any]):
        self._file, self._rows, self._about = output / "batch.json", output / "rows", about
        self._began, self._written = time.monotonic(), 0.0

    def before(self, name: str) -> dict[str, Any]:
        """What is known of a row from before; empty if nothing is."""
        try:
            found = json.loads((self._rows / f"{name}.json").read_text())
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}

    def ended(self, job: Job) -> None:
        """Writes the file of a row that has ended."""
        write_json(self._rows / f"{job.row.name}.json", job.record())

    def write(self, jobs: Sequence[Job], *, now: bool = False) -> None:
        """Writes `batch.json`, at most every few seconds."""
        if not now and time.monotonic() - self._written < _WRITE_EVERY:
            return
        self._written = time.monotonic()
        counted = Counter(job.state for job in jobs)
        value = {
            "version": __version__,
            **self._about,
            "seconds": round(time.monotonic() - self._began, 2),
            "states": dict(counted),
            "rows": {job.row.name: job.record() for job in jobs},
        }
        write_json(self._file, value)


class Bars:
    """Shows a batch: two bars on a terminal, a line for each row elsewhere."""

    def __init__(self, total: int, done: int, logs: pathlib.Path):
        self._logs, self._total, self._done = logs, total, done
        self._bars: tuple[tqdm, tqdm] | None = None
        if sys.stderr.isatty():
            whole = tqdm(desc="batch", total=total, initial=done, unit=" rows", dynamic_ncols=True)
            self._bars = whole, tqdm(position=1, leave=False, dynamic_ncols=True)

    def row(self, job: Job) -> None:
        """A row has ended."""
        self._done += 1
        told = job.error or duration(job.seconds)
        log.info(f"{self._done}/{self._total} {job.row.name}: {job.state}, {told}")
        if self._bars:
            self._bars[0].update(1)

    def at_work(self, name: str | None) -> None:
        """Shows how far a row is, from its log."""
        found = progress(self._logs / f"{name}.log") if name and self._bars else None
        if self._bars and found:
            bar = self._bars[1]
            bar.set_description(f"{name}, {found[0]}", refresh=False)
            bar.total, bar.n = found[2], found[1]
            bar.refresh()

    def close(self) -> None:
        """Takes the bars away."""
        for bar in self._bars or ():
            bar.close()


def table(jobs: Sequence[Job], shown: Sequence[str]) -> str:
    """A row for each clip: state, seconds, segments and measures; then the lines of failures."""
    measured = any(job.measures for job in jobs)
    names = list(shown) if measured else []
    rows: list[tuple[str, list[Any]]] = [
        (
            job.row.name,
            [job.state, round(job.seconds, 1), job.segments or 1]
            + [(job.measures or {}).get(name) for name in names],
        )
        for job in jobs
    ]
    lines = [tables.format_table(("state", "seconds", "segments", *names), rows)]
    lines += [f"{job.row.name}: {job.error}" for job in jobs if job.error is not None]
    return "\n".join(lines)
