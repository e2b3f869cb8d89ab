"""Units in processes of this machine: by cores, by predicted memory, one for each GPU."""

import importlib.util
import os
import pathlib
import subprocess
import time
from collections.abc import Sequence

from vidprior import runtime
from vidprior.batch.process import Outcome, Process, Unit, thread_limits
from vidprior.errors import InputError

# Of the memory that is free, the share that is given to units.
_SHARE = 0.9
_POLL = 0.05  # seconds
# That a unit keeps busy, at the sizes of training.
_CORES = 2


class LocalEngine:
    """Runs units on this machine.

    Attributes:
      memory: bytes for all units together; None: unknown, and not counted.
      at_once: units that run side by side, at most.
    """

    def __init__(
        self,
        *,
        logs: pathlib.Path,
        processes: int | None,
        cores: int | None,
        memory: int | None,
    ):
        """Looks at the machine.

        Args:
          logs: a folder; each row has a file there.
          processes: at once; by default as many as there are GPUs, or else one for every two
            cores, or for those of a unit.
          cores: that each unit uses; None: what it likes, as a run by hand, with its bits.
          memory: bytes for all; by default 90 % of what is free.

        Raises:
          InputError: more processes than GPUs.
        """
        self._gpus = visible_gpus()
        here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        if self._gpus and processes and processes > len(self._gpus):
            raise InputError(f"--processes={processes}: there are {len(self._gpus)} GPUs")
        by_cores = max(1, (here or 1) // (cores or _CORES))
        self.at_once = processes or len(self._gpus) or by_cores
        self._cores = cores
        available = runtime.available_memory()
        free = None if available is None else int(_SHARE * available)
        self.memory = memory or (None if self._gpus else free)
        self._logs = logs
        self._running: dict[int, tuple[Unit, Process, float]] = {}

    def describe(self) -> str:
        """One line: what units have."""
        what = f"{len(self._gpus)} GPUs" if self._gpus else f"{self._cores or 'all'} cores each"
        memory = "" if self.memory is None else f", {self.memory / 2**30:.1f} GiB for all"
        return f"this machine: at most {self.at_once} at once, {what}{memory}"

    def has_room(self, unit: Unit) -> bool:
        """Whether the unit can be started now."""
        if len(self._running) >= self.at_once:
            return False
        used = sum(other.memory for other, _, _ in self._running.values())
        return self.memory is None or used + unit.memory <= self.memory

    def start(self, unit: Unit) -> None:
        """Starts a unit that there is room for."""
        slot = next(number for number in range(self.at_once) if number not in self._running)
        env = thread_limits(self._cores)
        if self._gpus:
            env["CUDA_VISIBLE_DEVICES"] = self._gpus[slot]
        process = Process(unit.task, self._logs / f"{unit.task.name}.log", env=env)
        self._running[slot] = unit, process, time.monotonic()

    def wait(self, seconds: float) -> list[Outcome]:
        """The units that have ended; waits for one, but not longer than so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            ended = []
            for slot, (unit, process, began) in list(self._running.items()):
                told = process.poll()
                if told is not None:
                    del self._running[slot]
                    ended.append(Outcome(unit, *told, time.monotonic() - began))
            if ended or time.monotonic() > deadline or not self._running:
                return ended
            time.sleep(_POLL)

    def running(self) -> list[Unit]:
        """The units that run, the oldest first."""
        found = sorted(self._running.values(), key=lambda entry: entry[2])
        return [unit for unit, _, _ in found]

    def stop(self) -> None:
        """Asks all units to save their state and end."""
        for _, process, _ in self._running.values():
            process.stop()

    def close(self) -> None:
        """Ends what still runs."""
        for _, process, _ in self._running.values():
            process.kill()
        self._running.clear()


def visible_gpus() -> Sequence[str]:
    """The CUDA devices that JAX would use, as CUDA_VISIBLE_DEVICES names them."""
    if os.environ.get("JAX_PLATFORMS", "cuda").split(",")[0] not in ("cuda", "gpu"):
        return []
    if not any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)):
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip()]
    try:
        words = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        listed = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.split()
