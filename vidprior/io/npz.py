"""Reads and writes arrays in `.npz` files: atomically, and safe against hostile files.

A reader states what it expects. The header of every array (a few dozen bytes) is read and
checked before memory is allocated, and pickles are never loaded.
"""

import io
import math
import os
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from vidprior.errors import InputError
from vidprior.io.files import replacing

# The header of a plain array takes 128 bytes; a longer one is refused without parsing.
_MAX_HEADER_BYTES = 1024

# What zipfile, zlib and numpy.lib.format raise on truncated or forged files.
_MALFORMED = (
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    ValueError,
)


class Header(NamedTuple):
    """The header of a stored array.

    Attributes:
      shape: its dimensions, none negative.
      dtype: its data type, never one that holds Python objects.
      num_bytes: the memory that it takes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    num_bytes: int


def save_npz(path: str | os.PathLike[str], **arrays: Any) -> None:
    """Writes arrays to one `.npz`, whole or not at all.

    The file is written under a temporary name in the same folder and then takes its
    final name. Boolean arrays are compressed, which makes masks a hundred times
    smaller at no cost; other arrays are stored as they are, since compressing flow
    takes five times as long for two fifths of the space.

    Args:
      path: the file to write, exactly this name; an older file is replaced.
      **arrays: array-likes by name; object arrays are refused.

    Raises:
      InputError: the file cannot be written.
    """
    path = pathlib.Path(path)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, value in arrays.items():
            _write_member(archive, name, np.asanyarray(value))


def load_npz(
    path: str | os.PathLike[str], *, fields: Mapping[str, tuple[str, int]], max_bytes: int
) -> dict[str, np.ndarray]:
    """Reads the named arrays of an `.npz`, refusing anything that is not as stated.

    Args:
      path: the file to read.
      fields: per name, the kinds of dtype that are accepted, as characters of
        `numpy.dtype.kind` (`"f"` floating, `"iu"` any integer, `"b"` boolean, `"U"`
        text), and the number of dimensions. Other arrays of the file are not read.
      max_bytes: the most memory that these arrays may take together.

    Returns:
      The arrays by name, in the order of `fields`. Sizes within a kind (float16 or
      float32, say) are the caller's to check.

    Raises:
      InputError: the file is missing, cut off, or not an `.npz`; an array is missing,
        is of another kind or rank, holds pickled objects, or asks for too much memory.
    """
    path = pathlib.Path(path)
    headers = read_headers(path, fields)
    for name, (kinds, ndim) in fields.items():
        shape, dtype, _ = headers[name]
        if dtype.kind not in kinds:
            raise InputError(f"{path}: {name} has dtype {dtype}, expected kind {kinds!r}")
        if len(shape) != ndim:
            raise InputError(f"{path}: {name} has shape {shape}, expected {ndim} dimensions")
    total = sum(header.num_bytes for header in headers.values())
    if total > max_bytes:
        largest = max(headers, key=lambda name: headers[name].num_bytes)
        raise InputError(
            f"{path}: its arrays take {total} bytes, at most {max_bytes} are accepted"
            f" ({largest} has shape {headers[largest].shape})"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _read_member(archive, name) for name in fields}
    except _MALFORMED as error:
        raise InputError(f"{path}: damaged or not an .npz ({_reason(error)})") from error


def load_all(path: str | os.PathLike[str], *, max_bytes: int) -> dict[str, np.ndarray]:
    """Reads every array of an `.npz`; errors as of `load_npz`."""
    headers = read_headers(path, array_names(path))
    fields = {name: (dtype.kind, len(shape)) for name, (shape, dtype, _) in headers.items()}
    return load_npz(path, fields=fields, max_bytes=max_bytes)


def array_names(path: str | os.PathLike[str]) -> list[str]:
    """The names of the arrays of an `.npz`, in its order.

    Raises:
      InputError: the file is missing, cut off, or not an `.npz`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except _MALFORMED as error:
        raise InputError(f"{path}: damaged or not an .npz ({_reason(error)})") from error


def read_headers(path: str | os.PathLike[str], names: Iterable[str]) -> dict[str, Header]:
    """Reads shape and dtype of the named arrays, and nothing of their contents.

    Args:
      path: the file to read.
      names: the arrays asked for.

    Raises:
      InputError: the file is missing or damaged, an array is missing, holds pickled
        objects, or is stored with more or fewer bytes than its header announces.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            for name in names:
                if f"{name}.npy" not in present:
                    raise InputError(f"{path}: {name} is missing")
            return {name: _read_header(archive, path, name) for name in names}
    except InputError:
        raise
    except _MALFORMED as error:
        raise InputError(f"{path}: damaged or not an .npz ({_reason(error)})") from error


def _read_header(archive: zipfile.ZipFile, path: pathlib.Path, name: str) -> Header:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{path}: {name} is compressed in a way that numpy never uses")
    with archive.open(info) as member:
        start = io.BytesIO(member.read(_MAX_HEADER_BYTES))
    version = np.lib.format.read_magic(start)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(start)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(start)
    else:
        raise InputError(f"{path}: {name} has array format {version}, expected 1.0 or 2.0")
    if dtype.hasobject:
        raise InputError(f"{path}: {name} holds pickled objects, which are never loaded")
    if min(shape, default=0) < 0:
        raise InputError(f"{path}: {name} has shape {shape}, which is no shape")
    # Python integers: a hostile shape must not overflow into a small product.
    num_bytes = math.prod(shape) * dtype.itemsize
    stored = info.file_size - start.tell()
    if stored != num_bytes:
        raise InputError(
            f"{path}: {name} announces {num_bytes} bytes (shape {shape}, {dtype}), {stored} stored"
        )
    return Header(shape, dtype, num_bytes)


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        # zipfile compares the checksum once the end has been reached.
        if member.read(1):
            raise ValueError(f"{name} is longer than its header says")
    if array.dtype.kind == "U" and np.atleast_1d(array).view(np.uint32).max(initial=0) > 0x10FFFF:
        # numpy would find out later, with a SystemError, when it makes a str of it.
        raise ValueError(f"{name} is not Unicode")
    return array


def _write_member(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    info = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: equal arrays give equal files
    if array.dtype.kind == "b":
        info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def _reason(error: BaseException) -> str:
    """The first line of an exception's message, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]
