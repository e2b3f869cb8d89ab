"""Boxes as masks."""

import numpy as np

from vidprior.tracking.boxes import box_masks

SIZE = (96, 128)


def test_boxes_change_evenly():
    masks = box_masks({2: (0, 10, 20, 8), 6: (40, 10, 20, 16)}, 9, SIZE)
    for frame, (left, height) in enumerate(
        [(0, 8), (0, 8), (0, 8), (10, 10), (20, 12), (30, 14), (40, 16), (40, 16), (40, 16)]
    ):
        expected = np.zeros(SIZE, bool)
        expected[10 : 10 + height, left : left + 20] = True
        assert np.array_equal(masks[frame], expected)


def test_a_box_may_reach_beyond_the_picture():
    (mask,) = box_masks({0: (-10, -5, 30, 10)}, 1, SIZE)
    expected = np.zeros(SIZE, bool)
    expected[:5, :20] = True
    assert np.array_equal(mask, expected)
