"""Which engine a command runs on: its flags."""

import argparse
import pathlib
from typing import TYPE_CHECKING

from vidprior.errors import InputError

if TYPE_CHECKING:
    from vidprior.batch import conduct


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the engines."""
    add = parser.add_argument
    add("--engine", choices=("local", "ray"), default="local", help="where units run (local)")
    add("--address", help="of a Ray cluster; by default Ray's own on this machine")
    add("--processes", type=_positive, help="at once on this machine (GPUs, or half the cores)")
    add("--memory", type=_gibibytes, metavar="GIB", help="for all at once (90 %% of what is free)")
    add("--cores", type=_positive, help="that each unit uses; the bits depend on it (all)")
    add("--gpus", type=float, help="of each unit on Ray (1 if the cluster has GPUs)")


def check_flags(flags: argparse.Namespace) -> None:
    """Refuses flags of the other engine.

    Raises:
      InputError: there is one.
    """
    for name in ("address", "gpus"):
        if getattr(flags, name) is not None and flags.engine != "ray":
            raise InputError(f"--{name} needs --engine=ray")
    for name in ("processes", "memory"):
        if getattr(flags, name) is not None and flags.engine == "ray":
            raise InputError(f"--{name} is for this machine: on Ray, the cluster says what it has")


def open_engine(flags: argparse.Namespace, logs: pathlib.Path) -> "conduct.Engine":
    """The engine that the flags ask for.

    Args:
      flags: of `add_flags`.
      logs: a folder; each row has a file there.

    Raises:
      InputError: it cannot be had.
    """
    if flags.engine == "local":
        from vidprior.batch.local import LocalEngine

        return LocalEngine(
            logs=logs, processes=flags.processes, cores=flags.cores, memory=flags.memory
        )
    from vidprior.batch.ray_engine import RayEngine

    return RayEngine(logs=logs, address=flags.address, cores=flags.cores, gpus=flags.gpus)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not an integer above 0")
    return int(text)


def _gibibytes(text: str) -> int:
    try:
        count = float(text)
    except ValueError:
        count = 0.0
    if not 0 < count < 1e6:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of GiB")
    return int(count * 2**30)
