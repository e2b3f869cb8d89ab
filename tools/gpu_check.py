"""Compiles the project's updates for GPUs that are not here, and refuses what would be slow there.

    make gpu-check          all programs, for both cards: minutes
    make gpu-check-short    two of them, as CI does

Every program is held against the rules of `_gpu_rules.py`, and its kernels, traffic, temporaries
and float32 features (where bfloat16 is asked) against the limits of `gpu_limits.json`. `--lower`
writes lower limits where figures fell; a limit rises only by hand. All figures go to one JSON file,
with a modelled time.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import _gpu_rules as rules
import _gpu_time as model
import jax
from _gpu_cards import CARDS
from _gpu_hlo import Program
from _gpu_programs import Spec
from _gpu_table import PUBLISHED_UPDATES

from vidprior.io.files import replacing

LIMITS = pathlib.Path(__file__).with_name("gpu_limits.json")
LIMITED = ("kernels", "bytes", "temporaries_bytes", "wide_bytes")
# Lines that tell what is wrong with one program; the JSON has all.
SHOWN = 8
# Those that CI compiles.
SHORT = ("h100 flow-float32", "h100 full-bfloat16")
PROGRAMS = {
    "flow-float32": Spec(loss="flow", dtype="float32"),
    "flow-bfloat16": Spec(loss="flow", dtype="bfloat16"),
    "full-float32": Spec(loss="full", dtype="float32"),
    "full-bfloat16": Spec(loss="full", dtype="bfloat16"),
    "image-float32": Spec(loss="image", dtype="float32"),
    "3d-float32": Spec(loss="image", dtype="float32", conv_ndim=3),
    "muon-bfloat16": Spec(loss="image", dtype="bfloat16", optimizer="muon"),
    "dip2-float32": Spec(loss="image", dtype="float32", length=1, networks=2),
}

Row = dict[str, Any]
Limits = dict[str, dict[str, int]]


def names() -> list[str]:
    """All programs: a card's name and one of `PROGRAMS`."""
    return [f"{card} {program}" for card in CARDS for program in PROGRAMS]


def measure(name: str, keep: pathlib.Path | None = None) -> Row:
    """Compiles a program of `names` and reads it.

    Args:
      name: of the program.
      keep: a folder for its text.
    """
    from _gpu_compile import compile_for  # the tests of this module need no plugin

    began = time.monotonic()
    card, spec = CARDS[name.split()[0]], PROGRAMS[name.split()[1]]
    try:
        compiled = compile_for(card, spec)
    except jax.errors.JaxRuntimeError as error:
        return {"wrong": [f"does_not_compile: {str(error)[:500]}"]}
    if keep:
        with replacing(keep / f"{name.replace(' ', '-')}.txt") as path:
            path.write_text(compiled.text)
    program = Program(compiled.text)
    wrong = rules.broken(program, dtype=spec.dtype)
    if compiled.donated_bytes < compiled.state_bytes:
        wrong.append(f"not_donated: {compiled.donated_bytes} bytes of {compiled.state_bytes}")
    seconds = model.total_seconds(program, card)
    return {
        "kernels": len(program.kernels),
        "bytes": sum(kernel.bytes for kernel in program.kernels),
        "temporaries_bytes": compiled.temporaries_bytes,
        "wide_bytes": rules.wide_bytes(program) if spec.dtype == "bfloat16" else 0,
        "small_kernels": sum(kernel.bytes < 1e6 for kernel in program.kernels),
        "gflop": sum(model.flop(program, kernel) for kernel in program.kernels) / 1e9,
        "modelled_ms": 1e3 * seconds,
        "modelled_published_minutes": PUBLISHED_UPDATES * seconds / 60,
        "compile_seconds": round(time.monotonic() - began, 1),
        "spec": dataclasses.asdict(spec),
        "wrong": wrong,
    }


def exceeded(rows: Mapping[str, Row], limits: Limits) -> list[str]:
    """What is above its limit, or has none, one line each."""
    lines = []
    for name, row in rows.items():
        if name not in limits:
            lines.append(f"{name} has no limits: write them with --lower")
        lines += [
            f"{name}: {what} are {row[what]:,}, the limit is {limit:,}"
            for what, limit in limits.get(name, {}).items()
            if row.get(what, 0) > limit
        ]
    return lines


def lowered(rows: Mapping[str, Row], limits: Limits) -> Limits:
    """The limits, each as low as its figure if that is lower."""
    new = {
        name: {what: min(row[what], limits.get(name, {}).get(what, row[what])) for what in LIMITED}
        for name, row in rows.items()
        if not row["wrong"]
    }
    return {**limits, **new}


def describe(name: str, row: Row) -> str:
    """A line of the table."""
    if "kernels" not in row:
        return f"{name:<20} was not compiled"
    return (
        f"{name:<20} {row['kernels']:>7} {row['small_kernels']:>7} {row['bytes'] / 1e9:>7.2f} "
        f"{row['temporaries_bytes'] / 2**20:>8.0f} {row['gflop']:>6.0f} "
        f"{row['modelled_ms']:>6.2f} {row['modelled_published_minutes']:>8.1f} "
        f"{row['compile_seconds']:>6.0f}"
    )


HEAD = (
    f"{'program':<20} {'kernels':>7} {'<1 MB':>7} {'GB':>7} {'temp MiB':>8} {'GFLOP':>6} "
    f"{'ms':>6} {'schedule':>8} {'took s':>6}"
)


def main(words: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="programs, such as 'h100 flow-float32,...'")
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(SHORT)}")
    parser.add_argument("--output", type=pathlib.Path, default="out/gpu_check.json")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the programs' texts")
    parser.add_argument("--jobs", type=int, default=2, help="programs compiled at the same time")
    parser.add_argument("--lower", action="store_true", help="write limits that fell")
    options = parser.parse_args(words)
    all_of_them = list(SHORT) if options.short else names()
    wanted = options.only.split(",") if options.only else all_of_them
    if unknown := set(wanted) - set(names()):
        sys.exit(f"error: no program {', '.join(unknown)}; there are {', '.join(names())}")
    limits = json.loads(LIMITS.read_text())

    print(HEAD, flush=True)
    rows: dict[str, Row] = {}
    # A process for each program: what one leaves in memory is no burden to the next.
    with concurrent.futures.ProcessPoolExecutor(
        options.jobs, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        for name, row in zip(
            wanted, pool.map(measure, wanted, [options.keep] * len(wanted)), strict=True
        ):
            rows[name] = row
            print(describe(name, row), flush=True)
    with replacing(options.output) as path:
        path.write_text(json.dumps({"jax": jax.__version__, "programs": rows}, indent=1) + "\n")
    if options.lower:
        limits = {"jax": jax.__version__, "programs": lowered(rows, limits["programs"])}
        with replacing(LIMITS) as path:
            path.write_text(json.dumps(limits, indent=1) + "\n")
    wrong = [f"{name}: {line}" for name, row in rows.items() for line in row["wrong"][:SHOWN]]
    if jax.__version__ == limits["jax"]:
        wrong += exceeded(rows, limits["programs"])
    else:
        print(f"note: limits hold for jax {limits['jax']}, this is {jax.__version__}")
    if wrong:
        sys.exit("\n".join(["error: programs for a GPU:", *wrong]))
    print("no program breaks a rule or a limit")


if __name__ == "__main__":
    main()
