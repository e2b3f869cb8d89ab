"""From source size to training size and back: crop, area resize, paste.

Letters
    h, w  rows and columns of the source      H, W  at training size
    T     frames

The source is cropped, around its centre or around the hole, to the aspect ratio of
training, and resized. `Transform` describes both steps. It applies to frames and masks
alike, is stored with the result, and is undone by `paste_back`. Sizes are (rows, columns).
"""

import dataclasses
import operator
from typing import Any

import cv2
import numpy as np

from vidprior.errors import InputError

# A pixel of a resized mask is hole above this grey value, of 255.
MASK_THRESHOLD = 127


@dataclasses.dataclass(frozen=True)
class Transform:
    """A crop of the source and the size that it is resized to.

    Attributes:
      source_size: (h, w) of the source, pixels.
      top: first row of the crop in the source.
      left: first column of the crop in the source.
      height: rows of the crop.
      width: columns of the crop.
      size: (H, W) of the crop after resizing; (height, width) if it is not resized.
    """

    source_size: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]

    def __post_init__(self):
        h, w = self.source_size
        inside = self.top >= 0 and self.left >= 0
        inside = inside and self.top + self.height <= h and self.left + self.width <= w
        if not inside or min(self.height, self.width, *self.size) < 1:
            raise InputError(
                f"a crop of {self.height} rows from {self.top} and {self.width} columns from "
                f"{self.left}, resized to {self.size}, does not fit a source of {h} x {w}"
            )

    @property
    def crop(self) -> tuple[slice, slice]:
        """Rows and columns of the crop in the source."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as numbers and lists, for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, fields: Any) -> "Transform":
        """The inverse of `to_dict`.

        Raises:
          InputError: a field is missing, not an integer, or does not fit the others.
        """
        try:
            h, w = map(operator.index, fields["source_size"])
            H, W = map(operator.index, fields["size"])
            top, left = operator.index(fields["top"]), operator.index(fields["left"])
            height, width = operator.index(fields["height"]), operator.index(fields["width"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this does not describe a crop and resize: {fields!r}") from error
        return cls((h, w), top, left, height, width, (H, W))


def centre_crop(source_size: tuple[int, int], size: tuple[int, int]) -> Transform:
    """The largest centred crop with (nearly) the aspect ratio of `size`, resized to `size`.

    A source that is too tall loses `int((h - w*H/W) // 2)` rows at the top and as many
    at the bottom; one that is too wide loses columns in the same way. The margins are
    whole pixels, so the crop may keep one row or column more than the exact ratio.

    Args:
      source_size: (h, w), pixels.
      size: (H, W), pixels. If it equals `source_size`, nothing is cropped or resampled.

    Raises:
      InputError: a side of either size is below one pixel.
    """
    (h, w), (H, W) = source_size, size
    if min(h, w, H, W) < 1:
        raise InputError(f"cannot crop a source of {h} x {w} to {H} x {W}: a side has no pixel")
    # Integers only: (h - w*H/W) // 2 without rounding errors.
    top = max(0, (h * W - w * H) // (2 * W))
    left = max(0, (w * H - h * W) // (2 * H))
    return Transform((h, w), top, left, h - 2 * top, w - 2 * left, (H, W))


def outpaint_margins(size: tuple[int, int], factors: tuple[float, ...]) -> tuple[int, int]:
    """Rows above and below a frame, and columns on each side, that enlarge it.

    Args:
      size: (h, w), pixels.
      factors: one for width and height, or one for each, at least 1.
    """
    horizontal, vertical = factors if len(factors) == 2 else factors * 2
    rows, columns = (
        round(side * (factor - 1) / 2)
        for side, factor in zip(size, (vertical, horizontal), strict=True)
    )
    return rows, columns


def crop_around(path: np.ndarray, size: tuple[int, int], *, context: float) -> Transform:
    """A crop with the aspect ratio of `size` that contains `path` and its surroundings.

    The bounding box of the path grows on each side by `context` times its own length, then
    to the aspect ratio. The crop is at least as large as `size`, unless the source is
    smaller: a smaller crop would only enlarge pixels. It is moved inside the source. If it
    is larger than the source, the largest possible crop is taken; the aspect ratio yields
    if the path would not fit otherwise.

    Args:
      path: [h, w] bool, True where content is missing in any frame; not all False.
      size: (H, W), pixels.
      context: share of the box's height above and below, and of its width on each side.
    """
    (h, w), (H, W) = path.shape, size
    rows, columns = (np.flatnonzero(path.any(axis=axis)) for axis in (1, 0))
    box_height, box_width = (int(line[-1] - line[0]) + 1 for line in (rows, columns))
    height = max(box_height * (1 + 2 * context), H)
    width = max(box_width * (1 + 2 * context), W)
    height, width = max(height, width * H / W), max(width, height * W / H)
    shrunk = min(1, h / height, w / width)
    height, width = max(box_height, round(shrunk * height)), max(box_width, round(shrunk * width))
    top = _inside(int(rows[0]) + int(rows[-1]) + 1, height, h)
    left = _inside(int(columns[0]) + int(columns[-1]) + 1, width, w)
    return Transform((h, w), top, left, height, width, (H, W))


def box_around(hole: np.ndarray, *, margin: int, least: int = 1) -> tuple[slice, slice]:
    """Rows and columns of a hole and its surroundings, clipped to the picture.

    Args:
      hole: [h, w] bool, not all False.
      margin: pixels on each side.
      least: minimum length of each side in pixels, if the picture has as many.
    """
    sides = []
    for axis, size in ((1, hole.shape[0]), (0, hole.shape[1])):
        taken = np.flatnonzero(hole.any(axis=axis))
        start, stop = max(0, taken[0] - margin), min(size, taken[-1] + 1 + margin)
        start = max(0, start - max(0, least - (stop - start)))
        sides.append(slice(start, min(size, max(stop, start + least))))
    return sides[0], sides[1]


def _inside(double_middle: int, length: int, whole: int) -> int:
    """Start of an interval of this length around a middle, moved to lie within 0..whole."""
    return min(max((double_middle - length) // 2, 0), whole - length)


def crop_and_resize(transform: Transform, images: np.ndarray) -> np.ndarray:
    """Crops images and resizes them by area averaging.

    Frames stay `uint8` throughout: a conversion to float would round differently.

    Args:
      transform: from `centre_crop`.
      images: [T, h, w] or [T, h, w, 3] uint8, of `transform.source_size`.

    Returns:
      [T, H, W] or [T, H, W, 3] uint8, a new array.
    """
    _check_size(images, transform.source_size)
    return _resize(images[:, *transform.crop], transform.size)


def crop_and_resize_masks(transform: Transform, masks: np.ndarray) -> np.ndarray:
    """The hole at training size: masks cropped, resized as grey, then > 127.

    Args:
      transform: from `centre_crop`.
      masks: [T, h, w] uint8, grey, 255 where content is missing.

    Returns:
      [T, H, W] bool, True where content is missing.
    """
    return crop_and_resize(transform, masks) > MASK_THRESHOLD


def paste_back(transform: Transform, images: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Source frames with the crop replaced by images of training size.

    Images are resized to the crop: by area averaging if both sides shrink, by cubic
    interpolation otherwise; images of equal size are copied. Known pixels inside the crop
    are replaced too: to keep them, composite the result with `source`.

    Args:
      transform: from `source` to `images`.
      images: [T, H, W, 3] uint8, of `transform.size`.
      source: [T, h, w, 3] uint8, of `transform.source_size`.

    Returns:
      [T, h, w, 3] uint8, a new array.
    """
    _check_size(images, transform.size)
    _check_size(source, transform.source_size)
    if len(images) != len(source):
        raise ValueError(f"{len(images)} images cannot replace {len(source)} source frames")
    placed = source.copy()
    placed[:, *transform.crop] = _resize(
        images, (transform.height, transform.width), enlarge=cv2.INTER_CUBIC
    )
    return placed


def reproject(
    view: Transform, images: np.ndarray, other: Transform, others: np.ndarray
) -> np.ndarray:
    """Resamples images from one crop of the source to another.

    Args:
      view: the crop to resample to.
      images: [T, H, W, 3] uint8, of `view.size`; kept where `other` does not reach.
      other: the crop to resample from.
      others: [T, H, W, 3] uint8, of `other.size`.

    Returns:
      [T, H, W, 3] uint8, of `view.size`; `others` itself if both crops are equal.
    """
    if view == other:
        return others
    source = np.zeros((len(images), *view.source_size, 3), np.uint8)
    return crop_and_resize(view, paste_back(other, others, paste_back(view, images, source)))


def _resize(
    images: np.ndarray, size: tuple[int, int], *, enlarge: int = cv2.INTER_AREA
) -> np.ndarray:
    """[T, h, w, ...] to [T, H, W, ...]: by area, or by `enlarge` if a side grows."""
    if images.shape[1:3] == size:
        return images.copy()
    grows = size[0] > images.shape[1] or size[1] > images.shape[2]
    method = enlarge if grows else cv2.INTER_AREA
    resized = np.empty((len(images), *size, *images.shape[3:]), images.dtype)
    for image, out in zip(images, resized, strict=True):
        out[...] = cv2.resize(image, size[::-1], interpolation=method).reshape(out.shape)
    return resized


def _check_size(images: np.ndarray, size: tuple[int, int]) -> None:
    if images.ndim not in (3, 4) or images.shape[1:3] != tuple(size):
        raise ValueError(f"expected [T, {size[0]}, {size[1]}, ...], got {images.shape}")
