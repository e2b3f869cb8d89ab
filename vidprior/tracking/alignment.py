"""The motion between two frames: the camera's, and what moves against it."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.flow.dis import ThreadDis
from vidprior.imaging.parallel import in_threads
from vidprior.imaging.sampling import grid
from vidprior.propagation.homography import Points, camera_motion, find_points


class Shift(NamedTuple):
    """Where the pixels of a frame lie in another one.

    Attributes:
      place: [H, W, 2] float32, (x, y) in the other frame.
      own: [H, W] float32, pixels by which they move against the camera's motion.
    """

    place: np.ndarray
    own: np.ndarray


class Alignment:
    """Aligns the frames of a clip, two at a time, on demand."""

    def __init__(self, frames: np.ndarray):
        """Detects points of interest in frames [T, H, W, 3] uint8 RGB."""
        self._grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        nowhere = np.zeros(frames.shape[1:3], bool)
        self._points: Sequence[Points] = list(
            in_threads(lambda grey: find_points(grey, nowhere), self._grey)
        )
        self._dis = ThreadDis("fine", *frames.shape[1:3])
        # The camera's motion, and the rest: a third of the memory that shifts take.
        self._kept: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def flow(self, here: int, there: int) -> np.ndarray:
        """[H, W, 2] float32: the flow from one frame to another, pixels."""
        place = self.shift(here, there).place
        return place - grid(slice(0, place.shape[0]), slice(0, place.shape[1]))

    def forget(self) -> None:
        """Frees the memory of what was computed."""
        self._kept.clear()

    def shift(self, here: int, there: int) -> Shift:
        """Where the pixels of one frame lie in another; computed once."""
        if (here, there) not in self._kept:
            self._kept[here, there] = self._estimate(here, there)
        motion, halves = self._kept[here, there]
        rest = halves.astype(np.float32)
        aligned = grid(slice(0, rest.shape[0]), slice(0, rest.shape[1])) + rest
        place = cv2.perspectiveTransform(aligned.reshape(-1, 1, 2), motion)
        return Shift(place.reshape(rest.shape).astype(np.float32), np.linalg.norm(rest, axis=-1))

    def _estimate(self, here: int, there: int) -> tuple[np.ndarray, np.ndarray]:
        """The camera's motion [3, 3], and the flow [H, W, 2] float16 to the frame it aligns."""
        grey, other = self._grey[here], self._grey[there]
        found = camera_motion(self._points[here], self._points[there])
        motion = np.eye(3) if found is None else found
        moved = cv2.warpPerspective(
            other, motion, grey.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        # OpenCV's types do not know that it makes the flow's array itself.
        rest = self._dis.own.calc(grey, moved, None)  # type: ignore[call-overload]
        return motion, rest.astype(np.float16)
