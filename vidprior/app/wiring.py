"""The page, and what happens when a control of steps 1 and 2 is used."""

import functools
import pathlib
from typing import Any

import gradio as gr

from vidprior.app import facts, show
from vidprior.app.actions import Actions
from vidprior.app.binding import Answer, bind
from vidprior.app.jobs import Jobs
from vidprior.app.layout import Controls
from vidprior.app.project import Project
from vidprior.app.runs import Runs
from vidprior.app.wiring_runs import RunWiring
from vidprior.errors import InputError


def build(root: pathlib.Path, *, footage: pathlib.Path, jobs: Jobs) -> gr.Blocks:
    """The page for the clips of a folder.

    Args:
      root: folder of all clips.
      footage: folder in which typed paths may lie.
      jobs: the queue.
    """
    with gr.Blocks(title="vidprior", analytics_enabled=False, fill_width=True) as page:
        wired = _Wiring(Controls(footage), Actions(root, footage, jobs), Runs(root, jobs))
        page.load(wired.open_newest, None, wired.of_clip)
    return page


class _Wiring:
    def __init__(self, controls: Controls, do: Actions, runs: Runs):
        self._c, self._do, self._runs = c, _, _ = controls, do, runs
        self.of_clip = [
            c.name, c.shown, c.sent, c.facts, c.cuts, c.steps, c.frame, c.editor, c.run, c.before,
            c.slider, c.video, c.masks, c.way, c.told_paint, c.told_choose, c.told_run,
            c.told_compare, c.told_clean, c.plan, c.preview, c.frames,
        ]  # fmt: skip
        self._open()
        self._paint()
        RunWiring(c, do, runs)

    # Step 1

    def _open(self) -> None:
        c, do = self._c, self._do
        for event, handler, given in (
            (c.open.click, lambda text: self._reset(do.open_path(text)), c.path),
            (c.path.submit, lambda text: self._reset(do.open_path(text)), c.path),
            (c.upload.upload, lambda file: self._reset(do.open_upload(file)), c.upload),
            (c.before.input, lambda name: self._reset(do.find(name)), c.before),
        ):
            bind(event, handler, [given], self.of_clip, c.told_open)
        # A clip that was opened is looked through, which may take a while.
        bind(
            c.facts.change,
            lambda name: {c.cuts: facts.describe_cuts(do.find(name).video)} if name else {},
            [c.name],
            [c.cuts],
            c.told_open,
            clears=False,
            show_progress="hidden",
        )

    def open_newest(self) -> Answer:
        """A page that was closed finds its clip again."""
        names = self._do.names()
        try:
            return self._reset(self._do.find(names[0])) if names else gr.skip()
        except InputError:  # it was moved or removed
            return {self._c.before: gr.update(choices=names)}

    def _reset(self, project: Project) -> Answer:
        c, name = self._c, project.path.name
        made = self._runs.names(name)
        empty = [c.cuts, c.told_paint, c.told_choose, c.told_run, c.told_compare, c.told_clean]
        return {
            c.name: name,
            c.shown: 0,
            c.sent: {},
            c.facts: facts.describe(project.footage),
            c.steps: gr.update(visible=True),
            c.frame: gr.update(value=0, maximum=max(1, project.footage.count - 1)),
            c.editor: self._do.shown(project, 0),
            c.run: gr.update(choices=made, value=made[0] if made else None),
            c.before: gr.update(choices=self._do.names(), value=name),
            c.way: project.chosen["masks"],
            c.slider: None,
            c.video: None,
            c.preview: None,
            c.frames: None,
            c.masks: gr.update(visible=False, value=None),
            c.plan: self._runs.foretell(name, c.grow.value, False),
            **dict.fromkeys(empty, ""),
        }

    # Step 2

    def _paint(self) -> None:
        c, do = self._c, self._do
        here = [c.name, c.shown, c.editor]
        moved = [c.name, c.shown, c.frame, c.editor, c.run, c.view]
        views = [c.shown, c.editor, c.slider]

        def track(name: str, number: int, edited: Any) -> None:
            do.keep(name, number, edited)
            do.track(name)

        def keep(name: str, number: int, edited: Any) -> Answer:
            return {c.told_paint: show.told(do.keep(name, number, edited))}

        def box(name: str, number: int, edited: Any, text: str, find: bool) -> Answer:
            do.keep(name, number, edited)
            do.paint_box(name, number, text, find_object=find)
            return {c.editor: do.shown(do.find(name), int(number))}

        def unpaint(name: str, number: int) -> Answer:
            do.unpaint(name, number)
            return {c.editor: do.shown(do.find(name), int(number))}

        def choose(name: str, way: str, number: int) -> Answer:
            do.choose_masks(name, way)
            return {c.editor: do.shown(do.find(name), int(number))}

        def upload(name: str, files: list[str] | None, number: int) -> Answer:
            told = do.upload_masks(name, files)
            project = do.find(name)
            return {
                c.told_paint: show.told(told),
                c.way: project.chosen["masks"],
                c.editor: do.shown(project, int(number)),
            }

        def show_tracked(name: str, ready: str, number: int) -> Answer:
            project = do.find(name)
            if not ready or project.paint_of(int(number)) is not None:
                return {}
            return {c.editor: do.shown(project, int(number))}

        under = c.told_paint
        for event in (c.frame.release, c.frame.input):
            bind(
                event, self._go, moved, views, under,
                trigger_mode="always_last", show_progress="hidden",
            )  # fmt: skip
        bind(
            c.kept.click, keep, here, [], under,
            trigger_mode="always_last", show_progress="hidden",
        )  # fmt: skip
        c.brush.change(
            lambda size: gr.update(
                brush=c.brush_of(size), eraser=gr.Eraser(default_size=int(size))
            ),
            c.brush,
            c.editor,
            show_progress="hidden",
        )
        bind(c.track.click, track, here, [], under)
        bind(c.stop_tracking.click, do.stop_tracking, [c.name], [], under)
        weakest = lambda name: {c.frame: do.weakest(name)}  # noqa: E731
        bind(c.weakest.click, weakest, [c.name], [c.frame], under).then(
            self._go_quietly, moved, views
        )
        bind(c.unpaint.click, unpaint, [c.name, c.shown], [c.editor], under)
        for button, find in ((c.find_object, True), (c.paint_box, False)):
            paint = functools.partial(box, find=find)
            bind(button.click, paint, [*here, c.box], [c.editor], under)
        bind(c.way.input, choose, [c.name, c.way, c.shown], [c.editor], under)
        bind(c.given.upload, upload, [c.name, c.given, c.shown], [c.way, c.editor], under)
        bind(
            c.ready.change, show_tracked, [c.name, c.ready, c.shown], [c.editor], under,
            clears=False, show_progress="hidden",
        )  # fmt: skip

    def _go(
        self, name: str, old: int, new: float, edited: Any, run: str | None, view: str
    ) -> Answer:
        c, do = self._c, self._do
        do.keep(name, old, edited)
        project = do.find(name)
        number = min(max(0, int(new)), project.footage.count - 1)
        answer = {c.shown: number, c.editor: do.shown(project, number)}
        if self._runs.result(name, run):
            answer[c.slider] = self._runs.compare(name, run, number, view)
        return answer

    def _go_quietly(self, *given: Any) -> Answer:
        try:
            return self._go(*given)
        except InputError:  # told already
            return gr.skip()
