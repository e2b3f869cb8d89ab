"""Writes files and folders whole or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from vidprior.errors import InputError


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary path next to `path`, renamed to it on success and removed on failure.

    The folder is created if missing. The temporary name keeps the suffix, from which writers
    choose the format.

    Raises:
      InputError: the file system refuses.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextlib.contextmanager
def replacing_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """As `replacing`, for a new, empty folder; `path` must not exist.

    Raises:
      InputError: the file system refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
