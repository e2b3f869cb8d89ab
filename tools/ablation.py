r"""Tables 1 and 2 of the paper, over a set of composed clips.

  python tools/ablation.py --set=SET --output=FOLDER [--systems=FILE] [--only NAME ...] \
      [--imported NAME=FOLDER ...] [--split] [--protocol=paper] [--size=384x192] \
      [--processes=N] [--engine=ray --address=HOST:PORT] [--config.FIELD=VALUE ...]

Trains DIP, DIP-Vid, DIP-Vid-3DCN and DIP-Vid-Flow, or the systems of a file, on every clip of
the set (tools/compose.py). Measures the results, and those of other methods (`--imported`, as
for tools/evaluate_folder.py), and prints a table; with `--split` also for the more complex and
the simpler half of the clips. Overrides apply to all systems. Rerun the command to resume.

The output folder contains table.json, table.csv (a row for each system and part), clips.csv (a
row for each system and clip), rows/ (finished rows), runs/ (work directories) and batch/ (logs).
"""

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import _batch
import _command

from vidprior import console
from vidprior.batch import engines, manifest
from vidprior.batch.job import Job
from vidprior.errors import InputError
from vidprior.evaluation import ablation, compose, protocols, tables
from vidprior.run.workdir import write_json


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", type=pathlib.Path, required=True, help="composed clips, or one")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder to write to")
    parser.add_argument("--systems", type=pathlib.Path, help="JSON (the four of Table 1)")
    parser.add_argument(
        "--only", nargs="*", metavar="NAME", help="systems to run; others only if finished"
    )
    parser.add_argument("--imported", nargs="+", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--split", action="store_true", help="also show halves by complexity")
    parser.add_argument(
        "--protocol", default="paper", help=f"one of {', '.join(protocols.PROTOCOLS)} (paper)"
    )
    parser.add_argument("--size", type=_command.size, help="measure at another WIDTHxHEIGHT")
    engines.add_flags(parser)
    flags, others = parser.parse_known_args(arguments)
    flags.overrides = _command.overrides(parser, others)
    flags.imported = [_imported(parser, text) for text in flags.imported]
    return flags


def chosen_systems(flags: argparse.Namespace) -> list[ablation.System]:
    """The systems to run, with the overrides that apply to all of them.

    Raises:
      InputError: a name, a configuration or a field that does not exist.
    """
    systems = ablation.choose_systems(flags.systems, flags.overrides)
    names = [system.name for system in systems]
    taken = [name for name, _ in flags.imported if name in names]
    if taken:
        raise InputError(f"--imported {taken[0]}: a system is called so already")
    unknown = [name for name in flags.only or () if name not in names]
    if unknown:
        raise InputError(f"--only {unknown[0]}: there are {', '.join(names)}")
    return systems


def make_table(flags: argparse.Namespace) -> None:
    """Runs and measures row by row; writes the table after each row."""
    protocol = protocols.find(flags.protocol, size=flags.size)
    systems = chosen_systems(flags)
    folders = compose.list_clips(flags.set)
    clips = {folder.absolute().name: ablation.read_clip(folder) for folder in folders}
    found = {
        name: {clip: compose.find_result(folder, clip) for clip in clips}
        for name, folder in flags.imported
    }
    complexities = {name: clip.complexity.total for name, clip in clips.items()}
    windows = {system.name: system.window for system in systems}
    # What is there already first: the table of an interrupted run lacks nothing of it.
    rows: dict[str, dict[str, Any]] = {
        name: {
            clip: ablation.measure(result, clips[clip], protocol=protocol)
            for clip, result in results.items()
        }
        for name, results in found.items()
    }
    for system in systems:
        made = {
            name: ablation.finished_row(system, clip, output=flags.output, protocol=protocol)
            for name, clip in clips.items()
        }
        rows[system.name] = {name: measures for name, measures in made.items() if measures}
    missing = [
        (system, clip)
        for system in systems
        if flags.only is None or system.name in flags.only
        for name, clip in clips.items()
        if name not in rows[system.name]
    ]

    def add(system: ablation.System, clip: ablation.BenchmarkClip) -> None:
        measures = ablation.row(system, clip, output=flags.output, protocol=protocol)
        rows[system.name][clip.folder.absolute().name] = measures
        summary = ablation.summarise(rows, complexities, protocol)
        write(flags.output, summary, rows, windows)

    run_missing(flags, missing, add)
    summary = ablation.summarise(rows, complexities, protocol)
    if not summary["systems"]:
        raise InputError("nothing is finished yet: leave out --only, or name what is to run")
    write(flags.output, summary, rows, windows)
    print(f"protocol {protocol}")
    print(table(summary, protocol.shown, split=flags.split))
    print(f"table: {flags.output / 'table.json'}")


def run_missing(
    flags: argparse.Namespace,
    missing: Sequence[tuple[ablation.System, ablation.BenchmarkClip]],
    add: Callable[[ablation.System, ablation.BenchmarkClip], None],
) -> None:
    """Runs systems on clips as one batch.

    Args:
      flags: of the command.
      missing: what to run.
      add: called with each system and clip when its runs are done.

    Raises:
      InputError: a run cannot be made, or failed after all others were made.
    """
    asked: list[manifest.Row] = []
    owners, left = {}, {}
    for number, (system, clip) in enumerate(missing):
        for run in ablation.runs(system, clip, output=flags.output.absolute()):
            row = _batch.row(run, clip, number=len(asked) + 1)
            try:
                manifest.check(row, asked)
            except InputError as error:
                raise InputError(f"{run.name}: {error}") from error
            asked.append(row)
            owners[run.name] = number
            left[number] = left.get(number, 0) + 1

    def done(job: Job) -> None:
        number = owners[job.row.name]
        left[number] -= 1
        if not left[number]:
            add(*missing[number])

    if not asked:
        return
    engines.check_flags(flags)
    _batch.run(asked, flags, folder=flags.output.absolute() / "batch", on_done=done)


def write(
    folder: pathlib.Path,
    summary: dict[str, Any],
    rows: dict[str, dict[str, Any]],
    windows: dict[str, int | None],
) -> None:
    """Writes table.json, table.csv and clips.csv."""
    write_json(folder / "table.json", tables.to_json(summary))
    name = summary["protocol"]["name"]
    measures = list(next(iter(summary["systems"].values()))["all"]["mean"])
    by_system = [
        [name, system, windows.get(system), part, about["clips"], *about["mean"].values()]
        for system, parts in summary["systems"].items()
        for part, about in parts.items()
    ]
    tables.write_csv(
        folder / "table.csv",
        ["protocol", "system", "window", "part", "clips", *measures],
        by_system,
    )
    by_clip = [
        [name, system, clip, summary["clips"][clip]["complexity"], *map(measured.get, measures)]
        for system, clips in rows.items()
        for clip, measured in clips.items()
    ]
    tables.write_csv(
        folder / "clips.csv", ["protocol", "system", "clip", "complexity", *measures], by_clip
    )


def table(summary: dict[str, Any], shown: tuple[str, ...], *, split: bool) -> str:
    """A row for each system; with `split`, three blocks."""
    blocks = []
    for part in ("all", "complex", "simple") if split else ("all",):
        rows = [
            (system, [parts[part]["clips"], *(parts[part]["mean"][name] for name in shown)])
            for system, parts in summary["systems"].items()
            if part in parts
        ]
        if rows:
            blocks.append(f"{part}\n{tables.format_table(('clips', *shown), rows)}")
    return "\n\n".join(blocks)


def _imported(parser: argparse.ArgumentParser, text: str) -> tuple[str, pathlib.Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        parser.error(f"--imported {text}: give NAME=FOLDER")
    return name, pathlib.Path(folder)


def main(arguments: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    flags = parse(arguments)
    with console.shows_log():
        return _command.run(lambda: make_table(flags))


if __name__ == "__main__":
    sys.exit(main())
