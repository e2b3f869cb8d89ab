"""Folders and files by path or by URL: fetched to scratch, written back whole.

A work directory at a URL consists of its files and a list of them, `.files.json`, which is written
last. Only listed files are fetched, so a half-written state is never seen.
"""

import hashlib
import json
import os
import pathlib
import posixpath
import re
import shutil
import tempfile
from typing import Any

from vidprior.errors import InputError
from vidprior.io.files import replacing

LIST = ".files.json"


def is_url(path: str) -> bool:
    """Whether a path is a URL, such as s3://bucket/clip."""
    return re.match(r"[a-z][a-z0-9+.-]+://", path) is not None


def absolute(path: str, folder: str | os.PathLike[str]) -> str:
    """The path, relative to a folder if it is relative; a URL as it is."""
    if is_url(path):
        return path
    return os.path.abspath(os.path.join(folder, os.path.expanduser(path)))


def join(folder: str, *names: str) -> str:
    """A path below a folder or URL."""
    return posixpath.join(folder, *names) if is_url(folder) else os.path.join(folder, *names)


def local(url: str, scratch: str) -> str:
    """Where a URL lies in the scratch folder: under its own last name."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return os.path.join(scratch, digest, posixpath.basename(url.rstrip("/")) or "data")


def tag(url: str) -> str:
    """What changes when the content at a URL does: sizes and the storage's own tags or times.

    Raises:
      InputError: it cannot be read.
    """
    files, root = _open(url)
    try:
        found = sorted(files.find(root)) or [root]
        marks = [files.ukey(path) for path in found]
    except (OSError, ValueError) as error:
        raise InputError(f"{url}: cannot be read ({_reason(error)})") from error
    return hashlib.sha256(repr(marks).encode()).hexdigest()


def fetch(url: str, scratch: str) -> str:
    """Copies a file or a folder of inputs to the scratch folder, unless it is there unchanged.

    Returns:
      Its path there.

    Raises:
      InputError: it cannot be read, or scratch is full.
    """
    target = local(url, os.path.join(scratch, tag(url)[:16]))
    if os.path.exists(target):
        return target
    files, root = _open(url)
    part = f"{target}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        files.get(root, part, recursive=True)
        os.replace(part, target)
    except (OSError, ValueError) as error:
        if not os.path.exists(target):  # otherwise another unit was faster
            raise InputError(f"{url}: cannot be fetched ({_reason(error)})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if os.path.isfile(part):
            os.unlink(part)
    return target


def fetch_folder(url: str, target: pathlib.Path) -> None:
    """Copies the listed files of a work directory, without its segments, to a folder.

    Files that are there with the same size stay as they are.

    Raises:
      InputError: it cannot be read, its list is damaged, or scratch is full.
    """
    files, root = _open(url)
    try:
        for name, size in _listed(files, root).items():
            path = target / name
            if not path.is_file() or path.stat().st_size != size or _may_change(name):
                with replacing(path) as temporary:
                    files.get_file(posixpath.join(root, name), str(temporary))
    except (OSError, ValueError) as error:
        raise InputError(f"{url}: cannot be fetched ({_reason(error)})") from error


def store_folder(folder: pathlib.Path, url: str) -> None:
    """Writes the new files of a work directory, without its segments, to a URL, then their list.

    Files that the list no longer names are removed after that.

    Raises:
      InputError: the storage refuses.
    """
    files, root = _open(url)
    try:
        found = {name: (folder / name).stat().st_size for name in _names(folder)}
        before = _listed(files, root)
        for name, size in found.items():
            if before.get(name) != size or _may_change(name):
                _put(files, folder / name, posixpath.join(root, name))
        with tempfile.TemporaryDirectory() as temporary:
            path = pathlib.Path(temporary) / LIST
            path.write_text(json.dumps(found))
            _put(files, path, posixpath.join(root, LIST))
        for name in before.keys() - found.keys():
            files.rm_file(posixpath.join(root, name))
    except (OSError, ValueError) as error:
        raise InputError(f"{url}: cannot be written ({_reason(error)})") from error


def _names(folder: pathlib.Path) -> list[str]:
    """The files of a work directory; neither hidden ones nor those of its segments."""
    found = []
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder).parts
        in_segment = within[0] == "parts" and len(within) > 2
        if path.is_file() and not in_segment and not any(part.startswith(".") for part in within):
            found.append("/".join(within))
    return found


def _may_change(name: str) -> bool:
    """Whether a file may change and keep its size; such files are small."""
    return name.endswith((".json", ".jsonl"))


def _listed(files: Any, root: str) -> dict[str, int]:
    """What the list of a folder says; nothing if there is none."""
    try:
        found = json.loads(files.cat_file(posixpath.join(root, LIST)))
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{LIST} is damaged")
    for name, size in found.items():
        parts = pathlib.PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or type(size) is not int:
            raise ValueError(f"{LIST} names {name!r}")
    return found


def _put(files: Any, path: pathlib.Path, target: str) -> None:
    """Writes a file whole or not at all: object stores do, file systems by a rename."""
    files.makedirs(posixpath.dirname(target), exist_ok=True)
    if "file" in files.protocol or "local" in files.protocol:
        temporary = posixpath.join(posixpath.dirname(target), f".{path.name}.{os.getpid()}")
        files.put_file(str(path), temporary)
        os.replace(temporary, target)
    else:
        files.put_file(str(path), target)


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
      InputError: its package is missing, or the URL is wrong.
    """
    try:
        import fsspec

        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(f"{url}: {_reason(error)}") from error
    return files, root


def _reason(error: Exception) -> str:
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(told).splitlines()[0]
