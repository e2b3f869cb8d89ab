"""The command `vidprior batch`: reads its flags, runs a manifest, prints a table."""

import argparse
import logging
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vidprior.batch import storage
from vidprior.errors import InputError

if TYPE_CHECKING:
    from vidprior.batch import conduct

log = logging.getLogger("vidprior")


class _Parser(argparse.ArgumentParser):
    """Tells errors in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(message)


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    made = _Parser(
        prog="vidprior batch",
        description="Run the clips of a manifest; rerun the command to go on.",
        epilog="--config.FIELD=VALUE applies to all rows. See docs/use/batch.md.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add("manifest", help="the clips: .jsonl, .csv or .yaml")
    add("--output", help="folder of the batch (out/ and the manifest's name)")
    add("--config", help="for rows that name none, for example footage")
    add("--retry-failed", action="store_true", help="try rows again that failed before")
    add("--engine", choices=("local", "ray"), default="local", help="where units run (local)")
    add("--address", help="of a Ray cluster; by default Ray's own on this machine")
    add("--processes", type=_positive, help="at once on this machine (GPUs, or half the cores)")
    add("--memory", type=_gibibytes, metavar="GIB", help="for all at once (90 %% of what is free)")
    add("--cores", type=_positive, help="that each unit uses; the bits depend on it (all)")
    add("--gpus", type=float, help="of each unit on Ray (1 if the cluster has GPUs)")
    add("--scratch", help="local folder for what lies at URLs (the system's)")
    return made


def main(arguments: Sequence[str]) -> int:
    """Runs a batch.

    Args:
      arguments: the words after `batch`.

    Returns:
      The exit code: 0 if all rows are done, 1 if some failed.

    Raises:
      InputError: the manifest or a flag is wrong.
      Interrupted: the user stopped it.
    """
    flags, others = parser().parse_known_args(list(arguments))
    for word in others:
        if not word.startswith("--config.") or "=" not in word:
            raise InputError(f"unknown flag {word}: see vidprior batch --help")
    if flags.address and flags.engine != "ray":
        raise InputError("--address needs --engine=ray")
    # Here, since what they import would take half a second of every help and every slip.
    from vidprior.batch import conduct, manifest, summary
    from vidprior.evaluation import protocols

    path = pathlib.Path(flags.manifest)
    output = pathlib.Path(os.path.abspath(flags.output or os.path.join("out", path.stem)))
    scratch = flags.scratch or os.path.join(tempfile.gettempdir(), "vidprior-scratch")
    rows = manifest.read(path, output=str(output), flags=others, config=flags.config)
    with conduct.locked(output):
        jobs = conduct.conduct(
            rows,
            _engine(flags, output / "logs"),
            output=output,
            scratch=storage.absolute(scratch, "."),
            retry_failed=flags.retry_failed,
            about={"manifest": str(path.absolute()), "engine": flags.engine},
        )
    shown = protocols.find(rows[0].protocol).shown
    print(summary.table(jobs, shown))
    print(f"batch: {output / 'batch.json'}")
    return 0 if all(job.state == "done" for job in jobs) else 1


def _engine(flags: argparse.Namespace, logs: pathlib.Path) -> "conduct.Engine":
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
