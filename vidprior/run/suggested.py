"""Masks that also cover the shadow, the reflection or the rim of an object.

They are found before the run, in the whole frame at a small size, and written next to the run
at source size. With `mask.grow` = 'auto' the run takes them, and reads them again when it
resumes or renders; with `mask.suggest` it only tells.

Letters
    T  frames     h, w  rows and columns of the source     H, W  of the small pictures
"""

import logging
import pathlib
import shutil
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from ml_collections import ConfigDict

from vidprior.errors import InputError
from vidprior.flow.dis import MIN_SIDE
from vidprior.imaging import geometry
from vidprior.imaging.dilation import dilate, dilate_masks
from vidprior.imaging.shots import find_shots
from vidprior.io import images
from vidprior.io.files import replacing_folder
from vidprior.propagation.ghosts import Ghosts, find_ghosts
from vidprior.run.source import Source, outpaints, training_crop
from vidprior.run.workdir import Workdir

log = logging.getLogger("vidprior")

# Rows of the pictures that are compared, and the largest number of frames held at a time.
_HEIGHT, _FRAMES = 192, 100
# A ghost grows by this, relative to the picture's height, since it fades outwards.
_FADES = 1 / 100
# What stays outside the grown mask is told from this share of the picture on, in a frame, and
# in at least so many frames: a number, and a share of those with a mask.
_SHARE, _FEWEST, _PART = 0.0005, 3, 0.15
# What the fields of `Ghosts` are.
_NAMES = ("a shadow or reflection of the object", "a rim of the object")


def settle_masks(source: Source, workdir: Workdir, *, config: ConfigDict) -> Source:
    """Looks for what the masks leave out, tells it, and grows the masks if that is asked for.

    Args:
      source: of the run, with the masks as given.
      workdir: locked by the caller; suggested masks are written there.
      config: fields `mask.*` and `video.*`.

    Raises:
      InputError: the footage cannot be read, or the masks of an earlier run are missing.
    """
    takes, begun = config.mask.grow == "auto", workdir.config_file.exists()
    # Around an enlarged frame, no frame shows what is known.
    if begun or outpaints(config) or not (takes or config.mask.suggest):
        return with_stored_masks(source, workdir, config=config)
    workdir.require_free()
    found, told = _worth_telling(source, _find(source))
    shutil.rmtree(workdir.suggested, ignore_errors=True)  # of a run that was never begun
    if takes or told:
        _write(workdir.suggested, source, found)
    if told:
        log.warning(f"{'; '.join(told)}; {_advice(workdir.suggested, takes=takes)}")
    return with_stored_masks(source, workdir, config=config)


def with_stored_masks(source: Source, workdir: Workdir, *, config: ConfigDict) -> Source:
    """The source with the masks that its run took; as it is without `mask.grow` = 'auto'.

    Raises:
      InputError: they are missing, damaged, or made from other masks.
    """
    if config.mask.grow != "auto":
        return source
    folder = workdir.suggested
    if not folder.is_dir() and workdir.path.parent.name == workdir.parts.name:
        folder = workdir.path.parent.parent / folder.name  # of a segment
    masks = np.empty_like(source.masks)
    for mask, given, number in zip(masks, source.masks, source.footage.numbers(), strict=True):
        path = _file(folder, number)
        stored = images.read_image(path)[..., 0]
        images.check_size(path, stored.shape, source.mask, given.shape)
        mask[:] = stored
        if ((given > geometry.MASK_THRESHOLD) & (stored <= geometry.MASK_THRESHOLD)).any():
            raise InputError(
                f"{path} was made from another mask than {source.mask}: choose another --workdir"
            )
    view = training_crop(source.footage.size, masks, config=config)
    return source._replace(masks=masks, transform=view)


def _find(source: Source) -> Ghosts:
    """What the masks leave out, [T, H, W], shot by shot."""
    height, width = source.footage.size
    scale = min(1.0, _HEIGHT / height)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    masks = np.stack(
        [
            cv2.resize(
                (mask > geometry.MASK_THRESHOLD).astype(np.float32),
                size,
                interpolation=cv2.INTER_AREA,
            )
            > 0
            for mask in source.masks
        ]
    )
    found = Ghosts(np.zeros_like(masks), np.zeros_like(masks))
    if min(size) < MIN_SIDE:
        return found
    for first, frames in _chunks(source, size):
        for start, stop in find_shots(frames):
            part = slice(first + start, first + stop)
            shadow, rim = find_ghosts(frames[start:stop], masks[part])
            found.shadow[part], found.rim[part] = shadow, rim
    return found


def _chunks(source: Source, size: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields small frames [n, H, W, 3], a limited number at a time, and the first one's number."""
    count = source.footage.count
    longest = -(-count // -(-count // _FRAMES))  # chunks of about one length
    first, held = 0, []
    for frame in source.footage.frames():
        held.append(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        if len(held) == longest:
            yield first, np.stack(held)
            first, held = first + longest, []
    if held:
        yield first, np.stack(held)


def _enlarged(small: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """[H, W] bool to [h, w] bool, a little larger, since it fades outwards."""
    if not small.any():
        return np.zeros(size, bool)
    wide = dilate(small, _FADES * len(small)).astype(np.float32)
    large: np.ndarray = cv2.resize(wide, size[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    return large


def _worth_telling(source: Source, found: Ghosts) -> tuple[Ghosts, list[str]]:
    """What stays outside the masks as they are grown, in enough frames, and a clause for each."""
    masked = sum(bool((mask > geometry.MASK_THRESHOLD).any()) for mask in source.masks)
    kept, told = [], []
    for area, what in zip(found, _NAMES, strict=True):
        share = np.zeros(len(area))
        for number in np.flatnonzero(area.any(axis=(1, 2))).tolist():
            mask = source.masks[number]
            hole = dilate_masks(mask[None], source.dilate)[0] > geometry.MASK_THRESHOLD
            share[number] = (_enlarged(area[number], mask.shape) & ~hole).mean()
        where = np.flatnonzero(share >= _SHARE)
        stays = len(where) >= max(_FEWEST, _PART * masked)
        kept.append(area if stays else np.zeros_like(area))
        if stays:
            told.append(
                f"{what} stays outside the mask in frames {where[0]} to {where[-1]}: "
                f"{share[where].mean():.1%} of the frame"
            )
    return Ghosts(*kept), told


def _advice(folder: pathlib.Path, *, takes: bool) -> str:
    if takes:
        return f"the run takes the masks in {folder}, which cover it"
    return (
        f"suggested masks are in {folder}: look at them, and take them in a new run with "
        f"--config.mask.grow=auto"
    )


def _write(folder: pathlib.Path, source: Source, found: Ghosts) -> None:
    numbers = source.footage.numbers()
    with replacing_folder(folder) as unfinished:
        for number, mask, *more in zip(numbers, source.masks, *found, strict=True):
            beyond = _enlarged(more[0] | more[1], mask.shape)
            images.write_image(_file(unfinished, number), np.where(beyond, np.uint8(255), mask))


def _file(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / f"{number:05d}.png"
