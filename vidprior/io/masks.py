"""The masks of a clip: one for each of its frames, at its size.

Letters
    T  frames     H  rows     W  columns

Masks are matched with frames by the numbers in their names, otherwise in order. A mask clip
of another length or size is refused, or fitted on request: every frame takes the mask that
is nearest in time, resized by area. Times count from the first frame of either clip, in
seconds as exact fractions. `mask_meaning` decides which values are hole.
"""

import bisect
import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vidprior.errors import InputError
from vidprior.imaging import geometry
from vidprior.imaging.geometry import Transform
from vidprior.io import clips, images, numbering
from vidprior.io.clips import Clip, ImageFile, ImageFolder
from vidprior.io.footage import Footage, PathLike
from vidprior.io.mask_meaning import PLAIN, MaskRules, Meaning, Survey
from vidprior.io.pages import Pixels
from vidprior.io.video_reader import VideoFile

# A larger share of hole suggests that the masks are inverted.
SUSPICIOUS_SHARE = 0.5


class Masks(NamedTuple):
    """The masks of a clip.

    Attributes:
      hole: [T, H, W] uint8, 255 where content is to be removed; between 0 and 255 only on
        soft edges of lossless images, where a pixel is hole above 127.
      notes: how masks were read and fitted, a line each.
    """

    hole: np.ndarray
    notes: tuple[str, ...]


class _Choice(NamedTuple):
    """The mask of each frame, None for none, and how it was chosen."""

    numbers: tuple[int | None, ...]
    notes: tuple[str, ...] = ()
    fitted: str = ""


def read_masks(
    path: PathLike,
    footage: Footage,
    *,
    rate: Fraction,
    fit: bool = False,
    rules: MaskRules = PLAIN,
) -> Masks:
    """Reads the masks of the footage.

    Args:
      path: a mask clip of the footage's range or of the whole video, or one image for all
        frames.
      footage: the footage to mask.
      rate: frames per second of footage without its own rate.
      fit: accept a mask clip of any length and size.
      rules: the user's choices.

    Raises:
      InputError: the masks cannot be read; or they do not fit and `fit` is False, with
        number, size and rate of both clips.
    """
    clip = clips.open_clip(Path(path))
    masks = _Described(clip, *_upright_size(clip))
    chosen = _choose(masks, footage, rate=rate, fit=fit, rules=rules)
    if masks.size != footage.size and not fit:
        raise _refusal(masks, footage)
    meaning = _survey(clip, chosen.numbers, masks.size, rules)
    resized = masks.size != footage.size
    hole = np.zeros((footage.count, *footage.size), np.uint8)
    for frame, mask in _read(clip, chosen.numbers, meaning, masks.size):
        if resized:
            whole = Transform(masks.size, 0, 0, *masks.size, footage.size)
            mask = geometry.crop_and_resize(whole, mask[None])[0]
        hole[frame] = mask
    notes = list(chosen.notes)
    if chosen.fitted or resized:
        how = ", ".join(filter(None, [chosen.fitted or "frame by frame", "resized" * resized]))
        notes.append(f"mask: {masks.describe()} are fitted to {_describe(footage)}: {how}")
    if meaning.told:
        notes.append(meaning.told)
    share = float(np.mean([(mask > geometry.MASK_THRESHOLD).mean() for mask in hole]))
    if share > SUSPICIOUS_SHARE:
        other = "False" if rules.invert else "True"
        notes.append(
            f"warning: {share:.0%} of the frames is hole; if the masks show what to keep, set "
            f"--config.mask.invert={other}"
        )
    return Masks(hole, tuple(notes))


def read_mask_frames(
    path: PathLike, *, size: tuple[int, int], num_frames: int, rules: MaskRules = PLAIN
) -> np.ndarray:
    """Reads the masks of `num_frames` frames of (H, W), without footage.

    Returns:
      [T, H, W] uint8, as in `Masks.hole`.

    Raises:
      InputError: the masks do not exist or cannot be read, or their number or size does not
        match the frames.
    """
    clip = clips.open_clip(Path(path))
    if clip.total == 1 and isinstance(clip, ImageFile):
        numbers = (0,) * num_frames
    elif clip.total == num_frames:
        numbers = tuple(range(num_frames))
    else:
        raise InputError(
            f"{clip.path}: {clip.total} masks do not match {num_frames} frames; give one mask per "
            f"frame, or a single image for all"
        )
    meaning = _survey(clip, numbers, size, rules)
    masks = np.empty((num_frames, *size), np.uint8)
    for frame, mask in _read(clip, numbers, meaning, size):
        masks[frame] = mask
    return masks


def nearest(wanted: Sequence[Fraction], times: Sequence[Fraction]) -> list[int]:
    """For each wanted time, the index of the nearest of `times`, or of the earlier of two.

    Args:
      wanted: seconds.
      times: seconds, ascending, at least one.
    """
    # Borders lie half-way; a time on a border belongs to the index before it.
    borders = [(before + after) / 2 for before, after in itertools.pairwise(times)]
    return [bisect.bisect_left(borders, time) for time in wanted]


class _Described(NamedTuple):
    """A mask clip with its size."""

    clip: Clip
    size: tuple[int, int]

    @property
    def rate(self) -> Fraction | None:
        return self.clip.rate

    @property
    def total(self) -> int:
        return self.clip.total

    def describe(self) -> str:
        """Such as '50 masks of 320x180 at 12.5 frames/s'."""
        text = f"{self.total} mask{'s' if self.total > 1 else ''} of "
        text += images.width_x_height(self.size)
        return text if self.rate is None else f"{text} at {_rate(self.rate)} frames/s"


def _upright_size(clip: Clip) -> tuple[tuple[int, int]]:
    if not isinstance(clip, VideoFile):
        return (clip.size,)
    for _, frame in clip.frames(0, 1):
        return ((frame.shape[0], frame.shape[1]),)
    raise InputError(f"{clip.path}: the file is cut or damaged, no mask could be decoded")


def _choose(
    masks: _Described, footage: Footage, *, rate: Fraction, fit: bool, rules: MaskRules
) -> _Choice:
    """Chooses the mask of each frame."""
    clip, count = masks.clip, footage.count
    if isinstance(clip, ImageFile) and clip.total == 1:
        fitted = "one for all" if masks.size != footage.size else ""
        return _Choice((0,) * count, (), fitted)
    if isinstance(clip, ImageFolder) and clip.numbers is not None:
        chosen = _by_number(clip, masks, footage, rules)
        if chosen is not None:
            return chosen
    if masks.total in (count, footage.total):
        begin = 0 if masks.total == count else footage.start
        numbers = tuple(range(begin, begin + count))
        agree = None in (masks.rate, footage.rate) or _same_rate(masks.rate, footage.rate)
        if agree:
            return _Choice(numbers)
        line = f"mask: {masks.describe()} for {_describe(footage)}: taken frame by frame"
        return _Choice(numbers, (line,))
    places = footage.numbers()
    if isinstance(footage.clip, VideoFile) and masks.total == footage.clip.places[-1] + 1:
        return _Choice(places, ("mask: masks of dropped frames are not used",))
    if not fit:
        raise _refusal(masks, footage)
    return _by_time(masks, footage, rate)


def _by_number(
    clip: ImageFolder, masks: _Described, footage: Footage, rules: MaskRules
) -> _Choice | None:
    """The choice for numbered masks; None if their numbers cannot be frame numbers."""
    numbers = clip.numbers or ()
    frames, named = footage.numbers(), isinstance(footage.clip, ImageFolder)
    if isinstance(footage.clip, ImageFolder) and footage.clip.numbers is None:
        return None
    if not named and numbers[-1] > footage.total + 2 * len(numbers):
        return None  # such as times of day, or numbers that begin at 1001
    in_order = numbering.first_gap(numbers) is None and numbering.first_gap(frames) is None
    if in_order and len(numbers) == footage.total != footage.count:
        return _Choice(tuple(range(footage.start, footage.start + footage.count)))
    pairing = numbering.pair(
        frames,
        numbers,
        total=footage.total,
        frames_named=named,
        allow_missing=rules.missing == "empty",
        what=str(clip.path),
    )
    return _Choice(pairing.masks, (f"mask: {pairing.told}",) if pairing.told else ())


def _by_time(masks: _Described, footage: Footage, rate: Fraction) -> _Choice:
    """The nearest mask in time for each frame."""
    rate = footage.rate or rate
    how = "nearest in time"
    if masks.rate is None:
        how = "spread evenly over the video, since images have no rate"
    # The rate that spreads the images over the video.
    mask_rate = masks.rate or rate * masks.total / footage.total
    times: tuple[Fraction, ...] | None = None
    if isinstance(masks.clip, VideoFile | ImageFile) and masks.clip.times is not None:
        times = tuple(time - masks.clip.times[0] for time in masks.clip.times)
    if times is None:
        times = tuple(number / mask_rate for number in range(masks.total))
    wanted = footage.seconds(rate)
    late = sum(time >= times[-1] + 1 / mask_rate for time in wanted)
    if masks.rate is not None and late:
        how += f", the last one for {late} frames after its end"
    return _Choice(tuple(nearest(wanted, times)), (), how)


def _survey(
    clip: Clip, numbers: Sequence[int | None], size: tuple[int, int], rules: MaskRules
) -> Meaning:
    survey = Survey()
    for name, _, pixels in _pixels(clip, numbers, size):
        survey.add(name, pixels)
    try:
        return survey.decide(rules)
    except InputError as error:
        raise InputError(f"{clip.path}: {error}") from error


def _read(
    clip: Clip, numbers: Sequence[int | None], meaning: Meaning, size: tuple[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each frame that has a mask, and its mask [H, W] uint8."""
    frames: dict[int, list[int]] = {}
    for frame, number in enumerate(numbers):
        if number is not None:
            frames.setdefault(number, []).append(frame)
    for _, number, pixels in _pixels(clip, numbers, size):
        mask = meaning.to_mask(pixels)
        for frame in frames[number]:
            yield frame, mask


def _pixels(
    clip: Clip, numbers: Sequence[int | None], size: tuple[int, int]
) -> Iterator[tuple[str, int, Pixels]]:
    """Yields name, number and pixels of the chosen masks, each once, in order."""
    wanted = sorted({number for number in numbers if number is not None})
    if not wanted:
        return
    first, last = wanted[0], wanted[-1]
    several, seen = set(wanted), 0
    if isinstance(clip, ImageFolder):
        found = ((str(clip.files[i]), i, images.read_pixels(clip.files[i])) for i in wanted)
    else:
        read = enumerate(clips.pixels_of(clip, first, last + 1), first)
        found = ((name, i, pixels) for i, (name, pixels) in read if i in several)
    for name, number, pixels in found:
        images.check_size(name, pixels.colours.shape, "its frame", size)
        yield name, number, pixels
        seen += 1
    if seen < len(wanted):
        raise InputError(
            f"{clip.path}: the file is cut or damaged, only {first + seen} of {clip.total} frames "
            f"could be decoded"
        )


def _refusal(masks: _Described, footage: Footage) -> InputError:
    return InputError(
        f"{masks.clip.path} has {masks.describe()}, but {footage.path} has {_describe(footage)}: "
        f"give one mask for each frame, of the video's size, or one image for all, or set "
        f"--config.mask.fit=True to fit them"
    )


def _describe(footage: Footage) -> str:
    """Such as '50 frames of 320x180 at 12.5 frames/s'."""
    text = f"{footage.count} frame{'s' if footage.count > 1 else ''}"
    if footage.count < footage.total:
        text += f" (of {footage.total})"
    text += f" of {images.width_x_height(footage.size)}"
    return text if footage.rate is None else f"{text} at {_rate(footage.rate)} frames/s"


def _rate(rate: Fraction) -> str:
    """Frames per second as text, such as 29.97."""
    return f"{float(rate):.4g}"


def _same_rate(first: Fraction | None, second: Fraction | None) -> bool:
    return _rate(first or Fraction(0)) == _rate(second or Fraction(0))
