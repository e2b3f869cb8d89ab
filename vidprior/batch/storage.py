"""Folders and files by path or by URL: fetched to scratch, written back whole.

A work directory at a URL consists of its files and a list of them with their hashes,
`.files.json`, which is written last. Only listed files are fetched, so a half-written state is
never seen.
"""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import posixpath
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vidprior.errors import InputError

LIST = ".files.json"

# Where a storage tells of a file's content, the best first.
_TAGS = ("md5Hash", "content_md5", "Content-MD5", "ETag", "etag")

# Size and SHA-256 by name within the folder. Earlier lists had sizes alone: their hash is "".
Listing = dict[str, tuple[int, str]]


class Unreachable(InputError):
    """The storage does not answer or refuses: what else lies there would fare the same."""


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


def require(url: str) -> None:
    """Refuses a URL at which nothing lies.

    Raises:
      InputError: nothing does.
      Unreachable: it cannot be said.
    """
    files, root = _open(url)
    with _told(url, "cannot be read"):
        _info(files, root)


@functools.cache
def require_writable(url: str) -> None:
    """Refuses a folder into which nothing can be written: writes a small file, and removes it.

    Raises:
      Unreachable: nothing can.
    """
    files, root = _open(url)
    with _told(url, "cannot be written"), tempfile.NamedTemporaryFile() as empty:
        target = posixpath.join(root, f".{pathlib.Path(empty.name).name}")
        _put(files, [(empty.name, target)])
        files.rm_file(target)


def matches(url: str) -> list[str]:
    """The URLs that a glob stands for, in order; the URL itself if something lies there.

    Raises:
      Unreachable: they cannot be listed.
    """
    files, root = _open(url)
    with _told(url, "cannot be listed"):
        with contextlib.suppress(FileNotFoundError):
            _info(files, root)
            return [url]
        return sorted(files.unstrip_protocol(path) for path in files.glob(root))


def tag(url: str) -> str:
    """What changes when the content at a URL does: sizes and the storage's own tags or times.

    Raises:
      InputError: nothing lies there.
      Unreachable: it cannot be read.
    """
    files, root = _open(url)
    with _told(url, "cannot be read"):
        return _tag(_entries(files, root))


def fetch(url: str, scratch: str) -> str:
    """Copies a file or a folder of inputs to the scratch folder, unless it is there unchanged.

    Returns:
      Its path there.

    Raises:
      InputError: nothing lies there, or a name leads out of the folder.
      Unreachable: it cannot be read, or scratch is full.
    """
    files, root = _open(url)
    with _told(url, "cannot be fetched"):
        found = _entries(files, root)
        target = local(url, os.path.join(scratch, _tag(found)[:16]))
        if os.path.exists(target):
            return target
        part = f"{target}.{os.getpid()}"
        try:
            _get(files, [_below(root, name) for name in found], [_below(part, n) for n in found])
            os.replace(part, target)
        except OSError:
            if not os.path.exists(target):  # otherwise another unit was faster
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
            if os.path.isfile(part):
                os.unlink(part)
    return target


def fetch_folder(url: str, target: pathlib.Path) -> None:
    """Copies the listed files of a work directory, without its segments, to a folder.

    Files that are there with the same content stay as they are.

    Raises:
      InputError: its list is damaged.
      Unreachable: it cannot be read, or scratch is full.
    """
    files, root = _open(url)
    with _told(url, "cannot be fetched"):
        listed = _listed(files, root)
        names = [name for name, about in listed.items() if _about(target / name) != about]
        if not names:
            return
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".fetched-") as folder:
            _get(files, [_below(root, n) for n in names], [_below(folder, n) for n in names])
            for name in names:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(_below(folder, name), target / name)


def store_folder(folder: pathlib.Path, url: str) -> None:
    """Writes the new files of a work directory, without its segments, to a URL, then their list.

    Files that the list no longer names are removed after that.

    Raises:
      InputError: the list that is there is damaged.
      Unreachable: the storage refuses.
    """
    files, root = _open(url)
    with _told(url, "cannot be written"):
        found = {name: _about(folder / name) for name in _names(folder)}
        before = _listed(files, root)
        changed = [name for name, about in found.items() if before.get(name) != about]
        _put(files, [(str(folder / name), _below(root, name)) for name in changed])
        with tempfile.TemporaryDirectory() as temporary:
            path = os.path.join(temporary, LIST)
            pathlib.Path(path).write_text(json.dumps(found))
            _put(files, [(path, _below(root, LIST))])
        for name in before.keys() - found.keys():
            files.rm_file(_below(root, name))


def _names(folder: pathlib.Path) -> list[str]:
    """The files of a work directory; neither hidden ones nor those of its segments."""
    found = []
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder).parts
        in_segment = within[0] == "parts" and len(within) > 2
        if path.is_file() and not in_segment and not any(part.startswith(".") for part in within):
            found.append("/".join(within))
    return found


def _about(path: pathlib.Path) -> tuple[int, str]:
    """Size and hash of a file; of none, what no file has."""
    try:
        found = path.stat()
        return found.st_size, _hash(str(path), found.st_size, found.st_mtime_ns, found.st_ino)
    except FileNotFoundError:
        return -1, ""


@functools.lru_cache(maxsize=2**16)
def _hash(path: str, *_: int) -> str:
    """SHA-256 of a file, read again only when the numbers differ."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _listed(files: Any, root: str) -> Listing:
    """What the list of a folder says; nothing if there is none."""
    try:
        found = json.loads(files.cat_file(_below(root, LIST)))
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"{root}: {LIST} is damaged")
    for name, about in found.items():
        _require_inside(name)
        found[name] = tuple(about) if isinstance(about, list) else (about, "")
        if [type(value) for value in found[name]] != [int, str]:
            raise InputError(f"{root}: {LIST} is damaged")
    return found


def _entries(files: Any, root: str) -> dict[str, Mapping[str, Any]]:
    """What the storage says of a file, by the name ""; or of the files below a folder, by theirs.

    Object stores mark folders by empty objects; they are left out.
    """
    info = _info(files, root)
    if info["type"] == "file":
        return {"": info}
    prefix = root.rstrip("/") + "/"
    listed = sorted(files.find(root, detail=True).items())
    found = {path.removeprefix(prefix): info for path, info in listed if not path.endswith("/")}
    if not found:
        raise InputError(f"{files.unstrip_protocol(root)}: no files are there")
    for name in found:
        _require_inside(name)
    return found


def _info(files: Any, root: str) -> Mapping[str, Any]:
    """What the storage says of a path, as it is now."""
    files.invalidate_cache()
    return files.info(root)


def _tag(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """A hash of what the storage says of content; if it says nothing, of all that it says."""
    marks = []
    for name, info in entries.items():
        told = next((str(info[key]) for key in _TAGS if info.get(key)), None)
        marks.append((name, info.get("size"), told or repr(sorted(info.items(), key=str))))
    return hashlib.sha256(repr(marks).encode()).hexdigest()


def _require_inside(name: str) -> None:
    if name.startswith("/") or ".." in pathlib.PurePosixPath(name).parts:
        raise InputError(f"the storage names {name!r}, which leads out of its folder")


def _below(folder: str, name: str) -> str:
    """The path of a name of `_entries`."""
    return posixpath.join(folder, name) if name else folder


def _get(files: Any, there: list[str], here: list[str]) -> None:
    """Reads files, side by side where the storage can."""
    for path in {os.path.dirname(path) for path in here}:
        os.makedirs(path, exist_ok=True)
    files.get(there, here)  # lists: names are not taken for globs


def _put(files: Any, pairs: Sequence[tuple[str, str]]) -> None:
    """Writes files, each whole or not at all: object stores do, file systems by a rename.

    Folders of object stores are not made: s3fs would make a bucket that does not exist.
    """
    if "file" not in files.protocol and "local" not in files.protocol:
        files.put([path for path, _ in pairs], [target for _, target in pairs])
        return
    for path, target in pairs:
        folder, name = posixpath.split(target)
        os.makedirs(folder, exist_ok=True)
        temporary = posixpath.join(folder, f".{name}.{os.getpid()}")
        files.put_file(path, temporary)
        os.replace(temporary, target)


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
      InputError: the URL is wrong.
      Unreachable: the package for it is missing.
    """
    try:
        import fsspec

        files, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise Unreachable(f"{url}: {_reason(error)}") from error
    except ValueError as error:
        raise InputError(f"{url}: {_reason(error)}") from error
    return files, root


@contextlib.contextmanager
def _told(url: str, failed: str) -> Iterator[None]:
    """Tells of what fails in one line; each storage has exceptions of its own."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        told = _reason(error)  # sentences, or the path in the storage's own form
        reason = told if " " in told and told not in url else "it does not exist"
        raise InputError(f"{url}: {failed} ({reason})") from error
    except Exception as error:
        raise Unreachable(f"{url}: {failed} ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(told).splitlines()[0]
