"""What the tools of the PyTorch environment share: files read as data, never as code."""

import pathlib

import numpy as np
import torch
from _command import InputError, run

from vidprior.io.npz import load_npz

__all__ = ["InputError", "read_frames", "read_torch", "run"]


def read_torch(path: pathlib.Path) -> object:
    """The contents of a `torch.save` file: tensors and plain containers, never code.

    Raises:
      InputError: it cannot be read, or holds something else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(f"{path} is not a PyTorch file of plain tensors") from error


def read_frames(path: pathlib.Path) -> np.ndarray:
    """The `frames` of an .npz: uint8 [T, H, W, 3].

    Raises:
      InputError: it cannot be read or holds no frames.
    """
    frames = load_npz(path, fields={"frames": ("u", 4)}, max_bytes=2**33)["frames"]
    if frames.dtype != np.uint8 or frames.shape[-1] != 3:
        raise InputError(f"{path}: frames is {frames.dtype} {frames.shape}, not uint8 [T, H, W, 3]")
    return frames
