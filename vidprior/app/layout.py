"""The controls of the page: five steps from top to bottom."""

import pathlib

import gradio as gr

from vidprior.app import words
from vidprior.app.actions import PAINT
from vidprior.app.project import SOURCES
from vidprior.app.runs import VIEWS


class Controls:
    """Makes all controls, in an open `gradio.Blocks`; `wiring` says what they do."""

    def __init__(self, footage: pathlib.Path):
        """Makes them.

        Args:
          footage: folder in which typed paths may lie.
        """
        self.name = gr.State(None)
        # The frame in the editor, a control, so that the browser knows it.
        self.shown = gr.Number(0, visible="hidden", elem_id="shown")
        self.ready, self.sent = gr.State(""), gr.State({})
        self._open(footage)
        with gr.Column(visible=False) as self.steps:
            self._paint()
            self._choose()
            self._run()
            self._compare()
        self.timer = gr.Timer(1.0)

    def _open(self, footage: pathlib.Path) -> None:
        gr.Markdown("Takes objects out of a video.", elem_id="about")
        gr.Markdown("## 1. Open a clip")
        with gr.Row():
            self.upload = gr.File(
                label="Upload a video", height=168, min_width=240, elem_id="upload"
            )
            with gr.Column(min_width=240):
                self.path = gr.Textbox(
                    label="or its path, a video or a folder of frames",
                    info=f"in {footage}",
                    elem_id="path",
                )
                self.open = gr.Button("Open", elem_id="open")
            self.before = gr.Dropdown(
                [],
                label="or one that was opened before",
                elem_id="before",
                visible=False,
                min_width=240,
            )
        self.told_open = gr.HTML(elem_id="told-open")
        self.facts = gr.Markdown(elem_id="facts")
        self.cuts = gr.Markdown(elem_id="cuts")

    def _paint(self) -> None:
        gr.Markdown("## 2. Paint what is to go, and track it")
        with gr.Row():
            self.frame = gr.Slider(
                0,
                1,
                0,
                step=1,
                label="Frame (arrow keys)",
                elem_id="frame",
                scale=4,
                buttons=[],
            )
            self.brush = gr.Slider(
                2,
                100,
                words.BRUSH,
                step=1,
                label="Brush ([ and ])",
                elem_id="brush",
                scale=2,
                min_width=240,
                buttons=[],
            )
        self.strip = gr.HTML(elem_id="strip")
        red, green, blue, alpha = PAINT
        self.colour = f"rgba({red}, {green}, {blue}, {alpha / 255:.2f})"
        self.editor = gr.ImageEditor(
            type="numpy",
            sources=(),
            transforms=(),
            layers=False,
            brush=self.brush_of(words.BRUSH),
            eraser=gr.Eraser(default_size=words.BRUSH),
            show_label=False,
            format="png",
            elem_id="editor",
            height=520,
        )
        # Pressed after each stroke. Events of the editor would send it at each move of the mouse.
        self.kept = gr.Button("Keep", visible="hidden", elem_id="keep")
        # What the editor has sent: the number of its frame, and its layers.
        self.painted_on = gr.Number(0, visible="hidden")
        self.layers = gr.File(file_count="multiple", visible="hidden")
        with gr.Row(equal_height=True):
            self.track = gr.Button("Track through the clip", variant="primary", elem_id="track")
            self.stop_tracking = gr.Button("Stop tracking", elem_id="stop-tracking")
            self.weakest = gr.Button("Go to the weakest frame", elem_id="weakest")
            self.unpaint = gr.Button("Discard this painting", elem_id="unpaint")
        self.tracking = gr.HTML(elem_id="tracking")
        self.told_paint = gr.HTML(elem_id="told-paint")
        with gr.Accordion("Boxes and uploaded masks", open=False, elem_id="more-masks"):
            with gr.Row(equal_height=True):
                self.box = gr.Textbox(
                    label="Box: left, top, width, height",
                    info="empty: around what is painted on this frame; a line across it will do",
                    elem_id="box",
                    scale=2,
                )
                self.find_object = gr.Button("Find the object in the box", elem_id="find-object")
                self.paint_box = gr.Button("Paint the box", elem_id="paint-box")
            with gr.Row():
                self.way = gr.Radio(
                    list(SOURCES), value=SOURCES[0], label="Masks come from", elem_id="way"
                )
                self.given = gr.File(
                    label="Upload masks: images, a .zip of them, or a video",
                    file_count="multiple",
                    height=150,
                    elem_id="given",
                )

    def brush_of(self, size: float) -> gr.Brush:
        """The brush of a size."""
        return gr.Brush(default_size=int(size), colors=[self.colour], color_mode="fixed")

    def _choose(self) -> None:
        gr.Markdown("## 3. Choose")
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                self.kind = gr.Radio(
                    list(words.KINDS), value=words.KINDS[0], show_label=False, elem_id="kind"
                )
                with gr.Row():
                    self.grow = gr.Number(
                        8, label="Grow masks by (pixels)", minimum=0, elem_id="grow"
                    )
                    self.invert = gr.Checkbox(
                        False, label="Masks show what to keep", elem_id="invert"
                    )
            with gr.Column(scale=3, min_width=460):
                self.plan = gr.HTML(elem_id="plan", padding=False)
        self.told_choose = gr.HTML(elem_id="told-choose")

    def _run(self) -> None:
        gr.Markdown("## 4. Run")
        with gr.Row():
            self.start = gr.Button("Start or resume", variant="primary", elem_id="start")
            self.stop = gr.Button("Stop", elem_id="stop")
        self.told_run = gr.HTML(elem_id="told-run")
        with gr.Row(visible=False) as self.of_run:
            with gr.Column():
                self.run = gr.Dropdown([], label="Run", elem_id="run")
                self.state = gr.HTML(elem_id="run-state")
                self.command = gr.Code(
                    label="The same on a command line",
                    language="shell",
                    lines=2,
                    max_lines=8,
                    wrap_lines=True,
                    elem_id="shell",
                )
            self.preview = gr.Image(
                label="Green: from other frames, orange: guessed",
                height=300,
                elem_id="preview",
                buttons=["download", "fullscreen"],
            )

    def _compare(self) -> None:
        gr.Markdown("## 5. Compare")
        gr.Markdown("The result of a run is shown here.", elem_id="no-result")
        with gr.Column(visible=False) as self.of_result:
            self._result()

    def _result(self) -> None:
        self.view = gr.Radio(list(VIEWS), value=VIEWS[0], show_label=False, elem_id="view")
        self.slider = gr.ImageSlider(label="This frame", elem_id="compare", max_height=560)
        self.told_compare = gr.HTML(elem_id="told-compare")
        self.video = gr.Video(
            label="Result, in real time (space plays)", loop=True, height=360, elem_id="result"
        )
        with gr.Row():
            self.download = gr.DownloadButton("Download the result", elem_id="download")
            self.archive = gr.Button("Pack the masks", elem_id="pack")
            self.masks = gr.File(label="Masks", visible=False, elem_id="masks")
        with gr.Accordion("Clean a frame yourself", open=False, elem_id="clean"):
            gr.Markdown(
                "If no frame shows what is behind, clean one in an image editor: its hole is "
                "transparent, the fill lies beneath. All other frames follow it in the next run."
            )
            with gr.Row():
                with gr.Column():
                    self.to_clean = gr.Button("Write the best frames to clean", elem_id="to-clean")
                    self.cleaning = gr.HTML(elem_id="cleaning")
                    self.frames = gr.File(
                        label="Frames to clean", file_count="multiple", height=150, elem_id="frames"
                    )
                with gr.Column():
                    self.cleaned = gr.File(
                        label="Upload cleaned frames, under their names",
                        file_count="multiple",
                        height=150,
                        elem_id="cleaned",
                    )
                    self.forget = gr.Button("Use no cleaned frames", elem_id="forget")
            self.told_clean = gr.HTML(elem_id="told-clean")
