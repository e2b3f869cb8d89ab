"""Progress of a long job: a bar on a terminal, log lines elsewhere."""

import logging
import math
import sys
import time
from collections.abc import Callable, Mapping

from tqdm import tqdm

log = logging.getLogger("vidprior")

# Seconds between log lines, at least.
PLAIN_INTERVAL = 10.0


# Called with (units done, total units, newest values by name).
ProgressCallback = Callable[[int, int, Mapping[str, float]], None]


class Progress:
    """A context manager that reports units of work done, to a terminal, the log or a callback.

    With a `listener`, nothing is shown: only the callback is called.
    """

    def __init__(
        self,
        label: str,
        *,
        total: int,
        done: int = 0,
        unit: str = "update",
        listener: ProgressCallback | None = None,
    ):
        self._listener = listener
        self._label, self._total, self._done, self._unit = label, total, done, unit
        self._first = done
        self._started = self._told = time.monotonic()
        self._bar = (
            tqdm(desc=label, total=total, initial=done, unit=f" {unit}s", dynamic_ncols=True)
            if sys.stderr.isatty() and listener is None
            else None
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def set_total(self, total: int) -> None:
        """Sets the total number of units, once it is known."""
        self._total = total
        if self._bar is not None:
            self._bar.total = total

    def advance(self, done: int, values: Mapping[str, float] | None = None) -> None:
        """Reports that `done` units are done in total, and the newest values."""
        if self._listener is not None:
            self._listener(done, self._total, dict(values or {}))
            return
        shown = {name: f"{value:.3g}" for name, value in (values or {}).items()}
        if self._bar is not None:
            if shown:
                self._bar.set_postfix(shown, refresh=False)
            self._bar.update(done - self._done)
        self._done = done
        now = time.monotonic()
        due = now - self._told >= PLAIN_INTERVAL or done == self._total
        if self._bar is None and due:
            self._told = now
            rate = (done - self._first) / max(now - self._started, 1e-9)
            left = (self._total - done) / rate if rate else float("inf")
            facts = [f"{rate:.3g} {self._unit}s/s", f"{duration(left)} left"]
            facts += [f"{name} {value}" for name, value in shown.items()]
            self.say(f"{self._label}: {done}/{self._total}, " + ", ".join(facts))

    def say(self, text: str) -> None:
        """Logs a line; the command line shows it without tearing the bar."""
        log.info(text)


def duration(seconds: float) -> str:
    """Seconds in words: '48 s', '12 min', '3 h 20 min'."""
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
