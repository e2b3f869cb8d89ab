"""Examines a video file: its frames, their times, and damage.

Packets are counted to the end of the file. Frames are decoded as far as they are needed, since
only the decoder knows which packets give a picture, and which pictures are flawed.
"""

import itertools
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from vidprior.errors import InputError
from vidprior.io import colour, timing, video_reader
from vidprior.io.colour import Colour
from vidprior.io.video_reader import Loss, VideoFile

# The field shown first, by libavcodec's field order.
_FIRST_FIELD = {2: "top", 3: "bottom", 4: "bottom", 5: "top"}
# The most missing frames at the end that a header may announce, since it may be damaged.
MOST_MISSING = 100_000
# Codecs with the bottom field first, if nothing is specified.
_BOTTOM_FIRST = ("dvvideo",)


class _Frame(NamedTuple):
    time: Fraction | None
    flawed: bool


class _Packets:
    """Statistics of the packets of a file."""

    def __init__(self, container: str) -> None:
        # In these containers, a gap is marked on the packet before it.
        self._marked_early = container in ("mpegts", "mpeg")
        self._gap_ahead = False
        self.times: list[Fraction | None] = []  # of packets with content, in the file's order
        self.damaged: set[Fraction | None] = set()  # the times of those that lack a part
        self.count = self.hidden = 0
        self.end = 0.0

    def add(self, packet: Any, rate: Fraction | None) -> None:
        self.count += 1
        self.hidden += packet.is_discard  # cut away by an edit list, never shown
        if packet.size and not packet.is_discard:
            self.times.append(video_reader.packet_time(packet))
            if self._gap_ahead if self._marked_early else packet.is_corrupt:
                self.damaged.add(self.times[-1])
            self._gap_ahead = packet.is_corrupt
        if packet.pts is not None:
            duration = (packet.duration or 0) * packet.time_base or (1 / rate if rate else 0)
            self.end = max(self.end, float(packet.pts * packet.time_base + duration))


class _Decoded:
    """The decoded frames and losses of a file."""

    def __init__(self, clock: Fraction) -> None:
        self.clock = clock  # a frame that was held back to the end has none of its own
        self.frames: list[_Frame] = []
        self.losses: list[tuple[int, Fraction | None]] = []  # behind how many frames, and when
        self.first: Any = None

    def add(self, item: Any) -> None:
        if isinstance(item, Loss):
            self.losses.append((len(self.frames), item.time))
            return
        self.first = self.first or item
        time = None if item.pts is None else item.pts * self.clock
        self.frames.append(_Frame(time, item.is_corrupt))

    def is_enough(self, stop: int | None) -> bool:
        """Whether an intact frame follows the wanted ones, so that damage before it is inside."""
        frames = self.frames
        return stop is not None and len(frames) > stop and not frames[-1].flawed

    def usable(self) -> int:
        """Frames before damage that lasts to the end."""
        sound = [number for number, frame in enumerate(self.frames) if not frame.flawed]
        return sound[-1] + 1 if sound else 0

    def lost_inside(self) -> int:
        """Packets before the last intact frame that gave no frame."""
        usable = self.usable()
        latest = self.frames[usable - 1].time if usable else None
        return sum(
            place < usable if time is None or latest is None else time < latest
            for place, time in self.losses
        )


def probe(path: Path, *, stop: int | None = None) -> VideoFile:
    """Examines a video file.

    Args:
      path: of the file.
      stop: how many frames are needed; None: all. Later frames are not decoded.

    Raises:
      InputError: it cannot be read, has no frames, or has an unsupported colour matrix.
    """
    with video_reader.open_video(path) as (container, stream):
        announced = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        rate = timing.choose_rate(announced, ())
        seen, decoded = _Packets(container.format.name), _Decoded(stream.time_base)
        decoder = video_reader.Decoder(stream)
        breaks: list[Exception] = []
        whole = True
        packets = video_reader.packets(container, stream, breaks.append)
        for packet in itertools.chain(packets, [None]):
            if packet is not None:
                seen.add(packet, rate)
            if decoded.is_enough(stop):
                whole = whole and packet is None
            elif packet is None or packet.size:
                for item in decoder.feed(packet):
                    decoded.add(item)
        missing = max(_missing_at_end(path, container, stream, seen, rate), len(breaks))
        missing = min(missing, MOST_MISSING)
        if decoded.first is None:
            if not seen.times and not missing:
                raise InputError(f"{path}: the video has no frames")
            raise InputError(
                f"{path}: the file is cut or damaged, only 0 of {len(seen.times) + missing} frames "
                f"could be decoded"
            )
        lines = stream.codec_context.height
        coded, assumed = _colour(path, decoded.first, lines)
        times, moved, unseen = _times(decoded.frames, seen.times, whole, rate)
        rate = timing.choose_rate(announced, times)
        lost = decoded.lost_inside()
        usable = len(times)
        if whole:
            usable, missing = decoded.usable(), missing + len(decoded.losses) - lost
        # The missing frames of a truncated file are assumed at the same rate.
        spacing = 1 / (rate or Fraction(25))
        times += tuple(times[-1] + (i + 1) * spacing for i in range(missing))
        steady = (abs(t - times[0] - i * spacing) <= stream.time_base for i, t in enumerate(times))
        return VideoFile(
            path=path,
            total=len(times),
            usable=usable,
            size=(lines, stream.codec_context.width),
            rate=rate,
            pixel_aspect=stream.sample_aspect_ratio or None,
            times=times,
            places=timing.places_of(times, rate),
            variable=not all(steady),
            unseen=unseen,
            flawed=tuple(
                number
                for number, (time, flawed) in enumerate(decoded.frames[:usable])
                if flawed or (time is not None and time in seen.damaged)
            ),
            lost=lost,
            moved=moved,
            colour=coded,
            assumed=assumed,
            fields=_fields(decoded.first, stream),
            alpha=video_reader.may_have_alpha(stream),
            lossless=_is_lossless(stream.codec_context, decoded.first),
        )


def _colour(path: Path, frame: Any, lines: int) -> tuple[Colour, str]:
    try:
        return colour.colour_of(frame, lines=lines)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _times(
    frames: Sequence[_Frame],
    packets: Sequence[Fraction | None],
    whole: bool,
    rate: Fraction | None,
) -> tuple[tuple[Fraction, ...], tuple[int, ...], int]:
    """Display times, numbers of frames whose time was repaired, and frames before a key frame."""
    spacing = 1 / (rate or Fraction(25))
    shown = [frame.time for frame in frames if frame.time is not None]
    by_packets = sorted(time for time in packets if time is not None)
    unordered = sum(a >= b for a, b in itertools.pairwise(shown))
    unseen = 0
    if len(shown) == len(frames) and unordered * 5 <= len(shown):
        times, moved = timing.mend_times(shown, spacing=spacing)
        unseen = sum(time < shown[0] for time in by_packets)
        later = [] if whole else [time for time in by_packets if time > max(shown)]
    elif whole and len(by_packets) == len(frames) == len(set(by_packets)):
        # As in AVI, which stores only the order of decoding.
        times, moved, later = tuple(by_packets), (), []
    elif not whole and len(by_packets) == len(packets) == len(set(by_packets)):
        times, moved, later = tuple(by_packets), (), []
    else:
        count = len(frames) if whole else max(len(frames), len(packets))
        times, moved, later = tuple(i * spacing for i in range(count)), (), []
    return times + tuple(later), moved, unseen


def _missing_at_end(
    path: Path, container: Any, stream: Any, seen: _Packets, rate: Fraction | None
) -> int:
    """How many frames the container announces after the last packet."""
    missing = max(stream.frames - seen.count, 0)
    if missing and container.format.name == "avi" and _is_whole_riff(path):
        return 0  # AVI counts dropped frames, which have no packets
    end = _announced_end(container, stream)
    if end is not None and rate:
        missing = max(missing, round((end - seen.end) * rate))
    return missing


def _is_whole_riff(path: Path) -> bool:
    """Whether a RIFF file has the length in its header."""
    with path.open("rb") as file:
        header = file.read(8)
    return (
        header[:4] == b"RIFF"
        and 0 < int.from_bytes(header[4:], "little") <= path.stat().st_size - 8
    )


def _announced_end(container: Any, stream: Any) -> float | None:
    """The end of the stream according to a Matroska file, seconds; it has no frame count."""
    if "matroska" not in container.format.name:
        return None
    for name, value in stream.metadata.items():
        clock = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6}):([0-9]{1,6}(?:\.[0-9]*)?)", value)
        if name.upper().startswith("DURATION") and clock:
            return 3600 * int(clock[1]) + 60 * int(clock[2]) + float(clock[3])
    alone = len(container.streams) == 1 and container.duration is not None
    return container.duration / av.time_base if alone else None


def _fields(frame: Any, stream: Any) -> str:
    if not frame.interlaced_frame:
        return ""
    context = stream.codec_context
    first = _FIRST_FIELD.get(getattr(context, "field_order", 0), "")
    return first or ("bottom" if context.name in _BOTTOM_FIRST else _first_field(frame))


def _first_field(frame: Any) -> str:
    """The first field, found with a filter, since PyAV frames do not have it."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    select = graph.add("select", "eq(interlace_type,BOTTOMFIRST)")
    graph.link_nodes(source, select, graph.add("buffersink")).configure()
    graph.push(frame)
    graph.push(None)
    try:
        graph.pull()
    except av.error.FFmpegError:
        return "top"
    return "bottom"


def _is_lossless(context: Any, frame: Any) -> bool:
    """Whether a stream's values can be labels: lossless and not YUV."""
    codec = av.Codec(context.name, "r")
    is_rgb = frame.format.is_rgb or frame.format.has_palette
    return bool(codec.lossless and not codec.lossy and is_rgb)
