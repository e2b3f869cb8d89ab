"""Optical flow by OpenCV's DIS, the estimator that needs no weights.

Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (ECCV 2016). Other
estimators are separate programs that write a flow file (`flow_file`).
"""

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import jax
import numpy as np

from vidprior.errors import InputError
from vidprior.flow.warp import reliable
from vidprior.imaging.parallel import in_threads
from vidprior.types import Flows

# OpenCV's preset, and the finest level of the image pyramid that is searched (0 is full
# resolution). `fine` is OpenCV's medium preset at full resolution.
PRESETS = {
    "fast": (cv2.DISOPTICAL_FLOW_PRESET_FAST, 2),
    "medium": (cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 1),
    "fine": (cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 0),
}

# The side of the patches that DIS matches, and the smallest frame that contains two.
_PATCH = 8
MIN_SIDE = 2 * _PATCH


def estimate_dis(
    frames: np.ndarray,
    *,
    offsets: Sequence[int],
    source_sha256: str,
    preset: str = "medium",
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Flows:
    """Estimates the flow from every frame to the frames at the given distances.

    The result does not depend on the number of workers.

    Args:
      frames: [T, H, W, 3] uint8 RGB.
      offsets: frame distances d, distinct and not 0. For reliability both directions are
        estimated, whether or not both are in `offsets`.
      source_sha256: hash of the clip's frames, stored with the flow. `frames` may be a copy
        whose hole has been filled.
      preset: a name in `PRESETS`.
      workers: number of threads; None: one for each processor.
      on_progress: called as (done, total) after every pair of frames.

    Returns:
      The flows, as float16. Reliability is computed from the rounded flow, as a reader of
      the file would.

    Raises:
      InputError: frames smaller than `MIN_SIDE`, an unknown preset, invalid offsets.
      ValueError: frames of another shape or dtype.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"expected [T, H, W, 3] uint8, got {frames.shape} {frames.dtype}")
    num_frames, height, width, _ = frames.shape
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"frames are {height}x{width} (height x width), flow needs {MIN_SIDE} on each side"
        )
    if preset not in PRESETS:
        raise InputError(f"flow preset is {preset!r}, expected one of {', '.join(PRESETS)}")
    index = {d: k for k, d in enumerate(offsets)}
    if not index or 0 in index or len(index) != len(offsets):
        raise InputError(f"offsets are {list(offsets)}, expected distinct numbers other than 0")

    shape = (len(index), num_frames, height, width)
    flow = np.zeros((*shape, 2), np.float16)
    agrees = np.zeros(shape, bool)
    exists = np.zeros(shape[:2], bool)
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    dis = ThreadDis(preset, height, width)

    def estimate(pair: tuple[int, int]) -> None:
        first, second = pair
        there = _calculate(dis.own, gray[first], gray[second])
        back = _calculate(dis.own, gray[second], gray[first])
        distance = second - first
        for frame, offset, forward, backward in (
            (first, distance, there, back),
            (second, -distance, back, there),
        ):
            if offset in index:
                k = index[offset]
                flow[k, frame] = forward
                agrees[k, frame] = _reliable(np.float32(forward), np.float32(backward))
                exists[k, frame] = True

    pairs = [
        (first, first + distance)
        for distance in sorted({abs(d) for d in offsets})
        for first in range(num_frames - distance)
    ]
    for done, _ in enumerate(in_threads(estimate, pairs, workers=workers), start=1):
        if on_progress is not None:
            on_progress(done, len(pairs))
    return Flows(
        offsets=np.asarray(offsets, np.int32),
        flow=flow,
        reliable=agrees,
        exists=exists,
        estimator=f"dis-{preset}",
        source_sha256=source_sha256,
    )


class ThreadDis(threading.local):
    """DIS for frames of one size, one instance for each thread, since it has state."""

    def __init__(self, preset: str, height: int, width: int):
        """Called again in each thread that accesses `own`."""
        self.own = make_dis(preset, height, width)


def fill_hole(frames: np.ndarray, hole: np.ndarray, *, radius: float = 3.0) -> np.ndarray:
    """Fills each frame's hole from its rim, for clips whose hole is blank.

    A blank hole has edges that flow would follow; Telea's inpainting leaves none. The
    filled frames are for flow estimation only.

    Args:
      frames: [T, H, W, 3] uint8.
      hole: [T, H, W] bool.
      radius: neighbourhood of each filled pixel, in pixels.

    Returns:
      [T, H, W, 3] uint8; outside the hole it equals `frames`. A frame that is all hole
      becomes a copy of the nearest filled frame that is not.

    Raises:
      InputError: every frame is all hole.
    """
    filled = frames.copy()
    covered = hole.all(axis=(1, 2))
    shown = np.flatnonzero(~covered)
    if not shown.size:
        raise InputError("the hole covers every frame in full: nothing to fill it from")
    for i in shown[hole[shown].any(axis=(1, 2))]:
        inpainted = cv2.inpaint(frames[i], hole[i].astype(np.uint8), radius, cv2.INPAINT_TELEA)
        filled[i][hole[i]] = inpainted[hole[i]]
    for i in np.flatnonzero(covered):
        filled[i] = filled[shown[np.abs(shown - i).argmin()]]
    return filled


_reliable = jax.jit(reliable)


def make_dis(preset: str, height: int, width: int) -> cv2.DISOpticalFlow:
    """DIS with a finest level that the frame size allows.

    By default DIS chooses the levels of a small frame from its width alone, and crashes if
    the height is much smaller.
    """
    opencv_preset, finest = PRESETS[preset]
    # OpenCV's rule: the coarsest level is at most four patches long, at least one high.
    coarsest = min(
        int(math.log2(max(height, width) / (4 * _PATCH)) + 0.5),
        int(math.log2(min(height, width) // _PATCH)),
    )
    dis = cv2.DISOpticalFlow.create(opencv_preset)
    dis.setPatchSize(_PATCH)
    dis.setFinestScale(min(finest, coarsest))
    return dis


def _calculate(dis: Any, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[H, W, 2] float16, pixels, from the first frame to the second."""
    return dis.calc(first, second, None).astype(np.float16)
