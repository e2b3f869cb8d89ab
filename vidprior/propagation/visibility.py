"""Which pixels of a hole no frame shows: there the network can only guess.

Letters
    T  frames     H  rows     W  columns, of the training size
"""

import numpy as np

from vidprior.imaging.laplace import extrapolate_flow
from vidprior.imaging.sampling import grid, sample

# Flow within this many pixels of a hole may still be the object's.
_RIM = 2


def never_seen(hole: np.ndarray, to_next: np.ndarray, to_previous: np.ndarray) -> np.ndarray:
    """Pixels of the hole from which no path along the flow reaches a known pixel.

    Inside the hole, flow is extrapolated smoothly from its surroundings. A path ends at
    the first known pixel, or where it leaves the frame, unseen. Occlusion by other objects
    is ignored, so this is an estimate.

    Args:
      hole: [T, H, W] bool.
      to_next: [T, H, W, 2] pixels, flow from each frame to the next; the last is not read.
      to_previous: [T, H, W, 2] pixels, to the previous frame; the first is not read.

    Returns:
      [T, H, W] bool, within the hole.
    """
    count = len(hole)
    seen = (~hole).astype(np.float32)
    after, before = seen.copy(), seen.copy()
    for frame in reversed(range(count - 1)):
        found = _sample(after[frame + 1], to_next[frame], hole[frame])
        after[frame] = np.maximum(seen[frame], found)
    for frame in range(1, count):
        found = _sample(before[frame - 1], to_previous[frame], hole[frame])
        before[frame] = np.maximum(seen[frame], found)
    # Sampling between pixels gives fractions; rounding them earlier would lose slow motion.
    return np.maximum(after, before) < 0.5


def _sample(seen: np.ndarray, flow: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """[H, W] float32: another frame's `seen` at the ends of the flow; 0 outside the frame."""
    height, width = hole.shape
    flow = extrapolate_flow(flow, hole, rim=_RIM)
    return sample(seen, grid(slice(0, height), slice(0, width)) + flow, outside="zero")
