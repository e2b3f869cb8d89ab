"""Shared by the tools that run systems over clips: their runs as one batch."""

import argparse
import pathlib
from collections.abc import Callable, Sequence

from vidprior.batch import conduct, engines, manifest
from vidprior.batch.job import Job
from vidprior.errors import InputError
from vidprior.evaluation import ablation


def row(run: ablation.Run, clip: ablation.BenchmarkClip, *, number: int) -> manifest.Row:
    """The row of a batch that makes a run of a clip."""
    folder = clip.folder.absolute()
    return manifest.Row(
        number=number,
        name=run.name,
        video=str(folder / "frames"),
        mask=str(folder / "masks"),
        workdir=str(run.workdir),
        flags=run.flags,
    )


def run(
    rows: Sequence[manifest.Row],
    flags: argparse.Namespace,
    *,
    folder: pathlib.Path,
    on_done: Callable[[Job], None],
) -> None:
    """Runs rows on the engine that the flags ask for; rows that failed before are tried again.

    Args:
      rows: checked.
      flags: of `engines.add_flags`, checked, and `set`.
      folder: of the batch; it contains its state and logs.
      on_done: called with each row that is done.

    Raises:
      InputError: another batch uses the folder, or a row failed after all others were run.
    """
    with conduct.locked(folder):
        jobs = conduct.conduct(
            rows,
            engines.open_engine(flags, folder / "logs"),
            output=folder,
            scratch="",
            retry_failed=True,
            about={"set": str(flags.set)},
            on_done=on_done,
        )
    failed = [job for job in jobs if job.state == "failed"]
    if failed:
        raise InputError(f"{failed[0].row.name}: {failed[0].error} ({len(failed)} runs failed)")
