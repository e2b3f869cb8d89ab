"""DIS: known motion, small frames, the flow contract, and filling of blank holes."""

import cv2
import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.flow.dis import MIN_SIDE, PRESETS, estimate_dis, fill_hole
from vidprior.flow.flow_file import frames_sha256, load_flows, save_flows
from vidprior.types import OFFSETS

STEP = (2, -1)  # pixels (x, y) per frame


def moving_clip(num_frames, height, width, step=STEP, seed=0):
    """A smooth random texture whose content moves by `step` from frame to frame."""
    margin = 4 * num_frames
    shape = (height + 2 * margin, width + 2 * margin, 3)
    texture = np.random.default_rng(seed).random(shape)
    texture = cv2.GaussianBlur(texture, (0, 0), 2)
    texture = np.uint8(255 * (texture - texture.min()) / np.ptp(texture))
    corners = [(margin - t * step[1], margin - t * step[0]) for t in range(num_frames)]
    return np.stack([texture[y : y + height, x : x + width] for y, x in corners])


def estimate(frames, **options):
    return estimate_dis(frames, **({"offsets": (1, -1), "source_sha256": "abc"} | options))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(16, 16), (32, 32), (16, 300), (200, 20), (64, 96), (96, 160)])
def test_known_motion_is_found_at_any_size(size, preset):
    """OpenCV left to itself fails or crashes on several of these sizes."""
    flows = estimate(moving_clip(3, *size), preset=preset)
    for k, sign in enumerate((1, -1)):
        found = flows.flow[k][flows.exists[k]].astype(np.float32)
        inner = found[:, 4:-4, 4:-4].reshape(-1, 2)
        # `fast` stops at a quarter of the resolution, and is less exact for it.
        tolerance = 0.25 if preset == "fast" else 0.15
        np.testing.assert_allclose(np.median(inner, axis=0), sign * np.array(STEP), atol=tolerance)


def test_all_offsets_follow_the_motion_and_stay_inside_the_clip():
    flows = estimate(moving_clip(7, 64, 96), offsets=OFFSETS)
    assert flows.flow.shape == (6, 7, 64, 96, 2)
    assert flows.flow.dtype == np.float16
    assert tuple(flows.offsets) == OFFSETS
    for k, offset in enumerate(OFFSETS):
        for i in range(7):
            assert flows.exists[k, i] == (0 <= i + offset < 7)
            if flows.exists[k, i]:
                median = np.median(flows.flow[k, i, 12:-12, 12:-12].astype(float), axis=(0, 1))
                np.testing.assert_allclose(median, offset * np.array(STEP), atol=0.1)
            else:
                assert not flows.flow[k, i].any()
                assert not flows.reliable[k, i].any()


def test_offsets_longer_than_the_clip_exist_nowhere():
    flows = estimate(moving_clip(3, 32, 32), offsets=(1, 5, -3))
    np.testing.assert_array_equal(flows.exists, [[True, True, False], [False] * 3, [False] * 3])
    assert not flows.flow[1:].any()


def test_one_direction_alone_equals_that_of_both():
    frames = moving_clip(4, 32, 48)
    both, one = estimate(frames, offsets=(1, -1, 2, -2)), estimate(frames, offsets=(-2,))
    for field in ("flow", "reliable", "exists"):
        np.testing.assert_array_equal(getattr(one, field)[0], getattr(both, field)[3])


def slow_reliable(forward, backward):
    """Pixel by pixel; samples outside count as zero."""
    height, width = forward.shape[:2]
    agrees = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            x, y = column + forward[row, column, 0], row + forward[row, column, 1]
            returned = np.zeros(2)
            for j in (int(np.floor(y)), int(np.floor(y)) + 1):
                for i in (int(np.floor(x)), int(np.floor(x)) + 1):
                    if 0 <= i < width and 0 <= j < height:
                        returned += (1 - abs(x - i)) * (1 - abs(y - j)) * backward[j, i]
            error = np.square(forward[row, column] + returned).sum()
            agrees[row, column] = np.exp(-error / 2) > 0.5
    return agrees


def test_reliability_is_that_of_the_stored_flow():
    frames = moving_clip(2, 32, 40)
    frames[1, 10:22, 10:22] = moving_clip(1, 12, 12, seed=1)[0]  # something comes into view
    flows = estimate(frames)
    forward, backward = flows.flow[0, 0].astype(float), flows.flow[1, 1].astype(float)
    np.testing.assert_array_equal(flows.reliable[0, 0], slow_reliable(forward, backward))
    np.testing.assert_array_equal(flows.reliable[1, 1], slow_reliable(backward, forward))
    assert 0.3 < flows.reliable[0, 0].mean() < 0.98


@pytest.mark.parametrize("size", [(24, 24), (64, 96)])
def test_workers_and_repetition_change_nothing(size):
    frames = moving_clip(6, *size)
    first = estimate(frames, workers=1)
    for workers in (None, 2, 5):
        other = estimate(frames, workers=workers)
        np.testing.assert_array_equal(other.flow, first.flow)
        np.testing.assert_array_equal(other.reliable, first.reliable)


def test_equal_frames_do_not_move():
    frames = np.repeat(moving_clip(1, 32, 48), 2, axis=0)
    flows = estimate(frames)
    np.testing.assert_allclose(flows.flow, 0, atol=0.01)
    assert flows.reliable[flows.exists].all()


def test_blank_frames_do_not_move():
    flows = estimate(np.full((2, 32, 32, 3), 90, np.uint8))
    np.testing.assert_allclose(flows.flow, 0, atol=0.01)


def test_progress_counts_every_pair():
    calls = []
    estimate(
        moving_clip(6, 16, 16),
        offsets=(1, -1, 3),
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, 8) for done in range(1, 9)]  # 5 pairs at distance 1, 3 at 3


def test_the_number_of_opencv_threads_is_given_back():
    before = cv2.getNumThreads()

    def fail(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate(moving_clip(4, 16, 16), on_progress=fail)
    assert cv2.getNumThreads() == before


def test_what_is_estimated_can_be_saved_and_read(tmp_path):
    frames = moving_clip(3, 32, 40)
    flows = estimate(frames, offsets=OFFSETS, source_sha256=frames_sha256(frames), preset="fast")
    save_flows(tmp_path / "flows.npz", flows)
    loaded = load_flows(
        tmp_path / "flows.npz",
        num_frames=3,
        size=(32, 40),
        source_sha256=frames_sha256(frames),
        offsets=OFFSETS,
    )
    assert loaded.estimator == "dis-fast"
    np.testing.assert_array_equal(loaded.flow, flows.flow)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "best"}, "preset is 'best', expected one of fast, medium, fine"),
        ({"offsets": (1, 0)}, r"offsets are \[1, 0\]"),
        ({"offsets": (1, 1)}, r"offsets are \[1, 1\]"),
        ({"offsets": ()}, r"offsets are \[\]"),
    ],
)
def test_unusable_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        estimate(moving_clip(2, 16, 16), **options)


def test_frames_that_are_too_small_are_refused():
    with pytest.raises(InputError, match=r"frames are 15x40 .* flow needs 16 on each side"):
        estimate(moving_clip(2, MIN_SIDE - 1, 40))


def test_other_kinds_of_frames_are_bugs_of_the_caller():
    with pytest.raises(ValueError, match="expected"):
        estimate(np.zeros((2, 32, 32, 3), np.float32))


def test_fill_hole_spreads_the_surroundings_and_keeps_the_rest():
    ramp = np.broadcast_to(np.uint8(4 * np.arange(40))[None, :, None], (32, 40, 3))
    frames = np.stack([ramp, ramp])
    hole = np.zeros((2, 32, 40), bool)
    hole[0, 10:20, 15:25] = True
    frames[hole] = 255
    filled = fill_hole(frames, hole)
    np.testing.assert_array_equal(filled[~hole], frames[~hole])
    np.testing.assert_array_equal(filled[1], ramp)
    # A blank 255 stood out by 100 and more; now the ramp is crossed without an edge.
    assert np.abs(filled[0].astype(int) - ramp).max() < 25
    assert (frames[hole] == 255).all()


def test_a_frame_without_surroundings_becomes_the_nearest_one():
    """Frames 0 and 2 show 10 and 90; of two that are as near, the earlier one."""
    frames = np.full((5, 16, 16, 3), 255, np.uint8)
    frames[0], frames[2] = 10, 90
    hole = np.ones((5, 16, 16), bool)
    hole[[0, 2], :, :8] = False
    frames[hole] = 255
    filled = fill_hole(frames, hole)
    for i, nearest in enumerate([0, 0, 2, 2, 2]):
        np.testing.assert_array_equal(filled[i], filled[nearest])
        assert np.abs(filled[i].astype(int) - (10, 90)[nearest // 2]).max() < 5


def test_holes_without_any_surroundings_are_refused():
    with pytest.raises(InputError, match="the hole covers every frame"):
        fill_hole(np.zeros((3, 16, 16, 3), np.uint8), np.ones((3, 16, 16), bool))


def test_filling_a_blank_hole_makes_flow_follow_the_background():
    """The hole stands still while the background moves: flow in it must not be zero."""
    frames, hole = moving_clip(2, 64, 64, step=(4, 0)), np.zeros((2, 64, 64), bool)
    hole[:, 28:36, 28:36] = True
    frames[hole] = 255
    blank = estimate(frames).flow[0, 0, 30:34, 30:34, 0].mean()
    filled = estimate(fill_hole(frames, hole)).flow[0, 0, 30:34, 30:34, 0].mean()
    assert abs(filled - 4) < abs(blank - 4)
    assert filled > 2
