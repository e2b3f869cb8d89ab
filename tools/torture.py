"""Kills, malformed inputs and lacking resources, with figures.

  python tools/torture.py --output=out/torture [--seed=1] [--short] [--parts=kills,mutations]

Ends with a table of what was tried, what survived and what was found, and with exit code 1 if
anything was. Malformed inputs that were not refused in one line stay in OUTPUT/found.
"""

import argparse
import logging
import pathlib
import shutil
import subprocess
import sys
import time

import _command
import _torture_kills as kills
import _torture_mutations as mutations
import _torture_resources as resources
import _torture_seeds as seeds

PARTS = ("kills", "mutations", "resources")
TOOL = pathlib.Path(__file__).with_name("make_demo_clip.py")
# In all, and in the short form.
KILLS, KILLS_SHORT = 100, 4
CASES, CASES_SHORT = 6000, 600


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (1)")
    parser.add_argument("--short", action="store_true", help="a small part, under two minutes")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--cases", type=_command.positive, help=f"malformed inputs ({CASES})")
    parser.add_argument("--kills", type=_command.positive, help=f"kills at least ({KILLS})")
    return parser.parse_args(arguments)


def torture(asked: argparse.Namespace) -> list[tuple[str, int, int, list[str]]]:
    """Runs the parts that are asked for: what was tried, how often, survived, and findings."""
    folder = asked.output
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    clip = folder / "clip"
    size = ["--frames=12", "--height=32", "--width=48"]
    subprocess.run([sys.executable, TOOL, f"--output={clip}", *size], check=True)
    inputs = (f"--video={clip / 'frames'}", f"--mask={clip / 'masks'}")
    rows = []
    parts = asked.parts.split(",")
    if "kills" in parts:
        count = asked.kills or (KILLS_SHORT if asked.short else KILLS)
        jobs = ("propagate", "windows") if asked.short else tuple(kills.JOBS)
        phases, good, broken = kills.torture(
            inputs, kills=count, seed=asked.seed, folder=folder / "kills", jobs=jobs
        )
        for phase, number in sorted(phases.items()):
            rows.append((f"killed: {phase}", number, number, []))
        told = [f"{job}, chain {chain}: {what}" for job, chain, what in broken]
        rows.append(("killed runs, ended like others", good + len(broken), good, told))
    if "mutations" in parts:
        count = asked.cases or (CASES_SHORT if asked.short else CASES)
        whole = folder / "kills/train-whole"
        targets = seeds.all_targets(folder / "seeds", whole if whole.exists() else None)
        outcomes, findings = mutations.torture(targets, cases=count, seed=asked.seed, folder=folder)
        for name, counts in outcomes.items():
            told = [f"case {f.case}: {f.what}: {f.detail}" for f in findings if f.target == name]
            rows.append((name, counts.total(), counts.total() - len(told), told))
    if "resources" in parts:
        for lack, what, detail in resources.torture(
            inputs, folder=folder / "resources", short=asked.short
        ):
            told = [detail] if what == "broken" else []
            rows.append((lack, 1, 1 - len(told), told))
    return rows


def main() -> None:
    """Runs and prints the table."""
    asked = parse()
    logging.getLogger("absl").setLevel(logging.ERROR)
    begin = time.monotonic()
    rows = torture(asked)
    print(f"{'what':<34} {'tried':>6} {'survived':>8} {'found':>6}")
    for name, tried, survived, found in rows:
        print(f"{name:<34} {tried:>6} {survived:>8} {len(found):>6}")
        for line in found:
            print(f"    {line}")
    tried, survived = (sum(row[place] for row in rows) for place in (1, 2))
    found = sum(len(row[3]) for row in rows)
    print(f"{'in all':<34} {tried:>6} {survived:>8} {found:>6}")
    print(f"seed {asked.seed}, {time.monotonic() - begin:.0f} s")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    sys.exit(_command.run(main))
