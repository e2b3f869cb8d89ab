"""The ordinary commands that the page runs."""

import math
import pathlib
import shlex

import numpy as np

from vidprior.app.project import BOXES, GIVEN, Project, digest
from vidprior.errors import InputError
from vidprior.imaging import geometry

# The least radius of the brush at first.
BRUSH = 12
KINDS = ("quick look", "propagate", "footage")
# Pixels of a frame at which a kind works.
_PIXELS = {"quick look": 128 * 72, "propagate": 384 * 192, "footage": 384 * 192}


def track(project: Project) -> tuple[list[str], pathlib.Path]:
    """The words that make masks of what is painted, and the folder that they write.

    Raises:
      InputError: nothing is painted, or masks were uploaded.
    """
    way = project.chosen["masks"]
    if way == GIVEN:
        raise InputError("uploaded masks are not tracked: go on with step 3")
    masks = project.masks()
    if not any(project.paintings()):
        raise InputError("no frame is painted: paint the object in one")
    words = ["track", f"--video={project.video}", f"--output={masks}"]
    if way == BOXES:
        boxes = ((number, box_around(mask)) for number, mask in project.paintings())
        return words + [f"--box={number}:{spell_box(box)}" for number, box in boxes], masks
    absent = [f"--absent={number}" for number in project.absent()]
    return [*words, f"--painted={project.painted}", *absent], masks


def options(project: Project, kind: str, *, grow: float, invert: bool) -> list[str]:
    """The configuration of a run and its fields.

    Args:
      project: the clip.
      kind: of `KINDS`.
      grow: source pixels by which masks grow.
      invert: whether masks show what to keep.

    Raises:
      InputError: a choice is invalid.
    """
    if kind not in KINDS:
        raise InputError(f"{kind}: choose one of {', '.join(KINDS)}")
    if not 0 <= grow <= 1000:
        raise InputError(f"grow masks by {grow:g}: give 0 to 1000 pixels")
    height, width = working_size(project.footage.size, _PIXELS[kind])
    found = [
        f"--config={'footage' if kind == 'footage' else 'propagate'}",
        f"--config.mask.dilate={grow:g}",
        *(["--config.mask.invert=True"] if invert else []),
    ]
    if kind != "footage":  # which trains on a crop around the hole
        found += [f"--config.video.height={height}", f"--config.video.width={width}"]
    if kind == "quick look":  # its result has the size of training: of the whole frame
        found += ["--config.video.crop=frame", "--config.render.resolution=training"]
    return found


def run(
    project: Project, kind: str, *, grow: float, invert: bool
) -> tuple[list[str], pathlib.Path]:
    """The words of a run, and its work directory.

    Args:
      project: with masks.
      kind, grow, invert: as in `options`.

    Raises:
      InputError: there are no masks yet, or a choice is invalid.
    """
    found, cleaned = options(project, kind, grow=grow, invert=invert), project.chosen["references"]
    masks = project.ready_masks()
    name = f"{kind_name(kind)}-{digest(masks.name, *found, *([cleaned] if cleaned else []))}"
    workdir = project.runs / name
    paths = [f"--video={project.video}", f"--mask={masks}", f"--workdir={workdir}"]
    given = [f"--reference={project.cleaned / cleaned}"] if cleaned else []
    return [*found, *paths, *given], workdir


def to_clean(project: Project, workdir: pathlib.Path) -> tuple[list[str], pathlib.Path]:
    """The words that write frames of a run to clean, and the target of their record."""
    return ["--mode=reference", f"--workdir={workdir}"], project.to_clean / workdir.name


def kind_name(kind: str) -> str:
    """How the names of the runs of a kind begin."""
    return kind.replace(" ", "_")


def box_around(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is painted, [h, w] bool, at least a pixel."""
    rows, columns = geometry.box_around(mask, margin=0)
    left, top = int(columns.start), int(rows.start)
    return left, top, int(columns.stop) - left, int(rows.stop) - top


def spell_box(box: tuple[float, float, float, float]) -> str:
    """A box as the command line takes it: LEFT,TOP,WIDTH,HEIGHT."""
    return ",".join(f"{side:g}" for side in box)


def read_box(text: str) -> tuple[float, float, float, float]:
    """A box that somebody typed: left, top, width and height.

    Raises:
      InputError: it is none.
    """
    try:
        left, top, width, height = (float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise InputError(f"{text}: give LEFT,TOP,WIDTH,HEIGHT") from error
    if not (np.isfinite([left, top, width, height]).all() and width > 0 and height > 0):
        raise InputError(f"{text}: width and height must be above 0")
    return left, top, width, height


def brush_size(size: tuple[int, int]) -> int:
    """The radius of the brush for frames of a size, in their pixels."""
    return max(BRUSH, round(min(size) / 24))


def working_size(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Rows and columns, multiples of 8, of about the frame's aspect and at most its size."""
    shrink = min(1.0, math.sqrt(pixels / (size[0] * size[1])))
    height, width = (max(16, 8 * round(side * shrink / 8)) for side in size)
    return height, width


def spelled(words: list[str]) -> str:
    """A command to copy into a shell."""
    return shlex.join(["vidprior", *words])
