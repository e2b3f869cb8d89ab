"""The page, and what happens when a control of steps 1 and 2 is used."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import gradio as gr

from vidprior.app import facts, show, words
from vidprior.app.actions import Actions
from vidprior.app.binding import EDITOR_READY, Answer, bind, bind_painted, progress_on
from vidprior.app.jobs import Jobs
from vidprior.app.layout import Controls
from vidprior.app.project import Project
from vidprior.app.runs import Runs
from vidprior.app.wiring_runs import RunWiring
from vidprior.errors import InputError

# Files of the editor's layers.
Layers = list[str] | None


def build(root: pathlib.Path, *, footage: pathlib.Path, jobs: Jobs) -> gr.Blocks:
    """The page for the clips of a folder.

    Args:
      root: folder of all clips.
      footage: folder in which typed paths may lie.
      jobs: the queue.
    """
    # The pictures that the browser sent are removed after a day.
    with gr.Blocks(
        title="vidprior", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)
    ) as page:
        _Wiring(page, Controls(footage), Actions(root, footage, jobs), Runs(root, jobs))
    return page


class _Wiring:
    def __init__(self, page: gr.Blocks, controls: Controls, do: Actions, runs: Runs):
        self._c, self._do, self._runs = c, _, _ = controls, do, runs
        self.of_clip = [
            c.name, c.shown, c.sent, c.facts, c.cuts, c.steps, c.frame, c.brush, c.editor, c.run,
            c.before, c.slider, c.video, c.masks, c.way, c.told_paint, c.told_choose, c.told_run,
            c.told_compare, c.told_clean, c.plan, c.preview, c.frames, c.of_run, c.of_result,
        ]  # fmt: skip
        self._open(page, RunWiring(c, do, runs))
        self._paint()

    # Step 1

    def _open(self, page: gr.Blocks, of_runs: RunWiring) -> None:
        c, do = self._c, self._do
        for event, find, given in (
            (c.open.click, do.open_path, c.path),
            (c.path.submit, do.open_path, c.path),
            (c.upload.upload, do.open_upload, c.upload),
            (c.before.input, do.find, c.before),
        ):
            open_found = functools.partial(self._open_found, find)
            self._bind_opening(event, open_found, [c.name, given], of_runs)
        self._bind_opening(page.load, self._open_newest, [c.name], of_runs)

    def _bind_opening(
        self, event: Any, handler: Callable[..., Answer], given: list[Any], of_runs: RunWiring
    ) -> None:
        c = self._c
        # One by one, so that the clip stays that was asked for last.
        opened = bind(
            event, handler, given, self.of_clip, c.told_open,
            concurrency_id="open", concurrency_limit=1,
        )  # fmt: skip
        ready = opened.then(None, None, None, js=EDITOR_READY)
        bind(
            ready.then, self._show_layers, [c.name, c.shown], [c.editor], c.told_paint,
            clears=False, show_progress="hidden",
        )  # fmt: skip
        # What takes longer follows.
        of_runs.foretell_on(opened.then)
        bind(
            opened.then,
            lambda name: {c.cuts: facts.describe_cuts(self._do.find(name).video)} if name else {},
            [c.name],
            [c.cuts],
            c.told_open,
            clears=False,
            show_progress="hidden",
        )

    def _open_found(
        self, find: Callable[[str], Project], open_before: str | None, given: str
    ) -> Answer:
        return self._reset(find(given), open_before)

    def _open_newest(self, open_before: str | None) -> Answer:
        """A page that was closed finds its clip again; one that was opened meanwhile stays."""
        names = self._do.names()
        if open_before or not names:
            return {}
        try:
            return self._reset(self._do.find(names[0]), None)
        except InputError:  # it was moved or removed
            return {self._c.before: gr.update(choices=names, visible=True)}

    def _reset(self, project: Project, open_before: str | None) -> Answer:
        c, name = self._c, project.path.name
        made = self._runs.names(name)
        empty = [c.cuts, c.told_paint, c.told_choose, c.told_run, c.told_compare, c.told_clean]
        return {
            c.name: name,
            c.shown: 0,
            c.sent: {},
            c.facts: facts.describe(project.footage),
            # Once: the editor is read with them, and might show again what it showed before.
            c.steps: gr.skip() if open_before else gr.update(visible=True),
            c.frame: gr.update(value=0, maximum=max(1, project.footage.count - 1)),
            c.brush: words.brush_size(project.footage.size),
            # Layers have the canvas' size, not the picture's. They follow: see `EDITOR_READY`.
            c.editor: gr.update(
                value=self._do.bare(project, 0),
                canvas_size=project.footage.size[::-1],
            ),
            c.run: gr.update(choices=made, value=made[0] if made else None),
            c.before: gr.update(choices=self._do.names(), value=name, visible=True),
            c.way: project.chosen["masks"],
            c.slider: None,
            c.video: None,
            c.preview: None,
            c.frames: None,
            c.masks: gr.update(visible=False, value=None),
            c.plan: "",
            c.of_run: gr.update(visible=bool(made)),
            c.of_result: gr.update(visible=False),
            **dict.fromkeys(empty, ""),
        }

    def _show_layers(self, name: str | None, number: int) -> Answer:
        shown = self._do.shown(self._do.find(name), int(number)) if name else {}
        return {self._c.editor: shown} if shown.get("layers") else {}

    # Step 2

    def _paint(self) -> None:
        c, do = self._c, self._do
        moved = [c.name, c.shown, c.frame, c.run, c.view]
        views = [c.shown, c.editor, c.slider]

        def track(name: str, number: int, layers: Layers) -> None:
            do.keep(name, number, layers)
            do.track(name)

        def keep(name: str, number: int, layers: Layers) -> Answer:
            return {c.told_paint: show.told(do.keep(name, number, layers))}

        def box(name: str, number: int, layers: Layers, text: str, find: bool) -> Answer:
            do.keep(name, number, layers)
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
        bind(
            functools.partial(gr.on, [c.frame.release, c.frame.input]),
            self._go, moved, views, under,
            trigger_mode="always_last", show_progress="hidden",
        )  # fmt: skip
        bind_painted(
            c.kept.click, c, keep, [], [], under,
            trigger_mode="always_last", show_progress="hidden",
        )  # fmt: skip
        c.brush.change(
            lambda size: gr.update(
                brush=c.brush_of(size), eraser=gr.Eraser(default_size=int(size))
            ),
            c.brush,
            c.editor,
            show_progress="hidden",
            **progress_on(under),
        )
        bind_painted(c.track.click, c, track, [], [], under)
        bind(c.stop_tracking.click, do.stop_tracking, [c.name], [], under)
        weakest = lambda name: {c.frame: do.weakest(name)}  # noqa: E731
        found = bind(c.weakest.click, weakest, [c.name], [c.frame], under)
        bind(found.then, self._go, moved, views, under, clears=False)
        bind(c.unpaint.click, unpaint, [c.name, c.shown], [c.editor], under)
        for button, find in ((c.find_object, True), (c.paint_box, False)):
            paint = functools.partial(box, find=find)
            bind_painted(button.click, c, paint, [c.box], [c.editor], under)
        bind(c.way.input, choose, [c.name, c.way, c.shown], [c.editor], under)
        bind(c.given.upload, upload, [c.name, c.given, c.shown], [c.way, c.editor], under)
        bind(
            c.ready.change, show_tracked, [c.name, c.ready, c.shown], [c.editor], under,
            clears=False, show_progress="hidden",
        )  # fmt: skip

    def _go(self, name: str, old: int, new: float, run: str | None, view: str) -> Answer:
        c, project = self._c, self._do.find(name)
        number = min(max(0, int(new)), project.footage.count - 1)
        if number == old:  # told twice, as the slider is released
            return {}
        answer = {c.shown: number, c.editor: self._do.shown(project, number)}
        if self._runs.result(name, run):
            answer[c.slider] = self._runs.compare(name, run, number, view)
        return answer
