"""Systems trained for longer and longer: what is needed to draw quality against updates.

The systems of Table 1 see a different number of frames in an update. They are compared after
equal numbers of visits: how often a frame was in a window, on average over the clip. A stage is a
number of passes; a pass visits each frame about `UPDATES` times.
"""

import math
from collections.abc import Sequence
from typing import Any

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.evaluation.ablation import System

# Updates of a window, and frames of a window (Section 3.4 of the paper).
UPDATES, WINDOW = 100, 5
# A curve has stopped rising if the last stages gained less than this, in dB.
LEAST_GAIN = 0.1
# Stages without such a gain until a curve counts as flat.
PATIENCE = 2
# What a stage decides.
FIELDS = (
    "window.length", "schedule.windows_per_pass", "schedule.updates_per_window",
    "schedule.num_passes", "schedule.median_window",
)  # fmt: skip


def visits(passes: int, *, frames: int) -> int:
    """How often a frame was in a window after some passes, on average."""
    return passes * _windows(frames) * UPDATES * min(WINDOW, frames) // frames


def stage(system: System, passes: int, *, frames: int) -> dict[str, Any]:
    """The fields that train a system for some passes.

    A system with a fresh network for each frame has no passes: it gets as many updates a frame
    as the others visit it.

    Args:
      system: of the table.
      passes: of the systems with one network for the clip.
      frames: of the clip.

    Returns:
      Fields of the configuration with their values.
    """
    if begins_anew(system):
        return {"schedule.updates_per_window": visits(passes, frames=frames)}
    values = (min(WINDOW, frames), _windows(frames), UPDATES, passes, "last")
    return dict(zip(FIELDS, values, strict=True))


def check_system(system: System) -> None:
    """Refuses a system that cannot be trained by stages.

    Raises:
      InputError: it divides the clip, or sets a field that a stage decides.
    """
    if system.window is not None:
        raise InputError(f"system {system.name}: stages train on whole clips: leave out its window")
    taken = [field for field in FIELDS if field in system.overrides]
    if taken:
        raise InputError(f"system {system.name}: each stage sets {taken[0]}: leave it out")


def begins_anew(system: System) -> bool:
    """Whether a longer training cannot continue a shorter one: every window has a network."""
    return bool(configuration.load(system.config).schedule.reset_per_window)


def rises(curve: Sequence[float], *, gain: float = LEAST_GAIN, patience: int = PATIENCE) -> bool:
    """Whether the last stages of a curve still brought a new best.

    Args:
      curve: PSNR after each stage, dB.
      gain: what a new best must exceed the last one by, dB.
      patience: stages that may pass without one.
    """
    best, since = -math.inf, 0
    for value in curve:
        if value > best + gain:
            best, since = value, 0
        else:
            since += 1
    return since < patience


def _windows(frames: int) -> int:
    return math.ceil(frames / WINDOW)
