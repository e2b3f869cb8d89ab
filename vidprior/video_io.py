"""Frames and masks of a clip, from video files or folders of images.

Letters
    T  frames read     H  rows     W  columns, of the source

Frames are `uint8` RGB [T, H, W, 3]; masks are `uint8` grey [T, H, W], 255 where
content is missing. A *clip* is a video file or a folder of images in natural order
(frame2 before frame10). Pictures come as a player would show them: upright, in 8 bits,
grey replicated to RGB, alpha left out; high dynamic range is not mapped to less.
Codecs are known here, in `image_io`, and in `video_out`, which writes video.
"""

import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidprior import image_io
from vidprior.errors import InputError

# The frames of one call may take this much memory: 1380 frames of 1920x1080.
MAX_BYTES = 8 * 2**30

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Video:
    """A range of frames of a clip.

    Attributes:
      frames: [T, H, W, 3] uint8 RGB, upright.
      rate: frames per second, the average where it varies; None for images.
      path: where the frames came from.
      start: index in the clip of the first frame read.
      total: frames of the whole clip as its container announces them: more than
        start + T where only a range was read or the file is cut.
      pixel_aspect: width of a pixel over its height; None where nothing is said.
    """

    frames: np.ndarray
    rate: Fraction | None
    path: Path
    start: int
    total: int
    pixel_aspect: Fraction | None = None


def read_frames(
    path: PathLike,
    *,
    start: int = 0,
    stop: int | None = None,
    max_frames: int | None = None,
    allow_truncated: bool = False,
) -> Video:
    """Reads frames start, start + 1, ... stop - 1 of a clip.

    Args:
      path: a video file, a folder of images, or one image (a clip of one frame).
      start: index of the first frame.
      stop: index after the last frame; None reads to the end.
      max_frames: read at most so many frames of the range; None reads them all.
      allow_truncated: use the frames before the damage of a video that is cut or
        damaged within the range; the last few of them may not be consecutive. What
        stands after the range is never decoded, and so may be damaged in any case.

    Returns:
      The frames, with what is known about the clip.

    Raises:
      InputError: nothing is there or it cannot be read, the range leaves the clip,
        frames differ in size, a video is cut or damaged, or the frames would take
        more than `MAX_BYTES`.
    """
    clip = _open_clip(path)
    start, stop = _resolve_range(clip, start, stop, max_frames)
    frames = _stack(clip, start, stop)
    if len(frames) < stop - start and not (allow_truncated and len(frames)):
        advice = "; use them with --config.video.allow_truncated=True" if len(frames) else ""
        raise InputError(_describe_cut(clip, start + len(frames)) + advice)
    aspect = clip.pixel_aspect
    if aspect is not None and frames.shape[1:3] != clip.size:
        aspect = 1 / aspect  # a quarter turn made the frames upright
    return Video(frames, clip.rate, clip.path, start, clip.total, aspect)


def read_masks(
    path: PathLike,
    *,
    size: tuple[int, int],
    num_frames: int,
    start: int = 0,
    total_frames: int | None = None,
) -> np.ndarray:
    """Reads the hole masks of the frames start ... start + num_frames - 1 of a clip.

    The masks are one image, used for every frame, or a clip that covers either just
    those frames or the whole video, from which the same range is then cut.

    A picture becomes grey by its alpha where alpha varies within the sequence, and
    otherwise by the largest of its colour channels (a video has no alpha here). What
    grey means depends on the source:
      - Lossy (any video, jpeg): hole above half of white; coding noise near black is
        known, however little hole there is.
      - Lossless images that reach white (255): the grey values as they are. Soft edges
        are kept for the resize that follows.
      - Lossless images below white with at most `image_io.MAX_LABELS` different values:
        labels (0/1, 0/128, object numbers, palette colours). Everything but 0 is hole.
      - Other lossless images: grey, scaled to reach white.

    Args:
      path: a video file, a folder of images, or one image.
      size: (H, W) of the frames, pixels.
      num_frames: T, the frames to be masked.
      start: index in the video of the first of them.
      total_frames: frames of the whole video; None where `num_frames` are all of it.

    Returns:
      [T, H, W] uint8, 255 where content is missing; between 0 and 255 only on the soft
      edges of lossless images, where a pixel is hole above 127.

    Raises:
      InputError: nothing is there or it cannot be read, or number or size of the masks
        do not match the frames.
    """
    clip = _open_clip(path)
    total = num_frames if total_frames is None else total_frames
    if isinstance(clip, _Images) and clip.path.is_file():
        return np.repeat(image_io.read_mask_images(clip.files, size), num_frames, axis=0)
    if clip.total not in (num_frames, total):
        whole = f", nor the whole video's {total}" if total != num_frames else ""
        raise InputError(
            f"{clip.path}: {clip.total} masks do not match {num_frames} frames{whole}; give one "
            "mask per frame, or a single image for all"
        )
    first = 0 if clip.total == num_frames else start
    if isinstance(clip, _Images):
        return image_io.read_mask_images(clip.files[first : first + num_frames], size)
    masks = np.empty((num_frames, *size), np.uint8)
    count = 0
    for name, frame in clip.frames(first, first + num_frames):
        image_io.check_size(name, frame.shape, "the video that it masks", size)
        masks[count] = image_io.grey_to_mask(image_io.brightest_channel(frame), lossy=True)
        count += 1
    if count < num_frames:
        raise InputError(_describe_cut(clip, first + count))
    return masks


@dataclasses.dataclass(frozen=True)
class _Images:
    """A clip of image files; `path` is their folder, or the only one of them."""

    path: Path
    files: tuple[Path, ...]
    rate: Fraction | None = None
    pixel_aspect: Fraction | None = None

    @property
    def total(self) -> int:
        return len(self.files)

    @property
    def size(self) -> tuple[int, int]:
        return image_io.image_size(self.files[0])

    def frames(self, start: int, stop: int) -> Iterator[tuple[str, np.ndarray]]:
        for file in self.files[start:stop]:
            yield str(file), image_io.read_image(file)


@dataclasses.dataclass(frozen=True)
class _VideoFile:
    """A video file after a first look; `size` is (H, W) before it is turned upright."""

    path: Path
    total: int
    size: tuple[int, int]
    rate: Fraction | None
    pixel_aspect: Fraction | None

    def frames(self, start: int, stop: int) -> Iterator[tuple[str, np.ndarray]]:
        """Names and pictures of a range; ends early where the video is damaged."""
        with _open_video(self.path) as (container, stream):
            # From the first frame on: after a seek, a frame's number is a guess.
            decoded = itertools.islice(_decode(container, stream), stop)
            for index, frame in enumerate(decoded):
                if index >= start:
                    yield f"frame {index} of {self.path}", _upright(frame)


def _open_clip(path: PathLike) -> _Images | _VideoFile:
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        return _Images(path, image_io.list_images(path))
    return _Images(path, (path,)) if image_io.is_image(path) else _probe_video(path)


def _resolve_range(
    clip: _Images | _VideoFile, start: int, stop: int | None, max_frames: int | None
) -> tuple[int, int]:
    """The range as two indices inside the clip, after checking its memory."""
    last = clip.total if stop is None else stop
    if not 0 <= start < last <= clip.total:
        wanted = f"from {start} to {'the end' if stop is None else stop}"
        raise InputError(f"{clip.path}: no frames {wanted} in a clip of {clip.total} frames")
    if max_frames is not None:
        if max_frames < 1:
            raise InputError(
                f"{clip.path}: cannot read {max_frames} frames; max_frames is 1 or more"
            )
        last = min(last, start + max_frames)
    count = last - start
    needed = count * clip.size[0] * clip.size[1] * 3
    if needed > MAX_BYTES:
        raise InputError(
            f"{clip.path}: {count} frames of {image_io.width_x_height(clip.size)} take "
            f"{needed / 2**30:.1f} GiB, more than the {MAX_BYTES / 2**30:.1f} GiB that "
            "vidprior.video_io.MAX_BYTES allows; read a shorter range of frames"
        )
    return start, last


def _stack(clip: _Images | _VideoFile, start: int, stop: int) -> np.ndarray:
    """The frames of a range in one array; fewer where a video ends early."""
    frames = np.empty((0, *clip.size, 3), np.uint8)
    first, count = "", 0
    for name, frame in clip.frames(start, stop):
        if not count:
            first, frames = name, np.empty((stop - start, *frame.shape), np.uint8)
        image_io.check_size(name, frame.shape, first, frames.shape[1:])
        frames[count] = frame
        count += 1
    return frames[:count]


def _describe_cut(clip: _Images | _VideoFile, decoded: int) -> str:
    return (
        f"{clip.path}: the file is cut or damaged, only {decoded} of {clip.total} frames could be "
        "decoded"
    )


@contextlib.contextmanager
def _open_video(path: Path) -> Iterator[tuple[Any, Any]]:
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


def _probe_video(path: Path) -> _VideoFile:
    """Counts a video's frames by its packets, and what its container says beyond them."""
    with _open_video(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate or None
        packets = discarded = 0
        end = 0.0
        try:
            for packet in container.demux(stream):
                discarded += packet.is_discard  # cut away by an edit list, never shown
                packets += packet.size > 0 and not packet.is_discard
                end = max(end, _packet_end(packet, rate))
        except av.error.FFmpegError:
            packets += 1  # the one that could not be read
        total = max(packets, stream.frames - discarded)
        announced_end = _announced_end(container, stream)
        if announced_end is not None and rate:
            total = max(total, packets + round((announced_end - end) * rate))
        if total < 1:
            raise InputError(f"{path}: the video has no frames")
        size = stream.codec_context.height, stream.codec_context.width
        return _VideoFile(path, total, size, rate, stream.sample_aspect_ratio or None)


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
    """Frames as the decoder gives them, up to the first sign of damage."""
    for packet in itertools.chain(_intact_packets(container, stream), [None]):
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError:
            return
        for frame in frames:
            if frame.is_corrupt:
                return
            yield frame


def _intact_packets(container: Any, stream: Any) -> Iterator[Any]:
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                return
            if packet.size:  # demux ends with an empty one; `_decode` flushes by itself
                yield packet
    except av.error.FFmpegError:
        return


def _upright(frame: Any) -> np.ndarray:
    """[H, W, 3] uint8 RGB of a decoded frame, turned by its display matrix."""
    picture = frame.to_ndarray(format="rgb24")
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return picture
    # A pixel (x, y) is shown at (a x + c y, b x + d y), apart from a shift.
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5]
    if abs(b) > abs(a):
        picture = picture.swapaxes(0, 1)
        rows, columns = b, c
    else:
        rows, columns = d, a
    return picture[:: -1 if rows < 0 else 1, :: -1 if columns < 0 else 1]
