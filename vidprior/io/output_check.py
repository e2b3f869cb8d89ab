"""Tests whether a result can be written, before anything is computed.

A few frames and packets are written with the same writer and to the same folder as the result.
"""

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vidprior.errors import InputError
from vidprior.io import images, video_writer
from vidprior.io.footage import Footage
from vidprior.io.streams import Copied, name_of

# Packets of each stream, enough for a container to recognise its codec.
PACKETS = 8
# Packets of all streams that are read to find these: subtitles may be far apart.
SEARCHED = 2000
# The least bytes of a pixel of the result, by format.
LEAST_BYTES = {"png": 0.25, "ffv1": 0.25, "mp4": 0.005, "mkv": 0.005, "mov": 0.005}


class Chosen(NamedTuple):
    """Indices of the streams to copy, and names of those that cannot be copied."""

    indices: tuple[int, ...]
    left_out: tuple[str, ...]


NOTHING = Chosen((), ())


def check_output(
    path: Path,
    footage: Footage,
    *,
    size: tuple[int, int],
    video_format: str,
    rate: Fraction,
    pixel_aspect: Fraction | None,
    with_audio: bool,
) -> Chosen:
    """Tests whether a result can be written.

    Args:
      path: of the result: a video, or a folder of images.
      footage: the source, whose sound and other streams are copied.
      size: (H, W) of the result.
      video_format: 'mp4', 'mkv', 'mov', 'ffv1', or 'png'.
      rate: frames per second.
      pixel_aspect: width of a pixel over its height.
      with_audio: whether sound is copied.

    Returns:
      The streams that the container can hold, including all sound.

    Raises:
      InputError: the folder cannot be written, has too little space, or the container cannot
        hold the sound; with what to do.
    """
    needed = LEAST_BYTES[video_format] * footage.count * size[0] * size[1]
    _check_space(path, needed)
    if video_format == "png":
        images.write_image(path.parent / ".trial.png", np.zeros((*size, 3), np.uint8))
        (path.parent / ".trial.png").unlink()
        return NOTHING
    options: dict[str, Any] = {
        "rate": rate,
        "lossless": video_format == "ffv1",
        "pixel_aspect": pixel_aspect,
        "colour": footage.colour,
        "fields": footage.fields if size == footage.size else "",
    }
    trial = path.with_name(f".trial{path.suffix}")
    try:
        _try(trial, size, None, **options)
        chosen = what_fits(trial, footage, size=size, with_audio=with_audio, **options)
        with open_fitting(footage, chosen, with_audio=with_audio) as copied:
            _try(trial, size, copied and _beginning(copied), **options)
    except InputError as error:
        message = str(error).replace(f"{trial}: ", "")
        raise InputError(f"{path}: {message}") from error
    finally:
        with contextlib.suppress(OSError):
            trial.unlink(missing_ok=True)
    return chosen


def what_fits(
    trial: Path, footage: Footage, *, size: tuple[int, int], with_audio: bool, **options: Any
) -> Chosen:
    """The streams that a container can hold, each tested by itself.

    Raises:
      InputError: it cannot hold the sound.
    """
    with footage.open_streams(sound=with_audio) as copied:
        if copied is None:
            return NOTHING
        streams, left_out = copied.streams, list(copied.left_out)
        fitting = []
        for stream in streams:
            if _fits(trial, footage, stream.index, size, with_audio, **options):
                fitting.append(stream.index)
            elif stream.type == "audio":
                other = _other_format(trial, footage, size, with_audio, **options)
                raise InputError(
                    f"{trial.suffix} does not hold the {name_of(stream)}: set {other}"
                    f"--config.render.audio=False"
                )
            else:
                left_out.append(name_of(stream))
        return Chosen(tuple(fitting), tuple(left_out))


@contextlib.contextmanager
def open_fitting(footage: Footage, chosen: Chosen, *, with_audio: bool) -> Iterator[Copied | None]:
    """Opens the chosen streams of the footage."""
    with footage.open_streams(sound=with_audio) as copied:
        if copied is None:
            yield None
            return
        streams = tuple(stream for stream in copied.streams if stream.index in chosen.indices)
        packets = (
            (packet, heard)
            for packet, heard in copied.packets
            if packet.stream.index in chosen.indices
        )
        yield copied._replace(streams=streams, packets=packets)


def _fits(
    trial: Path,
    footage: Footage,
    index: int,
    size: tuple[int, int],
    with_audio: bool,
    **options: Any,
) -> bool:
    with open_fitting(footage, Chosen((index,), ()), with_audio=with_audio) as copied:
        try:
            _try(trial, size, copied and _beginning(copied), **options)
        except InputError:
            return False
    return True


def _other_format(
    trial: Path, footage: Footage, size: tuple[int, int], with_audio: bool, **options: Any
) -> str:
    """The setting that holds all sound, as the beginning of a text; empty if there is none."""
    with footage.open_streams(sound=with_audio) as copied:
        wanted = [s.index for s in copied.streams if s.type == "audio"] if copied else []
    for name in ("mkv", "mov", "mp4"):
        other = trial.with_suffix(f".{name}")
        if other.suffix == trial.suffix or options["lossless"]:
            continue
        try:
            if all(_fits(other, footage, index, size, with_audio, **options) for index in wanted):
                return f"--config.render.format={name}, or "
        finally:
            other.unlink(missing_ok=True)
    return ""


def _beginning(copied: Copied) -> Copied:
    """The first packets of each stream."""
    taken = dict.fromkeys((stream.index for stream in copied.streams), 0)

    def packets() -> Iterator[tuple[Any, Fraction]]:
        for packet, heard in itertools.islice(copied.packets, SEARCHED):
            taken[packet.stream.index] += 1
            if taken[packet.stream.index] <= PACKETS:
                yield packet, heard
            if min(taken.values()) >= PACKETS:
                return

    return copied._replace(packets=packets())


def _try(trial: Path, size: tuple[int, int], copied: Copied | None, **options: Any) -> None:
    with video_writer.open_writer(trial, copied=copied, **options) as write:
        for _ in range(2):
            write(np.zeros((*size, 3), np.uint8))


def _check_space(path: Path, needed: float) -> None:
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    if free < needed:
        raise InputError(
            f"{path}: the result takes at least {needed / 2**20:.0f} MiB, but {folder} has "
            f"{free / 2**20:.0f} MiB left"
        )
