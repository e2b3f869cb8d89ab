"""Interprets mask images: which values mean "remove", decided from all masks of a clip.

Letters
    H  rows     W  columns

Masks are read twice: a `Survey` counts their values and decides on a `Meaning`, which then
converts every mask to a hole.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.io.pages import Pixels

# With at most this many values, thin lines may be labels; with more, they are soft edges.
MAX_LABELS = 32
MAX_COLOURS = 256
# Labels fill areas, soft edges do not: the share of a value's pixels inside areas of it.
AREA_SHARE = 0.2
MOSTLY_AREA = 0.4
# The share of dark grey in lossy masks that exceeds noise and edges.
DARK_SHARE = 0.02


class MaskRules(NamedTuple):
    """The user's choices for reading masks; see `config.mask`.

    Attributes:
      labels: labels to remove; empty: all but the background.
      ignore: labels to keep.
      invert: exchange hole and known.
      missing: 'refuse' or 'empty', for frames without a mask.
    """

    labels: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()
    invert: bool = False
    missing: str = "refuse"


PLAIN = MaskRules()


class Meaning(NamedTuple):
    """How masks are read.

    Attributes:
      channel: 'alpha', 'grey' (the largest of the colours), 'number' (of a palette) or
        'colour'.
      removed: the values that are hole; None if brightness decides.
      peak: the value of white, if brightness decides.
      soft: whether values in between are kept; otherwise the hole begins above half of the
        peak.
      invert: whether hole and known are exchanged.
      told: a line about the choice; empty if there was none.
    """

    channel: str
    removed: tuple[int, ...] | None
    peak: int
    soft: bool
    invert: bool
    told: str = ""

    def to_mask(self, pixels: Pixels) -> np.ndarray:
        """[H, W] uint8, 255 where content is to be removed; in between only on soft edges."""
        values = channel_of(pixels, self.channel)
        if self.removed is not None:
            if values.dtype == np.int32:
                hole = np.isin(values, self.removed)
            else:
                table = np.zeros(np.iinfo(values.dtype).max + 1, bool)
                table[[value for value in self.removed if value < len(table)]] = True
                hole = table[values]
            mask = np.where(hole, 255, 0).astype(np.uint8)
        elif not self.soft:
            mask = np.where(values > self.peak // 2, 255, 0).astype(np.uint8)
        elif self.peak == 255:
            mask = values.astype(np.uint8)
        else:
            # Rounded to the nearest, halves down: above 127 exactly where value > peak / 2.
            scaled = (values.astype(np.uint32) * 510 + self.peak - 1) // (2 * self.peak)
            mask = scaled.astype(np.uint8)
        return 255 - mask if self.invert else mask


def channel_of(pixels: Pixels, channel: str) -> np.ndarray:
    """[H, W] of one channel; colours as int32, 0xRRGGBB."""
    colours = pixels.colours
    if channel == "number" and pixels.numbers is not None:
        return pixels.numbers
    if channel == "colour":
        eight = (colours >> 8 if colours.dtype == np.uint16 else colours).astype(np.int32)
        if eight.ndim == 2:
            return eight * 0x10101
        return eight[..., 0] << 16 | eight[..., 1] << 8 | eight[..., 2]
    if channel == "alpha" and pixels.alpha is not None:
        return pixels.alpha
    return brightest_channel(colours)


def brightest_channel(colours: np.ndarray) -> np.ndarray:
    """The largest channel of [H, W] or [H, W, C], many times faster than `max(-1)`."""
    if colours.ndim == 2:
        return colours
    return np.maximum.reduce(list(np.moveaxis(colours, -1, 0)))


class Survey:
    """Statistics of the values of all masks of a clip."""

    def __init__(self) -> None:
        self.count = 0
        self._lossy = False
        self._first: object = None
        self._dtype: np.dtype | None = None
        self._all_have_numbers = self._all_grey = True
        self._values = {"grey": _Values(), "alpha": _Values()}
        self._colours: np.ndarray | None = None  # [2**24] bool, of those that are not grey
        self._palette: dict[int, int] = {}

    def add(self, name: object, pixels: Pixels) -> None:
        """Adds a mask.

        Args:
          name: for messages.

        Raises:
          InputError: it has another bit depth than those before.
        """
        dtype = pixels.colours.dtype
        if self._dtype is not None and dtype != self._dtype:
            raise InputError(
                f"{name} is {dtype}, but {self._first} is {self._dtype}: the masks of one "
                "sequence must have one bit depth"
            )
        self._first, self._dtype = self._first or name, dtype
        self.count += 1
        self._lossy |= pixels.lossy
        self._values["grey"].add(brightest_channel(pixels.colours))
        if pixels.alpha is not None:
            self._values["alpha"].add(pixels.alpha)
        self._add_colours(pixels)

    def _add_colours(self, pixels: Pixels) -> None:
        codes = channel_of(pixels, "colour")
        self._all_have_numbers &= pixels.numbers is not None
        if pixels.numbers is not None:
            entries, places = np.unique(pixels.numbers, return_index=True)
            for entry, code in zip(entries, codes.reshape(-1)[places], strict=True):
                same = self._palette.setdefault(int(entry), int(code)) == code
                self._all_have_numbers &= bool(same)
        if not _is_grey(pixels.colours):
            self._all_grey = False
        if pixels.colours.ndim == 3 and not self._lossy:
            if self._colours is None:
                self._colours = np.zeros(2**24, bool)
            self._colours[codes] = True

    def decide(self, rules: MaskRules) -> Meaning:
        """Decides how to read these masks.

        Raises:
          InputError: requested labels do not exist, or these masks cannot have labels.
        """
        asked = bool(rules.labels or rules.ignore)
        if self._lossy:
            if asked:
                raise InputError(
                    "labels need lossless masks, such as PNG, but these are lossy: omit "
                    "mask.labels and mask.ignore"
                )
            channel = "alpha" if self._values["alpha"].varies else "grey"
            told = ""
            dark = self._values[channel].share(self._white // 8, self._white // 2)
            if dark > DARK_SHARE:
                told = (
                    f"warning: {dark:.0%} of the masks is neither black nor white, but darker than "
                    f"half of white, and is not removed; give labels and colours as PNG"
                )
            return Meaning(channel, None, self._white, False, rules.invert, told)
        if self._values["alpha"].varies and not asked:
            return self._by_brightness("alpha", rules)
        if self._all_have_numbers and not self._all_grey:
            names = {entry: _hex(code) for entry, code in self._palette.items()}
            black = [entry for entry, code in self._palette.items() if code == 0]
            return self._by_labels("number", sorted(names), black or [0], names, rules)
        colours = self._distinct_colours()
        if colours is not None and not self._all_grey and _hues(colours) > 1:
            if len(colours) <= MAX_COLOURS:
                return self._by_colours(colours, rules)
            meaning = self._by_brightness("grey", rules)
            told = (
                f"warning: the masks have {len(colours)} colours, too many for labels: everything "
                f"brighter than half of white is removed; use black and white masks"
            )
            return meaning._replace(told=told)
        values = self._values["grey"]
        if asked or values.are_labels(self._white):
            present = values.present()
            background = 0 if 0 in present else values.most_frequent()
            return self._by_labels("grey", present, [background], {}, rules)
        return self._by_brightness("grey", rules)

    @property
    def _white(self) -> int:
        return int(np.iinfo(self._dtype or np.uint8).max)

    def _by_brightness(self, channel: str, rules: MaskRules) -> Meaning:
        values = self._values[channel]
        present = values.present()
        peak = max(present[-1], 1) if present else 1
        if peak < self._white and len(present) <= MAX_LABELS:
            removed = tuple(value for value in present if value)
            return Meaning(channel, removed, peak, False, rules.invert)
        return Meaning(channel, None, peak, True, rules.invert)

    def _by_colours(self, colours: Sequence[int], rules: MaskRules) -> Meaning:
        """Colours are numbered from 1, ordered by red, green, blue; black is 0."""
        numbered = dict(enumerate((code for code in colours if code), 1))
        names = {number: _hex(code) for number, code in numbered.items()}
        present = [0, *numbered] if colours[0] == 0 else list(numbered)
        meaning = self._by_labels("colour", present, [0], names, rules)
        removed = tuple(numbered.get(number, 0) for number in meaning.removed or ())
        return meaning._replace(removed=removed)

    def _by_labels(
        self,
        channel: str,
        present: Sequence[int],
        background: Sequence[int],
        names: Mapping[int, str],
        rules: MaskRules,
    ) -> Meaning:
        objects = [label for label in present if label not in background]
        unknown = sorted({*rules.labels, *rules.ignore}.difference(present))
        if unknown and rules.labels and unknown[0] in rules.labels:
            raise InputError(
                f"no mask has the label {unknown[0]} (mask.labels); there are "
                f"{_listed(present, names)}"
            )
        wanted = rules.labels or objects
        removed = tuple(label for label in wanted if label not in rules.ignore)
        told = ""
        if len(objects) > 1 or rules.labels or rules.ignore:
            masks = f"{self.count} mask{'s' if self.count > 1 else ''}"
            left = [label for label in present if label not in removed]
            chosen = (
                f"removing all but {_listed(left, {})}"
                if left and not rules.labels
                else f"removing {_listed(removed, {})}"
            )
            told = f"mask: {masks}, labels {_listed(objects, names)}; {chosen}"
            told += ", inverted" if rules.invert else ""
            if not rules.labels and not rules.ignore:
                told += (
                    "; select with mask.labels or mask.ignore, such as "
                    f"--config.mask.labels={objects[0]} or --config.mask.ignore={objects[-1]}"
                )
        return Meaning(channel, removed, self._white, False, rules.invert, told)

    def _distinct_colours(self) -> list[int] | None:
        return None if self._colours is None else np.flatnonzero(self._colours).tolist()


class _Values:
    """How often each value of a channel occurs, and how often inside an area of it."""

    def __init__(self) -> None:
        self._counts = self._inside = np.zeros(0, np.int64)

    def add(self, values: np.ndarray) -> None:
        size = np.iinfo(values.dtype).max + 1
        if not len(self._counts):
            self._counts, self._inside = np.zeros(size, np.int64), np.zeros(size, np.int64)
        values = np.ascontiguousarray(values)
        box = np.ones((3, 3), np.uint8)
        flat = cv2.erode(values, box) == cv2.dilate(values, box)
        # At the border of the picture two equal columns of a soft edge are no area.
        inside = values[1:-1, 1:-1][flat[1:-1, 1:-1]]
        self._counts += np.bincount(values.reshape(-1), minlength=size)
        self._inside += np.bincount(inside, minlength=size)

    def present(self) -> list[int]:
        return np.flatnonzero(self._counts).tolist()

    def most_frequent(self) -> int:
        return int(self._counts.argmax())

    def share(self, above: int, up_to: int) -> float:
        """The share of pixels in a range of values."""
        return float(self._counts[above + 1 : up_to + 1].sum() / max(self._counts.sum(), 1))

    @property
    def varies(self) -> bool:
        return bool(np.count_nonzero(self._counts) > 1)

    def are_labels(self, white: int) -> bool:
        """Whether the values are labels, not shades from black to white."""
        present = self.present()
        if not present:
            return False
        peak = present[-1]
        between = [value for value in present if 0 < value < peak]
        if not between:
            return False
        if len(present) <= MAX_LABELS:
            if peak < white or max(between) <= MAX_LABELS:
                return True
            share = self._inside[between] / self._counts[between]
            areas = (share >= AREA_SHARE) & (self._inside[between] >= 4)
            return bool(areas.any())
        # Near black and near white fill areas in any mask.
        middle = [value for value in between if peak < 16 * value < 15 * peak]
        areas = self._inside[middle].sum() / max(self._counts[middle].sum(), 1)
        return bool(areas >= MOSTLY_AREA)


def _is_grey(colours: np.ndarray) -> bool:
    if colours.ndim == 2:
        return True
    red = colours[..., 0]
    return bool((red == colours[..., 1]).all() and (red == colours[..., 2]).all())


def _hues(codes: Sequence[int]) -> int:
    """The number of colours except black, ignoring brightness."""
    parts = np.array([[code >> 16, code >> 8 & 255, code & 255] for code in codes if code])
    if not len(parts):
        return 0
    unit = parts / parts.max(axis=1, keepdims=True)
    # Dark colours are rounded coarsely: each may be off by half of its own step.
    near = np.abs(unit - unit[parts.max(axis=1).argmax()]).max(axis=1) <= 0.6 / parts.max(axis=1)
    return 1 + int((~near).sum())


def _hex(code: int) -> str:
    return f"#{code:06x}"


def _listed(labels: Sequence[int], names: Mapping[int, str]) -> str:
    shown = [f"{label} ({names[label]})" if label in names else str(label) for label in labels]
    if len(shown) > 8:
        shown = [*shown[:6], f"{len(shown) - 7} more", shown[-1]]
    return shown[0] if len(shown) == 1 else " and ".join([", ".join(shown[:-1]), shown[-1]])
