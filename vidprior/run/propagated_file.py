"""propagated.npz: the propagated pixels of a clip, and their origins."""

import pathlib

import numpy as np

from vidprior.errors import InputError
from vidprior.io.npz import array_names, load_npz, save_npz
from vidprior.run.clip_file import MAX_CLIP_BYTES
from vidprior.types import Origins, Propagated

NAME = "propagated.npz"
# The names of the file, and of held-out pixels in it, in earlier versions.
NAME_BEFORE, _HELD_OUT_BEFORE = "carried.npz", "rehearsal"

_UNSEEN = "unseen"
_PIXELS = {"frames": ("u", 4), "confidence": ("f", 3)}
_ORIGINS = {"origin_frame": ("i", 2), "origin_place": ("f", 3), "origin_weight": ("f", 2)}


def write(path: pathlib.Path, propagated: Propagated) -> None:
    """Writes the file, whole or not at all."""
    arrays = propagated._asdict()
    origins = arrays.pop("origins")
    if origins is not None:
        arrays |= dict(zip(_ORIGINS, origins, strict=True))
    if arrays["unseen"] is None:
        del arrays["unseen"]
    save_npz(path, **arrays)


def read(path: pathlib.Path, hole: np.ndarray) -> Propagated:
    """Reads the file of this version or an earlier one, which had no origins.

    Args:
      path: an existing file.
      hole: [T, H, W] bool of the clip.

    Raises:
      InputError: the file is damaged or does not fit the clip.
    """
    stored = array_names(path)
    held_out = "held_out" if "held_out" in stored else _HELD_OUT_BEFORE
    with_origins = next(iter(_ORIGINS)) in stored
    fields = {**_PIXELS, held_out: ("b", 3), **(_ORIGINS if with_origins else {})}
    if _UNSEEN in stored:
        fields[_UNSEEN] = ("b", 3)
    arrays = load_npz(path, fields=fields, max_bytes=MAX_CLIP_BYTES)
    count = int(hole.sum())
    wanted = {"frames": (*hole.shape, 3)}
    wanted |= dict.fromkeys(("confidence", held_out, _UNSEEN), hole.shape)
    for name, array in arrays.items():
        fits = len(array) == count if name in _ORIGINS else array.shape == wanted[name]
        if not fits:
            raise InputError(
                f"{path}: {name} has shape {array.shape}, which does not fit the clip's hole of "
                f"{count} pixels in {hole.shape}"
            )
    origins = Origins(*(arrays[name] for name in _ORIGINS)) if with_origins else None
    if origins is not None:
        shape = origins.frame.shape
        if origins.place.shape != (*shape, 2) or origins.weight.shape != shape:
            raise InputError(f"{path}: its origins do not fit each other")
    return Propagated(
        arrays["frames"], arrays["confidence"], arrays[held_out], origins, arrays.get(_UNSEEN)
    )
