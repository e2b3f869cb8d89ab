"""What the controls of steps 3 to 5 do: foretell, run, compare, hand out and take in frames."""

import pathlib
from typing import Any

import numpy as np

from vidprior.app import forecast, show, uploads, views, words
from vidprior.app import project as projects
from vidprior.app.jobs import ACTIVE, Jobs, read
from vidprior.app.project import Project
from vidprior.errors import InputError
from vidprior.imaging.geometry import MASK_THRESHOLD
from vidprior.io import images

VIEWS = ("before and after", "hole, magnified", "difference", "slice over time")
# Frames of a slice over time, on each side of the one that is shown.
_SLICE = 150


class Runs:
    """The actions on the runs of the clips of a folder."""

    def __init__(self, root: pathlib.Path, jobs: Jobs):
        self._root, self._jobs = root, jobs

    def foretell(self, name: str, grow: float | None, invert: bool) -> str:
        """What each kind of run takes, and which share of the hole no frame shows, as HTML."""
        project = self._find(name)
        told: dict[str, show.Told] = {}
        for kind in words.KINDS:
            flags = words.options(project, kind, grow=grow or 0, invert=invert)
            speed = forecast.measured_speed(self._root, words.kind_name(kind))
            try:
                told[kind] = forecast.forecast(flags, project.footage), speed
            except InputError as error:  # such as too few frames to train on
                told[kind] = str(error)
        try:
            case = forecast.judge(project.video, project.ready_masks(), invert)
        except InputError:  # they are not there yet
            case = None
        return show.forecasts(told, case, free=forecast.free_memory())

    def start(self, name: str, kind: str, grow: float | None, invert: bool) -> str:
        """Queues a run; returns its name."""
        project = self._find(name)
        order, workdir = words.run(project, kind, grow=grow or 0, invert=invert)
        self._jobs.submit(
            order,
            workdir,
            estimate=forecast.forecast(order, project.footage).seconds,
            speed=forecast.measured_speed(self._root, words.kind_name(kind)),
        )
        return workdir.name

    def stop(self, name: str, run: str | None) -> None:
        """Stops a run, which saves its state."""
        self._jobs.stop(self._workdir(name, run))

    def names(self, name: str) -> list[str]:
        """The runs of a clip, the newest first."""
        found = self._find(name).runs.glob("*.job.json")
        ordered = sorted(found, key=lambda file: -file.stat().st_mtime)
        return [file.name.removesuffix(".job.json") for file in ordered]

    def state(self, name: str, run: str | None) -> tuple[str, str, str]:
        """State, a line on it, and the command of a run."""
        if not run:
            return "none", "", ""
        found = self._jobs.status(self._workdir(name, run))
        return found["state"], show.status(found), words.spelled(found["words"])

    def result(self, name: str, run: str | None) -> str | None:
        """The path of a run's video; None before its end."""
        if not run:
            return None
        workdir = self._workdir(name, run)
        found = sorted(workdir.glob("result.m*"))
        return str(found[0]) if found and read(workdir)["state"] == "done" else None

    def preview(self, name: str, run: str | None) -> tuple[str, str] | None:
        """The newest picture that a run has written, and a text that changes with it."""
        if not run:
            return None
        workdir = self._workdir(name, run)
        patterns = ["previews/*.png", "propagated.png"]
        if self._jobs.status(workdir)["state"] in ACTIVE:  # afterwards there is the video
            patterns.append("result/*.png")
        found = [f for p in patterns for q in (p, f"parts/*/{p}") for f in workdir.glob(q)]
        dated = []
        for file in found:
            try:
                dated.append((file.stat().st_mtime_ns, file))
            except OSError:  # it was replaced meanwhile
                continue
        if not dated:
            return None
        time, newest = max(dated)
        return str(newest), f"{newest}:{time}"

    def compare(self, name: str, run: str | None, number: int, view: str) -> views.Pair:
        """Two pictures of a frame, as a view of `VIEWS` shows them."""
        result = self.result(name, run)
        if run is None or result is None:
            raise InputError("this run has no result yet")
        project, number = self._find(name), int(number)
        size = project.footage.size
        rendered = projects.opened(result)
        if view == "slice over time":
            first = max(0, number - _SLICE)
            stop = min(project.footage.count, rendered.count, number + _SLICE + 1)
            row = views.middle_row(self._hole(name, run, number, size))
            rows = [
                [views.resized(frame, size)[row] for frame in clip.part(first, stop).frames()]
                for clip in (project.footage, rendered)
            ]
            return views.slices(*rows)
        (shown,) = rendered.part(number, number + 1).frames()
        before, after = project.frame(number), views.resized(shown, size)
        if view == "difference":
            return views.difference(before, after)
        if view == "hole, magnified":
            return views.magnified(before, after, self._hole(name, run, number, size))
        return before, after

    def to_clean(self, name: str, run: str | None) -> None:
        """Queues the writing of the frames of a run that are worth cleaning."""
        if self.result(name, run) is None:
            raise InputError("this run has no result yet")
        self._jobs.submit(*words.to_clean(self._find(name), self._workdir(name, run)))

    def cleanable(self, name: str, run: str | None) -> tuple[str, list[str]]:
        """A line on the frames of a run to clean, and their paths."""
        if not run:
            return "", []
        project, workdir = self._find(name), self._workdir(name, run)
        found = self._jobs.status(project.to_clean / run)
        if found["state"] == "none":
            return "", []
        files = sorted(map(str, (workdir / "reference").glob("*.png")))
        return show.status(found), files if found["state"] == "done" else []

    def give_references(self, name: str, files: list[str] | None) -> str:
        """Takes in cleaned frames for the next runs; says so."""
        given = uploads.keep_references(self._find(name), [pathlib.Path(f) for f in files or []])
        named = ", ".join(map(str, given))
        return f"the next run uses frame {named} as you cleaned it: go to step 3"

    def forget_references(self, name: str) -> str:
        """Leaves cleaned frames out of the next runs; says so."""
        self._find(name).choose(references="")
        return "the next run uses no cleaned frames"

    def _hole(self, name: str, run: str, number: int, size: tuple[int, int]) -> np.ndarray:
        """The mask of a frame of a run, [h, w] bool."""
        words_of = self._jobs.status(self._workdir(name, run))["words"]
        masks = next((w for w in words_of if w.startswith("--mask=")), "").removeprefix("--mask=")
        files = images.list_images(masks)
        mask = images.read_image(files[min(number, len(files) - 1)])
        hole: np.ndarray = views.resized(mask, size)[..., 0] > MASK_THRESHOLD
        return ~hole if "--config.mask.invert=True" in words_of else hole

    def _find(self, name: str | None) -> Project:
        return projects.find(self._root, name)

    def _workdir(self, name: str, run: Any) -> pathlib.Path:
        if run not in self.names(name):
            raise InputError("there is no such run")
        return self._find(name).runs / str(run)
