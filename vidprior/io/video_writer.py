"""Writes frames to a video file, lossy or lossless, with copied sound and other streams.

Frames are [H, W, 3] `uint8` RGB and are encoded one at a time, so a long result is never in
memory. Times are seconds as exact fractions.
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
from vidprior.io.colour import BT709, Colour, from_array
from vidprior.io.files import replacing
from vidprior.io.streams import Copied, name_of, tags_of

PathLike = str | os.PathLike[str]

# The encoders used, by FFmpeg's names.
ENCODERS = ("libx264", "libx264rgb", "ffv1")

# Constants of libavcodec.
_LIMITED, _FULL = 1, 2
_RGB = 0
_FIELD_ORDER = {"top": 2, "bottom": 3}
# Sound that starts at most this much before the picture is codec priming.
PRIMING = Fraction(1, 20)
# PyAV 18.0 cannot say which field comes first, and would say the wrong one.
TELLS_FIELDS = hasattr(av.VideoCodecContext, "field_order")
# Ticks of a second that MP4 can count.
FINEST = 2**31 - 1


def encodes(name: str) -> bool:
    """Whether an encoder is available on this machine."""
    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def write_video(path: PathLike, frames: Iterable[np.ndarray], **options: Any) -> int:
    """Writes all frames of an iterable; options and errors as in `open_writer`.

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
    copied: Copied | None = None,
    colour: Colour = BT709,
    fields: str = "",
) -> Iterator[Callable[[np.ndarray], None]]:
    """Writes frames as H.264 (yuv420p, CRF 16), or lossless.

    The file appears under its name when it is complete. yuv420p needs even sides: the last
    row or column of an odd side is doubled. MP4 and MOV have their index in front, so that
    they play while downloading.

    Args:
      path: .mp4, .mov or .mkv; .mkv if lossless. Its folder is created if missing.
      rate: frames per second, kept exactly.
      lossless: write RGB that reads back bit for bit, also with odd sides: FFV1, or H.264 if
        pixels are not square.
      pixel_aspect: width of a pixel over its height; None: unspecified.
      shown_at: display time of each frame, if the rate varies; Matroska rounds to
        milliseconds. None: constant rate.
      copied: streams to copy; their times count from the first frame.
      colour: how to code colours, and their tags.
      fields: 'top' or 'bottom': the first field of interlaced frames.

    Yields:
      A function that takes the next frame, [H, W, 3] uint8 RGB; at least one, all of one
      size.

    Raises:
      InputError: the suffix is not supported, the file cannot be written, or it cannot hold
        a copied stream.
    """
    path = Path(path)
    suffixes = (".mkv",) if lossless else (".mp4", ".mov", ".mkv")
    if path.suffix.lower() not in suffixes:
        kind = "a lossless video" if lossless else "a video"
        raise InputError(f"{path}: {kind} is written as {' or '.join(suffixes)}")
    options = {} if path.suffix.lower() == ".mkv" else {"movflags": "faststart"}
    try:
        with (
            replacing(path) as temporary,
            # An absolute path is never read as a protocol.
            av.open(str(temporary.absolute()), "w", container_options=options) as container,
        ):
            writer = _Writer(
                container, path, rate, lossless, pixel_aspect, shown_at, copied, colour, fields
            )
            yield writer.write
            writer.finish()
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


class _Writer:
    """An open container; its streams start with the first frame, whose size they need."""

    def __init__(
        self,
        container: Any,
        path: Path,
        rate: Fraction,
        lossless: bool,
        pixel_aspect: Fraction | None,
        shown_at: Sequence[Fraction] | None,
        copied: Copied | None,
        colour: Colour,
        fields: str,
    ):
        self._container, self._path = container, path
        self._rate, self._lossless, self._pixel_aspect = rate, lossless, pixel_aspect
        self._shown_at, self._colour = shown_at, colour
        self._fields = fields if TELLS_FIELDS else ""
        self._delay = Fraction(0)  # of the pictures, behind what is heard before them
        if copied is not None and -copied.earliest > PRIMING:
            self._delay = -copied.earliest
        self._clock = _clock(rate, shown_at, self._delay)
        self._copied = copied
        self._packets = iter(()) if copied is None else copied.packets
        self._copies: dict[int, Any] = {}
        self._next = next(self._packets, None)
        self._stream: Any = None
        self._count = 0

    def write(self, frame: np.ndarray) -> None:
        """Encodes a frame, after copying the packets before it."""
        images.check_image(frame)
        pixels = frame if self._lossless else _pad_to_even(frame)
        if self._stream is None:
            self._begin(pixels.shape[:2])
        elif pixels.shape[:2] != (self._stream.height, self._stream.width):
            raise ValueError(f"frame {self._count} is {frame.shape}: all must have one size")
        time = self._count / self._rate if self._shown_at is None else self._shown_at[self._count]
        self._copy_until(time)
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        if not self._lossless:
            picture = from_array(picture, self._colour, layout=self._stream.pix_fmt)
        else:
            picture = picture.reformat(format=self._stream.pix_fmt)
        shown = round((time + self._delay) / self._clock)
        picture.pts, picture.time_base = shown, self._clock
        self._container.mux(self._stream.encode(picture))
        self._count += 1

    def finish(self) -> None:
        """Flushes the encoder, and copies the remaining packets."""
        if self._stream is None:
            raise ValueError(f"{self._path}: there are no frames to write")
        self._container.mux(self._stream.encode(None))
        self._copy_until(None)

    def _begin(self, size: tuple[int, ...]) -> None:
        codec, options = "libx264", {"crf": "16"}
        if self._lossless:
            # PyAV writes no pixel aspect to Matroska; H.264 contains it.
            square = self._pixel_aspect in (None, 1)
            codec, options = ("ffv1", {}) if square else ("libx264rgb", {"qp": "0"})
        if self._shown_at is not None and codec != "ffv1":
            options["bf"] = "0"  # MP4 counts a track's length in the order of decoding
        if self._fields and codec != "ffv1":
            options["x264-params"] = "tff=1" if self._fields == "top" else "bff=1"
        stream = self._container.add_stream(codec, rate=self._rate, options=options)
        stream.pix_fmt = "bgr0" if self._lossless else "yuv420p"
        stream.height, stream.width = size
        context = stream.codec_context
        if self._clock != 1 / self._rate:
            stream.time_base = context.time_base = self._clock
        coded = self._colour
        context.color_primaries, context.color_trc = coded.primaries, coded.transfer
        context.colorspace = _RGB if self._lossless else coded.matrix
        context.color_range = _FULL if self._lossless or coded.full_range else _LIMITED
        if self._fields and hasattr(context, "field_order"):  # PyAV 18.0 has no such field
            context.field_order = _FIELD_ORDER[self._fields]
        if self._pixel_aspect is not None:
            context.sample_aspect_ratio = self._pixel_aspect
        self._stream = stream
        if self._copied is not None:
            self._begin_copies(self._copied)

    def _begin_copies(self, copied: Copied) -> None:
        for source in copied.streams:
            try:
                copy = self._container.add_stream_from_template(source)
            except (ValueError, av.error.FFmpegError) as error:
                raise InputError(
                    f"{self._path}: {name_of(source)} cannot be copied into {self._path.suffix}"
                ) from error
            copy.metadata.update(tags_of(source))
            copy.disposition = source.disposition
            self._copies[source.index] = copy
        self._container.metadata.update(copied.tags)
        self._stream.metadata.update(copied.video_tags)
        if copied.chapters:
            self._container.set_chapters(copied.chapters)

    def _copy_until(self, until: Fraction | None) -> None:
        """Copies packets up to a time; None: all of them."""
        while self._next is not None:
            packet, heard = self._next
            if until is not None and heard > until:
                return
            lag = 0 if packet.pts is None or packet.dts is None else packet.pts - packet.dts
            packet.pts = round((heard + self._delay) / packet.time_base)
            packet.dts = packet.pts - lag
            packet.stream = self._copies[packet.stream.index]
            self._container.mux(packet)
            self._next = next(self._packets, None)


def _clock(rate: Fraction, shown_at: Sequence[Fraction] | None, delay: Fraction) -> Fraction:
    """The longest tick, seconds, that divides all times; not below a container's finest."""
    if shown_at is None and not delay:
        return 1 / rate
    times = [delay, *(shown_at or [1 / rate])]
    ticks = math.lcm(*(time.denominator for time in times))
    return Fraction(1, ticks) if ticks <= FINEST else Fraction(1, 90000)


def _pad_to_even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
