"""Tests of what an object leaves outside its mask, on small drawn clips."""

import cv2
import numpy as np
import pytest

from vidprior.imaging.dilation import dilate
from vidprior.propagation.ghosts import find_ghosts

T, H, W = 14, 96, 160
SPEED = 6


def textured(height: int, width: int) -> np.ndarray:
    """A ground with texture of several sizes, [height, width, 3] uint8."""
    random = np.random.default_rng(3)
    ground = np.full((height, width, 3), 120.0)
    for size in (2, 5, 12):
        noise = random.normal(size=(height, width, 3))
        smooth = cv2.GaussianBlur(noise, (0, 0), size)
        ground += 22 * smooth / smooth.std()
    return np.clip(ground, 30, 225).astype(np.uint8)


def drawn(*, shadow: float = 1.0, wider: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A box that crosses a textured ground, with a patch below it.

    Args:
      shadow: factor of the ground's brightness in the patch.
      wider: pixels by which the box is larger than its mask, on each side.

    Returns:
      Frames [T, H, W, 3] uint8, masks [T, H, W] bool, and the patches [T, H, W] bool.
    """
    ground = textured(H, W)
    frames, mask = np.repeat(ground[None], T, axis=0), np.zeros((T, H, W), bool)
    patch = np.zeros_like(mask)
    for number in range(T):
        left = 20 + SPEED * number
        mask[number, 30:60, left : left + 24] = True
        patch[number, 60:68, left : left + 24] = True
        dark = frames[number][patch[number]] * shadow
        frames[number][patch[number]] = np.minimum(dark, 255).astype(np.uint8)
        box = frames[number, 30 - wider : 60 + wider, left - wider : left + 24 + wider]
        box[:] = (200, 40, 40)
    return frames, mask, patch


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_finds_a_patch_that_moves_with_the_mask(factor):
    frames, mask, patch = drawn(shadow=factor)
    found = find_ghosts(frames, mask).shadow
    assert (found & patch).sum() > 0.8 * patch.sum()
    near = np.stack([dilate(one, 3) for one in patch])
    assert (found & ~near).sum() < 0.03 * patch.sum()
    assert not (found & mask).any()


def test_finds_nothing_beside_a_mask_that_covers_all():
    frames, mask, _ = drawn()
    found = find_ghosts(frames, mask)
    assert found.shadow.sum() + found.rim.sum() == 0


def test_a_mask_that_is_too_tight_has_a_rim():
    frames, mask, _ = drawn(wider=1)
    found = find_ghosts(frames, mask)
    ring = np.stack([cv2.dilate(np.uint8(one), np.ones((3, 3))) > 0 for one in mask]) & ~mask
    assert (found.rim & ring).sum() > 0.6 * ring.sum()
    assert not found.shadow.any()


def test_a_dark_patch_that_stands_still_is_background():
    frames, mask, _ = drawn()
    frames[:, 60:68, 70:100] //= 2
    assert find_ghosts(frames, mask).shadow.sum() == 0


def test_without_a_mask_or_other_frames_there_is_nothing_to_find():
    frames, mask, _ = drawn(shadow=0.6)
    assert not find_ghosts(frames, np.zeros_like(mask)).shadow.any()
    assert not find_ghosts(frames[:2], mask[:2]).shadow.any()
    still = np.repeat(frames[:1], T, axis=0), np.repeat(mask[:1], T, axis=0)
    assert not find_ghosts(*still).shadow.any()
