"""The list of windows, the order in which updates visit them, and a window's data.

A schedule is computed beforehand from the seed: update u belongs to window
`schedule.windows[u]`, so a run can resume from any update.
"""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vidprior.errors import InputError
from vidprior.types import OFFSETS, Array, Batch, DeviceClip, Window


class Schedule(NamedTuple):
    """The order of all updates.

    Attributes:
      windows: [updates] int32, index into the window list.
      pass_ends: [passes] int32, number of updates after which each pass ends.
    """

    windows: np.ndarray
    pass_ends: np.ndarray


def strides_that_fit(num_frames: int, *, length: int, strides: Sequence[int]) -> tuple[int, ...]:
    """The strides whose windows fit into a clip of `num_frames`."""
    return tuple(stride for stride in strides if num_frames > (length - 1) * stride)


def list_windows(
    num_frames: int, *, length: int, strides: Sequence[int], directions: Sequence[str]
) -> Window:
    """Every window (start, stride, direction), Section 3.2.

    Starts run over range(num_frames - (length - 1) * stride). A forward window
    pairs each frame but the last with the next one, a backward window each but
    the first with the one before.

    Args:
      num_frames: T.
      length: N.
      strides: frame intervals; those that do not fit the clip are left out.
      directions: of 'forward' and 'backward'.

    Returns:
      A `Window` with a leading axis: the list, by stride, start and direction.

    Raises:
      InputError: no window fits.
    """
    fitting = strides_that_fit(num_frames, length=length, strides=strides)
    if not fitting:
        needed = (length - 1) * min(strides) + 1
        raise InputError(
            f"the clip has {num_frames} frames, but a window of {length} frames at stride "
            f"{min(strides)} needs {needed}; choose a longer range or a smaller "
            f"--config.window.length"
        )
    earlier, later = np.arange(length - 1), np.arange(1, length)
    windows = []
    for stride in fitting:
        for start in range(num_frames - (length - 1) * stride):
            for direction in directions:
                forward = direction == "forward"
                source, target = (earlier, later) if forward else (later, earlier)
                offset = OFFSETS.index(stride if forward else -stride)
                windows.append(
                    Window(
                        frames=start + stride * np.arange(length),
                        source=source,
                        target=target,
                        offset=np.full(length - 1, offset),
                    )
                )
    return Window(*(np.stack(field).astype(np.int32) for field in zip(*windows, strict=True)))


def median_window(windows: Window, num_frames: int) -> int:
    """The index of the window that starts at T // 2 with stride 1, forward if there is one.

    If it would leave the clip, the last start that fits is taken.
    """
    length = windows.frames.shape[1]
    start = min(num_frames // 2, num_frames - length)
    here = (windows.frames == start + np.arange(length)).all(axis=1)
    forward = here & (windows.target > windows.source).all(axis=1)
    return int(np.flatnonzero(forward if forward.any() else here)[0])


def make_schedule(
    *,
    seed: int,
    num_windows: int,
    num_passes: int,
    windows_per_pass: int,
    updates_per_window: int,
    median: int,
    median_role: str,
) -> Schedule:
    """Draws the windows of each pass.

    Windows come from a shuffled list, which is shuffled again when it runs out.

    Args:
      seed: of the run.
      num_windows: length of the window list.
      num_passes: passes.
      windows_per_pass: windows of a pass; 0: the whole list once.
      updates_per_window: M, consecutive updates on each window.
      median: index of the median window.
      median_role: how a pass ends: 'extra' visits the median window again, 'last' keeps it
        out of the shuffle and puts it last, 'none' does neither.
    """
    kept = np.arange(num_windows)
    if median_role == "last":
        kept = np.delete(kept, median)
    dealt_per_pass = (windows_per_pass or len(kept)) if len(kept) else 0
    dealt_in_all = num_passes * dealt_per_pass
    rounds = -(-dealt_in_all // max(len(kept), 1))
    purpose = zlib.crc32(b"windows")
    deck = [np.random.default_rng([seed, purpose, r]).permutation(kept) for r in range(rounds)]
    dealt = np.concatenate([*deck, np.empty(0, np.int64)])[:dealt_in_all]
    dealt = dealt.reshape(num_passes, dealt_per_pass)
    if median_role != "none":
        dealt = np.concatenate([dealt, np.full((num_passes, 1), median)], axis=1)
    windows = np.repeat(dealt.reshape(-1), updates_per_window).astype(np.int32)
    pass_ends = np.arange(1, num_passes + 1) * dealt.shape[1] * updates_per_window
    return Schedule(windows=windows, pass_ends=pass_ends.astype(np.int32))


def select(windows: Window, index: Array | int | slice) -> Window:
    """The window, or the list of windows, at `index`."""
    return Window(*(field[index] for field in windows))


@jax.custom_vjp
def pick(x: jax.Array, index: jax.Array) -> jax.Array:
    """`x[index]`, for few entries of the first axis.

    Its gradient is a sum of selections, which a GPU adds in order. That of `x[index]` is a
    scatter.
    """
    return x[index]


def _pick_forward(x: jax.Array, index: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return x[index], (jnp.arange(len(x)), index)


def _pick_backward(
    residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, None]:
    numbers, index = residuals
    taken = numbers[:, None] == index  # [entries, picked]
    taken = taken.reshape(*taken.shape, *(1,) * (cotangent.ndim - 1))
    return jnp.sum(jnp.where(taken, cotangent, 0), axis=1), None


pick.defvjp(_pick_forward, _pick_backward)


def gather(clip: DeviceClip, window: Window) -> Batch:
    """Gathers a window's data from the clip; `window` may be traced.

    Fields that are None in the clip are None in the result.
    """
    frames = window.frames
    batch = Batch(
        noise=jnp.asarray(clip.noise)[frames],
        image=jnp.asarray(clip.frames)[frames].astype(jnp.float32) / 255,
        hole=_mask(clip.hole[frames]),
        source=jnp.asarray(window.source),
        target=jnp.asarray(window.target),
        offset=jnp.asarray(window.offset),
    )
    if clip.flow is not None:
        assert clip.flow_known is not None
        assert clip.flow_hole is not None
        assert clip.flow_scale is not None
        pair = (window.offset, frames[window.source])
        batch = batch._replace(
            flow=jnp.asarray(clip.flow[pair]).astype(jnp.float32),
            flow_known=_mask(clip.flow_known[pair]),
            flow_hole=_mask(clip.flow_hole[pair]),
            flow_scale=jnp.asarray(clip.flow_scale[window.offset]),
        )
    if clip.feature_hole is not None:
        batch = batch._replace(
            feature_hole=tuple(_mask(hole[frames]) for hole in clip.feature_hole)
        )
    if clip.propagated is not None:
        assert clip.confidence is not None
        batch = batch._replace(
            propagated=jnp.asarray(clip.propagated[frames]).astype(jnp.float32) / 255,
            confidence=_mask(clip.confidence[frames]),
        )
    if clip.features is not None:
        batch = batch._replace(
            features=tuple(jnp.asarray(layer[frames]) for layer in clip.features)
        )
    return batch


def _mask(x: Array) -> jax.Array:
    return jnp.asarray(x)[..., None].astype(jnp.float32)
