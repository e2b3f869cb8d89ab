"""What happens when a control of steps 3 to 5 is used, and each second."""

import contextlib
from typing import Any

import gradio as gr

from vidprior.app import show
from vidprior.app.actions import Actions
from vidprior.app.binding import Answer, bind, bind_painted, progress_on
from vidprior.app.layout import Controls
from vidprior.app.runs import Runs
from vidprior.errors import InputError
from vidprior.io import images


class RunWiring:
    """Binds the controls of runs, and the timer."""

    def __init__(self, controls: Controls, do: Actions, runs: Runs):
        self._c, self._do, self._runs = c, _, _ = controls, do, runs
        self._run()
        self._compare()
        c.timer.tick(
            self._tick,
            [c.name, c.run, c.shown, c.view, c.sent],
            [
                c.sent, c.tracking, c.strip, c.ready, c.state, c.command, c.preview, c.cleaning,
                c.frames, c.slider, c.video, c.download, c.of_result,
            ],
            show_progress="hidden",
            **progress_on(c.told_run),
        )  # fmt: skip

    def foretell_on(self, event: Any) -> None:
        """Tells what each kind of run takes, at an event."""
        c, runs = self._c, self._runs

        def foretell(name: str | None, grow: float, invert: bool) -> Answer:
            return {c.plan: runs.foretell(name, grow, invert)} if name else {}

        bind(
            event, foretell, [c.name, c.grow, c.invert], [c.plan], c.told_choose,
            show_progress="hidden",
        )  # fmt: skip

    # Steps 3 and 4

    def _run(self) -> None:
        c, runs = self._c, self._runs

        def selected(name: str, run: str) -> Answer:
            _, line, command = runs.state(name, run)
            return {c.state: line, c.command: command}

        def select(name: str, run: str) -> Answer:
            return {c.sent: {}, c.slider: None, c.video: None, c.preview: None} | selected(
                name, run
            )

        def start(
            name: str, number: int, layers: list[str] | None, kind: str, grow: float, invert: bool
        ) -> Answer:
            self._do.keep(name, number, layers)
            chosen = runs.start(name, kind, grow, invert)
            choices = gr.update(choices=runs.names(name), value=chosen)
            return {
                c.run: choices, c.sent: {}, c.preview: None, c.of_run: gr.update(visible=True),
                **selected(name, chosen),
            }  # fmt: skip

        for event in (c.ready.change, c.grow.change, c.invert.change):
            self.foretell_on(event)
        bind_painted(
            c.start.click, c, start, [c.kind, c.grow, c.invert],
            [c.run, c.sent, c.preview, c.state, c.command, c.of_run], c.told_run,
        )  # fmt: skip
        bind(
            c.stop.click, runs.stop, [c.name, c.run], [],
            c.told_run,
        )  # fmt: skip
        bind(
            c.run.input, select, [c.name, c.run],
            [c.sent, c.slider, c.video, c.preview, c.state, c.command], c.told_run,
        )  # fmt: skip

    # Step 5

    def _compare(self) -> None:
        c, runs = self._c, self._runs

        def compare(name: str, run: str | None, number: int, view: str) -> Answer:
            return {c.slider: runs.compare(name, run, number, view)}

        def pack(name: str) -> Answer:
            return {c.masks: gr.update(value=self._do.archive(name), visible=True)}

        def give(name: str, files: list[str] | None) -> Answer:
            return {c.told_clean: show.told(runs.give_references(name, files))}

        def forget(name: str) -> Answer:
            return {c.told_clean: show.told(runs.forget_references(name))}

        shown = [c.name, c.run, c.shown, c.view]
        bind(c.view.input, compare, shown, [c.slider], c.told_compare)
        bind(c.archive.click, pack, [c.name], [c.masks], c.told_compare)
        bind(
            c.to_clean.click, runs.to_clean, [c.name, c.run], [],
            c.told_clean,
        )  # fmt: skip
        bind(c.cleaned.upload, give, [c.name, c.cleaned], [], c.told_clean)
        bind(c.forget.click, forget, [c.name], [], c.told_clean)

    def _tick(
        self, name: str | None, run: str | None, number: int, view: str, sent: dict[str, Any]
    ) -> Answer:
        """What changed since the last second: of the tracking, the run, and its result."""
        c, runs = self._c, self._runs
        if name is None:
            return gr.skip()
        try:
            tracking, strip, ready = self._do.state_of_tracking(name)
            state, line, command = runs.state(name, run)
            cleaning, frames = runs.cleanable(name, run)
            preview = runs.preview(name, run)
        except InputError:  # the clip or the run was removed
            return gr.skip()
        known = {
            "tracking": tracking, "strip": strip, "ready": ready, "state": line,
            "command": command, "cleaning": cleaning, "frames": frames,
            "preview": preview and preview[1], "finished": run if state == "done" else None,
        }  # fmt: skip
        changed = {key: value for key, value in known.items() if sent.get(key, "") != value}
        answer: Answer = {getattr(c, key): value for key, value in changed.items()
                          if key not in ("preview", "finished")}  # fmt: skip
        if changed.get("preview") and preview is not None:
            # Not its path: the run may replace the file while the browser loads it.
            with contextlib.suppress(InputError):
                answer[c.preview] = images.read_image(preview[0])
        if "finished" in changed:
            answer[c.of_result] = gr.update(visible=bool(changed["finished"]))
        if changed.get("finished"):
            result = runs.result(name, run)
            try:
                answer |= {c.slider: runs.compare(name, run, number, view)}
            except InputError as error:
                answer[c.state] = show.told(str(error), error=True)
            answer |= {c.video: result, c.download: result}
        return {**answer, c.sent: known} if changed else gr.skip()
