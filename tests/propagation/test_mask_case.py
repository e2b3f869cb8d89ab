"""Tests of how mask and scene move."""

import cv2
import numpy as np
import pytest

from vidprior.propagation.mask_case import judge_mask

T, H, W = 12, 96, 160


def clip(*, scene: int, mask: int) -> tuple[np.ndarray, np.ndarray]:
    """A textured ground that moves by `scene` pixels a frame, and a mask that moves by `mask`."""
    random = np.random.default_rng(1)
    noise = random.normal(size=(H, W + 12 * T, 3))
    ground = 120 + 60 * cv2.GaussianBlur(noise, (0, 0), 2) * 4
    ground = np.clip(ground, 0, 255).astype(np.uint8)
    frames = np.stack([ground[:, scene * number : scene * number + W] for number in range(T)])
    hole = np.zeros((T, H, W), bool)
    for number in range(T):
        hole[number, 30:60, 10 + mask * number : 34 + mask * number] = True
    return frames, hole


@pytest.mark.parametrize(
    ("scene", "mask", "shown"),
    [(0, 0, 0.0), (6, 0, 1.0), (0, 8, 1.0), (-6 % 7, 8, 1.0)],
    ids=["both still", "still mask", "still scene", "both move"],
)
def test_what_moves_and_what_is_shown(scene, mask, shown):
    case = judge_mask(*clip(scene=scene, mask=mask))
    assert (case.mask_moves, case.scene_moves) == (mask > 0, scene > 0)
    assert case.shown == pytest.approx(shown, abs=0.1)


def test_a_mask_that_moves_with_the_scene_hides_the_same_place():
    frames, hole = clip(scene=6, mask=0)
    frames, hole = frames[:, :, ::-1].copy(), np.zeros_like(hole)
    for number in range(T):
        hole[number, 30:60, 10 + 6 * number : 34 + 6 * number] = True
    case = judge_mask(frames, hole)
    assert (case.mask_moves, case.scene_moves) == (True, True)
    assert case.shown < 0.15


def test_without_points_of_interest_the_camera_is_unknown():
    _, hole = clip(scene=0, mask=8)
    case = judge_mask(np.full((T, H, W, 3), 90, np.uint8), hole)
    assert case == (True, None, None)


def test_one_frame_is_no_case():
    frames, hole = clip(scene=0, mask=0)
    hole[1:] = False
    assert judge_mask(frames, hole) is None
