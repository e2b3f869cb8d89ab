"""Pairs frames and masks by the numbers in their names."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vidprior.errors import InputError


class Pairing(NamedTuple):
    """The mask of each frame.

    Attributes:
      masks: for each frame, the index of its mask; None if there is none.
      told: a text on how they were paired; empty if frames and masks simply correspond.
    """

    masks: tuple[int | None, ...]
    told: str = ""


def numbers_in(files: Sequence[Path]) -> tuple[int, ...] | None:
    """The number of each file of a sequence: the digits in its name that count up.

    None if names have no digits, or two files have the same number.
    """
    found = [[int(digits) for digits in re.findall("[0-9]+", file.stem)] for file in files]
    columns = {len(numbers) for numbers in found}
    if not files or 0 in columns:
        return None
    if len(columns) > 1:
        last = tuple(numbers[-1] for numbers in found)
        return last if len(set(last)) == len(last) else None
    # Counting digits differ from file to file; of several, the last ones count fastest.
    for column in zip(*(numbers[::-1] for numbers in found), strict=True):
        if len(set(column)) == len(column):
            return column
    return None


def pair(
    frames: Sequence[int],
    masks: Sequence[int],
    *,
    total: int,
    frames_named: bool,
    allow_missing: bool,
    what: str,
) -> Pairing:
    """Pairs masks with frames by their numbers.

    If both have no gap and are equally many, they are paired in order, whatever their first
    numbers.

    Args:
      frames: numbers of the frames that are used, rising.
      masks: numbers of the masks, rising.
      total: frames of the whole clip.
      frames_named: whether the frames' names contain their numbers; otherwise frames count
        from 0, and masks may count from 1.
      allow_missing: whether frames may have no mask.
      what: name of the masks, for messages.

    Raises:
      InputError: frames have no mask, and `allow_missing` is False.
    """
    shift = 0
    if not frames_named and min(masks) >= 1 and max(masks) == total and 0 not in masks:
        shift = 1  # counted from 1 on, as FFmpeg does
    place = {number - shift: index for index, number in enumerate(masks)}
    by_number = tuple(place.get(number) for number in frames)
    if _counts_up(masks) and _counts_up(frames) and len(masks) == len(frames):
        told = ""
        if frames_named and tuple(masks) != tuple(frames):
            told = (
                f"masks {masks[0]} to {masks[-1]} are used for frames {frames[0]} to "
                f"{frames[-1]}, in order"
            )
        return Pairing(tuple(range(len(masks))), told)
    without = [number for number, mask in zip(frames, by_number, strict=True) if mask is None]
    if not without:
        unused = len(masks) - len(set(by_number))
        return Pairing(
            by_number, f"{unused} masks have no frame" if unused and frames_named else ""
        )
    if len(without) == len(frames):
        raise InputError(
            f"{what}: its masks are numbered {masks[0]} to {masks[-1]}, the frames {frames[0]} to "
            f"{frames[-1]}: give masks the numbers of their frames"
        )
    if allow_missing:
        stay = "has no mask and stays as it is"
        if len(without) > 1:
            stay = "have no mask and stay as they are"
        return Pairing(by_number, f"{spell(without)} {stay}")
    gap = "" if frames_named else ", counted from 0"
    raise InputError(
        f"{what} has {len(masks)} masks for {len(frames)} frames: there is none for "
        f"{spell(without)}{gap}; add them, or set --config.mask.missing=empty to leave these "
        f"frames unchanged"
    )


def spell(numbers: Sequence[int]) -> str:
    """Such as 'frames 3, 7 to 9 and 12'."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    if len(words) > 6:
        words = [*words[:5], f"{len(words) - 5} more places"]
    text = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"frame{'s' if len(numbers) > 1 else ''} {text}"


def first_gap(numbers: Sequence[int]) -> int | None:
    """The position before the first gap in the numbers; None without a gap."""
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    if len(set(steps)) < 2:
        return None
    usual = min((step for step in steps if step > 0), default=1)
    return next(place for place, step in enumerate(steps) if step != usual)


def _counts_up(numbers: Sequence[int]) -> bool:
    return first_gap(numbers) is None
