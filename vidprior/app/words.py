"""The ordinary commands that the page runs."""

import math
import pathlib
import shlex

from vidprior.app.project import Project, digest
from vidprior.errors import InputError

KINDS = ("quick look", "propagate", "footage")
# Pixels of a frame at which a kind works.
_PIXELS = {"quick look": 128 * 72, "propagate": 384 * 192, "footage": 384 * 192}


def track(project: Project) -> tuple[list[str], pathlib.Path]:
    """The words that track what is painted, and the folder that they write."""
    masks = project.masks()
    words = ["track", f"--video={project.video}", f"--painted={project.painted}"]
    return [*words, f"--output={masks}"], masks


def run(
    project: Project, kind: str, *, grow: float, invert: bool
) -> tuple[list[str], pathlib.Path]:
    """The words of a run, and its work directory.

    Args:
      project: with tracked masks.
      kind: of `KINDS`.
      grow: source pixels by which masks grow.
      invert: whether masks show what to keep.

    Raises:
      InputError: there are no masks yet, or a choice is invalid.
    """
    if kind not in KINDS:
        raise InputError(f"{kind}: choose one of {', '.join(KINDS)}")
    if not 0 <= grow <= 1000:
        raise InputError(f"grow masks by {grow:g}: give 0 to 1000 pixels")
    masks = project.masks()
    if not masks.is_dir():
        raise InputError("what is painted is not tracked yet: press Track first")
    height, width = working_size(project.footage.size, _PIXELS[kind])
    options = [
        f"--config={'footage' if kind == 'footage' else 'propagate'}",
        f"--config.mask.dilate={grow:g}",
        *(["--config.mask.invert=True"] if invert else []),
    ]
    if kind != "footage":  # which trains on a crop around the hole
        options += [f"--config.video.height={height}", f"--config.video.width={width}"]
    if kind == "quick look":
        options.append("--config.render.resolution=training")
    name = f"{kind.replace(' ', '_')}-{digest(masks.name, *options)}"
    workdir = project.runs / name
    paths = [f"--video={project.video}", f"--mask={masks}", f"--workdir={workdir}"]
    return [*options, *paths], workdir


def working_size(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Rows and columns, multiples of 8, of about the frame's aspect and at most its size."""
    shrink = min(1.0, math.sqrt(pixels / (size[0] * size[1])))
    height, width = (max(16, 8 * round(side * shrink / 8)) for side in size)
    return height, width


def spelled(words: list[str]) -> str:
    """A command to copy into a shell."""
    return shlex.join(["vidprior", *words])
