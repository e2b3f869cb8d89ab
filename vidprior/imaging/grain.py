"""Adds the camera's noise to filled content, which has less of it.

Noise is measured in flat known tiles of the frame: its strength by brightness, its spectrum,
and how channels go together. Where filled content has as much fine detail, nothing is added.

Letters
    h, w  rows and columns     B  classes of brightness     S  side of a tile     n  tiles
"""

from typing import NamedTuple

import cv2
import numpy as np

# Side of the tiles; the share of known tiles of a class that counts as flat, and the least number.
_TILE, _FLAT, _FEWEST = 16, 0.1, 6
# Brightness of the classes, of 255. Tiles darker or brighter than all of them are clipped.
_LEVELS = (24.0, 72.0, 128.0, 184.0, 232.0)
_DARK, _BRIGHT = 6.0, 249.0
# Tiles of average strength that each class is mixed with.
_LEANING = 4
# Standard deviation of the blur that detail is above, pixels, and the window over which the
# detail of filled content is measured.
_DETAIL, _WINDOW = 1.0, 15
# Noise with a smaller standard deviation, of 255, is not added.
_WEAK = 0.5


class Grain(NamedTuple):
    """The noise of a frame.

    Attributes:
      strength: [B] float64, standard deviation of the brightness at `_LEVELS`, of 255.
      kernel: [S, S] float32, filters white noise to its spectrum; squares sum to 1.
      mixing: [3, 3] float32, from independent channels to those of the noise, relative to
        the standard deviation of the brightness.
      detail: the share of its standard deviation that is fine detail.
    """

    strength: np.ndarray
    kernel: np.ndarray
    mixing: np.ndarray
    detail: float


def measure_grain(frame: np.ndarray, known: np.ndarray) -> Grain | None:
    """Measures the noise of a frame in its flat known tiles.

    Args:
      frame: [h, w, 3] uint8 RGB.
      known: [h, w] bool.

    Returns:
      The noise; None if too little is known, or it is too weak to be seen.
    """
    tiles = _tiles(frame)[_tiles(known).all(axis=(1, 2))].astype(np.float32)
    level = tiles.mean(axis=(1, 2, 3))
    fine = (level > _DARK) & (level < _BRIGHT)
    tiles, level = _without_slope(tiles[fine]), level[fine]
    if len(tiles) < _FEWEST:
        return None
    rough = tiles.mean(axis=-1).std(axis=(1, 2))
    kind = np.abs(level[:, None] - _LEVELS).argmin(axis=1)
    flat = np.concatenate([_flattest(rough, kind == i) for i in range(len(_LEVELS))])
    tiles, kind, rough = tiles[flat], kind[flat], rough[flat]
    usual = float(np.median(rough))
    if usual < _WEAK:
        return None
    strength = [
        (rough[kind == i].sum() + _LEANING * usual) / ((kind == i).sum() + _LEANING)
        for i in range(len(_LEVELS))
    ]
    grey = tiles.mean(axis=-1)
    # Without the window, the sides of tiles would add high frequencies.
    window = np.outer(np.hanning(_TILE), np.hanning(_TILE))
    power = np.square(np.abs(np.fft.fft2(grey * window))).mean(axis=0)
    kernel = np.fft.fftshift(np.fft.ifft2(np.sqrt(power)).real)
    kernel /= np.sqrt(np.square(kernel).sum())
    values, vectors = np.linalg.eigh(np.cov(tiles.reshape(-1, 3).T) / grey.var())
    mixing = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    detail = np.stack([_detail_of(tile) for tile in grey]).std() / grey.std()
    return Grain(
        np.array(strength), kernel.astype(np.float32), mixing.astype(np.float32), float(detail)
    )


def add_grain(
    image: np.ndarray, hole: np.ndarray, grain: Grain, *, random: np.random.Generator
) -> np.ndarray:
    """Adds noise to the hole of a frame where it has less than its surroundings.

    Args:
      image: [h, w, 3] uint8, filled.
      hole: [h, w] bool.
      grain: of the frame.
      random: draws the noise.

    Returns:
      [h, w, 3] uint8, a new array, equal to `image` outside the hole.
    """
    grey = image.mean(axis=-1, dtype=np.float32)
    strength = np.interp(grey, _LEVELS, grain.strength)
    found = cv2.boxFilter(np.square(_detail_of(grey)), -1, (_WINDOW, _WINDOW))
    wanted = np.square(strength * grain.detail)
    missing = strength * np.sqrt(np.maximum(1 - found / wanted, 0))
    white = random.standard_normal(image.shape, np.float32)
    noise = cv2.filter2D(white, -1, grain.kernel, borderType=cv2.BORDER_REFLECT) @ grain.mixing
    result = image.copy()
    grainy = image[hole] + (missing[..., None] * noise)[hole]
    result[hole] = np.clip(np.rint(grainy), 0, 255)
    return result


def _tiles(image: np.ndarray) -> np.ndarray:
    """[n, S, S, ...]: the whole tiles of an image [h, w, ...]."""
    rows, columns = (side // _TILE for side in image.shape[:2])
    cut = image[: rows * _TILE, : columns * _TILE]
    split = cut.reshape(rows, _TILE, columns, _TILE, *image.shape[2:]).swapaxes(1, 2)
    return split.reshape(-1, _TILE, _TILE, *image.shape[2:])


def _flattest(rough: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Numbers of the flattest tiles of a class."""
    numbers = np.flatnonzero(own)
    count = max(_FEWEST, int(_FLAT * len(numbers)))
    return numbers[np.argsort(rough[numbers], kind="stable")[:count]]


def _without_slope(tiles: np.ndarray) -> np.ndarray:
    """Tiles [n, S, S, C] minus their quadratic fit in rows and columns."""
    x = np.linspace(-1, 1, _TILE)
    terms = [np.outer(x**i, x**j).ravel() for i in range(3) for j in range(3 - i)]
    basis, _ = np.linalg.qr(np.stack(terms, axis=1))
    flat = tiles.reshape(len(tiles), _TILE * _TILE, tiles.shape[-1])
    rest: np.ndarray = flat - basis @ (basis.T @ flat)
    return rest.reshape(tiles.shape).astype(np.float32)


def _detail_of(grey: np.ndarray) -> np.ndarray:
    """A picture [h, w] float32 minus its blur."""
    detail: np.ndarray = grey - cv2.GaussianBlur(grey, (0, 0), _DETAIL)
    return detail
