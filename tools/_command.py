"""Shared by the tools: one line for invalid input, and parsing of sizes."""

import argparse
import importlib.util
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

# In the PyTorch environment `vidprior` is not installed: the tools there use the modules of it
# that need NumPy alone.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

from vidprior.errors import InputError, Interrupted


def run(command: Callable[[], None]) -> int:
    """Runs a command; returns its exit code: 2 after one line for invalid input."""
    if importlib.util.find_spec("absl"):  # the PyTorch environment is without
        from absl import logging

        logging.set_verbosity(logging.FATAL)  # libraries log every step
    try:
        command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (Interrupted, KeyboardInterrupt) as stopped:
        print(str(stopped) or "stopped", file=sys.stderr)
        return 130
    return 0


def require(package: str) -> None:
    """Requires an optional package.

    Raises:
      InputError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise InputError(f"this needs {package}: python -m pip install -e '.[figures]'")


def size(text: str) -> tuple[int, int]:
    """Parses 384x192, width first, to (H, W)."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is no size such as 384x192")
    return int(found[2]), int(found[1])


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not an integer above 0")
    return int(text)


def overrides(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, str]:
    """The fields among the words that a parser does not know: `--config.FIELD=VALUE`."""
    found = {}
    for word in words:
        field, equals, value = word.removeprefix("--config.").partition("=")
        if not word.startswith("--config.") or not equals:
            parser.error(f"unrecognized argument: {word}")
        found[field] = value
    return found
