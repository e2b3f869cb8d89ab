"""Colour coding: converts decoded frames to RGB and back, by the tags of the file.

YUV becomes RGB by a matrix and a range, which a file names with tags of ITU-T H.273. If it
does not, they are assumed as players do. Primaries and transfer are copied from source to
result, so high dynamic range and wide gamut keep their tags.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np

from vidprior.errors import InputError

UNKNOWN = 2
# Matrices of H.273, and swscale's number for them.
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
NAMES = {
    1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 8: "YCgCo", 9: "BT.2020",
    10: "BT.2020 of constant luminance", 14: "ICtCp",
}  # fmt: skip
# The matrix that belongs to primaries.
_OF_PRIMARIES = {1: 1, 5: 5, 6: 6, 7: 7, 9: 9}
# Pictures with at least this many lines count as high definition.
HIGH_DEFINITION = 720

# Limited range to full, for each channel of a layout; alpha has none.
_FULL = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
_WIDENED = {
    "rgb24": np.stack([_FULL] * 3, axis=-1)[None],
    "rgba": np.stack([*[_FULL] * 3, np.arange(256, dtype=np.uint8)], axis=-1)[None],
}

# swscale's flags SWS_BILINEAR and SWS_ACCURATE_RND, for which older PyAV has no name.
_ACCURATE = 0x2 | 0x40000


class Colour(NamedTuple):
    """How colours are coded, in numbers of ITU-T H.273; 2 means unspecified.

    Attributes:
      matrix: from RGB to YUV; 0 is RGB itself.
      primaries: the colours that RGB mixes.
      transfer: from light to numbers.
      full_range: whether luma takes 0..255 instead of 16..235.
    """

    matrix: int
    primaries: int
    transfer: int
    full_range: bool


# Of pictures that say nothing, such as images: nearly sRGB.
BT709 = Colour(1, 1, 1, False)
# Standard definition, BT.601: one matrix, and the primaries of either system.
EUROPEAN, AMERICAN = Colour(5, 5, 6, False), Colour(6, 6, 6, False)


def colour_of(frame: Any, *, lines: int) -> tuple[Colour, str]:
    """How a decoded frame is coded, and a text on what was assumed; empty if nothing.

    Args:
      frame: PyAV's.
      lines: rows of the frame as it is coded.

    Raises:
      InputError: the matrix is not supported.
    """
    matrix, primaries, transfer = frame.colorspace, frame.color_primaries, frame.color_trc
    if frame.format.is_rgb or _is_grey(frame.format) or frame.format.has_palette:
        matrix = _OF_PRIMARIES.get(primaries, BT709.matrix)
        if primaries == UNKNOWN:
            primaries, transfer = BT709.primaries, BT709.transfer
        return Colour(matrix, primaries, transfer, False), ""
    full = frame.color_range == 2 or frame.format.name.startswith("yuvj")
    assumed = ""
    if matrix in (UNKNOWN, 0, 3) and primaries in _OF_PRIMARIES:
        matrix = _OF_PRIMARIES[primaries]
        assumed = f"{NAMES[matrix]} is assumed, by its primaries"
    elif matrix in (UNKNOWN, 0, 3):
        likely = BT709 if lines >= HIGH_DEFINITION else EUROPEAN if lines == 576 else AMERICAN
        matrix = likely.matrix
        primaries = likely.primaries if primaries == UNKNOWN else primaries
        transfer = likely.transfer if transfer == UNKNOWN else transfer
        size = "from 720 lines on" if likely is BT709 else "below 720 lines"
        assumed = f"{NAMES[matrix]} is assumed, as players do {size}"
    if matrix not in MATRICES:
        raise InputError(
            f"its colours are coded as {NAMES.get(matrix, f'matrix {matrix} of H.273')}, which is "
            f"not read: convert it to BT.709 first, for example with ffmpeg -vf zscale=matrix=709"
        )
    return Colour(matrix, primaries, transfer, full), assumed


def to_array(frame: Any, colour: Colour, *, layout: str = "rgb24") -> np.ndarray:
    """A decoded frame as [H, W, 3] uint8 RGB, or [H, W, 4] by `layout` 'rgba'."""
    if frame.format.is_rgb or frame.format.has_palette:
        return frame.to_ndarray(format=layout)
    if _is_grey(frame.format):
        picture = frame.to_ndarray(format=layout)  # converted as full range, whatever the tags
        return cv2.LUT(picture, _WIDENED[layout]) if frame.color_range == 1 else picture
    return frame.to_ndarray(
        format=layout,
        src_colorspace=MATRICES[colour.matrix],
        src_color_range=2 if colour.full_range else 1,
    )


def from_array(picture: Any, colour: Colour, *, layout: str) -> Any:
    """A frame of [H, W, 3] uint8 RGB, PyAV's, in the pixel format `layout`."""
    frame = picture.reformat(
        format=layout,
        dst_colorspace=MATRICES[colour.matrix],
        dst_color_range=2 if colour.full_range else 1,
        interpolation=_ACCURATE,
    )
    # Rows are padded in memory. x264 reads what lies there, and the file would depend on it.
    for plane in frame.planes:
        pixels = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        pixels[:, plane.width :] = 0
        pixels[plane.height :] = 0
    return frame


def has_alpha(pixel_format: Any) -> bool:
    """Whether a pixel format has alpha."""
    return any(component.is_alpha for component in pixel_format.components)


def _is_grey(pixel_format: Any) -> bool:
    return sum(not component.is_alpha for component in pixel_format.components) == 1
