"""Frames laid over one another by the camera's motion, against known homographies."""

import cv2
import numpy as np
import pytest

from vidprior.flow.dis import make_dis
from vidprior.propagation.homography import KnownFrame, align_frame, camera_motion, find_points

H, W = 96, 160
# A pan with a little turn, zoom and perspective, from the frame to the other.
MOTION = np.array([[1.02, -0.03, 14], [0.02, 0.99, -5], [1e-5, 2e-5, 1]])


def wall(height=H, width=W, seed=0):
    """A picture with detail of every size, uint8 RGB."""
    random = np.random.default_rng(seed)
    layers = [
        cv2.resize(random.random((height // s + 2, width // s + 2, 3)), (width, height))
        for s in (2, 4, 8, 16)
    ]
    return np.uint8(255 * (sum(layers) / 4))


def pair(motion=MOTION):
    """Two frames: the first shows at p what the other shows at `motion` of p."""
    other = wall()
    frame = cv2.warpPerspective(
        other, motion, (W, H), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return frame, other


def grey(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def block():
    hole = np.zeros((H, W), bool)
    hole[30:60, 50:90] = True
    return hole


def known_frame(image, hole, error=0.0):
    filled = np.where(hole[..., None], 128, image).astype(np.uint8)
    return KnownFrame(image, grey(filled), ~hole, np.full(hole.shape, error, np.float32))


def laid_over(frame, other, hole, other_hole, motion, *, error=0.0):
    return align_frame(
        known_frame(frame, hole),
        known_frame(other, other_hole, error),
        motion,
        wanted=hole,
        number=3,
        estimator=make_dis("medium", H, W),
    )


def test_the_motion_of_a_camera_is_found():
    frame, other = pair()
    hole = block()
    damaged = np.where(hole[..., None], 0, frame).astype(np.uint8)
    found = camera_motion(
        find_points(grey(damaged), hole), find_points(grey(other), ~block() & False)
    )
    corners = np.float64([[[20, 10]], [[140, 10]], [[20, 85]], [[140, 85]]])
    wanted = cv2.perspectiveTransform(corners, MOTION)
    assert np.abs(cv2.perspectiveTransform(corners, found) - wanted).max() < 0.5


def test_points_keep_away_from_the_hole():
    frame, _ = pair()
    points = find_points(grey(frame), block())
    assert len(points.place) > 20
    x, y = points.place.T
    near = (x >= 47) & (x < 93) & (y >= 27) & (y < 63)
    assert not near.any()
    assert points.descriptor.shape == (len(points.place), 128)


def test_a_flat_picture_has_no_motion():
    flat = find_points(np.full((H, W), 90, np.uint8), block())
    assert flat.place.shape == (0, 2)
    assert flat.descriptor.shape == (0, 128)
    assert camera_motion(flat, flat) is None


def test_unrelated_pictures_have_no_motion():
    nowhere = np.zeros((H, W), bool)
    one, other = (find_points(grey(wall(seed=seed)), nowhere) for seed in (1, 2))
    assert camera_motion(one, other) is None


def test_the_same_points_give_the_same_motion():
    frame, other = pair()
    nowhere = np.zeros((H, W), bool)
    one, two = find_points(grey(frame), nowhere), find_points(grey(other), nowhere)
    np.testing.assert_array_equal(camera_motion(one, two), camera_motion(one, two))


def test_the_hole_is_filled_by_the_other_frame():
    frame, other = pair()
    hole, nowhere = block(), np.zeros((H, W), bool)
    damaged = np.where(hole[..., None], 255, frame).astype(np.uint8)
    found = laid_over(damaged, other, hole, nowhere, MOTION)
    error = np.abs(found.colour - frame[hole])
    assert error.mean() < 6
    # What is expected is about what happens.
    assert 0.3 < np.sqrt(np.square(error).mean()) / found.error.mean() < 3


def test_what_moves_against_the_camera_is_followed_by_flow():
    """The motion given is wrong by two pixels everywhere, as by parallax."""
    frame, other = pair()
    hole, nowhere = block(), np.zeros((H, W), bool)
    off = np.array([[1, 0, 2], [0, 1, 0], [0, 0, 1]]) @ MOTION
    found = laid_over(frame, other, hole, nowhere, off)
    assert np.abs(found.colour - frame[hole]).mean() < 6


def test_light_that_differs_is_brought_to_that_of_the_frame():
    """By up to 30 of 255; what is beyond counts as a difference, twice."""
    frame, other = pair()
    hole, nowhere = block(), np.zeros((H, W), bool)
    alike = laid_over(frame, other, hole, nowhere, MOTION)
    for light, beyond in ((20, 0), (70, 40)):
        brighter = np.uint8(np.clip(0.6 * other.astype(float) + light, 0, 255))
        dark = np.uint8(0.6 * frame.astype(float))
        found = laid_over(dark, brighter, hole, nowhere, MOTION)
        assert np.abs(found.colour - beyond - dark[hole]).mean() < 6
        assert found.error.mean() == pytest.approx(alike.error.mean() + 2 * beyond, abs=8)


def test_frames_that_show_other_things_are_not_trusted():
    frame, _ = pair()
    hole, nowhere = block(), np.zeros((H, W), bool)
    found = laid_over(frame, wall(seed=5), hole, nowhere, MOTION)
    assert found.error.mean() > 25


def test_the_error_of_what_is_sampled_is_added_in_squares():
    frame, other = pair()
    hole, nowhere = block(), np.zeros((H, W), bool)
    sure = laid_over(frame, other, hole, nowhere, MOTION)
    unsure = laid_over(frame, other, hole, nowhere, MOTION, error=12.0)
    assert np.allclose(np.square(unsure.error), np.square(sure.error) + 144, rtol=1e-4)


def test_candidates_know_where_they_come_from():
    frame, other = pair()
    found = laid_over(frame, other, block(), np.zeros((H, W), bool), MOTION)
    row, column = np.nonzero(block())
    place = np.stack([column, row], axis=-1).astype(np.float32)
    wanted = cv2.perspectiveTransform(place[:, None], MOTION)[:, 0]
    assert found.frame == 3
    assert np.abs(found.place - wanted).mean() < 0.5


def test_what_the_other_frame_hides_too_is_no_candidate():
    frame, other = pair(np.eye(3))
    hole, partly = block(), block()
    partly[:, 70:] = False
    found = laid_over(frame, other, hole, partly, np.eye(3))
    columns = np.nonzero(hole)[1]
    # The widened sample of a sub-pixel flow may touch one column more.
    assert np.isinf(found.error[columns < 69]).all()
    assert np.isfinite(found.error[columns > 72]).all()
    assert laid_over(frame, other, hole, hole, np.eye(3)) is None


def test_outside_the_other_frame_is_no_candidate():
    frame, other = pair(np.eye(3))
    aside = np.array([[1.0, 0, 80], [0, 1, 0], [0, 0, 1]])
    found = laid_over(frame, other, block(), np.zeros((H, W), bool), aside)
    columns = np.nonzero(block())[1]
    assert np.isinf(found.error[columns > 84]).all()


@pytest.mark.parametrize("place", [(slice(0, 4), slice(0, 4)), (slice(92, 96), slice(150, 160))])
def test_a_small_hole_in_a_corner(place):
    frame, other = pair(np.eye(3))
    hole = np.zeros((H, W), bool)
    hole[place] = True
    found = laid_over(frame, other, hole, np.zeros((H, W), bool), np.eye(3))
    assert np.abs(found.colour - frame[hole]).mean() < 6
