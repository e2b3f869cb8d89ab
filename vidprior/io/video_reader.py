"""What one video file holds, by FFmpeg's libraries: its frames as they are to be shown.

Times are seconds as exact fractions. `video_scan` looks a file over, `streams` copies what
stands beside the pictures.
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

# Codecs that footage comes in, by FFmpeg's names.
DECODERS = ("h264", "hevc", "vp9", "av1", "prores", "mjpeg", "ffv1")
# FFmpeg's own decoders of these leave alpha out; those of their makers do not.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class Turn(NamedTuple):
    """What makes a picture upright: rows for columns, then rows or columns the other way."""

    quarter: bool
    flip_rows: bool
    flip_columns: bool


class Loss(NamedTuple):
    """A packet that could not be decoded, and when it would have been shown, seconds."""

    time: Fraction | None


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A video file after a first look.

    Attributes:
      total: frames that can be shown; of a file that is cut off, as many as it announces.
      usable: frames before the end of a file that is cut off or damaged there; else `total`.
      size: (H, W) before it is turned upright, pixels.
      rate: frames per second, the average where it varies.
      pixel_aspect: width of a pixel over its height; None where nothing is said.
      times: when each frame is shown, seconds, rising: by the container, or by the
        rate where that does not say it of every frame.
      places: the number of each frame at its rate, counting those that were dropped.
      variable: whether the times are not those of a constant rate, give or take the
        precision of the container's clock.
      unseen: frames before those, which refer to pictures that are not in the file: it was
        cut out of a longer one and does not begin with a key frame.
      flawed: numbers of frames that the decoder mended or that stand beside a loss.
      lost: packets within the file that could not be decoded.
      moved: numbers of frames whose time was doubled or out of order, and is mended.
      colour: how colours are coded.
      assumed: what the file does not say of its colours, and what was taken, in words.
      fields: 'top' or 'bottom', the first field of interlaced frames; empty for others.
      alpha: whether frames say how opaque they are.
      lossless: whether its numbers are as they were before coding.
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
        """Names and pictures of a range, upright; ends early where the video is damaged.

        Args:
          layout: 'rgb24' for [H, W, 3], 'rgba' for [H, W, 4].
        """
        stop = min(stop, self.usable)
        with open_video(self.path) as (container, stream):
            decoder = Decoder(stream, alpha=layout == "rgba")
            # From the first frame on: after a seek, a frame's number is a guess.
            decoded = itertools.islice(decoder.frames(container, stream), stop)
            turn: Turn | None = None
            for index, frame in enumerate(decoded):
                # Asked once: a frame whose side data has been read waits for the garbage
                # collector, and large frames soon fill the memory.
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
    """PyAV's container and its video stream.

    Raises:
      InputError: the file cannot be read, or has no video that can.
    """
    try:
        # An absolute path is never taken for a protocol, and odd metadata stops nothing.
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
    """Frames out of packets: all that libavcodec delivers, from the first whole one on.

    What stands before the first key frame is none: it refers to what is not there.

    Args:
      stream: PyAV's.
      alpha: take a decoder that delivers alpha.
    """

    def __init__(self, stream: Any, *, alpha: bool = False):
        self._context = _alpha_context(stream) if alpha else stream.codec_context
        self._keyed = self._begun = False

    def feed(self, packet: Any | None) -> Iterator[Any]:
        """The frames, and `Loss`es, that a packet leads to; None asks for what is held back."""
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
        """The frames of a whole file."""
        for packet in itertools.chain(packets(container, stream), [None]):
            if packet is None or packet.size:
                yield from (item for item in self.feed(packet) if not isinstance(item, Loss))


def packets(
    container: Any, stream: Any, on_break: Callable[[Exception], None] = lambda _: None
) -> Iterator[Any]:
    """The packets of a stream, empty ones too.

    Args:
      on_break: called where the container cannot be read any further.
    """
    try:
        for packet in container.demux(stream):
            if packet.size or packet.pts is not None:  # demux ends with one that has neither
                yield packet
    except av.error.FFmpegError as error:
        on_break(error)


def packet_time(packet: Any) -> Fraction | None:
    """When a packet's frame is shown, seconds; when it is decoded, where that is all it says."""
    time = packet.dts if packet.pts is None else packet.pts
    return None if time is None else time * packet.time_base


def alpha_codec(stream: Any) -> str | None:
    """The decoder that delivers a stream's alpha where its usual one does not."""
    says = {name.lower(): value for name, value in stream.metadata.items()}
    if says.get("alpha_mode") != "1":
        return None
    return ALPHA_DECODERS.get(stream.codec_context.name)


def may_have_alpha(stream: Any) -> bool:
    """Whether the frames of a stream that has been looked at say how opaque they are."""
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
    """A member for a kind of side data that FFmpeg knows and PyAV's table does not."""
    member = object.__new__(kinds)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return member


# Without this, one kind that PyAV does not know makes all side data of a frame unreadable.
setattr(av.sidedata.sidedata.Type, "_missing_", classmethod(_name_unknown_side_data))  # noqa: B010


def turn_of(frame: Any) -> Turn:
    """How a decoded frame is to be turned, by its display matrix (EXIF's too, in JPEG)."""
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
    """[H, W, C] as it is to be shown."""
    if turn.quarter:
        picture = picture.swapaxes(0, 1)
    return picture[:: -1 if turn.flip_rows else 1, :: -1 if turn.flip_columns else 1]
