"""Saves and restores a run, atomically: after a crash the previous checkpoint is usable."""

import concurrent.futures
import functools
import hashlib
import logging
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from vidprior.errors import InputError
from vidprior.training.train_step import Best, TrainState
from vidprior.types import Params

# The name of the checksum in the extra data.
_CHECKSUM = "sha256"
_MOVE = "move it away to resume from an older one"


class Checkpoints:
    """The checkpoints of a run, each a folder named by its number of updates.

    A checkpoint contains the parameters, the optimiser state and the number of updates
    done. The order of windows and random keys follow from the seed and that number, so
    nothing else is needed to resume. It also contains a checksum, since the storage layers
    do not detect every damaged bit.
    """

    def __init__(self, folder: pathlib.Path, *, keep: int | None = None):
        """Opens the folder, and creates it if `keep` is given.

        Args:
          folder: of the checkpoints.
          keep: how many of the newest to keep; None opens for reading only.
        """
        self._folder = folder.resolve()
        _keep_storage_quiet()
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                create=keep is not None,
                read_only=keep is None,
                enable_async_checkpointing=False,
            ),
        )
        self._writer = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self._writing: concurrent.futures.Future[None] | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    def steps(self) -> list[int]:
        """Numbers of updates of the existing checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def save_in_background(self, state: TrainState, extra: Mapping[str, Any]) -> None:
        """As `save`, for a copy of the state that is written while training continues.

        Use it inside a `with` statement, whose end waits for the writer.

        Raises:
          InputError: the previous checkpoint could not be written.
        """
        self.wait()
        copy = jax.tree.map(lambda x: x.copy(), state)  # the next update donates the arrays
        self._writing = self._writer.submit(self.save, copy, extra)

    def wait(self) -> None:
        """Waits until everything is written.

        Raises:
          InputError: it could not be.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def save(self, state: TrainState, extra: Mapping[str, Any]) -> None:
        """Writes a checkpoint and removes the oldest beyond `keep`.

        Args:
          state: of the run.
          extra: small data for rendering and resuming, as JSON.

        Raises:
          InputError: it cannot be written, for example on a full disk.
        """
        step = int(state.step)
        if step in self.steps():
            return
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(_to_saved(state)),
            extra=ocp.args.JsonSave({**extra, _CHECKSUM: _checksum(state)}),
        )
        try:
            self._manager.save(step, args=arguments)
        except Exception as error:  # the storage layers raise types of their own
            kept = self.steps()
            previous = f"that of update {kept[-1]} is usable" if kept else "there is none before it"
            raise InputError(
                f"the checkpoint of update {step} could not be saved to {self._folder} "
                f"({_first_line(error)}); {previous}"
            ) from error

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state after `step` updates, on the devices of `like`.

        Args:
          step: number of updates.
          like: a state with the same structure, shapes and dtypes.

        Raises:
          InputError: the checkpoint is missing or does not fit `like`.
        """
        self._require(step)
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, _to_saved(like))
        return _from_saved(self._read_whole(step, ocp.args.StandardRestore(shapes))[0])

    def restore_params(self, step: int) -> tuple[Params, dict[str, Any]]:
        """The parameters that render after `step` updates, as NumPy arrays, and the extra data.

        These are the best so far, or the EMA, if they are kept.

        Raises:
          InputError: the checkpoint is missing or unreadable.
        """
        self._require(step)
        # The device that wrote it may be a GPU that this machine lacks.
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        saved, extra = self._read_whole(step, ocp.args.StandardRestore(fallback_sharding=here))
        best = saved.get("best") and Best(**saved["best"])
        state = _from_saved({**saved, "opt_state": None, "best": best})
        return jax.tree.map(np.asarray, state.rendered), extra

    def restore_extra(self, step: int) -> dict[str, Any]:
        """The extra data saved after `step` updates."""
        self._require(step)
        extra = self._read(step, extra=ocp.args.JsonRestore())["extra"]
        return {name: fact for name, fact in extra.items() if name != _CHECKSUM}

    def windows(self) -> dict[int, tuple[int, int]]:
        """The fitted windows of a run with a network for every window.

        Returns:
          Number of the window to its checkpoint, and the position in that checkpoint.
        """
        return {
            number: (step, position)
            for step in self.steps()
            for position, number in enumerate(self.restore_extra(step)["windows"])
        }

    def restore_by_window(self) -> Callable[[int], Params]:
        """Maps the number of a window to its network's parameters, read when first asked for."""
        places = self.windows()
        groups: dict[int, Params] = {}

        def params_for(number: int) -> Params:
            step, position = places[number]
            if step not in groups:
                groups.clear()
                groups[step] = self.restore_params(step)[0]
            return jax.tree.map(lambda x: x[position], groups[step])

        return params_for

    def _require(self, step: int) -> None:
        if step not in self.steps():
            at_hand = ", ".join(map(str, self.steps())) or "none"
            raise InputError(
                f"no checkpoint of update {step} in {self._folder}; there are: {at_hand}"
            )

    def _read_whole(self, step: int, state: Any) -> tuple[Any, dict[str, Any]]:
        """State and extra data, verified by their checksum."""
        read = self._read(step, state=state, extra=ocp.args.JsonRestore())
        extra = dict(read["extra"])
        # Checkpoints of earlier versions have none.
        if extra.pop(_CHECKSUM, None) not in (None, _checksum(read["state"])):
            raise InputError(
                f"the checkpoint of update {step} in {self._folder / str(step)} is damaged: its "
                f"checksum does not match; {_MOVE}"
            )
        return read["state"], extra

    def _read(self, step: int, **items: Any) -> Any:
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # the storage layers raise types of their own
            raise InputError(
                f"the checkpoint of update {step} in {self._folder / str(step)} cannot be read "
                f"({_first_line(error)}); {_MOVE}"
            ) from error


def _to_saved(state: TrainState) -> dict[str, Any]:
    """A state with the names used in checkpoints, which are the same in all versions."""
    return {
        "params": state.params,
        "opt_state": state.opt_state,
        "step": state.step,
        "best": state.best,
        "average": state.ema,
    }


def _from_saved(saved: Mapping[str, Any]) -> TrainState:
    """The inverse of `_to_saved`; checkpoints of early versions lack 'best' and 'average'."""
    return TrainState(
        params=saved["params"],
        opt_state=saved["opt_state"],
        step=saved["step"],
        best=saved.get("best"),
        ema=saved.get("average"),
    )


def _checksum(state: Any) -> str:
    """SHA-256 of all arrays; sorted, since a tree read without structure has another order."""
    digests = []
    for leaf in jax.tree.leaves(state):
        array = np.asarray(leaf)
        header = f"{array.dtype} {array.shape}".encode()
        digests.append(hashlib.sha256(header + array.tobytes()).digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


@functools.cache
def _keep_storage_quiet() -> None:
    """Hides reports of the storage layers that add nothing to our error of one line.

    Threads and tasks of a failed save log a traceback each, and report to an event loop that is
    already closed. A manager that only reads warns that it does not write.
    """

    def tells_more(record: logging.LogRecord) -> bool:
        if record.exc_info:
            return False  # the error itself is raised
        hidden = ("Traceback", "_SignalingThread", "read_only=True", "directory is read only")
        return not any(text in record.getMessage() for text in hidden)

    def hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    def is_of_others(record: logging.LogRecord) -> bool:
        return "orbax" not in record.getMessage()  # a task of a save, whose error is raised

    logging.getLogger("absl").addFilter(tells_more)
    logging.getLogger("asyncio").addFilter(is_of_others)
    before, sys.unraisablehook = sys.unraisablehook, hook


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:400]
