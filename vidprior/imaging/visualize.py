"""Visualisation: outlined holes, flow as colours."""

import cv2
import numpy as np

OUTLINE_COLOUR = (255, 64, 64)


def outline_hole(frame: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """A copy of a frame with the border of its hole drawn over it.

    Args:
      frame: [H, W, 3] uint8.
      hole: [H, W] bool.

    Returns:
      [H, W, 3] uint8.
    """
    contours, _ = cv2.findContours(hole.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(frame.copy(), contours, -1, OUTLINE_COLOUR, 1)


def tint(frame: np.ndarray, where: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A copy of a frame with a part of it mixed with a colour, half each.

    Args:
      frame: [H, W, 3] uint8.
      where: [H, W] bool.
      colour: RGB.

    Returns:
      [H, W, 3] uint8.
    """
    tinted = frame.copy()
    tinted[where] = (frame[where].astype(np.uint16) + np.array(colour, np.uint16)) // 2
    return tinted


def flow_colours(flow: np.ndarray, *, full: float) -> np.ndarray:
    """Flow as colours: hue is direction, saturation is speed, white is no motion.

    Args:
      flow: [H, W, 2], in any unit.
      full: the length, in that unit, that is drawn with full saturation.

    Returns:
      [H, W, 3] uint8.
    """
    x, y = flow[..., 0].astype(np.float32), flow[..., 1].astype(np.float32)
    length, angle = cv2.cartToPolar(x, y, angleInDegrees=True)
    hsv = np.stack([angle, np.clip(length / full, 0, 1), np.ones_like(length)], axis=-1)
    rgb = cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)
    return np.rint(rgb * 255).astype(np.uint8)


def side_by_side(*images: np.ndarray) -> np.ndarray:
    """Images [H, W, 3] uint8 concatenated in a row."""
    return np.concatenate(images, axis=1)
