"""What is said of a training run: where it runs, in how much memory, and how long."""

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

# A job longer than this is worth a warning when there is no accelerator.
LONG_SECONDS = 1800


def compile_and_report(fit: Fit, state: Any, clip: DeviceClip, first: Window) -> float:
    """Compiles the updates, and says on what they will run and in how much memory.

    Args:
      fit: that will be called.
      state: before its first update; it is left alone.
      clip: all that updates read.
      first: the windows of the first calls: all that these need is compiled.

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
            "that is more than there is: make the job smaller by "
            "--config.video.height/width, --config.video.max_frames or --config.vgg.cache"
        )
    return compiled


class ThroughputEstimate:
    """Says once how long training will take, as soon as its own first updates have shown it.

    The first call of a run also fetches the memory that later ones have: the second tells.
    """

    def __init__(self, *, done: int, total: int, after: int = 0, compiled: float):
        """Begins with the next call.

        Args:
          done: updates of earlier runs.
          total: updates in all.
          after: updates in parts of the run that follow.
          compiled: seconds that compiling took.
        """
        self._begin, self._total, self._after, self._compiled = done, total, after, compiled
        self._calls = 0
        self._told = False

    def start(self, clip: DeviceClip) -> None:
        """A call of updates begins, which reads `clip`; waits for it until the plan is told."""
        if not self._told:
            jax.block_until_ready(clip)
            self._began = time.monotonic()

    def stop(self, end: int, losses: Losses) -> None:
        """The call returned.

        Args:
          end: updates done after it.
          losses: of the call; waited for until the plan is told, and not afterwards.
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
            + (f" and {self._after} in later parts" if self._after else "")
            + f", about {duration(remaining)} left at {1 / seconds:.3g} updates/s; compiled in "
            f"{duration(self._compiled)}"
            + (f"; {peak / 2**30:.2f} GiB at most so far" if peak else "")
        )
        if device.platform == "cpu" and remaining > LONG_SECONDS:
            log.warning(
                f"no accelerator is used, and this will take about {duration(remaining)}. "
                f"Install vidprior[cuda] on a machine with a GPU, or make the job smaller: "
                f"--config.video.height/width, --config.schedule.num_passes"
            )
