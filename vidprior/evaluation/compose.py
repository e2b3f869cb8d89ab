"""Clips with a known answer: one clip's masks laid over another clip's frames (section 4).

A composed clip is a folder:

    truth/         the background as it is, lossless images at the composed size
    masks/         white where content is missing
    frames/        the background without what the masks hide: what a method may see
    manifest.json  how it came about, so that the same sources give the same clip again

Background and masks are both brought to the composed size first (centre crop and area
resize, as for training), and the hole is cut there. A clip composed at the training size
is therefore never resampled across the rim of its hole. What a mask hides is filled from
the rim (Telea), with nothing of the truth: a grey hole would leave a grey rim around it
wherever a method works at another size, and an edge that optical flow follows.

The frames of a clip lie within one shot of the background. Masks that are fewer than the
frames are run through forwards and backwards, so that they never jump.
"""

import hashlib
import json
import pathlib
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.flow.dis import fill_hole
from vidprior.flow.flow_file import frames_sha256
from vidprior.imaging import geometry
from vidprior.imaging.shots import find_shots
from vidprior.io import footage, images
from vidprior.io.masks import read_mask_frames
from vidprior.run.workdir import write_json

VERSION = 1
MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 2**20


class Background(NamedTuple):
    """A clip to be composed.

    Attributes:
      path: where it came from.
      frames: [T, H, W, 3] uint8 RGB, at the composed size.
      source_size: (h, w) before that, pixels.
      shots: (start, stop) of every shot.
      rate: frames per second; None for images.
    """

    path: pathlib.Path
    frames: np.ndarray
    source_size: tuple[int, int]
    shots: Sequence[tuple[int, int]]
    rate: Fraction | None


class Composed(NamedTuple):
    """A composed clip.

    Attributes:
      frames: [T, H, W, 3] uint8 RGB, the hole filled from its rim.
      hole: [T, H, W] bool.
      truth: [T, H, W, 3] uint8 RGB, equal to `frames` outside the hole.
      manifest: what `manifest.json` says.
    """

    frames: np.ndarray
    hole: np.ndarray
    truth: np.ndarray
    manifest: dict[str, Any]


def read_background(path: str, *, size: tuple[int, int]) -> Background:
    """Reads a whole clip, finds its shots, and brings it to (H, W).

    Raises:
      InputError: it cannot be read.
    """
    video = footage.read_frames(path)
    source_size = video.frames.shape[1:3]
    frames = geometry.crop_and_resize(geometry.centre_crop(source_size, size), video.frames)
    return Background(video.path, frames, source_size, find_shots(video.frames), video.rate)


def read_mask_clip(path: str) -> np.ndarray:
    """All masks of a clip, as many and as large as they are: [T, h, w] uint8, 255 for a hole.

    Raises:
      InputError: they cannot be read.
    """
    first = footage.read_frames(path, stop=1)
    return read_mask_frames(path, size=first.frames.shape[1:3], num_frames=first.total)


def draw_start(random: np.random.Generator, background: Background, num_frames: int) -> int:
    """A start of `num_frames` frames within one shot, each possible start as likely.

    Raises:
      InputError: no shot is long enough.
    """
    starts = [
        start for first, stop in background.shots for start in range(first, stop - num_frames + 1)
    ]
    if not starts:
        longest = max((stop - first for first, stop in background.shots), default=0)
        raise InputError(
            f"{background.path}: no shot of {num_frames} frames; the longest of "
            f"{len(background.shots)} has {longest}"
        )
    return int(random.choice(starts))


def draw_mask_start(random: np.random.Generator, num_masks: int, num_frames: int) -> int:
    """A start that leaves `num_frames` masks; 0 where there are no more than that."""
    return int(random.integers(max(num_masks - num_frames, 0) + 1))


def to_and_fro(start: int, count: int, total: int) -> np.ndarray:
    """[count] indices below `total`: ascending from `start`, then back and forth.

    `to_and_fro(1, 6, 3)` is 1 2 1 0 1 2.
    """
    period = max(2 * (total - 1), 1)
    place = (start + np.arange(count)) % period
    return np.minimum(place, period - place) if total > 1 else np.zeros(count, int)


def place_masks(
    masks: np.ndarray,
    *,
    size: tuple[int, int],
    offset: tuple[int, int] = (0, 0),
    scale: float = 1.0,
) -> np.ndarray:
    """Masks brought to the composed size, then scaled about its centre, then moved.

    Args:
      masks: [T, h, w] uint8, 255 where content is missing.
      size: (H, W).
      offset: (x, y), pixels of the composed size, right and down.
      scale: larger than 1 enlarges.

    Returns:
      [T, H, W] bool. Nothing is missing where no mask reaches.
    """
    grey = geometry.crop_and_resize(geometry.centre_crop(masks.shape[1:3], size), masks)
    (H, W), (x, y) = size, offset
    if scale != 1 or (x, y) != (0, 0):
        # Pixel centres lie on whole numbers: the middle is (W - 1) / 2.
        matrix = np.array(
            [
                [scale, 0, (1 - scale) * (W - 1) / 2 + x],
                [0, scale, (1 - scale) * (H - 1) / 2 + y],
            ]
        )
        grey = np.stack([cv2.warpAffine(mask, matrix, (W, H)) for mask in grey])
    return grey > geometry.MASK_THRESHOLD


def compose(
    background: Background,
    masks: np.ndarray,
    *,
    masks_path: str,
    start: int,
    mask_start: int,
    num_frames: int,
    offset: tuple[int, int] = (0, 0),
    scale: float = 1.0,
    seed: int | None = None,
) -> Composed:
    """Lays masks over frames start ... start + num_frames - 1 of a background.

    Args:
      background: from `read_background`.
      masks: from `read_mask_clip`.
      masks_path: where they came from.
      start: first frame of the background.
      mask_start: first mask.
      num_frames: T.
      offset: as in `place_masks`.
      scale: as in `place_masks`.
      seed: what the choices were drawn with, for the manifest; None if nothing was.

    Raises:
      InputError: the range leaves the background or crosses a cut, the mask does not exist,
        no frame has a hole, or a hole covers a frame in full.
    """
    stop, total = start + num_frames, len(background.frames)
    if not (0 <= start < stop <= total):
        raise InputError(f"{background.path}: no frames {start} to {stop} in a clip of {total}")
    shot = next(shot for shot in background.shots if shot[0] <= start < shot[1])
    if stop > shot[1]:
        raise InputError(
            f"{background.path}: frames {start} to {stop} cross a cut at {shot[1]}; its shot is "
            f"frames {shot[0]} to {shot[1]}"
        )
    if not 0 <= mask_start < len(masks):
        raise InputError(f"{masks_path}: no mask {mask_start} in a clip of {len(masks)}")
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"masks cannot be scaled by {scale}: give a number above 0")
    size = background.frames.shape[1:3]
    indices = to_and_fro(mask_start, num_frames, len(masks))
    hole = place_masks(masks[indices], size=size, offset=offset, scale=scale)
    if not hole.any():
        raise InputError(f"{masks_path}: no hole in any frame, placed at {offset} times {scale}")
    truth = background.frames[start:stop]
    try:
        frames = fill_hole(truth, hole)
    except InputError as error:
        raise InputError(f"{masks_path}: {error}") from error
    rate = background.rate
    manifest = {
        "version": VERSION,
        "frames": num_frames,
        "width": size[1],
        "height": size[0],
        "rate": None if rate is None else [rate.numerator, rate.denominator],
        "seed": seed,
        "background": {
            "path": str(background.path),
            "width": background.source_size[1],
            "height": background.source_size[0],
            "start": start,
            "stop": stop,
            "total": total,
            "shot": list(shot),
        },
        "masks": {
            "path": masks_path,
            "width": masks.shape[2],
            "height": masks.shape[1],
            "indices": indices.tolist(),
            "total": len(masks),
            "offset": list(offset),
            "scale": scale,
        },
        "fill": "telea, radius 3",
        "hole_fraction": float(hole.mean()),
        "frames_without_hole": int((~hole.any(axis=(1, 2))).sum()),
        "truth_sha256": frames_sha256(truth),
        "hole_sha256": hashlib.sha256(np.packbits(hole).tobytes()).hexdigest(),
    }
    return Composed(frames, hole, truth, manifest)


def write_clip(folder: pathlib.Path, clip: Composed) -> None:
    """Writes a composed clip; its manifest comes last, so that what has one is whole.

    Raises:
      InputError: the folder is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty: choose another --output")
    images.write_frames(folder / "truth", clip.truth)
    images.write_frames(folder / "frames", clip.frames)
    for number, hole in enumerate(clip.hole):
        images.write_image(folder / "masks" / f"{number:05d}.png", 255 * hole.astype(np.uint8))
    write_json(folder / MANIFEST, clip.manifest)


def read_manifest(folder: pathlib.Path) -> dict[str, Any]:
    """The manifest of a composed clip, its version and sizes checked.

    Raises:
      InputError: it is missing, unreadable, or of another version.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise InputError(f"{path}: too long for a manifest")
        manifest = json.loads(path.read_text())
        version, sizes = manifest["version"], [manifest[n] for n in ("frames", "height", "width")]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not the manifest of a composed clip") from error
    if version != VERSION:
        raise InputError(f"{path}: version {version!r}, this program reads {VERSION}")
    if not all(type(number) is int and number > 0 for number in sizes):
        raise InputError(f"{path}: frames, height and width are {sizes}, which are no sizes")
    return manifest


def list_clips(folder: pathlib.Path) -> list[pathlib.Path]:
    """The composed clips of a set, in the order of their names; a single clip is one too.

    Raises:
      InputError: there are none.
    """
    if (folder / MANIFEST).is_file():
        return [folder]
    clips = sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST}"))
    if not clips:
        raise InputError(f"{folder}: no composed clips, that is folders with a {MANIFEST}")
    return clips


def find_result(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where a method's result for the clip `name` lies below a folder.

    That is a video or a folder of frames of this name, or `result` in a work directory.

    Raises:
      InputError: there is none, or more than one.
    """
    found = [path for path in folder.glob("*") if name in (path.name, path.stem)]
    if len(found) != 1:
        there = "several" if found else "none"
        raise InputError(f"{folder}: one result is needed for clip {name}, there are {there}")
    inside = found[0] / "result"
    return inside if inside.is_dir() else found[0]


def label(path: str) -> str:
    """A short name for a source, fit for a folder: a file's stem, or a folder and its parent."""
    parts = pathlib.Path(path).absolute()
    name = parts.stem if parts.is_file() else "-".join(parts.parts[-2:])
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "clip"
