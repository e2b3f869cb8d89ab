"""Random access to nearby frames of a source that is read once, in order.

Letters
    h, w  rows and columns of the source
"""

import os
import tempfile
from collections.abc import Iterator
from types import TracebackType

import numpy as np


class FrameSpool:
    """Keeps the frames around the current one in an unnamed temporary file.

    The file holds the frames within reach, before and after; memory holds none.
    """

    def __init__(
        self,
        frames: Iterator[tuple[np.ndarray, np.ndarray]],
        *,
        first: int,
        size: tuple[int, int],
        reach: int,
        folder: str | os.PathLike[str],
    ):
        """Creates the file; reads nothing yet.

        Args:
          frames: yields frame [h, w, 3] and mask [h, w], uint8, in order.
          first: number of the first frame.
          size: (h, w).
          reach: how many frames before and after the current one can be read.
          folder: of the temporary file.
        """
        self._frames, self._first, self._next = frames, first, first
        self._size, self._reach, self._slots = size, reach, 2 * reach + 1
        self._bytes = 4 * size[0] * size[1]
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def __enter__(self) -> "FrameSpool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes the file."""
        self._file.close()

    def read(self, number: int, *, at: int) -> tuple[np.ndarray, np.ndarray] | None:
        """A frame [h, w, 3] and its mask [h, w], uint8; None out of reach or beyond the end.

        Args:
          number: of the frame.
          at: number of the current frame; never less than in an earlier call.
        """
        if abs(number - at) > self._reach or number < self._first:
            return None
        while self._next <= number:
            following = next(self._frames, None)
            if following is None:
                return None
            content = np.concatenate([array.reshape(-1) for array in following])
            os.pwrite(self._file.fileno(), content.data, self._offset(self._next))
            self._next += 1
        content = np.frombuffer(
            os.pread(self._file.fileno(), self._bytes, self._offset(number)), np.uint8
        )
        (height, width), pixels = self._size, self._size[0] * self._size[1]
        frame = content[: 3 * pixels].reshape(height, width, 3)
        return frame, content[3 * pixels :].reshape(height, width)

    def _offset(self, number: int) -> int:
        return number % self._slots * self._bytes
