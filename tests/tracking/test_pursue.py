"""Following a mask frame by frame, where the shape as one piece has to help."""

from unittest import mock

import cv2
import numpy as np

from vidprior.tracking.alignment import Alignment
from vidprior.tracking.pursue import pursue

T, H, W = 12, 90, 140


def test_the_shape_as_one_piece_stays_once_it_has_replaced_a_shrunk_mask():
    """The lower part of the object flickers in the colours of the ground, and is lost bit by bit.

    Without the rule every frame after the one that is replaced shrinks again, to 0.87 and 0.84.
    """
    random = np.random.default_rng(0)

    def texture(low, high):
        return cv2.GaussianBlur(random.integers(low, high, (H, W, 3), np.uint8), (0, 0), 1.5)

    ground, body = texture(90, 150), texture(150, 256)
    frames, truth = np.stack([ground] * T), np.zeros((T, H, W), bool)
    motion = np.stack([np.eye(2, 3)] * T)
    for t in range(T):
        columns = slice(30 + 2 * t, 80 + 2 * t)
        frames[t, 20:45, columns] = np.roll(body, 2 * t, axis=1)[20:45, columns]
        frames[t, 45:55, columns] = texture(90, 150)[45:55, columns]
        truth[t, 20:55, columns], motion[t, 0, 2] = True, 2 * t
    rigid = mock.Mock(follow=lambda number: (motion[number], 0.9))
    masks = pursue(frames, Alignment(frames), truth[0], range(T), rigid).soft > 0.5
    overlaps = (masks & truth).sum(axis=(1, 2)) / (masks | truth).sum(axis=(1, 2))
    shrunk = int(np.argmin(overlaps))
    assert overlaps[shrunk] < 0.92
    assert shrunk < T - 3
    assert overlaps[shrunk + 1 :].min() > 0.97
