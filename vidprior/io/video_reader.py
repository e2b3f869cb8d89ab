"""What one video file holds, by FFmpeg's libraries: frames, their times, and audio as coded.

Times are seconds as exact fractions.
"""

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from vidprior.errors import InputError

# Codecs that footage comes in, by FFmpeg's names.
DECODERS = ("h264", "hevc", "vp9", "av1", "prores", "mjpeg", "ffv1")


class Turn(NamedTuple):
    """What makes a picture upright: rows for columns, then rows or columns the other way."""

    quarter: bool
    flip_rows: bool
    flip_columns: bool


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A video file after a first look.

    Attributes:
      total: frames that the container announces, from the first that can be shown.
      size: (H, W) before it is turned upright, pixels.
      rate: frames per second, the average where it varies.
      pixel_aspect: width of a pixel over its height; None where nothing is said.
      times: when each frame is shown, seconds, in order: by the container, or by the
        rate where that does not say it of every frame.
      variable: whether the times are not those of a constant rate, give or take the
        precision of the container's clock.
      unseen: frames before those, which refer to pictures that are not in the file: it was
        cut out of a longer one and does not begin with a key frame.
    """

    path: Path
    total: int
    size: tuple[int, int]
    rate: Fraction | None
    pixel_aspect: Fraction | None
    times: tuple[Fraction, ...]
    variable: bool
    unseen: int

    def frames(self, start: int, stop: int) -> Iterator[tuple[str, np.ndarray]]:
        """Names and pictures of a range; ends early where the video is damaged."""
        with open_video(self.path) as (container, stream):
            # From the first frame on: after a seek, a frame's number is a guess.
            decoded = itertools.islice(_decode(container, stream), stop)
            turn: Turn | None = None
            for index, frame in enumerate(decoded):
                # Asked once: a frame whose side data has been read waits for the garbage
                # collector, and large frames soon fill the memory.
                turn = turn or _turn(frame)
                if index >= start:
                    picture = frame.to_ndarray(format="rgb24")
                    yield f"frame {index} of {self.path}", _upright(picture, turn)


def decodes(name: str) -> bool:
    """Whether a codec can be read on this machine."""
    try:
        av.Codec(name, "r")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


class Audio(NamedTuple):
    """Audio as it is coded, to be copied.

    Attributes:
      streams: PyAV's, of the file that they stand in; they say how the packets are coded.
      packets: in the file's order, with their times in seconds: when they are heard,
        counted from the first picture.
    """

    streams: tuple[Any, ...]
    packets: Iterator[tuple[Any, Fraction]]


@contextlib.contextmanager
def open_audio(
    path: Path, *, origin: Fraction, begin: Fraction | None, end: Fraction | None
) -> Iterator[Audio | None]:
    """The audio of a video file from `begin` to `end`; None where there is none.

    Args:
      path: of a file that has been probed.
      origin: when the first picture is shown, seconds.
      begin: seconds; packets that are over by then are left out. None: none are.
      end: seconds; packets that start then or later are left out. None: none are.
    """
    with open_video(path) as (container, _):
        streams = tuple(stream for stream in container.streams.audio if stream.codec_context)
        packets = _audio_packets(path, container, streams)
        wanted = (
            (packet, heard - origin)
            for packet, heard, over in packets
            if (begin is None or over > begin) and (end is None or heard < end)
        )
        yield Audio(streams, wanted) if streams else None


def _audio_packets(
    path: Path, container: Any, streams: Sequence[Any]
) -> Iterator[tuple[Any, Fraction, Fraction]]:
    """Each packet, and when it begins and ends to be heard, seconds."""
    try:
        for packet in container.demux(*streams):
            if packet.size and packet.dts is not None:
                heard = (packet.dts if packet.pts is None else packet.pts) * packet.time_base
                yield packet, heard, heard + (packet.duration or 0) * packet.time_base
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: its audio cannot be read ({error.strerror})") from error


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


def probe(path: Path) -> VideoFile:
    """Counts a video's frames by its packets, and what its container says beyond them."""
    with open_video(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate or None
        packets = discarded = 0
        end = 0.0
        shown: list[Fraction | None] = []
        try:
            for packet in container.demux(stream):
                discarded += packet.is_discard  # cut away by an edit list, never shown
                if packet.size > 0 and not packet.is_discard:
                    packets += 1
                    shown.append(None if packet.pts is None else packet.pts * packet.time_base)
                end = max(end, _packet_end(packet, rate))
        except av.error.FFmpegError:
            packets += 1  # the one that could not be read
        first = _first_shown(path)
        seen = [time for time in shown if time is None or first is None or time >= first]
        unseen = len(shown) - len(seen)
        packets, discarded = packets - unseen, discarded + unseen
        total = max(packets, stream.frames - discarded)
        announced_end = _announced_end(container, stream)
        if announced_end is not None and rate:
            total = max(total, packets + round((announced_end - end) * rate))
        if total < 1:
            raise InputError(f"{path}: the video has no frames")
        size = stream.codec_context.height, stream.codec_context.width
        aspect = stream.sample_aspect_ratio or None
        times, variable = _timing(seen, total, rate=rate, tick=stream.time_base)
        return VideoFile(path, total, size, rate, aspect, times, variable, unseen)


def _first_shown(path: Path) -> Fraction | None:
    """The time of the first frame that can be decoded, seconds; None where it is not known."""
    with open_video(path) as (container, stream):
        frame = next(_decode(container, stream), None)
        return None if frame is None or frame.pts is None else frame.pts * stream.time_base


def _timing(
    shown: Sequence[Fraction | None], total: int, *, rate: Fraction | None, tick: Fraction
) -> tuple[tuple[Fraction, ...], bool]:
    """`VideoFile.times` and `VideoFile.variable`; frames stand in a file in decoding order."""
    times = tuple(sorted(time for time in shown if time is not None))
    spacing = 1 / (rate or Fraction(25))
    # Frames that share a time, or have none, as in some AVI files: only the rate is known.
    if len(times) != len(shown) or len(set(times)) < len(times):
        times = tuple(i * spacing for i in range(total))
    # Of a file that is cut off, the rest would have gone on at the same rate.
    end = times[-1] if times else Fraction(0)
    times += tuple(end + (i + 1) * spacing for i in range(total - len(times)))
    steady = (abs(time - times[0] - i * spacing) <= tick for i, time in enumerate(times))
    return times, not all(steady)


def _packet_end(packet: Any, rate: Fraction | None) -> float:
    """When the frame of a packet is over, seconds; one frame long if nothing is said."""
    if packet.pts is None:
        return 0.0
    duration = (packet.duration or 0) * packet.time_base
    return float(packet.pts * packet.time_base + (duration or (1 / rate if rate else 0)))


def _announced_end(container: Any, stream: Any) -> float | None:
    """When a Matroska file says that the stream is over, seconds; it counts no frames."""
    if "matroska" not in container.format.name:
        return None
    for name, value in stream.metadata.items():
        clock = re.fullmatch(r"([0-9]+):([0-9]+):([0-9.]+)", value)
        if name.upper().startswith("DURATION") and clock:
            return 3600 * int(clock[1]) + 60 * int(clock[2]) + float(clock[3])
    alone = len(container.streams) == 1 and container.duration is not None
    return container.duration / av.time_base if alone else None


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Frames as the decoder gives them, up to the first sign of damage.

    What stands before the first key frame is none: it refers to what is not there.
    """
    begun = False
    for packet in itertools.chain(_intact_packets(container, stream), [None]):
        begun = begun or packet is None or packet.is_keyframe
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError:
            if begun:
                return
            continue
        for frame in frames:
            if not frame.is_corrupt:
                begun = True
                yield frame
            elif begun:
                return


def _intact_packets(container: Any, stream: Any) -> Iterator[Any]:
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                return
            if packet.size:  # demux ends with an empty one; `_decode` flushes by itself
                yield packet
    except av.error.FFmpegError:
        return


def _turn(frame: Any) -> Turn:
    """How a decoded frame is to be turned, by its display matrix."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Turn(False, False, False)
    # A pixel (x, y) is shown at (a x + c y, b x + d y), apart from a shift.
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5]
    quarter = abs(b) > abs(a)
    rows, columns = (b, c) if quarter else (d, a)
    return Turn(quarter, rows < 0, columns < 0)


def _upright(picture: np.ndarray, turn: Turn) -> np.ndarray:
    """[H, W, 3] as it is to be shown."""
    if turn.quarter:
        picture = picture.swapaxes(0, 1)
    return picture[:: -1 if turn.flip_rows else 1, :: -1 if turn.flip_columns else 1]
