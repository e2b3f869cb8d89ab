"""A unit of work, in a process of its own: a row as a whole, one of its segments, or its end.

`python -m vidprior.batch.unit` reads a `Task` from the first line of stdin and writes a report to
its file. It ends when stdin does: with the process that started it. What it runs are the
operations of the command line, so the bits are the same.

begin    prepares the run. A run of one segment goes on to its end
fit      fits one segment
finish   blends the segments and writes the result
"""

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import filelock
from absl import logging as absl_logging

from vidprior import command_line, console, runtime
from vidprior.batch import storage
from vidprior.errors import InputError, Interrupted, NonFiniteLoss
from vidprior.run.workdir import Workdir

if TYPE_CHECKING:
    from vidprior.run.segments import Segment

log = logging.getLogger("vidprior")

# Seconds between copies of an unfinished segment to a URL.
SYNC_EVERY = 60.0


@dataclasses.dataclass(frozen=True)
class Task:
    """A unit of work.

    Attributes:
      kind: 'begin', 'fit' or 'finish'.
      name: of the row.
      flags: `--config=...` and its overrides.
      video, mask, workdir: paths or URLs.
      reference, truth: as in a row.
      protocol: of the measures.
      segment: (start, stop) of the segment to fit.
      granted: bytes of memory that were set aside; None: no limit.
      scratch: folder for what lies at URLs.
      patience: seconds to wait for a process that still holds the work directory.
    """

    kind: str
    name: str
    flags: tuple[str, ...]
    video: str
    mask: str | None
    workdir: str
    reference: str | None = None
    truth: str | None = None
    protocol: str = "hole"
    segment: tuple[int, int] | None = None
    granted: int | None = None
    scratch: str = ""
    patience: float = 0.0

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Task":
        """The inverse of `to_json`."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Task":
        """From a dictionary; lists become tuples."""
        for name in ("flags", "segment"):
            fields[name] = None if fields[name] is None else tuple(fields[name])
        return cls(**fields)


def run(task: Task) -> dict[str, Any]:
    """Runs a unit.

    Returns:
      Its report: `segments`, a list of [start, stop, bytes] to fit, of a run that was divided;
      `needs`, bytes, if more memory must be set aside first; `predicted`, bytes, of a run that
      was not divided; `measures`, of a row with truth.

    Raises:
      InputError, NonFiniteLoss, Interrupted: as the command.
    """
    with _at_hand(task) as own:
        _wait_until_free(own)
        return {"begin": _begin, "fit": _fit, "finish": _finish}[own.kind](own)


class _Later(Exception):
    """What is left is for other units: a report."""

    def __init__(self, report: dict[str, Any]):
        self.report = report


def _begin(task: Task) -> dict[str, Any]:
    from vidprior.batch import needs

    predicted = {}

    def stop_if_divided(split: Sequence["Segment"]) -> None:
        todo = []
        for segment in split:
            header = segment.workdir.read_header()
            if header.has_hole:
                size = needs.predict_bytes(segment.config, header.shape, header.view.source_size)
                todo.append([segment.frames.start, segment.frames.stop, size])
        if len(split) > 1:
            raise _Later({"segments": todo})
        if task.granted is not None and todo[0][2] > task.granted:
            raise _Later({"needs": todo[0][2]})
        predicted["predicted"] = todo[0][2]

    try:
        return _finish(task, on_prepared=stop_if_divided) | predicted
    except _Later as later:
        return later.report


def _fit(task: Task) -> dict[str, Any]:
    from vidprior.run import commands

    assert task.segment is not None
    commands.fit_segment(Workdir(task.workdir), range(*task.segment))
    return {}


def _finish(
    task: Task, *, on_prepared: Callable[[Sequence["Segment"]], None] = lambda split: None
) -> dict[str, Any]:
    from vidprior.run import commands

    workdir = Workdir(task.workdir)
    config = command_line.parse(["vidprior", *task.flags]).config
    assert config is not None
    inputs = {
        "video": task.video, "mask": task.mask, "flows": None, "reference": task.reference
    }  # fmt: skip
    commands.train(config, workdir, inputs, on_prepared=on_prepared)
    if task.truth is None:
        return {}
    from vidprior.evaluation import evaluate, protocols, tables

    protocol = protocols.find(task.protocol)
    measured = evaluate.evaluate(workdir, task.truth, protocol=protocol)
    return {"measures": tables.to_json(measured["mean"])}


def _wait_until_free(task: Task) -> None:
    """Waits for the unit before: where its worker was killed, it ends a moment later."""
    workdir = Workdir(task.workdir)
    if task.segment is not None:
        workdir = workdir.segment(range(*task.segment))
    if task.patience and workdir.lock_file.exists():
        with contextlib.suppress(filelock.Timeout, OSError):
            filelock.FileLock(workdir.lock_file, timeout=task.patience).acquire().lock.release()


@contextlib.contextmanager
def _at_hand(task: Task) -> Iterator[Task]:
    """The task with paths on this machine; what it makes is written back."""
    near: dict[str, Any] = {
        name: storage.fetch(path, task.scratch)
        for name in ("video", "mask", "truth")
        if (path := getattr(task, name)) and storage.is_url(path) and task.kind != "fit"
    }
    if task.reference and storage.is_url(task.reference):
        near["reference"] = storage.fetch(task.reference, task.scratch)
    task = dataclasses.replace(task, **near)
    if not storage.is_url(task.workdir):
        yield task
        return
    url, folder = task.workdir, pathlib.Path(storage.local(task.workdir, task.scratch))
    storage.fetch_folder(url, folder)
    own = Workdir(folder)
    parts = own.segment_ranges() if task.segment is None else [range(*task.segment)]
    names = [own.segment(part).path.relative_to(folder).as_posix() for part in parts]
    for name in names:
        storage.fetch_folder(storage.join(url, name), folder / name)

    def write_back() -> None:
        if task.segment is not None:
            storage.store_folder(folder / names[0], storage.join(url, names[0]))
            return
        for part in own.segment_ranges():
            name = own.segment(part).path.relative_to(folder).as_posix()
            storage.store_folder(folder / name, storage.join(url, name))
        if folder.is_dir():
            storage.store_folder(folder, url)

    try:
        with _now_and_then(write_back):
            yield dataclasses.replace(task, workdir=str(folder))
    except BaseException:  # stopped or failed: what is saved is of use elsewhere
        _unless_refused(write_back)
        raise
    write_back()


@contextlib.contextmanager
def _now_and_then(act: Callable[[], None]) -> Iterator[None]:
    """Calls a function every `SYNC_EVERY` seconds meanwhile; a failure is logged."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(SYNC_EVERY):
            _unless_refused(act)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _unless_refused(act: Callable[[], None]) -> None:
    try:
        act()
    except InputError as error:
        log.warning(str(error))


def _end_with_stdin() -> None:
    """Ends this process when the one that started it is gone: it holds the other end of stdin."""

    def wait() -> None:
        while sys.stdin.buffer.read(1):
            pass
        os.kill(os.getpid(), signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """Runs the task of stdin; returns the exit code, as the command line's."""
    absl_logging.set_verbosity(absl_logging.FATAL)
    order = json.loads(sys.stdin.buffer.readline())
    _end_with_stdin()
    task, path = Task.from_json(order["task"]), pathlib.Path(order["report"])
    runtime.keep_compiled()
    code, report = 0, dict[str, Any]()
    try:
        with console.shows_log():
            report = run(task)
    except InputError as error:
        code, report = 2, {"error": str(error)}
    except NonFiniteLoss as error:
        code, report = 1, {"error": str(error)}
    except (Interrupted, KeyboardInterrupt) as stopped:
        code, report = 130, {"stopped": str(stopped)}
    except Exception as error:  # a bug: its traceback goes to the log
        traceback.print_exc()
        code, report = 1, {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    if "error" in report:
        print(f"error: {report['error']}", file=sys.stderr)
    report["peak"] = runtime.peak_resident()
    path.write_text(json.dumps(report))
    return code


def entry() -> None:
    """Runs `main` as the command line does: memory is kept, and the process ends at once."""
    runtime.keep_memory()
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry()
