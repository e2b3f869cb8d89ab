"""Stops a long run on Ctrl-C or SIGTERM."""

import logging
import signal
import types
from typing import Any

log = logging.getLogger("vidprior")


class StopRequest:
    """Turns the first Ctrl-C or SIGTERM into a flag that a loop can read."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread: the caller handles signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: types.FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        text = "stopping after this block of updates; press Ctrl-C again to stop immediately"
        log.info(text)
