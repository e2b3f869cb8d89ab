"""Frames and masks of a clip, from video files or folders of images.

Letters
    T  frames read     H  rows     W  columns, of the source

Frames are `uint8` RGB [T, H, W, 3]; masks are `uint8` grey [T, H, W], 255 where
content is missing. A *clip* is a video file or a folder of images in natural order
(frame2 before frame10). Pictures come as a player would show them: upright, in 8 bits,
grey replicated to RGB, alpha left out; high dynamic range is not mapped to less.
What a video file holds is known to `video_file`, images to `image_io`, writing to `video_out`.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidprior.errors import InputError
from vidprior.io import images, video_reader
from vidprior.io.video_reader import Audio, VideoFile

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


@dataclasses.dataclass(frozen=True)
class Footage:
    """A range of frames of a clip, decoded one at a time whenever they are asked for.

    Attributes:
      size: (H, W), upright.
      start: index in the clip of the first frame.
      count: T, frames of the range.
      rate: frames per second, the average where it varies; None for images.
      pixel_aspect: width of a pixel over its height; None where nothing is said.
    """

    size: tuple[int, int]
    start: int
    count: int
    rate: Fraction | None
    pixel_aspect: Fraction | None
    _clip: "_Images | _Array | VideoFile"
    _allow_truncated: bool

    @property
    def path(self) -> Path:
        """Where the frames come from."""
        return self._clip.path

    @property
    def total(self) -> int:
        """Frames of the whole clip as its container announces them."""
        return self._clip.total

    @property
    def unseen(self) -> int:
        """Frames before the whole clip, which cannot be decoded: see `VideoFile`."""
        return self._clip.unseen if isinstance(self._clip, VideoFile) else 0

    def part(self, begin: int, end: int) -> "Footage":
        """Frames begin, begin + 1, ... end - 1 of this range."""
        return dataclasses.replace(self, start=self.start + begin, count=end - begin)

    def frames(self) -> Iterator[np.ndarray]:
        """[H, W, 3] uint8 RGB each, upright.

        Raises:
          InputError: a frame has another size, or the video is cut or damaged; if that is
            allowed, the frames end before the damage.
        """
        first, decoded = "", 0
        for name, frame in self._clip.frames(self.start, self.start + self.count):
            first = first or name
            images.check_size(name, frame.shape, first, self.size)
            yield frame
            decoded += 1
        if decoded < self.count and not (self._allow_truncated and decoded):
            advice = "; use them with --config.video.allow_truncated=True" if decoded else ""
            raise InputError(_describe_cut(self._clip, self.start + decoded) + advice)

    def seconds(self, rate: Fraction) -> tuple[Fraction, ...]:
        """When each frame is shown, seconds after the whole clip's first; images at `rate`."""
        stop = self.start + self.count
        if isinstance(self._clip, VideoFile):
            times = self._clip.times
            return tuple(time - times[0] for time in times[self.start : stop])
        return tuple(number / rate for number in range(self.start, stop))

    def shown_at(self) -> tuple[Fraction, ...] | None:
        """When each frame is shown, seconds after the first; None at a constant rate."""
        if not (isinstance(self._clip, VideoFile) and self._clip.variable):
            return None
        times = self._clip.times[self.start : self.start + self.count]
        return tuple(time - times[0] for time in times)

    @contextlib.contextmanager
    def audio(self) -> Iterator[Audio | None]:
        """What is heard while the range is shown, as coded; None where there is none.

        With the whole clip goes all of its sound, also what is heard before the first
        picture or after the last.
        """
        if not isinstance(self._clip, VideoFile):
            yield None
            return
        times, stop = self._clip.times, self.start + self.count
        with video_reader.open_audio(
            self._clip.path,
            origin=times[self.start],
            begin=times[self.start] if self.start else None,
            end=times[stop] if stop < len(times) else None,
        ) as audio:
            yield audio


def open_footage(
    path: PathLike,
    *,
    start: int = 0,
    stop: int | None = None,
    max_frames: int | None = None,
    allow_truncated: bool = False,
) -> Footage:
    """Looks at frames start, start + 1, ... stop - 1 of a clip; decodes one of them.

    Arguments and errors are those of `read_frames`, but for the memory: one frame at a
    time is held.
    """
    clip = _open_clip(path)
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
    """Footage of frames [T, H, W, 3] uint8 RGB that stand in memory."""
    size = (frames.shape[1], frames.shape[2])
    return Footage(size, 0, len(frames), None, None, _Array(frames), False)


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


def read_mask_frames(
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
      - Lossless images below white with at most `images.MAX_LABELS` different values:
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
        return np.repeat(images.read_mask_images(clip.files, size), num_frames, axis=0)
    if clip.total not in (num_frames, total):
        whole = f", nor the whole video's {total}" if total != num_frames else ""
        raise InputError(
            f"{clip.path}: {clip.total} masks do not match {num_frames} frames{whole}; give one "
            "mask per frame, or a single image for all"
        )
    first = 0 if clip.total == num_frames else start
    if isinstance(clip, _Images):
        return images.read_mask_images(clip.files[first : first + num_frames], size)
    masks = np.empty((num_frames, *size), np.uint8)
    count = 0
    for name, frame in clip.frames(first, first + num_frames):
        images.check_size(name, frame.shape, "the video that it masks", size)
        masks[count] = images.grey_to_mask(images.brightest_channel(frame), lossy=True)
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
        return images.image_size(self.files[0])

    def frames(self, start: int, stop: int) -> Iterator[tuple[str, np.ndarray]]:
        for file in self.files[start:stop]:
            yield str(file), images.read_image(file)


@dataclasses.dataclass(frozen=True)
class _Array:
    """A clip that stands in memory."""

    pictures: np.ndarray
    path: Path = Path("frames")

    @property
    def total(self) -> int:
        return len(self.pictures)

    def frames(self, start: int, stop: int) -> Iterator[tuple[str, np.ndarray]]:
        for number in range(start, stop):
            yield f"frame {number}", self.pictures[number]


def _open_clip(path: PathLike) -> _Images | VideoFile:
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        return _Images(path, images.list_images(path))
    return _Images(path, (path,)) if images.is_image(path) else video_reader.probe(path)


def _resolve_range(
    clip: _Images | VideoFile, start: int, stop: int | None, max_frames: int | None
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


def _describe_cut(clip: _Images | _Array | VideoFile, decoded: int) -> str:
    return (
        f"{clip.path}: the file is cut or damaged, only {decoded} of {clip.total} frames could be "
        "decoded"
    )
