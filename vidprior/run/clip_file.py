"""clip.npz: the prepared clip at training size."""

import json
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vidprior.errors import InputError
from vidprior.imaging.geometry import Transform
from vidprior.io.npz import load_npz, save_npz

CLIP_VERSION = 1
MAX_CLIP_BYTES = 2**35
# The members of clip.npz except `frames`: kind and number of dimensions.
_HEADER = {
    "version": ("i", 0),
    "hole": ("b", 3),
    "source_sha256": ("U", 0),
    "rate": ("i", 1),
    "pixel_aspect": ("i", 1),
    "transform": ("U", 0),
}


class ClipHeader(NamedTuple):
    """What `clip.npz` contains besides frames and hole; other fields as in `PreparedClip`.

    Attributes:
      shape: (T, H, W).
      has_hole: whether any frame has a hole; a segment of a run may have none.
    """

    shape: tuple[int, int, int]
    has_hole: bool
    source_sha256: str
    rate: tuple[int, int]
    pixel_aspect: tuple[int, int]
    transform: str

    @property
    def view(self) -> Transform:
        """The crop and resize from the source."""
        return Transform.from_dict(json.loads(self.transform))


class PreparedClip(NamedTuple):
    """A clip at training size: the content of `clip.npz`.

    Attributes:
      frames: [T, H, W, 3] uint8 RGB.
      hole: [T, H, W] bool.
      source_sha256: identity of the frames; see `flow_file.frames_sha256`.
      rate: frames per second, numerator and denominator.
      pixel_aspect: width of a pixel over its height, numerator and denominator.
      transform: the crop and resize from the source, as JSON.
    """

    frames: np.ndarray
    hole: np.ndarray
    source_sha256: str
    rate: tuple[int, int]
    pixel_aspect: tuple[int, int]
    transform: str

    @property
    def view(self) -> Transform:
        """The crop and resize from the source."""
        return Transform.from_dict(json.loads(self.transform))


def write_clip(path: pathlib.Path, clip: PreparedClip) -> None:
    """Writes the file, whole or not at all."""
    save_npz(path, version=CLIP_VERSION, **clip._asdict())


def read_clip(path: pathlib.Path) -> PreparedClip:
    """Reads the whole clip.

    Raises:
      InputError: the file is missing, damaged or not a clip.
    """
    arrays = load_npz(path, fields={**_HEADER, "frames": ("u", 4)}, max_bytes=MAX_CLIP_BYTES)
    header = _checked(path, arrays)
    if arrays["frames"].shape != (*header.shape, 3):
        raise InputError(
            f"{path}: frames {arrays['frames'].shape} do not fit the hole {header.shape}"
        )
    small = {name: getattr(header, name) for name in ClipHeader._fields[2:]}
    return PreparedClip(arrays["frames"], arrays["hole"], **small)


def read_header(path: pathlib.Path) -> ClipHeader:
    """Reads the file without its frames; errors as `read_clip`."""
    return _checked(path, load_npz(path, fields=_HEADER, max_bytes=MAX_CLIP_BYTES))


def _checked(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> ClipHeader:
    if arrays["version"] != CLIP_VERSION:
        raise InputError(f"{path} has version {arrays['version']}, not {CLIP_VERSION}")
    for name in ("rate", "pixel_aspect"):
        if arrays[name].shape != (2,) or min(arrays[name]) < 1:
            raise InputError(f"{path}: {name} is {arrays[name]}, which is no fraction")
    count, height, width = arrays["hole"].shape
    return ClipHeader(
        shape=(count, height, width),
        has_hole=bool(arrays["hole"].any()),
        source_sha256=str(arrays["source_sha256"]),
        rate=(int(arrays["rate"][0]), int(arrays["rate"][1])),
        pixel_aspect=(int(arrays["pixel_aspect"][0]), int(arrays["pixel_aspect"][1])),
        transform=str(arrays["transform"]),
    )
