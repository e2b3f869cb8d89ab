"""The command `vidprior batch`: reads its flags, runs a manifest, prints a table."""

import argparse
import os
import pathlib
import tempfile
from collections.abc import Sequence

from vidprior.batch import engines, storage
from vidprior.errors import InputError
from vidprior.subcommand import Parser


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    made = Parser(
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
    engines.add_flags(made)
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
    engines.check_flags(flags)
    for what, given in (("the manifest", flags.manifest), ("--output", flags.output)):
        if given and storage.is_url(given):
            raise InputError(
                f"{given}: {what} lies on this machine; its rows name URLs, such as "
                f"workdir: s3://bucket/runs/{{stem}}"
            )
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
            engines.open_engine(flags, output / "logs"),
            output=output,
            scratch=storage.absolute(scratch, "."),
            retry_failed=flags.retry_failed,
            about={"manifest": str(path.absolute()), "engine": flags.engine},
        )
    shown = protocols.find(rows[0].protocol).shown
    print(summary.table(jobs, shown))
    print(f"batch: {output / 'batch.json'}")
    return 0 if all(job.state == "done" for job in jobs) else 1
