"""What the weight converters share: PyTorch files are read as data, results appear whole."""

import math
import os
import pathlib
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import torch


class InputError(ValueError):
    """The user's input is at fault; the message is one line that says what to mend."""


def read_torch(path: pathlib.Path) -> object:
    """The contents of a `torch.save` file: tensors and plain containers, never code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(f"{path} is not a PyTorch file of plain tensors") from error


def read_npz(path: pathlib.Path, *, limit: int = 2**30) -> dict[str, np.ndarray]:
    """The arrays of an .npz; headers are judged before memory is taken for the arrays."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as member:
                    if np.lib.format.read_magic(member) != (1, 0):
                        raise ValueError("unexpected .npy version")
                    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
                    size = math.prod(shape) * dtype.itemsize
                    limit -= size
                    if limit < 0 or size != info.file_size - member.tell():
                        raise ValueError(f"{info.filename} claims {size} bytes")
                with archive.open(info) as member:
                    name = info.filename.removesuffix(".npy")
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged archive can fail in any way
        raise InputError(f"{path} is not an .npz of plain arrays: {error}") from error
    return arrays


def write(path: pathlib.Path, save: Callable) -> None:
    """Calls `save(file)` on a temporary file beside `path`, which then takes its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            save(file)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def run(command: Callable[[], None]) -> int:
    """Runs a command; returns its exit code: 2 and one line where the input is at fault."""
    try:
        command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
