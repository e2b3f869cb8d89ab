r"""Table 1 of the paper for longer and longer training: quality against updates.

  python tools/convergence.py --set=SET --output=FOLDER [--systems=FILE] [--seeds=2] \
      [--minutes=60] [--most-passes=256] [--processes=N] [--config.FIELD=VALUE ...]

Trains DIP, DIP-Vid, DIP-Vid-3DCN and DIP-Vid-Flow on every clip of the set (tools/compose.py),
first for one pass, then for two, four and so on: until the PSNR in the hole has stopped rising, or
no stage may begin any more. Overrides apply to all systems. Rerun the command to go on; another
set or other systems may be added, but a curve does not go on with another configuration or clip.

The output folder contains curves.json, curves.png, runs/ (work directories) and batch/ (logs).
"""

import argparse
import json
import pathlib
import sys
import time
from typing import Any

import _batch
import _command

from vidprior import console
from vidprior.batch import engines, manifest
from vidprior.batch.job import Job
from vidprior.errors import InputError
from vidprior.evaluation import ablation, compose, convergence, protocols, tables
from vidprior.run.workdir import write_json

SHOWN = ("psnr_hole", "ssim_hole", "consistency_psnr")
_PROTOCOL = protocols.find("hole")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", type=pathlib.Path, required=True, help="composed clips, or one")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder to write to")
    parser.add_argument("--systems", type=pathlib.Path, help="JSON (the four of Table 1)")
    parser.add_argument("--seeds", type=_command.positive, default=2, help="runs of each (2)")
    parser.add_argument(
        "--minutes", type=_command.positive, default=60, help="no stage begins later (60)"
    )
    parser.add_argument(
        "--most-passes", type=_command.positive, default=256, help="of the longest stage (256)"
    )
    engines.add_flags(parser)
    flags, others = parser.parse_known_args(arguments)
    flags.overrides = _command.overrides(parser, others)
    return flags


class Cell:
    """A system on a clip with a seed, and its stages so far.

    Attributes:
      name: unique, for people.
      stages: passes, visits, seconds and measures of each.
    """

    def __init__(self, system: ablation.System, clip: ablation.BenchmarkClip, seed: int) -> None:
        self.system, self.clip, self.seed = system, clip, seed
        self.name = f"{system.name} on {clip.folder.absolute().name} seed {seed}"
        self.stages: list[dict[str, Any]] = []
        self.identity = ablation.identity_of(system, clip, _PROTOCOL)

    def passes(self) -> int:
        """Of the next stage."""
        return 2 ** len(self.stages)

    def rises(self) -> bool:
        """Whether longer training may still help."""
        return convergence.rises([stage["psnr_hole"] for stage in self.stages])

    def row(self, number: int, output: pathlib.Path) -> manifest.Row:
        """What the batch must run for the next stage."""
        fields = convergence.stage(self.system, self.passes(), frames=len(self.clip.truth))
        overrides = {**self.system.overrides, **fields, "seed": self.seed}
        (run,) = ablation.runs(
            self.system._replace(overrides=overrides), self.clip, output=output.absolute()
        )
        workdir = run.workdir / f"seed{self.seed}"
        if convergence.begins_anew(self.system):
            workdir = workdir / f"passes{self.passes()}"
        run = run._replace(name=f"{self.name} {self.passes()}", workdir=workdir)
        return _batch.row(run, self.clip, number=number)

    def add(self, workdir: str, seconds: float) -> None:
        """Measures the stage that has ended."""
        measures = ablation.measure(pathlib.Path(workdir) / "result", self.clip, protocol=_PROTOCOL)
        visits = convergence.visits(self.passes(), frames=len(self.clip.truth))
        numbers = {name: measures[name] for name in SHOWN}
        self.stages.append(
            {"passes": self.passes(), "visits": visits, "seconds": round(seconds, 1), **numbers}
        )


def draw(flags: argparse.Namespace) -> None:
    """Runs stage by stage; writes the curves after each."""
    engines.check_flags(flags)
    systems = ablation.choose_systems(flags.systems, flags.overrides)
    for system in systems:
        convergence.check_system(system)
    clips = [ablation.read_clip(folder) for folder in compose.list_clips(flags.set)]
    # All systems of a clip and seed are next to each other, so that they get equally far.
    cells = [Cell(s, clip, seed) for seed in range(flags.seeds) for clip in clips for s in systems]
    others = take_up(flags.output / "curves.json", cells)
    end = time.monotonic() + 60 * flags.minutes
    while time.monotonic() < end:
        waiting = [c for c in cells if c.rises() and c.passes() <= flags.most_passes]
        if not waiting:
            break
        fewest = min(cell.passes() for cell in waiting)
        run_stage(flags, [cell for cell in waiting if cell.passes() == fewest], cells, others)
    if not any(cell.stages for cell in cells):
        raise InputError("nothing is finished yet: give more --minutes")
    draw_curves(flags.output, cells, systems)
    print(table(cells, systems))
    print(f"curves: {flags.output / 'curves.png'}")


def take_up(stored: pathlib.Path, cells: list[Cell]) -> dict[str, Any]:
    """Gives cells their stages of before; returns the stored cells that are not among them.

    Raises:
      InputError: the file cannot be read, or a cell was run with something else.
    """
    try:
        before = dict(json.loads(stored.read_text())["cells"]) if stored.exists() else {}
        known = {
            name: (dict(about["identity"]), list(about["stages"])) for name, about in before.items()
        }
    except OSError as error:
        raise InputError(f"{stored}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{stored}: does not say what its curves were run with; choose another --output"
        ) from error
    for cell in cells:
        identity, cell.stages = known.get(cell.name, (cell.identity, []))
        if identity != cell.identity:
            raise InputError(
                f"{stored}: {cell.name} was run with another "
                f"{first_difference(identity, cell.identity)}: choose another --output"
            )
    names = [cell.name for cell in cells]
    return {name: about for name, about in before.items() if name not in names}


def first_difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first entry that differs, in words; within `overrides`, the first field."""
    name = next(key for key in {**before, **now} if before.get(key) != now.get(key))
    told = [about.get(name, "not given") for about in (before, now)]
    if all(isinstance(value, dict) for value in told):
        return first_difference(*told)
    return f"{name}: {told[0]}, now {told[1]}"


def run_stage(
    flags: argparse.Namespace, chosen: list[Cell], cells: list[Cell], others: dict[str, Any]
) -> None:
    """Runs the next stage of some cells as one batch."""
    rows: list[manifest.Row] = []
    for number, cell in enumerate(chosen, start=1):
        row = cell.row(number, flags.output)
        manifest.check(row, rows)
        rows.append(row)
    owners = {row.name: cell for row, cell in zip(rows, chosen, strict=True)}

    def done(job: Job) -> None:
        owners[job.row.name].add(job.row.workdir, job.seconds)
        write_curves(flags.output, cells, others)

    _batch.run(rows, flags, folder=flags.output.absolute() / "batch", on_done=done)


def by_system(
    cells: list[Cell], systems: list[ablation.System]
) -> list[tuple[ablation.System, list[Cell]]]:
    """The cells of each system."""
    return [(s, [cell for cell in cells if cell.system.name == s.name]) for s in systems]


def write_curves(folder: pathlib.Path, cells: list[Cell], others: dict[str, Any]) -> None:
    """Writes curves.json, with cells of earlier calls."""
    own = {c.name: {"identity": c.identity, "stages": c.stages} for c in cells if c.stages}
    found = {**own, **others}
    protocol = {"name": _PROTOCOL.name, "parameters": _PROTOCOL.parameters()}
    write_json(folder / "curves.json", tables.to_json({"protocol": protocol, "cells": found}))


def draw_curves(folder: pathlib.Path, cells: list[Cell], systems: list[ablation.System]) -> None:
    """Writes curves.png."""
    from vidprior.evaluation import figures

    curves = {
        system.name: {cell.name: cell.stages for cell in own}
        for system, own in by_system(cells, systems)
    }
    figures.quality_against_visits(curves, SHOWN).savefig(folder / "curves.png", dpi=100)


def table(cells: list[Cell], systems: list[ablation.System]) -> str:
    """A row for each system: the last stage that all its cells reached."""
    from vidprior.evaluation import figures

    rows = []
    for system, own in by_system(cells, systems):
        stages = {cell.name: cell.stages for cell in own}
        found = {name: figures.mean_over_runs(stages, name) for name in SHOWN}
        if found["psnr_hole"]:
            last = max(found["psnr_hole"])
            rising = sum(cell.rises() for cell in own)
            rows.append((system.name, [last, rising, *(found[name].get(last) for name in SHOWN)]))
    return tables.format_table(("visits", "rising", *SHOWN), rows)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = parse(arguments)

    def command() -> None:
        _command.require("matplotlib")
        draw(flags)

    with console.shows_log():
        return _command.run(command)


if __name__ == "__main__":
    sys.exit(main())
