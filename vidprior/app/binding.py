"""Binds handlers to events of the page.

A handler answers with the new values of some controls. The line of an `InputError` is shown under
its step, in the words of the command line; nothing else changes then.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from vidprior.app import show
from vidprior.errors import InputError

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
    """

    def guarded(*arguments: Any) -> Answer:
        line_now = "" if clears else gr.skip()
        try:
            return {line: line_now, **(handler(*arguments) or {})}
        except InputError as error:
            return {line: show.told(str(error), error=True)}

    return event(guarded, inputs, [*dict.fromkeys([*outputs, line])], **options)
