"""Several networks in one program, each with convolutions of its own.

`jax.vmap` over networks makes grouped convolutions of theirs, which are slow on CPU and GPU.
Here the update is repeated for each network instead. Their kernels do not depend on each other,
so a GPU may run them at the same time.
"""

import jax
import jax.numpy as jnp

from vidprior.training.train_step import Losses, TrainState, TrainStep
from vidprior.training.windows import select
from vidprior.types import DeviceClip, Window


def side_by_side(step: TrainStep) -> TrainStep:
    """The update of several networks, each with a window of its own.

    Args:
      step: the update of one network.

    Returns:
      `update(states, clip, windows) -> (states, losses)`; states, windows and losses have a
      leading axis of G networks, as under `jax.vmap`. Compiling takes G times as long.
    """

    def update(states: TrainState, clip: DeviceClip, windows: Window) -> tuple[TrainState, Losses]:
        each = [
            step(jax.tree.map(lambda x, k=k: x[k], states), clip, select(windows, k))
            for k in range(len(windows.frames))
        ]
        stacked: tuple[TrainState, Losses] = jax.tree.map(lambda *x: jnp.stack(x), *each)
        return stacked

    return update
