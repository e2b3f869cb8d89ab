"""Keeps what was tracked, so that an interrupted command resumes, and a correction needs less.

A file holds how far a mask was followed from one frame in one direction, the masks and the state
of the tracker after the last one; or what a painted frame says of some frames, see `evidence`. Its
name is a digest of all that these depend on.
"""

import pathlib
from collections.abc import Mapping

import numpy as np

from vidprior.errors import InputError
from vidprior.io.files import replacing
from vidprior.io.npz import load_all

# Changes with how masks are followed, so that older states are not taken for newer ones.
FORMAT = 3
# A state is written after so many frames.
EVERY = 20
# A state that would take more memory is not read.
_MOST_BYTES = 2**30


class Kept:
    """Arrays in the files of a folder, under names that are digests."""

    def __init__(self, folder: pathlib.Path | None):
        """Keeps in a folder; None: nowhere."""
        self._folder = folder
        self._used: set[pathlib.Path] = set()

    def load(self, name: str) -> dict[str, np.ndarray]:
        """The arrays under a name; empty if there are none, or they cannot be read."""
        if self._folder is None:
            return {}
        path = self._folder / f"{name}.npz"
        self._used.add(path)
        try:
            return load_all(path, max_bytes=_MOST_BYTES)
        except InputError:
            return {}

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Replaces the arrays under a name, whole or not at all.

        Raises:
          InputError: the file system refuses.
        """
        if self._folder is None:
            return
        path = self._folder / f"{name}.npz"
        self._used.add(path)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    def tidy(self) -> None:
        """Removes what was neither loaded nor saved."""
        if self._folder is not None:
            for path in self._folder.glob("*.npz"):
                if path not in self._used:
                    path.unlink(missing_ok=True)
