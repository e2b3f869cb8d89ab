"""Thousands of malformed inputs through the readers: each is read, or refused in one line.

A batch runs in a process of its own, which tells of every case before and after it, so that a
case that hangs, dies or fills the memory is known by name and costs nothing but its batch.
"""

import os
import pathlib
import resource
import select
import shutil
import signal
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from vidprior.errors import InputError

BATCH = 40
SECONDS = 20  # that a case may take
MEMORY = 1.5  # times what a good file takes
ADDRESSES = 8 * 2**30  # bytes that a batch may ask for, to spare the machine


class Target(NamedTuple):
    """A kind of input.

    Attributes:
      name: of the kind.
      seed: a good file, or a folder of which one file is changed.
      read: reads a file or folder like it; raises InputError where it cannot.
    """

    name: str
    seed: pathlib.Path
    read: Callable[[pathlib.Path], object]


class Finding(NamedTuple):
    """A case that ended in neither a result nor a line.

    Attributes:
      target: name of the kind.
      case: its number, by which it can be made again.
      what: 'traceback', 'hang', 'crash' or 'memory'.
      detail: the last line of it.
    """

    target: str
    case: int
    what: str
    detail: str


def torture(
    targets: list[Target], *, cases: int, seed: int, folder: pathlib.Path
) -> tuple[dict[str, Counter[str]], list[Finding]]:
    """Tries every target with its share of the cases.

    Args:
      targets: at least one.
      cases: in all.
      seed: of everything random.
      folder: for the files; those of findings stay there.

    Returns:
      By target, how often each outcome came; and the findings.
    """
    outcomes: dict[str, Counter[str]] = {}
    findings: list[Finding] = []
    share = -(-cases // len(targets))
    for target in targets:
        usual = _memory_of(target)
        counts = outcomes[target.name] = Counter[str]()
        number = 0
        while number < share:
            last = min(number + BATCH, share)
            for case, what, detail in _batch(target, number, last, seed, folder, usual):
                counts[what] += 1
                number = case + 1
                if what not in ("read", "refused"):
                    findings.append(Finding(target.name, case, what, detail))
                    _keep(target, case, seed, folder)
    return outcomes, findings


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """A malformed copy of a file: cut, flipped, spliced, zeroed, or with grown numbers."""
    array = np.frombuffer(data, np.uint8).copy()
    for _ in range(int(rng.integers(1, 4))):
        if not len(array):
            break
        place, other = (int(rng.integers(len(array))) for _ in range(2))
        length = int(rng.integers(1, max(2, min(len(array), 4096))))
        kind = rng.choice(["cut", "flip", "splice", "zero", "grow", "insert", "header"])
        if kind == "cut":
            array = array[:place]
        elif kind == "flip":
            places = rng.integers(0, len(array), int(rng.integers(1, 9)))
            array[places] ^= rng.integers(1, 256, len(places), np.uint8)
        elif kind == "splice":
            piece = array[other : other + length]
            array[place : place + len(piece)] = piece[: len(array) - place]
        elif kind == "zero":
            array[place : place + length] = 0
        elif kind == "insert":
            array = np.insert(array, place, rng.integers(0, 256, min(length, 64), np.uint8))
        else:  # a number near the beginning, or anywhere, becomes a large one
            at = int(rng.integers(min(len(array), 512))) if kind == "header" else place
            large = rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\1\0"])
            number = np.frombuffer(large, np.uint8)[: len(array) - at]
            array[at : at + len(number)] = number
    return array.tobytes()


def make_case(target: Target, case: int, seed: int, place: pathlib.Path) -> pathlib.Path:
    """Writes a malformed copy of a target's seed, the same for the same numbers."""
    rng = np.random.default_rng([seed, zlib.crc32(target.name.encode()), case])
    if target.seed.is_dir():
        shutil.copytree(target.seed, place, dirs_exist_ok=True)
        files = sorted(path for path in place.rglob("*") if path.is_file())
        victim = files[int(rng.integers(len(files)))]
    else:
        place.mkdir(parents=True, exist_ok=True)
        victim = place / target.seed.name
        place = victim
        shutil.copy(target.seed, victim)
    victim.write_bytes(mutate(victim.read_bytes(), rng))
    return place


def _keep(target: Target, case: int, seed: int, folder: pathlib.Path) -> None:
    name = f"{target.name}-{case}".replace("/", "_").replace(" ", "_")
    make_case(target, case, seed, folder / "found" / name)


def _batch(
    target: Target, first: int, last: int, seed: int, folder: pathlib.Path, usual: int
) -> Iterator[tuple[int, str, str]]:
    """Outcomes of cases, as far as the process came that runs them."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _run(target, range(first, last), seed, folder / "case", usual, writing)
        os._exit(0)
    os.close(writing)
    case, buffer, since = first, b"", time.monotonic()
    try:
        while True:
            ready, _, _ = select.select(
                [reading], [], [], max(since + SECONDS - time.monotonic(), 0)
            )
            if not ready:
                os.kill(child, signal.SIGKILL)
                yield case, "hang", f"longer than {SECONDS} s"
                return
            data = os.read(reading, 65536)
            if not data:
                break
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                number, what, detail = line.decode(errors="replace").split("\t", 2)
                yield int(number), what, detail
                case, since = int(number) + 1, time.monotonic()
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    if case < last and os.WIFSIGNALED(status):
        yield case, "crash", signal.Signals(os.WTERMSIG(status)).name


def _run(
    target: Target, cases: range, seed: int, place: pathlib.Path, usual: int, writing: int
) -> None:
    """Runs cases in this process, until one takes too much memory."""
    _be_quiet()
    for case in cases:
        shutil.rmtree(place, ignore_errors=True)
        path = make_case(target, case, seed, place)
        what, detail = "read", ""
        try:
            target.read(path)
        except InputError as error:
            what, detail = "refused", str(error)
            if "\n" in detail or not detail:
                what, detail = "traceback", f"a message of several lines: {detail!r}"
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = "traceback"
            detail = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        full = peak > MEMORY * usual
        if full and what in ("read", "refused"):
            what, detail = "memory", f"{peak / usual:.1f} times of a good file's"
        line = f"{case}\t{what}\t{' '.join(detail.split())[:300]}\n"
        os.write(writing, line.encode(errors="replace"))
        if full:
            return  # the peak of a process does not go down


def _memory_of(target: Target) -> int:
    """The peak of a process that reads the good file, KiB.

    Raises:
      RuntimeError: it cannot be read.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _be_quiet()
        failure = ""
        try:
            target.read(target.seed)
        except BaseException as error:
            failure = f" {type(error).__name__}: {error}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(writing, f"{peak}{failure}".encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    told = os.read(reading, 65536).decode()
    os.close(reading)
    if not told.isdecimal():
        raise RuntimeError(f"{target.name}: the good file is not read: {told or 'it died'}")
    return int(told)


def _be_quiet() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
