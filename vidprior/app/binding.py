"""Binds handlers to events of the page.

A handler answers with the new values of some controls. The line of an `InputError` is shown under
its step, in the words of the command line; nothing else changes then.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from vidprior.app import show
from vidprior.errors import InputError

# Number of the frame and layers of the editor; none if it shows another frame meanwhile.
SEND_LAYERS = """(shown, edited) => {
  keeping = false;
  const now = +document.querySelector('#shown input').value;
  return [shown, now === shown ? edited?.layers ?? [] : []];
}"""

# Ends when the editor has been there for a second: it loses a layer that it is given with its first
# picture, and then draws none at all.
EDITOR_READY = """async () => {
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  for (let i = 0; i < 300 && !document.querySelector('#editor canvas'); i++) await wait(100);
  await wait(1000);
}"""

# New values, by control.
Answer = dict[Any, Any]


def bind(
    event: Callable[..., Any],
    handler: Callable[..., Answer | None],
    inputs: list[Any],
    outputs: list[Any],
    line: Any,
    *,
    clears: bool = True,
    **options: Any,
) -> Any:
    """Binds a handler.

    Args:
      event: of a control.
      handler: takes the values of the inputs.
      inputs, outputs: controls.
      line: the control that shows its errors.
      clears: whether the line is emptied where there is none; not by what nobody pressed.
      options: of the event.

    Returns:
      The bound event, whose `then` takes what follows it.
    """

    def guarded(*arguments: Any) -> Answer:
        line_now = "" if clears else gr.skip()
        try:
            return {line: line_now, **(handler(*arguments) or {})}
        except InputError as error:
            return {line: show.told(str(error), error=True)}

    outputs = [*dict.fromkeys([*outputs, line])]
    return event(guarded, inputs, outputs, **progress_on(line), **options)


def bind_painted(
    event: Callable[..., Any],
    controls: Any,
    handler: Callable[..., Answer | None],
    inputs: list[Any],
    outputs: list[Any],
    line: Any,
    **options: Any,
) -> Any:
    """Binds a handler that takes clip, frame and files of its painting before its inputs.

    The browser writes the painting into a control of files first: the editor is input of no event
    that the server sees, or it would show its progress.

    Args:
      event: of a control.
      controls: of the page.
      handler, inputs, outputs, line, options: as in `bind`.
    """
    c = controls
    sent = event(None, [c.shown, c.editor], [c.painted_on, c.layers], js=SEND_LAYERS)
    given = [c.name, c.painted_on, c.layers, *inputs]
    return bind(sent.then, handler, given, outputs, line, **options)


def progress_on(line: Any) -> dict[str, Any]:
    """The option of every event: Gradio shows its progress on a line.

    A control that shows progress is read whenever any event begins or ends, the timer's too, and
    so is an input of an event that has ended: the editor would send its pictures all the time.
    """
    return {"show_progress_on": [line]}
