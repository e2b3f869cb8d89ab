"""What a row of a batch depends on: its inputs by their content, its configuration."""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from vidprior import __version__, command_line, configuration
from vidprior.batch import storage
from vidprior.batch.manifest import Row
from vidprior.errors import InputError
from vidprior.io import reference_files
from vidprior.run.workdir import write_json


class Hashes:
    """SHA-256 of files and folders, kept in a file with their sizes and times.

    An input is read again only when a size or a time of change differs.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path
        try:
            self._known: dict[str, Any] = dict(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            self._known = {}

    def of(self, path: str) -> str:
        """The hash of a file's bytes, or of the names and bytes of a folder; of a URL, its tag.

        Raises:
          InputError: it cannot be read.
        """
        if storage.is_url(path):
            return storage.tag(path)
        try:
            files = list(_files(path))
            marks = [(name, os.stat(file)) for name, file in files]
            mark = _sha256(repr([(name, s.st_size, s.st_mtime_ns) for name, s in marks]).encode())
            known = self._known.get(path)
            if known and known[0] == mark:
                return str(known[1])
            content = hashlib.sha256()
            for name, file in files:
                with open(file, "rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                content.update(f"{name}\n{digest}\n".encode())
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        self._known[path] = mark, content.hexdigest()
        return content.hexdigest()

    def save(self) -> None:
        """Writes what is known."""
        write_json(self._path, self._known)


def identity(row: Row, hashes: Hashes) -> str:
    """A hash of everything that the result of a row depends on."""
    config = command_line.parse(["vidprior", *row.flags]).config
    assert config is not None
    inputs = {"video": row.video, "mask": row.mask, "truth": row.truth}
    references = reference_files.paths(row.reference) if row.reference else []
    content = {
        "inputs": {name: path and hashes.of(path) for name, path in inputs.items()},
        "reference": [hashes.of(path) for path in references],
        "config": configuration.to_dict(config),
        "protocol": row.protocol if row.truth else None,
        "workdir": row.workdir,
        "version": __version__,
    }
    return _sha256(json.dumps(content, sort_keys=True).encode())


def _files(path: str) -> Iterator[tuple[str, str]]:
    """The names and paths of a file, or of all files below a folder, in order."""
    if not os.path.isdir(path):
        yield "", path
        return
    for folder, names, files in os.walk(path):
        names.sort()
        for name in sorted(files):
            file = os.path.join(folder, name)
            yield os.path.relpath(file, path), file


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
