"""What the controls of the page do; each names what it takes and what it answers."""

import functools
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import gradio
import numpy as np

from vidprior.app import project as projects
from vidprior.app import show, words
from vidprior.app.jobs import Jobs, read
from vidprior.app.project import Project
from vidprior.errors import InputError
from vidprior.io.footage import open_footage

# Paint: magenta, which few footage has, half transparent.
PAINT = (255, 0, 255, 150)


def told_in_place(action: Callable[..., Any]) -> Callable[..., Any]:
    """Shows the line of an `InputError` in the page until it is closed; nothing else changes."""

    @functools.wraps(action)
    def guarded(*arguments: Any) -> Any:
        try:
            return action(*arguments)
        except InputError as error:
            gradio.Warning(str(error), duration=None, title="error")
            return gradio.skip()

    return guarded


class Actions:
    """The actions on the projects of a folder."""

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
        source = pathlib.Path(upload)
        next(iter(open_footage(source).part(0, 1).frames()))
        folder = self._root / ".uploaded" / projects.digest(source)
        kept = folder / source.name
        if not kept.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, kept)
        return projects.create(self._root, kept)

    def find(self, name: str | None) -> Project:
        """The project of a name that the browser sent."""
        return projects.find(self._root, name)

    def shown(self, project: Project, number: int) -> dict[str, Any]:
        """A frame for the editor, and over it what is painted or else tracked, to correct."""
        frame = project.frame(number)
        mask = project.paint_of(number)
        layers = [] if mask is None else [_layer(mask)]
        return {"background": frame, "layers": layers, "composite": None}

    def keep(self, name: str | None, number: int, edited: dict[str, Any] | None) -> None:
        """Stores what is painted in the editor; without layers nothing changes."""
        if name is None or edited is None or not edited.get("layers"):
            return
        project = self.find(name)
        height, width = project.footage.size
        layers = [np.asarray(layer) for layer in edited["layers"]]
        if any(layer.shape != (height, width, 4) for layer in layers):
            raise InputError(f"the painting has another size than the clip, {width}x{height}")
        project.paint(int(number), np.any([layer[..., 3] > 0 for layer in layers], axis=0))

    def track(self, name: str) -> None:
        """Queues the tracking of what is painted."""
        self._jobs.submit(*words.track(self.find(name)))

    def run(self, name: str, kind: str, grow: float, invert: bool) -> str:
        """Queues a run; returns its name."""
        order, workdir = words.run(self.find(name), kind, grow=grow or 0, invert=invert)
        self._jobs.submit(order, workdir)
        return workdir.name

    def stop(self, name: str, run: str) -> None:
        """Stops a run, which saves its state."""
        self._jobs.stop(self._workdir(name, run))

    def runs(self, name: str) -> list[str]:
        """The runs of a clip, the newest first."""
        found = self.find(name).runs.glob("*.job.json")
        ordered = sorted(found, key=lambda file: -file.stat().st_mtime)
        return [file.name.removesuffix(".job.json") for file in ordered]

    def state_of_tracking(self, name: str) -> tuple[str, str]:
        """A line on the tracking, and the strip of confidence."""
        project = self.find(name)
        try:
            found = self._jobs.status(project.masks())
        except InputError:
            return "", ""
        return show.status(found), show.strip(project.confidence())

    def weakest(self, name: str) -> int:
        """The frame that is tracked worst."""
        confidence = self.find(name).confidence()
        if not confidence:
            raise InputError("what is painted is not tracked yet: press Track first")
        return int(np.argmin(confidence))

    def state_of_run(self, name: str, run: str | None) -> tuple[str, str, str]:
        """State, a line on it, and the command of a run."""
        if not run:
            return "none", "", ""
        found = self._jobs.status(self._workdir(name, run))
        return found["state"], show.status(found), words.spelled(found["words"])

    def result(self, name: str, run: str) -> str | None:
        """The path of a run's video; None before its end."""
        workdir = self._workdir(name, run)
        found = sorted(workdir.glob("result.m*"))
        return str(found[0]) if found and read(workdir)["state"] == "done" else None

    def before_and_after(self, name: str, run: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        """A frame of the clip, and of the result."""
        result = self.result(name, run)
        if result is None:
            raise InputError("this run has no result yet")
        (after,) = open_footage(result).part(number, number + 1).frames()
        return self.find(name).frame(number), after

    def origins(self, name: str, run: str) -> str | None:
        """The picture of what other frames show, and what is guessed."""
        file = self._workdir(name, run) / "propagated.png"
        return str(file) if file.exists() else None

    def archive(self, name: str) -> str:
        """The tracked masks in one file."""
        masks = self.find(name).masks()
        if not masks.is_dir():
            raise InputError("what is painted is not tracked yet: press Track first")
        return shutil.make_archive(str(masks), "zip", masks)

    def _workdir(self, name: str, run: str) -> pathlib.Path:
        if run not in self.runs(name):
            raise InputError("there is no such run")
        return self.find(name).runs / run


def _layer(mask: np.ndarray) -> np.ndarray:
    layer = np.zeros((*mask.shape, 4), np.uint8)
    layer[mask] = PAINT
    return layer
