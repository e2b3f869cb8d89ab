"""Frames into a video file, with or without loss; audio beside them as it was.

Frames are [H, W, 3] `uint8` RGB and come one at a time: they are encoded as they come,
so that a long result never stands in memory. Times are seconds as exact fractions.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidprior.errors import InputError
from vidprior.io import images
from vidprior.io.files import replacing
from vidprior.io.video_reader import Audio

PathLike = str | os.PathLike[str]

# The encoders used, by FFmpeg's names.
ENCODERS = ("libx264", "libx264rgb", "ffv1")

# In the tables of H.264: matrix, primaries and transfer of BT.709; limited range.
_BT709, _LIMITED = 1, 1


def encodes(name: str) -> bool:
    """Whether an encoder is there on this machine."""
    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def write_video(path: PathLike, frames: Iterable[np.ndarray], **options: Any) -> int:
    """Writes all frames of an iterable; options and errors as of `open_writer`.

    Returns:
      How many frames were written.
    """
    count = 0
    with open_writer(path, **options) as write:
        for frame in frames:
            write(frame)
            count += 1
    return count


@contextlib.contextmanager
def open_writer(
    path: PathLike,
    *,
    rate: Fraction,
    lossless: bool = False,
    pixel_aspect: Fraction | None = None,
    shown_at: Sequence[Fraction] | None = None,
    audio: Audio | None = None,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Writes frames as H.264 (yuv420p, BT.709, CRF 16), or without any loss.

    The file appears under its name at the end, when it is whole. yuv420p has no odd
    sides: where a side is odd, the last row or column is doubled.

    Args:
      path: .mp4, .mov or .mkv, and .mkv if lossless; its folder is made if it is missing.
      rate: frames per second, kept exactly.
      lossless: write RGB that reads back bit for bit, odd sides too: FFV1, or H.264 where
        pixels are not square.
      pixel_aspect: width of a pixel over its height; None says nothing about it.
      shown_at: when each frame is shown, where their rate varies; Matroska rounds to
        milliseconds. None: at the rate.
      audio: copied without decoding it; its times count from the first frame.

    Yields:
      A function that takes the next frame, [H, W, 3] uint8 RGB; at least one, all of one
      size.

    Raises:
      InputError: the suffix is none of these, the file cannot be written, or a format
        of audio does not go into it.
    """
    path = Path(path)
    suffixes = (".mkv",) if lossless else (".mp4", ".mov", ".mkv")
    if path.suffix.lower() not in suffixes:
        kind = "a lossless video" if lossless else "a video"
        raise InputError(f"{path}: {kind} is written as {' or '.join(suffixes)}")
    with replacing(path) as temporary, av.open(str(temporary), "w") as container:
        writer = _Writer(container, path, rate, lossless, pixel_aspect, shown_at, audio)
        yield writer.write
        writer.finish()


class _Writer:
    """A container under way; its streams begin with the first frame, whose size they need."""

    def __init__(
        self,
        container: Any,
        path: Path,
        rate: Fraction,
        lossless: bool,
        pixel_aspect: Fraction | None,
        shown_at: Sequence[Fraction] | None,
        audio: Audio | None,
    ):
        self._container, self._path = container, path
        self._rate, self._lossless, self._pixel_aspect = rate, lossless, pixel_aspect
        self._shown_at = shown_at
        self._clock = 1 / rate
        if shown_at is not None:
            self._clock = Fraction(1, math.lcm(*(time.denominator for time in shown_at)))
        self._audio = audio
        self._packets = iter(()) if audio is None else audio.packets
        self._copies: dict[int, Any] = {}
        self._next = next(self._packets, None)
        self._stream: Any = None
        self._count = 0

    def write(self, frame: np.ndarray) -> None:
        """Encodes a frame, after the audio that is heard before it."""
        images.check_image(frame)
        pixels = frame if self._lossless else _pad_to_even(frame)
        if self._stream is None:
            self._begin(pixels.shape[:2])
        elif pixels.shape[:2] != (self._stream.height, self._stream.width):
            raise ValueError(f"frame {self._count} is {frame.shape}: all must have one size")
        time = self._count / self._rate if self._shown_at is None else self._shown_at[self._count]
        self._copy_audio(time)
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        # RGB has no matrix to choose; for YUV it is said to the converter and in the file.
        conversion: dict[str, Any] = (
            {} if self._lossless else {"dst_colorspace": "ITU709", "dst_color_range": "MPEG"}
        )
        picture = picture.reformat(format=self._stream.pix_fmt, **conversion)
        picture.pts, picture.time_base = int(time / self._clock), self._clock
        self._container.mux(self._stream.encode(picture))
        self._count += 1

    def finish(self) -> None:
        """Encodes what the codec holds back, and copies the rest of the audio."""
        if self._stream is None:
            raise ValueError(f"{self._path}: there are no frames to write")
        self._container.mux(self._stream.encode(None))
        self._copy_audio(None)

    def _begin(self, size: tuple[int, ...]) -> None:
        codec, options = "libx264", {"crf": "16"}
        if self._lossless:
            # PyAV gives Matroska no pixel aspect; H.264 says it by itself.
            square = self._pixel_aspect in (None, 1)
            codec, options = ("ffv1", {}) if square else ("libx264rgb", {"qp": "0"})
        stream = self._container.add_stream(codec, rate=self._rate, options=options)
        stream.pix_fmt = "bgr0" if self._lossless else "yuv420p"
        stream.height, stream.width = size
        context = stream.codec_context
        if self._shown_at is not None:
            stream.time_base = context.time_base = self._clock
        if not self._lossless:
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
        if self._pixel_aspect is not None:
            context.sample_aspect_ratio = self._pixel_aspect
        self._stream = stream
        for source in () if self._audio is None else self._audio.streams:
            try:
                self._copies[source.index] = self._container.add_stream_from_template(source)
            except ValueError as error:
                raise InputError(
                    f"{self._path}: audio of the format {source.codec_context.name} cannot be "
                    f"copied into {self._path.suffix}: take another "
                    f"--config.render.format, or none of it by --config.render.audio=False"
                ) from error

    def _copy_audio(self, until: Fraction | None) -> None:
        """Copies packets heard by then; all of them if it is None."""
        while self._next is not None:
            packet, heard = self._next
            if until is not None and heard > until:
                return
            lag = 0 if packet.pts is None else packet.pts - packet.dts
            packet.pts = round(heard / packet.time_base)
            packet.dts = packet.pts - lag
            packet.stream = self._copies[packet.stream.index]
            self._container.mux(packet)
            self._next = next(self._packets, None)


def _pad_to_even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
