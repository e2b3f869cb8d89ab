"""The painted frame, held in register with the frames that follow.

A mask that is propagated from frame to frame drifts. So each frame is also compared with the
painted one itself: the map between both is propagated along the flow and corrected by flow
between the frame and the painted picture brought to it. Where the shape moved as one piece fits
better, the map starts from that. Near the painted frame this keeps what colours lose, such as thin
parts.

Letters
    H  rows     W  columns
"""

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.flow import dis
from vidprior.imaging.sampling import grid, sample

# Largest correction of the map in one frame, pixels.
_CORRECTION = 6.0
# Difference of Lab colours, summed over channels, at which trust falls to 1/e; and the side of the
# square of pixels that it is averaged over.
_DIFFERENCE, _OVER = 25.0, 5
# A map that shows less of the object than this share cannot gain by it.
_SHOWN = 0.3


class Anchored(NamedTuple):
    """The painted mask in another frame.

    Attributes:
      mask: [H, W] float32 in [0, 1].
      trust: [H, W] float32 in [0, 1], how alike the colours of both frames are.
      lab: [H, W, 3] uint8 Lab, the painted frame, brought to this one.
    """

    mask: np.ndarray
    trust: np.ndarray
    lab: np.ndarray


class Anchor:
    """Brings a painted mask to the frames that follow, one after the other."""

    def __init__(self, lab: np.ndarray, painted: np.ndarray):
        """Begins at the painted frame.

        Args:
          lab: [H, W, 3] uint8 Lab, the painted frame.
          painted: [H, W] bool.
        """
        self._lab, self._painted = lab, painted.astype(np.float32)
        self._pixels = grid(slice(0, painted.shape[0]), slice(0, painted.shape[1]))
        self._map = self._pixels
        self._dis = dis.make_dis("fine", *painted.shape)

    def follow(self, lab: np.ndarray, back: np.ndarray, motion: np.ndarray | None) -> Anchored:
        """The mask in the next frame.

        Args:
          lab: [H, W, 3] uint8 Lab, the next frame.
          back: [H, W, 2] float32, where its pixels lie in the frame before.
          motion: [2, 3], from the painted frame to this one, of the object as one piece; None if it
            is not known.
        """
        maps = [sample(self._map, back)]
        if motion is not None:
            inverse = cv2.invertAffineTransform(motion)
            whole = self._pixels @ inverse[:, :2].T + inverse[:, 2]
            maps.append(whole.astype(np.float32))
        tried = [(corrected, *self._compare(corrected, lab)) for corrected in (
            self._correct(begun, lab) for begun in maps
        )]  # fmt: skip
        self._map, found, _ = max(tried, key=lambda one: one[2])
        return found

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs to go on from here."""
        return {"map": self._map}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from a state."""
        self._map = state["map"]

    def _correct(self, begun: np.ndarray, lab: np.ndarray) -> np.ndarray:
        moved = sample(np.ascontiguousarray(self._lab[..., 0]), begun)
        light = np.ascontiguousarray(lab[..., 0])
        # OpenCV's types do not know that it makes the flow's array itself.
        rest = self._dis.calc(light, moved, None)  # type: ignore[call-overload]
        return sample(begun, self._pixels + np.clip(rest, -_CORRECTION, _CORRECTION))

    def _compare(self, found: np.ndarray, lab: np.ndarray) -> tuple[Anchored, float]:
        """The mask by a map, and how well the map fits, 0 to 1."""
        moved = sample(self._lab, found)
        difference = np.abs(moved.astype(np.float32) - lab).sum(axis=-1)
        trust = np.exp(-((cv2.blur(difference, (_OVER, _OVER)) / _DIFFERENCE) ** 2))
        mask = sample(self._painted, found, outside="zero")
        inside = mask > 0.5
        fits = (trust * inside).sum() / max(inside.sum(), _SHOWN * self._painted.sum())
        return Anchored(mask, trust, moved), float(fits)
