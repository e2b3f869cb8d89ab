"""Measures of clips as a text table, JSON and CSV.

An evaluation is one dictionary:

    protocol    {name, parameters}
    mean        {measure: mean over all clips, as the protocol takes it}
    clips       {clip: what `protocols.measure` returned}
    source      what `picture.measure` returned, where it was measured

It is written as `evaluation.json`, `evaluation_clips.csv` (a row for each clip) and
`evaluation_frames.csv` (a row for each frame; measures of a pair are in the row of its first
frame). In JSON and CSV an infinite PSNR is `inf`, and a missing measure is null or empty.
"""

import csv
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vidprior.evaluation import protocols
from vidprior.io.files import replacing
from vidprior.run.workdir import write_json

# Properties of a clip that are listed with its measures.
ABOUT = (
    "frames",
    "width",
    "height",
    "hole_fraction",
    "frames_equal",
    "frames_without_hole",
)


def summarise(protocol: protocols.Protocol, clips: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation of the clips that `protocols.measure` has measured, by name."""
    return {
        "protocol": {"name": protocol.name, "parameters": protocol.parameters()},
        "mean": protocols.mean(protocol, clips.values()),
        "clips": dict(clips),
    }


def write(folder: pathlib.Path, evaluation: Mapping[str, Any]) -> list[pathlib.Path]:
    """Writes the three files; returns their paths, JSON first.

    Raises:
      InputError: they cannot be written.
    """
    paths = [folder / f"evaluation{ending}" for ending in (".json", "_clips.csv", "_frames.csv")]
    write_json(paths[0], to_json(evaluation))
    name, measures = evaluation["protocol"]["name"], list(evaluation["mean"])
    by_clip = [
        [name, clip, *(about[key] for key in (*ABOUT, *measures))]
        for clip, about in evaluation["clips"].items()
    ]
    write_csv(paths[1], ["protocol", "clip", *ABOUT, *measures], by_clip)
    by_frame = [
        [name, clip, frame, *(_at(about["per_frame"][key], frame) for key in measures)]
        for clip, about in evaluation["clips"].items()
        for frame in range(about["frames"])
    ]
    write_csv(paths[2], ["protocol", "clip", "frame", *measures], by_frame)
    return paths


def write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table, in full or not at all.

    Raises:
      InputError: it cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def table(evaluation: Mapping[str, Any], shown: Sequence[str]) -> str:
    """The measures `shown`: a list for one clip, a row for each of several."""
    clips = evaluation["clips"]
    if len(clips) == 1:
        (about,) = clips.values()
        return "\n".join(f"  {name:<18} {number(about[name]):>8}" for name in shown)
    rows = [(clip, [about[name] for name in shown]) for clip, about in clips.items()]
    means = [evaluation["mean"][name] for name in shown]
    return format_table(
        shown, [*rows, (f"mean over {evaluation['protocol']['parameters']['mean']}", means)]
    )


def source_table(measured: Mapping[str, Any]) -> str:
    """What `evaluate.measure_at_source` returned, a line each."""
    width, height, file = measured["width"], measured["height"], measured["file"]
    compressed = "" if file.endswith(("png", "mkv")) else " after its compression"
    size = f"at the source's size, {width}x{height}, in the hole of {file}{compressed}:"
    names = [name for name in measured if name not in ("width", "height", "file")]
    return "\n".join([size, *(f"  {name:<18} {number(measured[name]):>8}" for name in names)])


def format_table(
    columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float | str | None]]]
) -> str:
    """Rows of numbers or words under the names of their columns."""
    first = max(len(name) for name, _ in rows)
    widths = [max(len(column), 7) for column in columns]
    head = " ".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True))
    lines = [f"{'':<{first}} {head}"]
    for name, values in rows:
        cells = (f"{number(v):>{width}}" for v, width in zip(values, widths, strict=True))
        lines.append(f"{name:<{first}} {' '.join(cells)}")
    return "\n".join(lines)


def number(value: float | str | None) -> str:
    """A measure for people: three decimals, more where it is small; `-` where there is none."""
    if value is None:
        return "-"
    if isinstance(value, int | str):
        return str(value)
    return f"{value:.2e}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def to_json(value: Any) -> Any:
    """The same value with infinities as text: JSON has no number for them."""
    if isinstance(value, Mapping):
        return {name: to_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(inner) for inner in value]
    return "inf" if value == math.inf else value


def _at(values: Sequence[float | None], frame: int) -> float | None:
    """The value of a frame; none for the last one of a measure of pairs."""
    return values[frame] if frame < len(values) else None
