"""Copies of the surroundings: structures continue, nothing unknown is copied."""

import numpy as np
import pytest

from vidprior.imaging.exemplar import fill_by_copies


def stripes(height=80, width=120, period=12):
    """Vertical bars, as those of a railing, with a little noise."""
    noise = np.random.default_rng(0).integers(0, 8, (height, width, 3))
    bars = np.where(np.arange(width) % period < 4, 180, 60)[None, :, None]
    return (bars + noise).astype(np.uint8)


@pytest.fixture
def hole():
    hole = np.zeros((80, 120), bool)
    hole[30:55, 45:80] = True
    return hole


def test_a_periodic_structure_is_continued(hole):
    image = stripes()
    copies = fill_by_copies(np.where(hole[..., None], 255, image), hole, ~hole)
    error = np.abs(copies.colour - image[hole])
    assert error.mean() < 8  # noise alone makes 2.6; a bar in the wrong place 120
    # All copies come from whole periods away.
    (_, x) = np.nonzero(hole)
    assert set((copies.place[:, 1] - x) % 12) == {0}


def test_only_sources_are_copied(hole):
    source = ~hole
    source[:, 90:] = False
    copies = fill_by_copies(stripes(), hole, source)
    assert source[tuple(copies.place.T)].all()


def test_colours_meet_the_rim():
    """The scene darkens to the right. A hole from top to bottom is copied from its sides."""
    ramp = np.linspace(25, -25, 120)[None, :, None]
    rows = np.random.default_rng(1).integers(-40, 40, (80, 1, 1))
    image = (stripes() * 0.5 + 90 + ramp + rows).astype(np.uint8)
    hole = np.broadcast_to((np.arange(120) >= 50) & (np.arange(120) < 72), image.shape[:2])
    copies = fill_by_copies(np.where(hole[..., None], 0, image), hole, ~hole)
    error = np.abs(copies.colour - image[hole])
    copied = np.abs(image[tuple(copies.place.T)].astype(float) - image[hole])
    assert copied.mean() > 5  # 5 grey levels for each period of 12 columns
    assert error.mean() < 0.5 * copied.mean()


def test_the_same_seed_gives_the_same_copies(hole):
    image = np.random.default_rng(1).integers(0, 256, (80, 120, 3), np.uint8)
    first, again = (fill_by_copies(image, hole, ~hole, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.place, again.place)
    np.testing.assert_array_equal(first.colour, again.colour)


def test_what_does_not_occur_at_the_rim_is_not_copied():
    """Two red discs lie away from a hole in grass."""
    random = np.random.default_rng(2)
    image = random.integers(60, 90, (96, 160, 3)).astype(np.uint8)
    y, x = np.mgrid[:96, :160]
    for middle in (24, 136):
        image[(y - 48) ** 2 + (x - middle) ** 2 < 12**2] = (220, 30, 30)
    hole = (y - 48) ** 2 + (x - 80) ** 2 < 16**2
    copies = fill_by_copies(np.where(hole[..., None], 0, image), hole, ~hole)
    assert (image[tuple(copies.place.T)][:, 0] < 200).all()


@pytest.mark.parametrize("size", [(12, 40), (80, 120)])
def test_too_little_to_copy_from(size):
    hole = np.ones(size, bool)
    hole[:10, :10] = False
    assert fill_by_copies(np.zeros((*size, 3), np.uint8), hole, ~hole) is None
