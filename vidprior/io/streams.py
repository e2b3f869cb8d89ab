"""Copies sound, subtitles, attachments, tags and chapters of a video file without decoding.

Times are seconds as exact fractions.
"""

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from vidprior.errors import InputError
from vidprior.io.video_reader import open_video, packet_time

COPIED = ("audio", "subtitle", "attachment")
# Tags that containers write about themselves, which are not copied.
_OWN = (
    "encoder", "major_brand", "minor_version", "compatible_brands", "duration", "vendor_id",
    "handler_name", "rotate", "alpha_mode", "stereo_mode",
)  # fmt: skip


class Copied(NamedTuple):
    """Encoded streams of a source, and their tags.

    Attributes:
      streams: PyAV's streams of the source, which define how the packets are coded.
      left_out: names of other streams, which are not copied.
      packets: in the file's order, with their times in seconds, counted from the first
        picture.
      tags: of the file, such as the title.
      video_tags: of the video stream.
      chapters: PyAV's, of a whole file.
      earliest: start of the first packet, seconds; negative if before the first picture.
    """

    streams: tuple[Any, ...]
    left_out: tuple[str, ...]
    packets: Iterator[tuple[Any, Fraction]]
    tags: dict[str, str]
    video_tags: dict[str, str]
    chapters: list[Any]
    earliest: Fraction


@contextlib.contextmanager
def open_copied(
    path: Path,
    *,
    origin: Fraction,
    begin: Fraction | None,
    end: Fraction | None,
    sound: bool = True,
) -> Iterator[Copied]:
    """Opens the streams of a video file other than its pictures, from `begin` to `end`.

    Args:
      path: of a file that has been probed.
      origin: display time of the first picture, seconds.
      begin: seconds; packets that end by then are left out. None: none.
      end: seconds; packets that start then or later are left out. None: none.
      sound: whether to include audio.
    """
    with open_video(path) as (container, video):
        kinds = COPIED if sound else COPIED[1:]
        others = [stream for stream in container.streams if stream.index != video.index]
        streams = tuple(stream for stream in others if stream.type in kinds and _is_known(stream))
        left_out = [name_of(s) for s in others if s not in streams and _is_content(s, sound)]
        packets = (
            (packet, heard - origin)
            for packet, heard, over in _packets(path, container, streams)
            if (begin is None or over > begin) and (end is None or heard < end)
        )
        earliest = Fraction(0)
        if begin is None:
            starts = [s.start_time * s.time_base for s in streams if s.start_time is not None]
            earliest = min([start - origin for start in starts], default=earliest)
        yield Copied(
            streams,
            tuple(left_out),
            packets,
            tags_of(container),
            tags_of(video),
            container.chapters() if begin is None and end is None else [],
            min(earliest, Fraction(0)),
        )


def _is_known(stream: Any) -> bool:
    """Whether a stream can be copied; attachments, such as fonts, have no codec."""
    return stream.codec_context is not None or stream.type == "attachment"


def _is_content(stream: Any, sound: bool) -> bool:
    """Whether a stream has content; chapters and time codes are copied as tags."""
    if stream.type == "data":
        return stream.name != "bin_data" and "timecode" not in stream.metadata
    return sound or stream.type != "audio"


def tags_of(holder: Any) -> dict[str, str]:
    """The tags of a container or a stream that describe its content."""
    return {
        name: value
        for name, value in holder.metadata.items()
        if name.lower() not in _OWN and not name.lower().startswith(("_statistics", "duration"))
    }


def name_of(stream: Any) -> str:
    """Such as 'audio stream 1 (truehd, fra)'."""
    # PyAV names some streams without a decoder, and fails at others.
    named = stream if stream.codec_context is None else stream.codec_context
    details = [getattr(named, "name", None) or "unknown codec"]
    language = stream.metadata.get("language")
    if language not in (None, "und"):
        details.append(language)
    return f"{stream.type} stream {stream.index} ({', '.join(details)})"


def _packets(
    path: Path, container: Any, streams: Sequence[Any]
) -> Iterator[tuple[Any, Fraction, Fraction]]:
    """Yields each packet with its start and end, seconds."""
    coded = [stream for stream in streams if stream.codec_context is not None]
    if not coded:
        return
    try:
        for packet in container.demux(*coded):
            heard = packet_time(packet)
            if packet.size and heard is not None:
                yield packet, heard, heard + (packet.duration or 0) * packet.time_base
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: its audio cannot be read ({error.strerror})") from error
