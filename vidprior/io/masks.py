"""Masks that fit a video: one for each of its frames, at its size.

A mask clip of another number of frames or of another size is refused, or fitted if that is
asked for: every frame takes the mask that is nearest in time, resized by area. Times count
from the first frame of either clip, in seconds as exact fractions.
"""

import bisect
import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from vidprior.errors import InputError
from vidprior.imaging import geometry
from vidprior.imaging.geometry import Transform
from vidprior.io import images
from vidprior.io.footage import Footage, PathLike, open_footage, read_mask_frames


def read_masks(
    path: PathLike, footage: Footage, *, rate: Fraction, fit: bool
) -> tuple[np.ndarray, str]:
    """The masks of the footage, and what was done to make them fit.

    Args:
      path: a mask clip of the footage's range or of the whole video, or one image for all
        frames; what its values mean is said in `footage.read_mask_frames`.
      footage: what is to be masked.
      rate: frames per second of footage that has none of its own.
      fit: take a mask clip of any number of frames and any size.

    Returns:
      [T, H, W] uint8, 255 where content is missing; and a line for a person, empty where
      there is nothing to say of masks that fit as they are.

    Raises:
      InputError: the masks cannot be read; or they do not fit and are not to be fitted, with
        number, size and rate of both clips.
    """
    masks = open_footage(path)
    these, those = _describe(masks, "mask"), _describe(footage, "frame")
    one_for_all = images.is_image(masks.path) and masks.path.is_file()
    in_step = one_for_all or masks.total in (footage.count, footage.total)
    if in_step and masks.size == footage.size:
        whole = read_mask_frames(
            path,
            size=footage.size,
            num_frames=footage.count,
            start=footage.start,
            total_frames=footage.total,
        )
        agree = None in (masks.rate, footage.rate) or _rate(masks) == _rate(footage)
        return whole, "" if agree else f"mask: {these} for {those}: taken frame by frame"
    if not fit:
        raise InputError(
            f"{path} has {these}, but {footage.path} has {those}: give one mask for each frame, "
            f"of the video's size, or one image for all, or have them fitted by "
            f"--config.mask.fit=True"
        )
    if in_step:
        begin = 0 if masks.total == footage.count else footage.start
        numbers = [0 if one_for_all else begin + i for i in range(footage.count)]
        how = "one for all" if one_for_all else "frame by frame"
    else:
        numbers, how = _by_time(masks, footage, rate)
    first, last = numbers[0], numbers[-1]
    read = read_mask_frames(
        path,
        size=masks.size,
        num_frames=last - first + 1,
        start=first,
        total_frames=masks.total,
    )
    if masks.size != footage.size:
        how += ", resized"
        read = geometry.crop_and_resize(
            Transform(masks.size, 0, 0, *masks.size, footage.size), read
        )
    return read[np.array(numbers) - first], f"mask: {these} are fitted to {those}: {how}"


def nearest(wanted: Sequence[Fraction], times: Sequence[Fraction]) -> list[int]:
    """For each time that is wanted, the index of the nearest of `times`, or the earlier of two.

    Args:
      wanted: seconds.
      times: seconds, ascending, at least one.
    """
    # The borders lie half-way; a time on a border belongs to what is before it.
    borders = [(before + after) / 2 for before, after in itertools.pairwise(times)]
    return [bisect.bisect_left(borders, time) for time in wanted]


def _by_time(masks: Footage, footage: Footage, rate: Fraction) -> tuple[list[int], str]:
    """The number of the mask for each frame, ascending, and how it was chosen."""
    rate = footage.rate or rate
    how = "the nearest in time"
    if masks.rate is None:
        how = "spread evenly over the video, since images have no rate"
    # So many images within the video's time.
    mask_rate = masks.rate or rate * masks.total / footage.total
    wanted, times = footage.seconds(rate), masks.seconds(mask_rate)
    late = sum(time >= times[-1] + 1 / mask_rate for time in wanted)
    if masks.rate is not None and late:
        how += f", the last one for {late} frames after its end"
    return nearest(wanted, times), how


def _describe(clip: Footage, noun: str) -> str:
    """Such as '50 masks of 320x180 at 12.5 frames/s'."""
    text = f"{clip.count} {noun}{'s' if clip.count > 1 else ''}"
    if clip.count < clip.total:
        text += f" (of {clip.total})"
    text += f" of {images.width_x_height(clip.size)}"
    return text if clip.rate is None else f"{text} at {_rate(clip)} frames/s"


def _rate(clip: Footage) -> str:
    """Frames per second as people write it: 29.97."""
    return f"{float(clip.rate or 0):.4g}"
