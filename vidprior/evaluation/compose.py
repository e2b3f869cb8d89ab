"""Composes clips with known truth: masks of one clip over frames of another (section 4).

A composed clip is a folder:

    truth/         the background, lossless images at the composed size
    masks/         white where content is missing
    frames/        the background without the masked content: what a method may see
    manifest.json  sources and parameters: the same sources give the same clip again

Background and masks are first cropped and resized to the composed size (centre crop and
area resize, as for training), and the hole is cut there. So a clip composed at training
size is never resampled across the rim of its hole. The hole is filled from its rim (Telea)
and contains nothing of the truth. A grey hole would leave a grey rim if a method works at
another size, and an edge that optical flow follows.

The frames of a clip lie within one shot of the background. If there are fewer masks than
frames, the masks run forwards and backwards, so that they never jump.
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
      path: of the source.
      frames: [T, H, W, 3] uint8 RGB, at the composed size.
      source_size: (h, w) of the source, pixels.
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
      manifest: the content of `manifest.json`.
    """

    frames: np.ndarray
    hole: np.ndarray
    truth: np.ndarray
    manifest: dict[str, Any]


def read_background(path: str, *, size: tuple[int, int]) -> Background:
    """Reads a whole clip, finds its shots, and resizes it to (H, W).

    Raises:
      InputError: it cannot be read.
    """
    video = footage.read_frames(path)
    source_size = video.frames.shape[1:3]
    frames = geometry.crop_and_resize(geometry.centre_crop(source_size, size), video.frames)
    return Background(video.path, frames, source_size, find_shots(video.frames), video.rate)


def read_mask_clip(path: str) -> np.ndarray:
    """All masks of a clip at their own size: [T, h, w] uint8, 255 for a hole.

    Raises:
      InputError: they cannot be read.
    """
    first = footage.read_frames(path, stop=1)
    return read_mask_frames(path, size=first.frames.shape[1:3], num_frames=first.total)


def draw_start(random: np.random.Generator, background: Background, num_frames: int) -> int:
    """Draws the start of `num_frames` frames within one shot, uniformly.

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
    """Draws the first mask so that `num_frames` masks remain; 0 if there are not more."""
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
    """Masks resized to the composed size, then scaled around its centre, then moved.

    Args:
      masks: [T, h, w] uint8, 255 where content is missing.
      size: (H, W).
      offset: (x, y), pixels of the composed size, right and down.
      scale: larger than 1 enlarges.

    Returns:
      [T, H, W] bool, False outside the masks.
    """
    grey = geometry.crop_and_resize(geometry.centre_crop(masks.shape[1:3], size), masks)
    (H, W), (x, y) = size, offset
    if scale != 1 or (x, y) != (0, 0):
        # Pixel centres are integers: the middle is (W - 1) / 2.
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
    """Composes frames start ... start + num_frames - 1 of a background with masks.

    Args:
      background: from `read_background`.
      masks: from `read_mask_clip`.
      masks_path: of their source, for the manifest.
      start: first frame of the background.
      mask_start: first mask.
      num_frames: T.
      offset: as in `place_masks`.
      scale: as in `place_masks`.
      seed: of the random choices, for the manifest; None if there were none.

    Raises:
      InputError: the range leaves the background or crosses a cut, the mask does not exist,
        no frame has a hole, or every frame is all hole.
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
    """Writes a composed clip; the manifest comes last, so a clip with one is complete.

    Raises:
      InputError: the folder is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty: choose another --output")
    images.write_frames(folder / "truth", clip.truth)
    images.write_frames(folder / "frames", clip.frames)
    for number, hole in enumerate(clip.hole):
        images.write_image(folder / "masks" / f"{number:05d}.png", 255 * hole.astype(np.uint8))
    write_json(folder / MANIFEST, clip.manifest)


def read_manifest(folder: pathlib.Path) -> dict[str, Any]:
    """Reads the manifest of a composed clip, and checks its version and sizes.

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
    """The composed clips of a set, sorted by name; a single clip counts as a set.

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
    """The path of a method's result for the clip `name` in a folder.

    It is a video or a folder of frames of this name, or `result` in a work directory.

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
    """A short name of a source for a folder: a file's stem, or a folder's name and parent."""
    parts = pathlib.Path(path).absolute()
    name = parts.stem if parts.is_file() else "-".join(parts.parts[-2:])
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "clip"
