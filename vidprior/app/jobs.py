"""A queue of commands in processes of their own (`child`), one at a time.

Beside what a command writes (its target) lie `NAME.log`, its output, and `NAME.job.json`, its words
and its state, so that a page opened later finds it. To resume, the same words are run again. A
record also holds the seconds that were estimated, and those that an uninterrupted command took.
"""

import contextlib
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import vidprior
from vidprior.batch import process
from vidprior.errors import InputError
from vidprior.io.files import replacing
from vidprior.training.progress import duration

ACTIVE = ("waiting", "running", "stopping")
NUMBERS = ("estimate", "speed", "seconds")


class Jobs:
    """The queue, served by one thread."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[pathlib.Path] = queue.Queue()
        self._lock = threading.Lock()
        self._states: dict[pathlib.Path, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._current: pathlib.Path | None = None
        self._began = 0.0
        threading.Thread(target=self._serve, daemon=True).start()

    def submit(
        self, words: list[str], target: pathlib.Path, *, estimate: float = 0.0, speed: float = 1.0
    ) -> None:
        """Queues a command; one that is queued or running is left as it is.

        Args:
          words: after the program's name.
          target: what it writes.
          estimate: seconds; 0: unknown.
          speed: seconds that it is expected to take, divided by the estimate.

        Raises:
          InputError: its record cannot be written.
        """
        with self._lock:
            if self._states.get(target) in ACTIVE:
                return
            fresh = read(target)["state"] == "none"
            known = {"words": words, "estimate": estimate, "speed": speed, "fresh": fresh}
            self._set(target, "waiting", **known)
        self._waiting.put(target)

    def stop(self, target: pathlib.Path) -> None:
        """Stops a command as Ctrl-C does, or takes it out of the queue.

        It saves its state; asked again, it ends at once.
        """
        with self._lock:
            if self._states.get(target) == "waiting":
                self._set(target, "stopped")
            elif target == self._current and self._process is not None:
                self._set(target, "stopping")
                self._process.send_signal(signal.SIGINT)

    def stop_all(self, folder: pathlib.Path) -> None:
        """Stops the commands whose targets lie in a folder."""
        for target in [*self._states]:
            if target.parent == folder:
                self.stop(target)

    def close(self) -> None:
        """Stops everything and waits for the running command to save its state."""
        for target in [*self._states]:
            self.stop(target)
        running = self._process
        if running is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(timeout=60)

    def status(self, target: pathlib.Path) -> dict[str, Any]:
        """Words, state, progress, time left and error of a command.

        States are waiting, running, stopping, stopped, failed and done, and none if it never ran.
        `left` is a text, or empty; `estimated` says whether it comes from the estimate; `elapsed`
        are the seconds since it began, while it runs.
        """
        found = read(target)
        if target not in self._states and found["state"] in ACTIVE:
            found["state"] = "stopped"  # by the end of an earlier server
        log = target.with_suffix(".log")
        found["progress"] = process.progress(log)
        told = re.findall(r"^[^\n:]+: \d+/\d+, .*?([^,\n]+) left", process.tail(log), re.MULTILINE)
        found["left"], found["estimated"] = (f"{told[-1].strip()} left" if told else ""), not told
        found["elapsed"] = time.monotonic() - self._began if target == self._current else 0.0
        if target == self._current and found["estimate"] and not told:
            left = found["estimate"] * found["speed"] - found["elapsed"]
            found["left"] = f"about {duration(left)} left" if left > 0 else "longer than estimated"
        found["error"] = process.last_error(log) if found["state"] == "failed" else None
        found["ahead"] = sum(state in ACTIVE for state in self._states.values()) - 1
        return found

    def _serve(self) -> None:
        while True:
            target = self._waiting.get()
            with self._lock:
                if self._states.get(target) != "waiting":
                    continue
                try:
                    self._start(target)
                except (OSError, InputError):
                    self._states[target] = "failed"
                    continue
            assert self._process is not None
            code = self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
            seconds = time.monotonic() - self._began
            with self._lock:
                self._process = self._current = None
                asked = self._states[target] == "stopping"  # however far it had come
                state = "done" if code == 0 else "stopped" if asked or code == 130 else "failed"
                with contextlib.suppress(InputError):  # a full disk: the state is kept in memory
                    took = state == "done" and read(target)["fresh"]
                    self._set(target, state, seconds=seconds if took else 0.0)

    def _start(self, target: pathlib.Path) -> None:
        words = read(target)["words"]
        own = str(pathlib.Path(vidprior.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (own, os.environ.get("PYTHONPATH"))))
        self._set(target, "running")
        with target.with_suffix(".log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vidprior.app.child", *words],
                stdin=subprocess.PIPE,  # which ends when this process does
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C of the server is passed on by `close`
            )
        self._current, self._began = target, time.monotonic()

    def _set(self, target: pathlib.Path, state: str, **known: Any) -> None:
        record = {**read(target), **known, "state": state}
        self._states[target] = state
        with replacing(_record(target)) as file:
            file.write_text(json.dumps(record) + "\n")


def read(target: pathlib.Path) -> dict[str, Any]:
    """The record of a command; of none, if there is no record or it is damaged."""
    found: dict[str, Any] = {
        "words": [], "state": "none", "estimate": 0.0, "speed": 1.0, "seconds": 0.0, "fresh": False,
    }  # fmt: skip
    try:
        stored = json.loads(_record(target).read_text())
        words, state = [str(w) for w in stored["words"]], str(stored["state"])
        numbers = {name: float(stored.get(name, found[name])) for name in NUMBERS}
        return {**numbers, "words": words, "state": state, "fresh": bool(stored.get("fresh"))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return found


def _record(target: pathlib.Path) -> pathlib.Path:
    return target.with_suffix(".job.json")
