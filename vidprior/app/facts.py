"""What the page says of a clip."""

import functools
import os

from vidprior.app.project import opened
from vidprior.imaging.shots import find_shots
from vidprior.io.footage import Footage

# Cuts are looked for in so many frames; a longer clip would take minutes.
_MOST = 3000


def describe(footage: Footage) -> str:
    """Size, length, rate and sound, and the notes of its reader, as Markdown."""
    height, width = footage.size
    told = [f"{width}x{height}, {footage.count} frames"]
    if footage.rate:
        told.append(f"{float(footage.rate):.4g} frames/s")
        told.append("with sound" if has_sound(footage) else "without sound")
    return "  \n".join([", ".join(told), *footage.notes()])


def has_sound(footage: Footage) -> bool:
    """Whether a clip has an audio stream that the result keeps."""
    with footage.open_streams() as copied:
        return copied is not None and any(stream.type == "audio" for stream in copied.streams)


def describe_cuts(video: str) -> str:
    """How many shots a clip has, and the first frames of all but the first."""
    return _cuts(video, os.stat(video).st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _cuts(video: str, _: int) -> str:
    footage = opened(video)
    seen = min(footage.count, _MOST)
    cuts = [start for start, _ in find_shots(footage.part(0, seen).frames())[1:]]
    named = ", ".join(map(str, cuts[:12])) + (", ..." if len(cuts) > 12 else "")
    told = f"cuts at frames {named}: each shot is filled by itself" if cuts else "no cuts"
    return told + (f" in the first {seen} frames" if seen < footage.count else "")
