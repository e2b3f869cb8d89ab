"""Files and folders that come into being in full or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from vidprior.errors import InputError


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden name beside `path` that takes its place if all goes well, or vanishes.

    The folder is made if it is missing. The name keeps its suffix, by which writers
    choose a format.

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
    """As `replacing`, a folder that is made empty; `path` itself must not be there.

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
