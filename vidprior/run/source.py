"""The user's footage and masks, and the crop that is trained on."""

import logging
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from vidprior.errors import InputError
from vidprior.imaging import geometry
from vidprior.imaging.dilation import dilate_masks
from vidprior.imaging.geometry import Transform
from vidprior.imaging.references import insert_reference
from vidprior.io.footage import Footage, open_footage, read_frames, wrap_frames
from vidprior.io.mask_meaning import MaskRules
from vidprior.io.masks import Masks, read_masks
from vidprior.io.reference_files import References, check_references, read_references
from vidprior.run.render import CompositeFrame

log = logging.getLogger("vidprior")

# Stands for the path of a mask, if only what surrounds the frames is filled.
_MARGIN = "the margin"
# The growth of masks by the height of the source: a share of it, and the least, in pixels.
_GROWTH, LEAST_GROWTH = 1 / 60, 8

_WITHOUT_SOURCE = (
    "give those of the run with --video and --mask, or render at training size without them: "
    "--config.render.resolution=training"
)


class Source(NamedTuple):
    """The user's footage and masks at their own size.

    Attributes:
      footage: frames, read one at a time.
      mask: path of the masks.
      masks: [T, h, w] uint8, as given.
      dilate: pixels by which the masks grow.
      transform: from the footage to training size.
      notes: how the masks were read and fitted, a line each.
      references: cleaned frames, by number in the run; see `imaging.references`.
      first: number in the run of the first frame.
    """

    footage: Footage
    mask: str
    masks: np.ndarray
    dilate: float
    transform: Transform
    notes: tuple[str, ...] = ()
    references: References = MappingProxyType({})
    first: int = 0

    def part(self, frames: range) -> "Source":
        """A range of its frames, with the same crop."""
        masks = self.masks[frames.start : frames.stop]
        footage = self.footage.part(frames.start, frames.stop)
        return self._replace(footage=footage, masks=masks, first=self.first + frames.start)

    def frames(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields each frame [1, h, w, 3] and its grown mask [1, h, w], uint8.

        What a reference frame gives is part of the frame, and no longer of the mask.
        """
        for number, (frame, mask) in enumerate(
            zip(self.footage.frames(), self.masks, strict=False), start=self.first
        ):
            grown = dilate_masks(mask[None], self.dilate)[0]
            if number in self.references:
                name = f"reference frame {number}"
                frame, grown = insert_reference(frame, grown, self.references[number], name=name)
            yield frame[None], grown[None]


def open_source(
    video: str, mask: str | None, *, config: ConfigDict, reference: str | None = None
) -> Source:
    """Opens the video, and reads its masks and reference frames.

    Args:
      video: path of a video or of a folder of images.
      mask: path of a video, a folder, or one image for all frames; with `video.outpaint`, None
        if only what surrounds the frames is to be filled.
      reference: a folder or list of reference frames, as `read_references` takes it.
      config: fields `video.*`.

    Raises:
      InputError: either cannot be read, or they do not fit each other.
    """
    fields = config.video
    footage = open_footage(
        video,
        start=fields.start,
        stop=fields.stop,
        max_frames=fields.max_frames,
        allow_truncated=fields.allow_truncated,
    )
    rate = Fraction(config.video.image_fps).limit_denominator(1001)
    if mask is None:
        masks = Masks(np.zeros((footage.count, *footage.size), np.uint8), ())
    else:
        masks = read_masks(mask, footage, rate=rate, fit=config.mask.fit, rules=_mask_rules(config))
    footage, hole = _widen(footage, masks.hole, config=config)
    view = training_crop(footage.size, hole, config=config)
    dilate = growth(footage.size, config=config)
    source = Source(footage, mask or _MARGIN, hole, dilate, view, masks.notes)
    if reference is None:
        return source
    pictures = read_references(reference, count=footage.count, size=footage.size)
    return source._replace(references=pictures)


def outpaints(config: ConfigDict) -> bool:
    """Whether the frames are enlarged."""
    return any(factor != 1 for factor in config.video.outpaint)


def _widen(
    footage: Footage, masks: np.ndarray, *, config: ConfigDict
) -> tuple[Footage, np.ndarray]:
    """Footage and masks [T, h, w] on the canvas of `video.outpaint`; what is added is hole."""
    rows, columns = geometry.outpaint_margins(footage.size, tuple(config.video.outpaint))
    if not (rows or columns):
        return footage, masks
    sides = ((0, 0), (rows, rows), (columns, columns))
    return footage.widen(rows, columns), np.pad(masks, sides, constant_values=255)


def _mask_rules(config: ConfigDict) -> MaskRules:
    fields = config.mask
    return MaskRules(tuple(fields.labels), tuple(fields.ignore), fields.invert, fields.missing)


def wrap_arrays(
    frames: np.ndarray, hole: np.ndarray, *, config: ConfigDict, references: References
) -> Source:
    """Arrays as a source.

    Args:
      frames: [T, h, w, 3] uint8 RGB.
      hole: [T, h, w] bool.
      config: fields `video.*` and `mask.*`.
      references: cleaned frames by number.

    Raises:
      InputError: a reference frame does not fit the clip.
    """
    footage, masks = _widen(wrap_frames(frames), hole.astype(np.uint8) * 255, config=config)
    check_references(references, count=footage.count, size=footage.size)
    view = training_crop(footage.size, masks, config=config)
    dilate = growth(footage.size, config=config)
    return Source(footage, "hole", masks, dilate, view, references=references)


def growth(size: tuple[int, int], *, config: ConfigDict) -> float:
    """Source pixels by which masks grow: `mask.dilate`, or if that is None, by the height.

    Args:
      size: (h, w) of the source.
      config: field `mask.dilate`.
    """
    given = config.mask.dilate
    return _suggested_growth(size) if given is None else given


def _suggested_growth(size: tuple[int, int]) -> int:
    return max(LEAST_GROWTH, round(_GROWTH * size[0]))


def training_crop(size: tuple[int, int], masks: np.ndarray, *, config: ConfigDict) -> Transform:
    """The crop that is trained on: around the centre of the frame, or around the hole.

    It contains all of an enlarged frame.

    Args:
      size: (h, w) of the frames.
      masks: [T, h, w] uint8, of all frames that are trained on together.
      config: fields `video.*`.
    """
    fields = config.video
    if fields.crop == "hole" or outpaints(config):
        # Growing the union of all masks equals the union of all grown masks.
        union = masks.max(axis=0)[None]
        path = dilate_masks(union, growth(size, config=config))[0] > geometry.MASK_THRESHOLD
        if path.any():
            return geometry.crop_around(
                path, (fields.height, fields.width), context=fields.crop_margin
            )
    return geometry.centre_crop(size, (fields.height, fields.width))


def reopen_source(
    video: str,
    mask: str | None,
    size: tuple[int, int],
    *,
    config: ConfigDict,
    reference: str | None = None,
) -> Source:
    """Opens the source of an existing run, whose size is (h, w).

    Raises:
      InputError: as `open_source`, or the size has changed.
    """
    try:
        source = open_source(video, mask, config=config, reference=reference)
    except InputError as error:
        raise InputError(f"{error}; {_WITHOUT_SOURCE}") from error
    if source.footage.size != size:
        raise InputError(f"{video} has another size than when the run began; {_WITHOUT_SOURCE}")
    return source


def input_warnings(source: Source) -> Iterator[str]:
    """Notes and warnings about video and masks, a line each."""
    yield from source.footage.notes()
    yield from source.notes
    if not source.dilate and source.mask != _MARGIN:
        yield (
            "warning: the mask is not grown; if it follows the object closely, a rim or a shadow "
            "of the object stays: grow it with --config.mask.dilate="
            f"{_suggested_growth(source.footage.size)}"
        )
    whole = inside = 0
    for mask in source.masks:
        whole += int((mask > geometry.MASK_THRESHOLD).sum())
        inside += int((mask[source.transform.crop] > geometry.MASK_THRESHOLD).sum())
    if inside < whole:
        (h, w), (H, W) = source.footage.size, source.transform.size
        height = max(16, 8 * round(math.sqrt(H * W * h / w) / 8))
        width = max(16, 8 * round(math.sqrt(H * W * w / h) / 8))
        yield (
            f"warning: {1 - inside / whole:.1%} of the mask lies in margins that the crop to "
            f"{W}x{H} cuts off, and is not filled; include the whole frame with "
            f"--config.video.height={height} --config.video.width={width}"
        )


def verify_source(
    source: Source,
    shown: Iterable[CompositeFrame],
    again: Iterator[tuple[np.ndarray, np.ndarray]] | None = None,
) -> Iterator[tuple[CompositeFrame, np.ndarray, np.ndarray]]:
    """Yields rendered frames with their source frame [h, w, 3] uint8 and hole [h, w] bool.

    Args:
      source: the source, from the first rendered frame on.
      shown: consecutive rendered frames.
      again: frames and masks of the source as `Source.frames` yields them, if they are read
        already.

    Raises:
      InputError: a frame or a mask has changed since the run began.
    """
    again = source.frames() if again is None else again
    for one in shown:
        frame, mask = next(again, (None, None))
        if frame is None or mask is None:
            raise InputError(
                f"{source.footage.path} ends before frame {one.number}; {_WITHOUT_SOURCE}"
            )
        small = geometry.crop_and_resize(one.view, frame)[0]
        hole = geometry.crop_and_resize_masks(one.view, mask)[0]
        for path, now, then in (
            (source.footage.path, small, one.known),
            (source.mask, hole, one.hole),
        ):
            if not np.array_equal(now, then):
                what = f"reference frame {one.number}" if one.number in source.references else path
                raise InputError(
                    f"{what} is not what the run was made from: frame {one.number} differs; "
                    f"{_WITHOUT_SOURCE}"
                )
        yield one, frame[0], mask[0] > geometry.MASK_THRESHOLD


def read_truth(path: str, *, config: ConfigDict, count: int) -> np.ndarray:
    """Reads the true frames of a run of `count` frames.

    Returns:
      [T, h, w, 3] uint8, at their own size.

    Raises:
      InputError: there are fewer.
    """
    fields = config.video
    source = read_frames(path, allow_truncated=fields.allow_truncated)
    # The truth may cover the whole source or the range that was inpainted.
    frames = source.frames
    if len(frames) != count:
        frames = frames[fields.start : fields.start + count]
    if len(frames) != count:
        raise InputError(f"{path} has {len(source.frames)} frames, the result has {count}")
    return frames


def crop_truth(truth: np.ndarray, view: Transform, *, config: ConfigDict) -> np.ndarray:
    """Crops and resizes true frames [T, h, w, 3] like a segment: [T, H, W, 3] uint8.

    Raises:
      InputError: the crop is around the hole and their size differs from the source's.
    """
    if truth.shape[1:3] != view.source_size:
        if config.video.crop != "frame":
            raise InputError(
                f"the truth is {truth.shape[2]}x{truth.shape[1]}, the source was "
                f"{view.source_size[1]}x{view.source_size[0]}: around the hole they must be equal"
            )
        view = geometry.centre_crop(truth.shape[1:3], view.size)
    return geometry.crop_and_resize(view, truth)
