"""Outlines and flow colours, pixel by pixel."""

import numpy as np

from vidprior.imaging import visualize


def test_outline_lies_on_the_rim_of_the_hole():
    frame = np.random.default_rng(0).integers(0, 200, (9, 11, 3), np.uint8)
    before = frame.copy()
    hole = np.zeros((9, 11), bool)
    hole[2:7, 3:9] = True
    inner = np.zeros_like(hole)
    inner[3:6, 4:8] = True
    result = visualize.outline_hole(frame, hole)
    assert np.array_equal(frame, before)
    assert (result[hole & ~inner] == visualize.OUTLINE_COLOUR).all()
    rest = inner | ~hole
    assert np.array_equal(result[rest], frame[rest])


def test_every_part_of_a_hole_is_outlined():
    hole = np.zeros((6, 8), bool)
    hole[0, 0] = hole[5, 7] = hole[2:4, 3:5] = True
    result = visualize.outline_hole(np.zeros((6, 8, 3), np.uint8), hole)
    # Parts of one and of four pixels have a rim and nothing else.
    assert np.array_equal((result == visualize.OUTLINE_COLOUR).all(axis=-1), hole)


def test_without_a_hole_there_is_no_outline():
    frame = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    assert np.array_equal(visualize.outline_hole(frame, np.zeros((4, 5), bool)), frame)


def test_a_read_only_frame_is_outlined():
    frame = np.zeros((4, 5, 3), np.uint8)
    frame.flags.writeable = False
    assert visualize.outline_hole(frame, np.ones((4, 5), bool)).any()


def test_flow_colours_by_hand():
    # Hue is the angle from x to y (downwards): right red, down 90 degrees, left cyan.
    flow = np.float32([[[0, 0], [2, 0], [1, 0], [9, 0]], [[0, 2], [-2, 0], [0, -2], [-1, 0]]])
    colours = visualize.flow_colours(flow, full=2.0)
    assert colours.dtype == np.uint8
    expected = [
        # still; full speed; half of it; faster than full
        [[255, 255, 255], [255, 0, 0], [255, 128, 128], [255, 0, 0]],
        # 90: between yellow and green; 180: cyan; 270: between blue and magenta
        [[128, 255, 0], [0, 255, 255], [128, 0, 255], [128, 255, 255]],
    ]
    assert np.abs(colours.astype(int) - expected).max() <= 1


def test_flow_colours_take_any_float_and_unit():
    flow = np.random.default_rng(0).normal(size=(5, 6, 2))
    wide = visualize.flow_colours(flow, full=2.0)
    assert np.array_equal(visualize.flow_colours(10 * flow, full=20.0), wide)
    narrow = visualize.flow_colours(flow.astype(np.float16), full=2.0)
    assert np.abs(wide.astype(int) - narrow).max() <= 2


def test_images_stand_in_a_row():
    one, other = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), np.uint8)
    row = visualize.side_by_side(one, other, one)
    assert row.shape == (3, 12, 3)
    assert np.array_equal(row[:, 4:8], other)
    assert np.array_equal(row[:, 8:], one)
