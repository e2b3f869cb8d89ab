"""Which pixels of a hole are seen in no frame: there the method can only guess.

Letters
    T  frames     H  rows     W  columns, of the training size
"""

import numpy as np

from vidprior.imaging.laplace import extrapolate_flow
from vidprior.imaging.sampling import grid, sample

# Flow this near to a hole, in pixels, may still be the object's.
_RIM = 2


def never_seen(hole: np.ndarray, to_next: np.ndarray, to_previous: np.ndarray) -> np.ndarray:
    """Pixels of the hole that no path along the flow leads out of.

    The flow is that of what lies behind the hole, as far as one can tell: continued
    smoothly from its surroundings. A path ends at the first known pixel; it leaves the
    frame unseen. Occlusion by other things is not thought of: this is an estimate.

    Args:
      hole: [T, H, W] bool.
      to_next: [T, H, W, 2] pixels, flow from each frame to the next; the last is not read.
      to_previous: [T, H, W, 2] pixels, to the one before; the first is not read.

    Returns:
      [T, H, W] bool, within the hole.
    """
    count = len(hole)
    seen = (~hole).astype(np.float32)
    after, before = seen.copy(), seen.copy()
    for frame in reversed(range(count - 1)):
        found = _carried(after[frame + 1], to_next[frame], hole[frame])
        after[frame] = np.maximum(seen[frame], found)
    for frame in range(1, count):
        found = _carried(before[frame - 1], to_previous[frame], hole[frame])
        before[frame] = np.maximum(seen[frame], found)
    # Sampling between pixels leaves fractions; without them slow motion would be lost.
    return np.maximum(after, before) < 0.5


def _carried(seen: np.ndarray, flow: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """[H, W] float32: what the flow of a frame finds in another; 0 beyond its sides."""
    height, width = hole.shape
    flow = extrapolate_flow(flow, hole, rim=_RIM)
    return sample(seen, grid(slice(0, height), slice(0, width)) + flow, outside="zero")
