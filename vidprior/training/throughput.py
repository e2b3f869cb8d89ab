"""Reports device, memory and time of a training run."""

import logging
import time
from typing import Any

import jax

from vidprior import runtime
from vidprior.training import resources
from vidprior.training.progress import duration
from vidprior.training.train_step import Fit, Losses
from vidprior.types import DeviceClip, Window

log = logging.getLogger("vidprior")

# A longer job without an accelerator gets a warning.
LONG_SECONDS = 1800


def compile_and_report(fit: Fit, state: Any, clip: DeviceClip, first: Window) -> float:
    """Compiles the updates, and logs the device and the memory that they need.

    Args:
      fit: the compiled step.
      state: before its first update; not changed.
      clip: everything that updates read.
      first: the windows of the first calls; what they need is compiled.

    Returns:
      Seconds of compiling.
    """
    device = jax.devices()[0]
    log.info(f"device: {device.device_kind} ({device.platform})")
    began = time.monotonic()
    temporary, available = fit.temporaries(state, clip, first), runtime.memory_limit()
    compiled = time.monotonic() - began
    parts = resources.resident_bytes(clip, state)
    log.info(
        f"memory: {resources.describe_memory(parts, temporary=temporary, available=available)}"
    )
    if available and sum(parts.values()) + temporary > available:
        log.warning(
            "this exceeds the available memory: reduce --config.video.height/width or "
            "--config.video.max_frames, or set --config.vgg.cache=recompute"
        )
    return compiled


class ThroughputEstimate:
    """Logs once how long training will take, measured on its own first updates.

    The first call also allocates memory, so the second one is measured.
    """

    def __init__(self, *, done: int, total: int, after: int = 0, compiled: float):
        """Starts with the next call.

        Args:
          done: updates of earlier runs.
          total: updates in total.
          after: updates of later segments.
          compiled: seconds of compiling.
        """
        self._begin, self._total, self._after, self._compiled = done, total, after, compiled
        self._calls = 0
        self._told = False

    def start(self, clip: DeviceClip) -> None:
        """Called before a dispatch that reads `clip`; waits for `clip` until the log is written."""
        if not self._told:
            jax.block_until_ready(clip)
            self._began = time.monotonic()

    def stop(self, end: int, losses: Losses) -> None:
        """Called after a dispatch.

        Args:
          end: updates done after it.
          losses: of the dispatch; waits for them until the log is written.
        """
        if self._told:
            return
        jax.block_until_ready(losses)
        seconds = (time.monotonic() - self._began) / losses["total"].size
        self._calls += 1
        if self._calls < 2 and end < self._total:
            return
        self._told = True
        device, remaining = jax.devices()[0], (self._total - end + self._after) * seconds
        peak = runtime.peak_memory()
        log.info(
            f"plan: {self._total - self._begin} updates of {self._total}"
            + (f" and {self._after} in later segments" if self._after else "")
            + f", about {duration(remaining)} left at {1 / seconds:.3g} updates/s; compiled in "
            f"{duration(self._compiled)}"
            + (f"; {peak / 2**30:.2f} GiB at most so far" if peak else "")
        )
        if device.platform == "cpu" and remaining > LONG_SECONDS:
            log.warning(
                f"no accelerator is used, and this will take about {duration(remaining)}. "
                f"Install vidprior[cuda] on a machine with a GPU, or reduce "
                f"--config.video.height/width or --config.schedule.num_passes"
            )
