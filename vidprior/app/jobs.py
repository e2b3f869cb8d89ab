"""A queue of commands in processes of their own (`child`), one at a time.

Beside what a command writes (its target) lie `NAME.log`, its output, and `NAME.job.json`, its words
and its state, so that a page opened later finds it. To resume, the same words are run again.
"""

import contextlib
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
from typing import Any

import vidprior
from vidprior.batch import process
from vidprior.errors import InputError
from vidprior.io.files import replacing

ACTIVE = ("waiting", "running", "stopping")


class Jobs:
    """The queue, served by one thread."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[pathlib.Path] = queue.Queue()
        self._lock = threading.Lock()
        self._states: dict[pathlib.Path, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._current: pathlib.Path | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def submit(self, words: list[str], target: pathlib.Path) -> None:
        """Queues a command; one that is queued or running is left as it is.

        Raises:
          InputError: its record cannot be written.
        """
        with self._lock:
            if self._states.get(target) in ACTIVE:
                return
            self._set(target, "waiting", words=words)
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

    def close(self) -> None:
        """Stops everything and waits for the running command to save its state."""
        for target in list(self._states):
            self.stop(target)
        running = self._process
        if running is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(timeout=60)

    def status(self, target: pathlib.Path) -> dict[str, Any]:
        """Words, state, progress and error of a command; `state` is 'none' if it never ran.

        States are waiting, running, stopping, stopped, failed and done.
        """
        found = read(target)
        if target not in self._states and found["state"] in ACTIVE:
            found["state"] = "stopped"  # by the end of an earlier server
        log = target.with_suffix(".log")
        found["progress"] = process.progress(log)
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
            with self._lock:
                self._process = self._current = None
                state = {0: "done", 130: "stopped", -signal.SIGINT: "stopped"}.get(code, "failed")
                with contextlib.suppress(InputError):  # a full disk: the state is kept in memory
                    self._set(target, state)

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
        self._current = target

    def _set(self, target: pathlib.Path, state: str, words: list[str] | None = None) -> None:
        record = {"words": read(target)["words"] if words is None else words, "state": state}
        self._states[target] = state
        with replacing(_record(target)) as file:
            file.write_text(json.dumps(record) + "\n")


def read(target: pathlib.Path) -> dict[str, Any]:
    """The record of a command; of none, if there is no record or it is damaged."""
    try:
        stored = json.loads(_record(target).read_text())
        return {"words": [str(w) for w in stored["words"]], "state": str(stored["state"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"words": [], "state": "none"}


def _record(target: pathlib.Path) -> pathlib.Path:
    return target.with_suffix(".job.json")
