"""Reads the frames of a clip: a video file, an image file with pages, or a folder of images.

Letters
    T  frames read     H  rows     W  columns, of the source

Frames are `uint8` RGB [T, H, W, 3]. A *clip* is a video file, an image file or a folder of
images in natural order (frame2 before frame10). Pictures are as a player shows them: upright,
in 8 bits, grey replicated to RGB, alpha dropped; high dynamic range is not tone-mapped.
`clips` knows the kinds of clips, `masks` reads masks.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidprior.errors import InputError
from vidprior.io import clips, images, numbering, streams
from vidprior.io.clips import Clip, ImageFile, ImageFolder
from vidprior.io.colour import BT709, Colour
from vidprior.io.streams import Copied
from vidprior.io.video_reader import VideoFile

# The most memory for the frames of one call: 1380 frames of 1920x1080.
MAX_BYTES = 8 * 2**30

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Video:
    """A range of frames of a clip.

    Attributes:
      frames: [T, H, W, 3] uint8 RGB, upright.
      rate: frames per second, the average if it varies; None for images.
      path: of the clip.
      start: index in the clip of the first frame.
      total: frames of the whole clip as its container announces them: more than start + T if
        only a range was read or the file is truncated.
      pixel_aspect: width of a pixel over its height; None if unspecified.
    """

    frames: np.ndarray
    rate: Fraction | None
    path: Path
    start: int
    total: int
    pixel_aspect: Fraction | None = None


@dataclasses.dataclass(frozen=True)
class Footage:
    """A range of frames of a clip, decoded one at a time on demand.

    Attributes:
      size: (H, W), upright.
      start: index in the clip of the first frame.
      count: T, frames of the range.
      rate: frames per second, the average if it varies; None for images.
      pixel_aspect: width of a pixel over its height; None if unspecified.
      margins: rows above and below, and columns on each side, that are added to the pictures
        of the clip, and counted in `size`.
    """

    size: tuple[int, int]
    start: int
    count: int
    rate: Fraction | None
    pixel_aspect: Fraction | None
    clip: Clip
    _allow_truncated: bool
    margins: tuple[int, int] = (0, 0)

    @property
    def path(self) -> Path:
        """The clip's path."""
        return self.clip.path

    @property
    def total(self) -> int:
        """Frames of the whole clip; as its container announces them, if it is truncated."""
        return self.clip.total

    @property
    def colour(self) -> Colour:
        """How colours of the source are coded; the result uses the same."""
        return self.clip.colour if isinstance(self.clip, VideoFile) else BT709

    @property
    def fields(self) -> str:
        """'top' or 'bottom', the first field of interlaced frames; empty for others."""
        return self.clip.fields if isinstance(self.clip, VideoFile) else ""

    def numbers(self) -> tuple[int, ...]:
        """The number of each frame: from its name, or counted with dropped frames."""
        stop = self.start + self.count
        if isinstance(self.clip, ImageFolder) and self.clip.numbers is not None:
            return self.clip.numbers[self.start : stop]
        if isinstance(self.clip, VideoFile):
            return self.clip.places[self.start : stop]
        return tuple(range(self.start, stop))

    def notes(self) -> Iterator[str]:
        """Yields notes and warnings about the source, a line each."""
        if isinstance(self.clip, VideoFile):
            yield from _notes(self.clip, range(self.start, self.start + self.count))
        if isinstance(self.clip, ImageFolder) and self.clip.numbers is not None:
            gap = numbering.first_gap(self.numbers())
            if gap is not None:
                before, after = self.clip.files[self.start + gap : self.start + gap + 2]
                yield (
                    f"note: after {before} comes {after.name}: frames are missing and are not "
                    f"replaced"
                )

    def part(self, begin: int, end: int) -> "Footage":
        """Frames begin, begin + 1, ... end - 1 of this range."""
        return dataclasses.replace(self, start=self.start + begin, count=end - begin)

    def widen(self, rows: int, columns: int) -> "Footage":
        """The same on a larger canvas: so many rows and columns more on each side."""
        size = (self.size[0] + 2 * rows, self.size[1] + 2 * columns)
        margins = (self.margins[0] + rows, self.margins[1] + columns)
        return dataclasses.replace(self, size=size, margins=margins)

    def frames(self) -> Iterator[np.ndarray]:
        """Yields frames [H, W, 3] uint8 RGB, upright; in margins, the nearest pixels.

        Raises:
          InputError: a frame has another size, or the video is truncated or damaged; if that
            is allowed, the frames end before the damage.
        """
        first, decoded = "", 0
        rows, columns = self.margins
        inner = (self.size[0] - 2 * rows, self.size[1] - 2 * columns)
        sides = ((rows, rows), (columns, columns), (0, 0))
        for name, frame in self.clip.frames(self.start, self.start + self.count):
            first = first or name
            images.check_size(name, frame.shape, first, inner)
            yield np.pad(frame, sides, mode="edge") if any(self.margins) else frame
            decoded += 1
        if decoded < self.count and not (self._allow_truncated and decoded):
            advice = "; use them with --config.video.allow_truncated=True" if decoded else ""
            raise InputError(_describe_cut(self.clip, self.start + decoded) + advice)

    def seconds(self, rate: Fraction) -> tuple[Fraction, ...]:
        """Display time of each frame, seconds after the clip's first frame; images at `rate`."""
        stop = self.start + self.count
        times = self._times()
        if times is not None:
            return tuple(time - times[0] for time in times[self.start : stop])
        return tuple(number / rate for number in range(self.start, stop))

    def shown_at(self) -> tuple[Fraction, ...] | None:
        """Display time of each frame, seconds after the first; None at a constant rate."""
        clip, times = self.clip, self._times()
        if times is None or (isinstance(clip, VideoFile) and not clip.variable):
            return None
        if isinstance(clip, ImageFile) and len(set(clip.durations or ())) < 2:
            return None
        shown = times[self.start : self.start + self.count]
        return tuple(time - shown[0] for time in shown)

    def _times(self) -> tuple[Fraction, ...] | None:
        return self.clip.times if isinstance(self.clip, VideoFile | ImageFile) else None

    @contextlib.contextmanager
    def open_streams(self, *, sound: bool = True) -> Iterator[Copied | None]:
        """Opens the sound and other streams of the range; None if the clip is no video.

        For the whole clip, packets before the first picture and after the last are included.

        Args:
          sound: whether to include audio.
        """
        if not isinstance(self.clip, VideoFile):
            yield None
            return
        times, stop = self.clip.times, self.start + self.count
        with streams.open_copied(
            self.clip.path,
            origin=times[self.start],
            begin=times[self.start] if self.start else None,
            end=times[stop] if stop < len(times) else None,
            sound=sound,
        ) as copied:
            yield copied


def open_footage(
    path: PathLike,
    *,
    start: int = 0,
    stop: int | None = None,
    max_frames: int | None = None,
    allow_truncated: bool = False,
) -> Footage:
    """Opens frames start, start + 1, ... stop - 1 of a clip; decodes one of them.

    Arguments and errors as in `read_frames`, but one frame at a time is in memory.
    """
    wanted = [end for end in (stop, None if max_frames is None else start + max_frames) if end]
    clip = clips.open_clip(Path(path), stop=min(wanted, default=None))
    start, stop = _resolve_range(clip, start, stop, max_frames)
    first = next((frame for _, frame in clip.frames(start, start + 1)), None)
    if first is None:
        raise InputError(_describe_cut(clip, start))
    aspect = clip.pixel_aspect
    if aspect is not None and first.shape[:2] != clip.size:
        aspect = 1 / aspect  # a quarter turn made the frames upright
    return Footage(
        (first.shape[0], first.shape[1]), start, stop - start, clip.rate, aspect, clip,
        allow_truncated,
    )  # fmt: skip


def wrap_frames(frames: np.ndarray) -> Footage:
    """Footage of frames in memory, [T, H, W, 3] uint8 RGB."""
    size = (frames.shape[1], frames.shape[2])
    return Footage(size, 0, len(frames), None, None, clips.Array(frames), False)


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
      max_frames: read at most this many frames of the range; None: all.
      allow_truncated: if the video is truncated or damaged inside the range, use the frames
        before the damage; the last few may not be consecutive. Frames after the range are
        never decoded, and may be damaged in any case.

    Returns:
      The frames and properties of the clip.

    Raises:
      InputError: the clip does not exist or cannot be read, the range leaves it, frames
        differ in size, a video is truncated or damaged, or the frames would take more than
        `MAX_BYTES`.
    """
    footage = open_footage(
        path, start=start, stop=stop, max_frames=max_frames, allow_truncated=allow_truncated
    )
    needed = footage.count * footage.size[0] * footage.size[1] * 3
    if needed > MAX_BYTES:
        raise InputError(
            f"{path}: {footage.count} frames of {images.width_x_height(footage.size)} take "
            f"{needed / 2**30:.1f} GiB, more than the {MAX_BYTES / 2**30:.1f} GiB that "
            "vidprior.io.footage.MAX_BYTES allows; read a shorter range of frames"
        )
    frames = np.empty((footage.count, *footage.size, 3), np.uint8)
    count = 0
    for frame in footage.frames():
        frames[count] = frame
        count += 1
    return Video(
        frames[:count],
        footage.rate,
        footage.path,
        footage.start,
        footage.total,
        footage.pixel_aspect,
    )


def _resolve_range(
    clip: Clip, start: int, stop: int | None, max_frames: int | None
) -> tuple[int, int]:
    """The range as two indices inside the clip."""
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
    return start, last


def _describe_cut(clip: Clip, decoded: int) -> str:
    return (
        f"{clip.path}: the file is cut or damaged, only {decoded} of {clip.total} frames could be "
        "decoded"
    )


def _notes(clip: VideoFile, used: range) -> Iterator[str]:
    if clip.unseen:
        yield (
            f"note: {clip.path} does not begin with a key frame: the {clip.unseen} frames before "
            f"it cannot be decoded, and are left out"
        )
    flawed = [number for number in clip.flawed if number in used]
    if flawed:
        yield (
            f"note: {clip.path} is damaged at {numbering.spell(flawed)}: the decoder repaired "
            f"{'it' if len(flawed) == 1 else 'them'} as far as possible; check the result there"
        )
    if clip.lost:
        yield (
            f"note: {clip.lost} frame{'s' if clip.lost > 1 else ''} within {clip.path} cannot be "
            f"decoded: the one before is shown for longer"
        )
    moved = [number for number in clip.moved if number in used]
    if moved:
        yield (
            f"note: {clip.path}: the time of {numbering.spell(moved)} is repeated or out of order: "
            f"shown between the neighbours"
        )
    dropped = clip.places[used.stop - 1] - clip.places[used.start] + 1 - len(used)
    if dropped and not clip.lost:
        yield (
            f"note: {clip.path}: {dropped} dropped frame{'s' if dropped > 1 else ''}: the frame "
            f"before is shown for longer; {len(used)} frames are filled"
        )
    if clip.assumed:
        yield f"note: {clip.path} does not name its colour matrix: {clip.assumed}"
    if clip.fields:
        yield (
            f"warning: {clip.path} is interlaced ({clip.fields} field first): each frame contains "
            f"two moments, which are filled as one; if it shows combs, deinterlace it first, for "
            f"example with ffmpeg -i IN -vf bwdif OUT"
        )
