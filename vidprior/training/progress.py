"""How far a long job is: a bar on a terminal, plain lines elsewhere."""

import logging
import math
import sys
import time
from collections.abc import Callable, Mapping

from tqdm import tqdm

log = logging.getLogger("vidprior")

# Plain lines are for log files: not more than one in so many seconds.
PLAIN_INTERVAL = 10.0


# Told (units done, units in all, newest values by name).
ProgressCallback = Callable[[int, int, Mapping[str, float]], None]


class Progress:
    """A context manager that counts units of work towards a total.

    A `listener` is told instead of a person.
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
        """Corrects the number of units, once it is known."""
        self._total = total
        if self._bar is not None:
            self._bar.total = total

    def advance(self, done: int, values: Mapping[str, float] | None = None) -> None:
        """Says that `done` units are done in all, and the newest values."""
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
