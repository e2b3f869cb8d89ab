"""A unit of work in a process of its own, and what became of it."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import vidprior
from vidprior.batch.unit import Task

# Of a log, from its end, where progress and errors are looked for.
_TAIL = 4096


class Unit(NamedTuple):
    """A task, and what it needs.

    Attributes:
      task: what to do.
      memory: bytes that are set aside for it.
      attempt: how often it was begun before.
    """

    task: Task
    memory: int
    attempt: int = 0


class Outcome(NamedTuple):
    """What became of a unit.

    Attributes:
      unit: the unit.
      report: see `unit.run`; `error` holds the one line of a failure, `stopped` that of a stop.
      died: whether it was killed, or its machine was: then it is worth another try.
      seconds: from its start to its end.
    """

    unit: Unit
    report: Mapping[str, Any]
    died: bool = False
    seconds: float = 0.0


class Process:
    """A running unit. It ends when this process does."""

    def __init__(
        self,
        task: Task,
        log: pathlib.Path,
        *,
        env: Mapping[str, str],
        folder: str | None = None,
    ):
        """Starts it.

        Args:
          task: what to do.
          log: file to which it appends what it says.
          env: variables besides those of this process.
          folder: in which it runs; None: the same.
        """
        self._log = log
        self._folder = tempfile.TemporaryDirectory(prefix="vidprior-unit-")
        self._report = pathlib.Path(self._folder.name) / "report.json"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vidprior.batch.unit"],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                env={**_environment(), **env},
                cwd=folder,
                start_new_session=True,  # Ctrl-C is passed on by `stop`
            )
        order = {"task": task.to_json(), "report": str(self._report)}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it has ended already: `poll` says how
            pass

    def poll(self) -> tuple[dict[str, Any], bool] | None:
        """Its report, and whether it died; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            report, died = json.loads(self._report.read_text()), False
        except (OSError, ValueError):
            name = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            line = last_error(self._log) if code > 0 else None
            report, died = {"error": line or f"ended by {name}, see {self._log}"}, code < 0
        self._folder.cleanup()
        return report, died

    def stop(self) -> None:
        """Asks it to save its state and end."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.wait()


def progress(log: pathlib.Path) -> tuple[str, int, int] | None:
    """The newest line of progress in a log: its label, units done, and their number."""
    found = re.findall(r"^([^\n:]+): (\d+)/(\d+), ", tail(log), re.MULTILINE)
    return (found[-1][0], int(found[-1][1]), int(found[-1][2])) if found else None


def last_error(log: pathlib.Path) -> str | None:
    """The newest error of a log."""
    found = re.findall(r"^error: (.*)$", tail(log), re.MULTILINE)
    return found[-1] if found else None


def tail(log: pathlib.Path) -> str:
    """The end of a log; empty if there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def _environment() -> dict[str, str]:
    """That of this process; the package is found also where it is not installed.

    Ray limits the threads of some libraries in its workers; a unit is limited as one by hand.
    """
    found = dict(os.environ)
    if "RAY_RAYLET_PID" in found or "RAY_JOB_ID" in found:
        found.pop("OMP_NUM_THREADS", None)
    own = str(pathlib.Path(vidprior.__file__).resolve().parents[1])
    found["PYTHONPATH"] = os.pathsep.join(filter(None, (own, found.get("PYTHONPATH"))))
    return found


def thread_limits(cores: int | None) -> dict[str, str]:
    """Environment variables by which a process uses so many cores; None: as many as it likes.

    XLA divides its sums among its threads, so the last bits depend on their number.
    """
    if cores is None:
        return {}
    names = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # XLA; OpenCV, NumPy
    return dict.fromkeys(names, str(cores))
