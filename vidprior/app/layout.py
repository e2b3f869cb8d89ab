"""The page: five steps from top to bottom."""

import pathlib
from typing import Any

import gradio as gr

from vidprior.app import words
from vidprior.app.actions import PAINT, Actions, told_in_place
from vidprior.app.jobs import Jobs

CSS = """
.strip { display: flex; height: 14px; border-radius: 4px; overflow: hidden }
.state { font-weight: 600; margin: 4px 0 }
.gradio-container { width: 100% !important; max-width: 1180px !important; margin: auto }
"""

# Keys, unless somebody types: arrows change the frame, space plays the result. The share of
# the run that is done stands in the title.
HEAD = """
<script>
addEventListener('keydown', event => {
  if (event.target.closest('input:not([type=range]), textarea, select')) return;
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  const number = document.querySelector('#frame input[type=number]');
  if (step && number) {
    event.preventDefault();
    number.value = Math.min(+number.max, Math.max(0, +number.value + step));
    number.dispatchEvent(new Event('input', {bubbles: true}));
    number.dispatchEvent(new Event('blur', {bubbles: true}));
  }
  const video = document.querySelector('#result video');
  if (event.key === ' ' && video && !event.target.closest('button')) {
    event.preventDefault();
    video.paused ? video.play() : video.pause();
  }
});
setInterval(() => {
  const state = document.querySelector('#run-state .state');
  const share = state ? state.dataset.title : '';
  document.title = share ? share + ' - vidprior' : 'vidprior';
}, 1000);
</script>
"""


def theme() -> gr.themes.Base:
    """Fonts of the machine: others would be asked from another server."""
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    return gr.themes.Base(font=sans, font_mono=mono)


def build(root: pathlib.Path, *, footage: pathlib.Path, jobs: Jobs) -> gr.Blocks:
    """The page for the projects of a folder.

    Args:
      root: folder of all clips.
      footage: folder in which typed paths may lie.
      jobs: the queue.
    """
    do = Actions(root, footage, jobs)
    with gr.Blocks(title="vidprior", analytics_enabled=False, fill_width=True) as page:
        name, shown, finished = gr.State(None), gr.State(0), gr.State(None)

        gr.Markdown("## 1. Open a clip")
        with gr.Row():
            upload = gr.File(label="Upload a video", height=140, elem_id="upload")
            with gr.Column():
                path = gr.Textbox(
                    label="or its path, a video or a folder of frames",
                    info=f"in {footage}",
                    elem_id="path",
                )
                open_button = gr.Button("Open", elem_id="open")
                before = gr.Dropdown([], label="or one that was opened before", elem_id="before")
        facts = gr.Markdown(elem_id="facts")

        with gr.Column(visible=False) as steps:
            gr.Markdown("## 2. Paint what is to go, and track it")
            frame = gr.Slider(0, 1, 0, step=1, label="Frame (arrow keys)", elem_id="frame")
            strip = gr.HTML(elem_id="strip")
            red, green, blue, alpha = PAINT
            colour = f"rgba({red}, {green}, {blue}, {alpha / 255:.2f})"
            editor = gr.ImageEditor(
                type="numpy",
                sources=(),
                transforms=(),
                layers=False,
                brush=gr.Brush(default_size=12, colors=[colour], color_mode="fixed"),
                show_label=False,
                format="png",
                elem_id="editor",
                height=520,
            )
            with gr.Row():
                track = gr.Button("Track through the clip", variant="primary", elem_id="track")
                weakest = gr.Button("Go to the weakest frame", elem_id="weakest")
            tracking = gr.HTML(elem_id="tracking")

            gr.Markdown("## 3. Choose")
            kind = gr.Radio(
                list(words.KINDS),
                value=words.KINDS[0],
                show_label=False,
                info="quick look: small, in seconds. propagate: copies what other frames show, "
                "about a second a frame. footage: trains a network, minutes to hours.",
                elem_id="kind",
            )
            with gr.Row():
                grow = gr.Number(8, label="Grow masks by (pixels)", minimum=0, elem_id="grow")
                invert = gr.Checkbox(False, label="Masks show what to keep", elem_id="invert")

            gr.Markdown("## 4. Run")
            with gr.Row():
                start = gr.Button("Start or resume", variant="primary", elem_id="start")
                stop = gr.Button("Stop", elem_id="stop")
            run = gr.Dropdown([], label="Run", elem_id="run")
            state = gr.HTML(elem_id="run-state")
            command = gr.Code(label="The same on a command line", language="shell", elem_id="shell")

            gr.Markdown("## 5. Compare")
            slider = gr.ImageSlider(label="Before and after, this frame", elem_id="compare")
            with gr.Row():
                video = gr.Video(label="Result (space plays)", loop=True, elem_id="result")
                origins = gr.Image(label="What other frames show of the hole", elem_id="origins")
            with gr.Row():
                download = gr.DownloadButton("Download the result", elem_id="download")
                archive = gr.Button("Pack the masks", elem_id="pack")
                masks = gr.File(label="Masks", visible=False, elem_id="masks")

        timer = gr.Timer(1.0)

        def reset(project: Any) -> dict[Any, Any]:
            runs = do.runs(project.path.name)
            return {
                name: project.path.name,
                shown: 0,
                finished: None,
                facts: project.facts(),
                steps: gr.update(visible=True),
                frame: gr.update(value=0, maximum=max(1, project.footage.count - 1)),
                editor: do.shown(project, 0),
                run: gr.update(choices=runs, value=runs[0] if runs else None),
                before: gr.update(choices=do.names(), value=project.path.name),
                slider: None,
                video: None,
                origins: None,
                masks: gr.update(visible=False, value=None),
            }

        opened = [
            name, shown, finished, facts, steps, frame, editor, run, before, slider, video,
            origins, masks,
        ]  # fmt: skip

        @told_in_place
        def open_typed(text: str) -> dict[Any, Any]:
            return reset(do.open_path(text))

        @told_in_place
        def open_sent(file: str | None) -> dict[Any, Any]:
            return reset(do.open_upload(file)) if file else {facts: gr.skip()}

        @told_in_place
        def open_again(chosen: str | None) -> dict[Any, Any]:
            return reset(do.find(chosen)) if chosen else {facts: gr.skip()}

        def open_newest() -> dict[Any, Any]:
            """A page that was closed finds its clip again."""
            found = do.names()
            return open_again(found[0]) if found else {before: gr.update(choices=[])}

        @told_in_place
        def go(project: str, old: int, new: float, edited: Any, run: str | None) -> Any:
            do.keep(project, old, edited)
            found = do.find(project)
            number = min(max(0, int(new)), found.footage.count - 1)
            done = run and do.result(project, run)
            pair = do.before_and_after(project, run, number) if run and done else None
            return number, do.shown(found, number), pair

        @told_in_place
        def start_tracking(project: str, number: int, edited: Any) -> None:
            do.keep(project, number, edited)
            do.track(project)

        @told_in_place
        def start_run(project: str, kind: str, grow: float, invert: bool) -> Any:
            chosen = do.run(project, kind, grow, invert)
            return gr.update(choices=do.runs(project), value=chosen), None

        @told_in_place
        def tick(project: str | None, run: str | None, old: str | None, number: int) -> Any:
            if project is None:
                return [gr.skip()] * 9
            told, confidence = do.state_of_tracking(project)
            progress, line, shell = do.state_of_run(project, run)
            fixed = (told, confidence, line, shell)
            if progress != "done" or run is None or old == run:
                return (*fixed, *[gr.skip()] * 5)
            result = do.result(project, run)
            pair = do.before_and_after(project, run, number)
            return (*fixed, run, pair, result, do.origins(project, run), result)

        open_button.click(open_typed, path, opened)
        path.submit(open_typed, path, opened)
        upload.upload(open_sent, upload, opened)
        before.input(open_again, before, opened)
        page.load(open_newest, None, opened)
        moved = [name, shown, frame, editor, run]
        gr.on(
            [frame.release, frame.input],
            go,
            moved,
            [shown, editor, slider],
            trigger_mode="always_last",
        )
        track.click(start_tracking, [name, shown, editor])
        weakest.click(told_in_place(do.weakest), name, frame).success(
            go, moved, [shown, editor, slider]
        )
        start.click(start_run, [name, kind, grow, invert], [run, finished])
        run.input(lambda: None, None, finished)
        stop.click(told_in_place(do.stop), [name, run])
        archive.click(
            told_in_place(lambda project: gr.update(value=do.archive(project), visible=True)),
            name,
            masks,
        )
        timer.tick(
            tick,
            [name, run, finished, shown],
            [tracking, strip, state, command, finished, slider, video, origins, download],
            show_progress="hidden",
        )
    return page
