"""A manifest: the clips of a batch, as JSONL, CSV or YAML.

A row is a clip. Its columns:

    video       a video or a folder of frames; a glob makes a row of each match
    mask        what to remove; not needed where the frame is enlarged
    name        of the row and its folder; by default the video's name without its ending
    workdir     folder of the run; by default `runs/NAME` in the batch's folder
    config      a shipped configuration or a file
    reference   cleaned frames
    truth       the true frames: the result is measured against them
    protocol    of the measures
    overrides   fields of the configuration with their values (JSONL and YAML)
    config.X    the same for one field X; in CSV the only form

In a row with a glob, `{stem}` is the name of the matched file without its ending, and `{parent}`
that of its folder. Paths are relative to the manifest's folder. An empty cell is not given.
"""

import csv
import glob
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from vidprior import command_line
from vidprior.batch import storage
from vidprior.errors import InputError
from vidprior.evaluation import protocols
from vidprior.io import reference_files

TEXTS = ("video", "mask", "name", "workdir", "config", "reference", "truth", "protocol")
_PATHS = ("video", "mask", "workdir", "truth")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,99}")
_MOST_BYTES = 2**26  # of a manifest
_SHOWN = 10  # errors


class Row(NamedTuple):
    """A clip of a batch.

    Attributes:
      number: of its row in the manifest, from 1.
      name: unique in the batch.
      video, workdir: absolute paths, or URLs.
      mask: the same, or None where the frame is enlarged.
      flags: `--config=...` and `--config.FIELD=VALUE`, as on a command line.
      reference: as `--reference`, with absolute paths; or None.
      truth: an absolute path or URL, or None.
      protocol: of its measures.
    """

    number: int
    name: str
    video: str
    mask: str | None
    workdir: str
    flags: tuple[str, ...]
    reference: str | None = None
    truth: str | None = None
    protocol: str = "hole"


def read(
    path: pathlib.Path, *, output: str, flags: Sequence[str] = (), config: str | None = None
) -> list[Row]:
    """Reads a manifest and checks all of it.

    Args:
      path: of the manifest; its ending says what it is.
      output: folder of the batch, for rows without a `workdir`.
      flags: `--config.FIELD=VALUE` for all rows.
      config: for rows without one.

    Raises:
      InputError: the file cannot be read, or rows are wrong: a line for each of them; or a
        storage does not answer.
    """
    rows: list[Row] = []
    errors: list[str] = []
    for number, fields in enumerate(_read_fields(path), start=1):
        try:
            given = _checked(fields)
            for one in _expanded(given, folder=path.absolute().parent):
                row = _row(one, number, output=output, flags=flags, config=config)
                check(row, rows)
                rows.append(row)
        except storage.Unreachable:  # and so would be the other rows
            raise
        except InputError as error:
            errors.append(f"row {number}: {error}")
    if errors:
        shown = errors[:_SHOWN]
        if len(errors) > len(shown):
            shown.append(f"and {len(errors) - len(shown)} more")
        head = "1 row is wrong" if len(errors) == 1 else f"{len(errors)} rows are wrong"
        raise InputError(f"{path}: {head}, nothing was run\n  " + "\n  ".join(shown))
    if not rows:
        raise InputError(f"{path}: no rows")
    return rows


def _read_fields(path: pathlib.Path) -> list[Any]:
    """What the file says of each row."""
    readers: Mapping[str, Callable[[str], list[Any]]] = {
        ".jsonl": _read_jsonl, ".csv": _read_csv, ".yaml": _read_yaml, ".yml": _read_yaml
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: a manifest ends in .jsonl, .csv or .yaml")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: more than {_MOST_BYTES >> 20} MiB: divide it")
        return reader(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError, yaml.YAMLError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error


def _read_jsonl(text: str) -> list[Any]:
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            if line.strip():
                found.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return found


def _read_csv(text: str) -> list[Any]:
    return list(csv.DictReader(text.splitlines(), strict=True))


def _read_yaml(text: str) -> list[Any]:
    found = yaml.safe_load(text)
    if not isinstance(found, list):
        raise ValueError("a list of rows is expected: '- video: ...'")
    return found


def _checked(fields: Any) -> dict[str, Any]:
    """The fields that are given, each of its type."""
    if not isinstance(fields, dict):
        raise InputError("columns with their values are expected")
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    overrides = given.pop("overrides", {})
    if not isinstance(overrides, dict):
        raise InputError(f"overrides are fields with their values, not {overrides!r}")
    for name, value in given.items():
        if name is None:
            raise InputError(f"{len(value)} more cells than columns")
        if name not in TEXTS and not str(name).startswith("config."):
            raise InputError(f"unknown column '{name}': there are {', '.join(TEXTS)}, overrides")
        if name in TEXTS and not isinstance(value, str):
            raise InputError(f"{name} is {value!r}, not a text")
    named = {f"config.{name}": value for name, value in overrides.items()}
    if "video" not in given:
        raise InputError("no video")
    return {**given, **named}


def _expanded(given: dict[str, Any], *, folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """The rows that a row with a glob stands for; otherwise the row. Paths are absolute."""
    video = storage.absolute(given["video"], folder)
    found = _matches(video)
    if not found:
        raise InputError(f"nothing matches {video}")
    if found != [video] and "workdir" in given and "{" not in given["workdir"]:
        raise InputError("with a glob, workdir needs {stem} or {parent}")
    for match in found:
        path = pathlib.PurePath(match)
        parts = {"{stem}": path.stem, "{parent}": path.parent.name}
        one = {**given, "video": match}
        for name in ("mask", "name", "workdir", "reference", "truth"):
            if name in one:
                for mark, text in parts.items():
                    one[name] = one[name].replace(mark, text)
        one.setdefault("name", path.stem)
        if one.get("config", "").endswith(".py"):
            one["config"] = storage.absolute(one["config"], folder)
        for name in _PATHS:
            if name in one:
                one[name] = storage.absolute(one[name], folder)
        if "reference" in one and not storage.is_url(one["reference"]):
            one["reference"] = reference_files.absolute(one["reference"], folder)
        yield one


def _matches(video: str) -> list[str]:
    """The paths or URLs that a glob stands for; without one, the path itself."""
    if not glob.has_magic(video):
        return [video]
    if storage.is_url(video):
        return storage.matches(video)
    return [video] if os.path.exists(video) else sorted(glob.glob(video, recursive=True))


def _row(
    given: Mapping[str, Any], number: int, *, output: str, flags: Sequence[str], config: str | None
) -> Row:
    name, chosen = given["name"], given.get("config", config)
    if not _NAME.fullmatch(name):
        raise InputError(f"the name {name!r} is no folder's: give letters, digits and ' ._+-'")
    if chosen is None:
        raise InputError("no config, for example footage")
    own = [
        f"--{field}={value if isinstance(value, str) else _typed(value)}"
        for field, value in given.items()
        if field.startswith("config.")
    ]
    return Row(
        number=number,
        name=name,
        video=given["video"],
        mask=given.get("mask"),
        workdir=given.get("workdir", storage.join(output, "runs", name)),
        flags=(f"--config={chosen}", *flags, *own),
        reference=given.get("reference"),
        truth=given.get("truth"),
        protocol=given.get("protocol", "hole"),
    )


def check(row: Row, before: Sequence[Row]) -> None:
    """Refuses what can be known to fail before it runs.

    Args:
      row: the row.
      before: rows with other names and work directories.

    Raises:
      InputError: a file or a protocol does not exist, or the configuration is not valid.
      Unreachable: a storage does not answer, or refuses what will be written.
    """
    from vidprior.run import validate
    from vidprior.run.source import outpaints

    for other in before:
        if other.name == row.name:
            raise InputError(
                f"the name '{row.name}' is that of row {other.number}: give name, for example "
                f"{{parent}} with a glob"
            )
        if other.workdir == row.workdir:
            raise InputError(f"the workdir is that of row {other.number}: {row.workdir}")
    needed = [("video", row.video), ("mask", row.mask), ("truth", row.truth)]
    references = reference_files.paths(row.reference) if row.reference else []
    needed += [("reference", path) for path in references]
    for what, path in needed:
        if path and storage.is_url(path):
            storage.require(path)
        elif path and not os.path.exists(path):
            raise InputError(f"the {what} does not exist: {path}")
    if storage.is_url(row.workdir):
        storage.require_writable(row.workdir.rstrip("/").rpartition("/")[0])
    protocols.find(row.protocol)
    request = command_line.parse(["vidprior", *row.flags])
    assert request.config is not None
    validate.validate(request.config)
    if row.mask is None and not outpaints(request.config):
        raise InputError("no mask")


def _typed(value: Any) -> str:
    """A value for the command line; JSON's lists are tuples there."""
    return str(tuple(value) if isinstance(value, list) else value)
