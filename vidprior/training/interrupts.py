"""How a long run ends early: by a person's wish, or because it has diverged."""

import logging
import resource
import signal
import sys
import types
from typing import Any

import jax
import jax.numpy as jnp

log = logging.getLogger("vidprior")

# Updates in one dispatch on an accelerator: its losses are looked at afterwards.
STEPS_PER_DISPATCH = 100


class NonFiniteLoss(ArithmeticError):
    """Training has diverged; the message names the update and the window."""


class Interrupted(Exception):
    """Ctrl-C: the state is saved and the run can go on from there."""


def all_finite(tree: Any) -> bool:
    """Whether no array of a tree holds NaN or infinity."""
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


def peak_memory(device: jax.Device) -> int:
    """Bytes in use at most so far: on the device, or of this process where it runs on a CPU."""
    stats = device.memory_stats() or {}
    unit = 1 if sys.platform == "darwin" else 1024
    process = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return stats.get("peak_bytes_in_use", process)


class StopRequest:
    """Turns the first Ctrl-C, or SIGTERM, into a wish that a loop asks for."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread: whoever calls handles signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: types.FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        text = "stopping as soon as the state can be saved; once more to stop at once"
        log.info(text)
