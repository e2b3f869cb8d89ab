"""Frames into a video file: H.264, or FFV1 without any loss.

Frames are [H, W, 3] `uint8` RGB and may come from any iterable: they are encoded one
at a time, so that a long result never stands in memory.
"""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidprior import image_io
from vidprior.errors import InputError
from vidprior.files import replacing

PathLike = str | os.PathLike[str]

# In the tables of H.264: matrix, primaries and transfer of BT.709; limited range.
_BT709, _LIMITED = 1, 1


def write_video(
    path: PathLike,
    frames: Iterable[np.ndarray],
    *,
    rate: Fraction,
    lossless: bool = False,
    pixel_aspect: Fraction | None = None,
) -> int:
    """Writes frames as H.264 (yuv420p, BT.709, CRF 16), or as FFV1 without any loss.

    The file appears under its name when it is whole. yuv420p has no odd sides: where a
    side is odd, the last row or column is doubled.

    Args:
      path: .mp4, .mov or .mkv, and .mkv if lossless; its folder is made if it is missing.
      frames: [H, W, 3] uint8 RGB each, at least one, all of one size.
      rate: frames per second, kept exactly.
      lossless: write FFV1 in RGB, which reads back bit for bit, odd sides too.
      pixel_aspect: width of a pixel over its height; None says nothing about it.

    Returns:
      How many frames were written.

    Raises:
      InputError: the suffix is none of these, or the file cannot be written.
    """
    path = Path(path)
    suffixes = (".mkv",) if lossless else (".mp4", ".mov", ".mkv")
    if path.suffix.lower() not in suffixes:
        kind = "a lossless video" if lossless else "a video"
        raise InputError(f"{path}: {kind} is written as {' or '.join(suffixes)}")
    # RGB has no matrix to choose; for YUV it is said to the converter and in the file.
    conversion: dict[str, Any] = (
        {} if lossless else {"dst_colorspace": "ITU709", "dst_color_range": "MPEG"}
    )
    count, stream = 0, None
    with replacing(path) as temporary, av.open(str(temporary), "w") as container:
        for frame in frames:
            image_io.check_image(frame)
            pixels = frame if lossless else _pad_to_even(frame)
            if stream is None:
                stream = _add_stream(container, pixels.shape, rate, lossless, pixel_aspect)
            elif pixels.shape[:2] != (stream.height, stream.width):
                raise ValueError(f"frame {count} is {frame.shape}: all must have one size")
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture = picture.reformat(format=stream.pix_fmt, **conversion)
            picture.pts, picture.time_base = count, 1 / rate
            container.mux(stream.encode(picture))
            count += 1
        if stream is None:
            raise ValueError(f"{path}: there are no frames to write")
        container.mux(stream.encode(None))
    return count


def _add_stream(
    container: Any,
    shape: tuple[int, ...],
    rate: Fraction,
    lossless: bool,
    pixel_aspect: Fraction | None,
) -> Any:
    options = {} if lossless else {"crf": "16"}
    stream = container.add_stream("ffv1" if lossless else "libx264", rate=rate, options=options)
    stream.pix_fmt = "bgr0" if lossless else "yuv420p"
    stream.height, stream.width = shape[:2]
    context = stream.codec_context
    if not lossless:
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
    if pixel_aspect is not None:
        context.sample_aspect_ratio = pixel_aspect
    return stream


def _pad_to_even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
