"""Reads the frames of a video file with FFmpeg's libraries, as a player shows them.

Times are seconds as exact fractions. `video_scan` examines a file, `streams` copies its sound
and other streams.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.sidedata.sidedata
import numpy as np

from vidprior.errors import InputError
from vidprior.io.colour import Colour, has_alpha, to_array

# Common codecs of footage, by FFmpeg's names.
DECODERS = ("h264", "hevc", "vp9", "av1", "prores", "mjpeg", "ffv1")
# Decoders that read alpha, for codecs whose FFmpeg decoder does not.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class Turn(NamedTuple):
    """Turns a picture upright: transposes it, then flips rows or columns."""

    quarter: bool
    flip_rows: bool
    flip_columns: bool


class Loss(NamedTuple):
    """A packet that could not be decoded, and its display time, seconds."""

    time: Fraction | None


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """The properties of a video file.

    Attributes:
      path: of the file.
      total: frames that can be shown; for a truncated file, as many as it announces.
      usable: frames before the end of a truncated or damaged file; else `total`.
      size: (H, W) before it is turned upright, pixels.
      rate: frames per second, the average if it varies.
      pixel_aspect: width of a pixel over its height; None if unspecified.
      times: display time of each frame, seconds, rising: from the container, or from the
        rate if the container lacks some.
      places: number of each frame at its rate, counting dropped frames.
      variable: whether the times do not match a constant rate, within the precision of the
        container's clock.
      unseen: frames before the first key frame, which cannot be decoded, since the file was
        cut from a longer one.
      flawed: numbers of frames that the decoder repaired, or next to a loss.
      lost: packets inside the file that could not be decoded.
      moved: numbers of frames whose time was repeated or out of order, and is repaired.
      colour: how colours are coded.
      assumed: a text on what was assumed about colours; empty if nothing.
      fields: 'top' or 'bottom', the first field of interlaced frames; empty for others.
      alpha: whether frames have alpha.
      lossless: whether the codec is lossless.
    """

    path: Path
    total: int
    usable: int
    size: tuple[int, int]
    rate: Fraction | None
    pixel_aspect: Fraction | None
    times: tuple[Fraction, ...]
    places: tuple[int, ...]
    variable: bool
    unseen: int
    flawed: tuple[int, ...]
    lost: int
    moved: tuple[int, ...]
    colour: Colour
    assumed: str
    fields: str
    alpha: bool
    lossless: bool

    def frames(
        self, start: int, stop: int, *, layout: str = "rgb24"
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yields names and pictures of a range, upright; ends early if the video is damaged.

        Args:
          start: first frame.
          stop: frame after the last.
          layout: 'rgb24' for [H, W, 3], 'rgba' for [H, W, 4].
        """
        stop = min(stop, self.usable)
        with open_video(self.path) as (container, stream):
            decoder = Decoder(stream, alpha=layout == "rgba")
            # Decoded from the first frame on: after a seek, frame numbers are uncertain.
            decoded = itertools.islice(decoder.frames(container, stream), stop)
            turn: Turn | None = None
            for index, frame in enumerate(decoded):
                # Read once only: a frame whose side data was read waits for the garbage
                # collector, and large frames would fill the memory.
                turn = turn or turn_of(frame)
                if index >= start:
                    picture = to_array(frame, self.colour, layout=layout)
                    yield f"frame {index} of {self.path}", _upright(picture, turn)


def decodes(name: str) -> bool:
    """Whether a codec can be read on this machine."""
    try:
        av.Codec(name, "r")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Opens PyAV's container and its video stream.

    Raises:
      InputError: the file cannot be read, or has no readable video.
    """
    try:
        # An absolute path is never read as a protocol, and invalid metadata is replaced.
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a video ({error.strerror})") from error
    with container:
        stream = container.streams.best("video")
        if stream is None or stream.codec_context is None:
            what = "has no video stream" if stream is None else "is damaged, or of an unknown codec"
            raise InputError(f"{path}: the file {what}")
        yield container, stream


class Decoder:
    """Decodes packets to frames, from the first intact frame on.

    Packets before the first key frame are skipped, since they refer to missing pictures.

    Args:
      stream: PyAV's.
      alpha: use a decoder that reads alpha.
    """

    def __init__(self, stream: Any, *, alpha: bool = False):
        self._context = _alpha_context(stream) if alpha else stream.codec_context
        self._keyed = self._begun = False

    def feed(self, packet: Any | None) -> Iterator[Any]:
        """Yields the frames and `Loss`es of a packet; None flushes the decoder."""
        self._keyed = self._keyed or packet is None or packet.is_keyframe
        try:
            frames = self._context.decode(packet)
        except (av.error.FFmpegError, ValueError):
            if self._keyed and packet is not None:
                yield Loss(packet_time(packet))
            return
        for frame in frames:
            self._begun = self._begun or not frame.is_corrupt
            if self._begun:
                yield frame

    def frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yields the frames of a whole file."""
        for packet in itertools.chain(packets(container, stream), [None]):
            if packet is None or packet.size:
                yield from (item for item in self.feed(packet) if not isinstance(item, Loss))


def packets(
    container: Any, stream: Any, on_break: Callable[[Exception], None] = lambda _: None
) -> Iterator[Any]:
    """Yields the packets of a stream, including empty ones.

    Args:
      container: PyAV's.
      stream: PyAV's.
      on_break: called if the container cannot be read any further.
    """
    try:
        for packet in container.demux(stream):
            if packet.size or packet.pts is not None:  # demux ends with one that has neither
                yield packet
    except av.error.FFmpegError as error:
        on_break(error)


def packet_time(packet: Any) -> Fraction | None:
    """The display time of a packet's frame, seconds; its decoding time if there is no other."""
    time = packet.dts if packet.pts is None else packet.pts
    return None if time is None else time * packet.time_base


def alpha_codec(stream: Any) -> str | None:
    """The decoder that reads a stream's alpha, if the default one does not."""
    says = {name.lower(): value for name, value in stream.metadata.items()}
    if says.get("alpha_mode") != "1":
        return None
    return ALPHA_DECODERS.get(stream.codec_context.name)


def may_have_alpha(stream: Any) -> bool:
    """Whether the frames of a decoded stream have alpha."""
    pixel_format = stream.codec_context.format
    return alpha_codec(stream) is not None or (pixel_format is not None and has_alpha(pixel_format))


def _alpha_context(stream: Any) -> Any:
    name = alpha_codec(stream)
    if name is None:
        return stream.codec_context
    try:
        context = av.CodecContext.create(name, "r")
    except av.codec.codec.UnknownCodecError as error:
        raise InputError(
            f"alpha in {stream.codec_context.name} is read by {name}, which this PyAV lacks: "
            f"python -m pip install --force-reinstall av"
        ) from error
    context.extradata = stream.codec_context.extradata
    return context


def _name_unknown_side_data(kinds: Any, value: int) -> Any:
    """A member for a kind of side data that FFmpeg knows and PyAV does not."""
    member = object.__new__(kinds)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return member


# Without this, one kind unknown to PyAV makes all side data of a frame unreadable.
setattr(av.sidedata.sidedata.Type, "_missing_", classmethod(_name_unknown_side_data))  # noqa: B010


def turn_of(frame: Any) -> Turn:
    """How to turn a decoded frame upright, from its display matrix (or EXIF, in JPEG)."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        quarters = round(frame.rotation / 90) % 4  # counterclockwise, without mirroring
        return Turn(quarters % 2 == 1, quarters in (1, 2), quarters in (2, 3))
    if data is None:
        return Turn(False, False, False)
    # A pixel (x, y) is shown at (a x + c y, b x + d y), apart from a shift.
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5]
    quarter = abs(b) > abs(a)
    rows, columns = (b, c) if quarter else (d, a)
    return Turn(quarter, rows < 0, columns < 0)


def _upright(picture: np.ndarray, turn: Turn) -> np.ndarray:
    """[H, W, C] turned upright."""
    if turn.quarter:
        picture = picture.swapaxes(0, 1)
    return picture[:: -1 if turn.flip_rows else 1, :: -1 if turn.flip_columns else 1]
