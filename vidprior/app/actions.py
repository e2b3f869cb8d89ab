"""What the controls of steps 1 and 2 do: open a clip, paint, track."""

import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from vidprior.app import project as projects
from vidprior.app import show, uploads, words
from vidprior.app.jobs import Jobs
from vidprior.app.project import GIVEN, SOURCES, Project
from vidprior.errors import InputError
from vidprior.io import images
from vidprior.tracking.boxes import box_masks, object_in_box

# Paint: magenta, which few footage has, half transparent.
PAINT = (255, 0, 255, 150)


class Actions:
    """The actions on the clips of a folder."""

    def __init__(self, root: pathlib.Path, footage: pathlib.Path, jobs: Jobs):
        self._root, self._footage, self._jobs = root, footage, jobs

    def names(self) -> list[str]:
        """The clips that were opened, the newest first."""
        return projects.names(self._root)

    def open_path(self, text: str) -> Project:
        """Opens a clip of this machine."""
        return projects.create(self._root, projects.confined(text, self._footage))

    def open_upload(self, upload: str) -> Project:
        """Keeps an uploaded clip, if it can be read, and opens it."""
        kept = uploads.keep_clip(pathlib.Path(upload), self._root / ".uploaded")
        return projects.create(self._root, kept)

    def find(self, name: str | None) -> Project:
        """The project of a name that the browser sent."""
        return projects.find(self._root, name)

    def shown(self, project: Project, number: int) -> dict[str, Any]:
        """A frame for the editor; over it what is painted, or else the mask, to correct."""
        mask = project.shown_mask(number)
        layers = [] if mask is None else [_layer(mask)]
        return {**self.bare(project, number), "layers": layers}

    def bare(self, project: Project, number: int) -> dict[str, Any]:
        """A frame for the editor, without paint."""
        return {"background": str(project.picture(number)), "layers": [], "composite": None}

    def keep(self, name: str | None, number: int, layers: Sequence[str] | None) -> str:
        """Stores what is painted on a frame, if it differs from what the editor was given.

        Args:
          name: of the clip.
          number: of the frame.
          layers: files of the editor's layers; none if it has nothing to tell.

        Returns:
          What has to be said of it, or nothing.
        """
        if name is None or not layers:
            return ""
        project, number = self.find(name), int(number)
        height, width = project.footage.size
        painted = [_painted(pathlib.Path(file)) for file in layers]
        if any(part.shape != (height, width) for part in painted):
            raise InputError(f"the painting has another size than the clip, {width}x{height}")
        if not 0 <= number < project.footage.count:
            raise InputError(f"there is no frame {number}")
        mask = np.any(painted, axis=0)
        before = project.shown_mask(number)
        if np.array_equal(mask, np.zeros_like(mask) if before is None else before):
            return ""
        project.paint(number, mask)
        if mask.any() or project.paint_of(number) is None or project.chosen["masks"] != SOURCES[0]:
            return ""
        return (
            f"frame {number}: the object is not here, nor in the frames beyond, until one in which "
            f"you paint it again: press Track"
        )

    def paint_box(self, name: str, number: int, text: str, *, find_object: bool) -> None:
        """Paints a box, or the object in it, on a frame.

        Args:
          name: of the clip.
          number: of the frame.
          text: the box; empty: the one around what is painted.
          find_object: whether to paint the object that the tracker finds in the box.
        """
        project, number = self.find(name), int(number)
        painted = project.paint_of(number)
        if text.strip():
            box = words.read_box(text)
        elif painted is not None and painted.any():
            box = words.box_around(painted)
        else:
            raise InputError(f"frame {number}: paint a line across the object, or type its box")
        if find_object:
            mask = object_in_box(project.footage, number, box)
        else:
            (mask,) = box_masks({0: box}, 1, project.footage.size)
        if not mask.any() or mask.all():
            raise InputError("the box must cover a part of the frame, and leave some around it")
        project.paint(number, mask)

    def unpaint(self, name: str, number: int) -> None:
        """Forgets what is painted on a frame."""
        project = self.find(name)
        (project.painting / projects.mask_name(int(number))).unlink(missing_ok=True)

    def upload_masks(self, name: str, files: list[str] | None) -> str:
        """Makes uploaded masks those of the clip; returns how they were read."""
        notes = uploads.keep_masks(self.find(name), [pathlib.Path(file) for file in files or []])
        return "  \n".join(["uploaded masks are used; painting corrects them", *notes])

    def choose_masks(self, name: str, way: str) -> None:
        """Chooses where masks come from."""
        project = self.find(name)
        if way == GIVEN and not project.chosen["given"]:
            raise InputError("no masks were uploaded: upload them, or paint")
        project.choose(masks=way)

    def track(self, name: str) -> None:
        """Queues the tracking of what is painted."""
        self._jobs.submit(*words.track(self.find(name)))

    def stop_tracking(self, name: str) -> None:
        """Stops the tracking of a clip."""
        self._jobs.stop_all(self.find(name).path / "masks")

    def state_of_tracking(self, name: str) -> tuple[str, str, str]:
        """A line on the tracking, the strip of confidence, and the masks if they are ready."""
        project = self.find(name)
        try:
            masks = project.masks()
        except InputError:
            return "", "", ""
        if project.chosen["masks"] == GIVEN:
            return '<p class="state">uploaded masks</p>', "", f"{masks}"
        found = self._jobs.status(masks)
        ready = f"{masks}" if found["state"] in ("done", "none") and masks.is_dir() else ""
        confidence = project.confidence()
        fresh = "painted since the last tracking" if confidence else "not tracked yet"
        line = show.status(found, none=f"{fresh}: press Track" if not ready else "tracked")
        return line, show.strip(confidence), ready

    def weakest(self, name: str) -> int:
        """The frame that is tracked worst."""
        confidence = self.find(name).confidence()
        if not confidence:
            raise InputError("what is painted is not tracked yet: press Track first")
        return int(np.argmin(confidence))

    def archive(self, name: str) -> str:
        """The masks in one file."""
        masks = self.find(name).ready_masks()
        return shutil.make_archive(str(masks), "zip", masks)


def _painted(file: pathlib.Path) -> np.ndarray:
    """Where a layer is painted, [h, w] bool."""
    pixels = images.read_pixels(file)
    if pixels.alpha is None:
        return np.ones(pixels.colours.shape[:2], bool)
    return np.asarray(pixels.alpha > 0)


def _layer(mask: np.ndarray) -> np.ndarray:
    layer = np.zeros((*mask.shape, 4), np.uint8)
    layer[mask] = PAINT
    return layer
