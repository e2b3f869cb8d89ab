"""A report as tables in Markdown, for docs/develop/performance.md."""

from collections.abc import Iterator, Mapping
from typing import Any

# Updates of the published schedule: 20 passes of 50 windows and the median, 100 updates each.
PUBLISHED_UPDATES = 102_000

HEAD = (
    "| program | updates/s | published schedule, min | TFLOP/s | of a matrix product "
    "| memory at most, GiB | compiling, s |\n|---|---|---|---|---|---|---|"
)


def tables(results: Mapping[str, Mapping[str, Any]]) -> str:
    """One table for each section that timed programs, and what is wrong with the others.

    Args:
      results: of a `Report`, by section.
    """
    return "\n".join(line for name, found in results.items() for line in _section(name, found))


def _section(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    rows = {program: row for program, row in found.items() if isinstance(row, dict)}
    timed = [_row(program, row) for program, row in rows.items() if "updates_per_second" in row]
    wrong = [
        f"* {program}: {row['error'].strip().splitlines()[-1][-300:]}"
        for program, row in rows.items()
        if row.get("error")
    ]
    wrong += [f"* {what}: {found[what]}" for what in ("error", "skipped") if what in found]
    if timed:
        yield f"\n## {name}\n\n{HEAD}"
        yield from timed
    if wrong:
        yield f"\n## {name}: not measured\n"
        yield from wrong


def _row(program: str, row: Mapping[str, Any]) -> str:
    rate = row["updates_per_second"]
    figures = [
        f"{rate:.3g}",
        f"{PUBLISHED_UPDATES / rate / 60:.1f}",
        _figure(row, "tflop_per_second"),
        _figure(row, "share_of_matmul", ".0%"),
        _figure(row, "peak_bytes", scale=2**-30),
        _figure(row, "compile_seconds", ".0f"),
    ]
    return f"| {program} | {' | '.join(figures)} |"


def _figure(row: Mapping[str, Any], name: str, form: str = ".2g", scale: float = 1.0) -> str:
    return format(scale * row[name], form) if row.get(name) else ""
