"""A machine that lacks something: disk, memory, permissions, files, a home, time that runs on.

Each run must end well or with one line and exit code 2; where it was refused, the same command
without the lack must end as a run that nobody disturbed.
"""

import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import _torture_kills as kills

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "vidprior.main")
# Becomes a program that file permissions hold for, even as root (drops CAP_DAC_OVERRIDE).
OBEDIENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
# What a result on a disk is made of, from the smallest file to the largest, bytes.
DISK = (0, 2000, 20_000, 60_000, 80_000, 100_000, 200_000, 500_000)
MEMORY = (3000, 6000)  # MiB of address space; below, NumPy itself ends before we begin


Finished = subprocess.CompletedProcess[str]


class Outcome(NamedTuple):
    """How a run without something ended.

    Attributes:
      lack: what it did without.
      what: 'ended', 'refused' (one line, code 2), 'stopped' (one line, another code), or
        'broken'.
      detail: the last line of it.
    """

    lack: str
    what: str
    detail: str


def torture(inputs: Sequence[str], *, folder: pathlib.Path, short: bool = False) -> list[Outcome]:
    """Runs a job of every kind of lack.

    Args:
      inputs: the flags of video and mask.
      folder: for the work directories.
      short: a few of them, with the cheaper job.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs = (*kills.JOBS["windows" if short else "train"], *inputs)
    whole = folder / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    started = _run(whole, inputs)
    if started.returncode:
        raise RuntimeError(started.stderr)
    outcomes = []
    for lack, run in _lacks(inputs, folder, short):
        workdir = folder / "run"
        shutil.rmtree(workdir, ignore_errors=True)
        outcome = _judge(lack, run(workdir))
        if outcome.what in ("refused", "stopped"):
            again = _run(workdir, inputs)
            wrong = again.stderr if again.returncode else kills.difference(whole, workdir)
            wrong = wrong or kills.leftovers(workdir)
            if wrong:
                outcome = Outcome(lack, "broken", f"afterwards: {wrong.splitlines()[-1]}")
        outcomes.append(outcome)
        print(f"{lack}: {outcome.what} {outcome.detail}", file=sys.stderr)
    return outcomes


def _lacks(
    inputs: Sequence[str], folder: pathlib.Path, short: bool
) -> list[tuple[str, Callable[[pathlib.Path], Finished]]]:
    """What is lacking, and a run without it."""

    def limited(kind: int, value: int) -> Callable[[pathlib.Path], Finished]:
        return lambda workdir: _run(
            workdir, inputs, before=lambda: resource.setrlimit(kind, (value, value))
        )

    def read_only(workdir: pathlib.Path) -> Finished:
        shelf = workdir.parent / "shelf"
        shelf.mkdir(exist_ok=True)
        shelf.chmod(0o500)
        try:
            return _run(shelf / "run", inputs, words=(sys.executable, "-c", OBEDIENT))
        finally:
            shelf.chmod(0o700)

    def clock_set_back(workdir: pathlib.Path) -> Finished:
        finished = _run(workdir, [*inputs, "--config.schedule.num_passes=1"])
        later = time.time() + 365 * 86400
        for path in workdir.rglob("*"):
            os.utime(path, (later, later))
        return _run(workdir, inputs) if finished.returncode == 0 else finished

    def together(workdir: pathlib.Path) -> Finished:
        first = _start(workdir, inputs)
        while first.poll() is None and not (workdir / "config.json").exists():
            time.sleep(0.01)
        second = _run(workdir, inputs)
        told = first.communicate()[1]
        if first.returncode:
            return subprocess.CompletedProcess([], 1, "", f"the first: {told}")
        return second

    def named(
        environment: dict[str, str | None],
    ) -> Callable[..., Finished]:
        def run(workdir: pathlib.Path) -> subprocess.CompletedProcess[str]:
            odd = workdir.parent / "Größe 日本 12:30"
            shutil.rmtree(odd, ignore_errors=True)
            return _run(odd, inputs, environment=environment)

        return run

    disk = DISK[2::3] if short else DISK
    lacks = [(f"disk full at {size} bytes", limited(resource.RLIMIT_FSIZE, size)) for size in disk]
    lacks += [("200 open files", limited(resource.RLIMIT_NOFILE, 200)), ("read-only", read_only)]
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    lacks += [("locale C", named(plain))]
    if not short:
        lacks += [
            (f"{size} MiB of memory", limited(resource.RLIMIT_AS, size * 2**20)) for size in MEMORY
        ]
        lacks += [("no home", named({"HOME": None, "XDG_CACHE_HOME": None}))]
        lacks += [("clock set back", clock_set_back), ("two at once", together)]
    return lacks


def _judge(lack: str, finished: subprocess.CompletedProcess[str]) -> Outcome:
    lines = finished.stderr.strip().splitlines() or [""]
    if finished.returncode == 0:
        return Outcome(lack, "ended", "")
    one = lines[-1].startswith("error: ") and "Traceback" not in finished.stderr
    if one:
        return Outcome(lack, "refused" if finished.returncode == 2 else "stopped", lines[-1])
    return Outcome(lack, "broken", f"code {finished.returncode}: {lines[-1]}")


def _words(workdir: pathlib.Path, inputs: Sequence[str]) -> list[str]:
    return [*COMMAND, *inputs, f"--workdir={workdir}"]


def _environment(changes: dict[str, str | None]) -> dict[str, str]:
    known = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    found: dict[str, str | None] = {
        **os.environ, "PYTHONPATH": known, "JAX_PLATFORMS": "cpu", **changes,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _run(
    workdir: pathlib.Path,
    inputs: Sequence[str],
    *,
    words: Sequence[str] = (),
    environment: dict[str, str | None] | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*words, *_words(workdir, inputs)],
        env=_environment(environment or {}), capture_output=True, text=True, errors="replace",
        check=False, preexec_fn=before,
    )  # fmt: skip


def _start(workdir: pathlib.Path, inputs: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _words(workdir, inputs), env=_environment({}), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
