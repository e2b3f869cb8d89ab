"""metrics.jsonl: one line of JSON every `log.every` updates."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from vidprior.errors import InputError
from vidprior.io.files import replacing


def append(path: pathlib.Path, row: Mapping[str, Any]) -> None:
    """Adds a line to metrics.jsonl."""
    try:
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def read(path: pathlib.Path) -> list[dict[str, float]]:
    """The rows of metrics.jsonl, without a last one that a crash truncated.

    Raises:
      InputError: another row is invalid.
    """
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append({name: float(value) for name, value in row.items()})
            if rows[-1].keys() != rows[0].keys() or "update" not in row:
                raise ValueError("other columns")
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            if number == len(lines) and isinstance(error, json.JSONDecodeError):
                break
            raise InputError(f"{path}: line {number} is no row") from error
    return rows


def forget_after(path: pathlib.Path, step: int) -> None:
    """Drops the lines of updates that a resumed run repeats."""
    if not path.exists():
        return
    try:
        rows = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    kept = [row for row in rows if _update_of(row) <= step]
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{row}\n" for row in kept))


def _update_of(row: str) -> float:
    try:
        return float(json.loads(row)["update"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line that a crash truncated
