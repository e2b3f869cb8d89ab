"""Summaries for TensorBoard: losses and previews by update, in event files.

TensorBoard is optional and imported only if requested. The package `tensorboard` writes and
shows event files without TensorFlow and without PyTorch.
"""

import contextlib
import importlib.util
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vidprior.errors import InputError
from vidprior.io import images

INSTALL = "python -m pip install 'vidprior[tensorboard]'"


class TensorBoard:
    """Takes losses and pictures, and discards them."""

    def losses(self, row: Mapping[str, float], *, learning_rate: float) -> None:
        """Records a row of metrics.jsonl, and the learning rate of its update."""

    def picture(self, update: int, name: str, image: np.ndarray) -> None:
        """Records an image [H, W, 3] uint8 RGB after `update` updates."""


def require(wanted: bool) -> None:
    """Checks, before anything is written, that TensorBoard is installed if it is wanted.

    Raises:
      InputError: it is not; with the command that installs it.
    """
    if wanted and importlib.util.find_spec("tensorboard") is None:
        raise InputError(f"--config.log.tensorboard needs the package tensorboard: {INSTALL}")


@contextlib.contextmanager
def open_tensorboard(folder: pathlib.Path | None, *, begin: int) -> Iterator[TensorBoard]:
    """Writes summaries into a new file of a folder.

    Args:
      folder: created if missing; None records nothing.
      begin: updates done. TensorBoard discards later updates of other files, since a
        resumed run repeats them.

    Raises:
      InputError: the extra is not installed, or the file cannot be written.
    """
    if folder is None:
        yield TensorBoard()
        return
    require(True)
    path = folder / f"events.out.tfevents.{time.time():.0f}.{os.getpid()}"
    with _refusals(path):
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("wb", buffering=0)
    with file:
        yield _EventFile(file, path, begin)


@contextlib.contextmanager
def _refusals(path: pathlib.Path) -> Iterator[None]:
    """Converts errors of the file system to `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


class _EventFile(TensorBoard):
    """Writes every record immediately, so that it can be watched."""

    def __init__(self, file: Any, path: pathlib.Path, begin: int):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._records, self._path = RecordWriter(file), path
        self._write(file_version="brain.Event:2")
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(step=begin + 1, session_log=start)

    def losses(self, row: Mapping[str, float], *, learning_rate: float) -> None:
        """See `TensorBoard`."""
        terms = {f"loss/{name}": x for name, x in row.items() if name not in ("update", "pass")}
        values = {**terms, "pass": row["pass"], "learning_rate": learning_rate}
        told = [self._summary.Value(tag=name, simple_value=x) for name, x in values.items()]
        self._write(step=int(row["update"]), summary=self._summary(value=told))

    def picture(self, update: int, name: str, image: np.ndarray) -> None:
        """See `TensorBoard`."""
        height, width, channels = image.shape
        encoded = self._summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=images.encode(image, ".png"),
        )
        told = self._summary.Value(tag=name, image=encoded)
        self._write(step=update, summary=self._summary(value=[told]))

    def _write(self, **fields: Any) -> None:
        event = self._event(wall_time=time.time(), **fields)
        with _refusals(self._path):
            self._records.write(event.SerializeToString())
