"""What the page says of a run, as HTML and text."""

import html
from collections.abc import Sequence
from typing import Any


def strip(confidence: Sequence[float]) -> str:
    """The confidence of each frame as a strip of colours, from red (0) to green (1)."""
    cells = "".join(
        f'<i title="frame {number}: {value:.2f}" style="flex:1;background:'
        f'hsl({120 * min(1, max(0, value)):.0f} 70% 45%)"></i>'
        for number, value in enumerate(confidence)
    )
    return f'<div class="strip" role="img" aria-label="confidence of each frame">{cells}</div>'


def status(found: dict[str, Any]) -> str:
    """The state of a command in a line; with its share, for the page's title."""
    told, share = found["state"], ""
    if told == "none":
        return '<p class="state">not run yet</p>'
    if told == "running" and found["progress"]:
        label, done, total = found["progress"]
        share = f"{100 * done // max(1, total)} %"
        told = f"running: {label}, {done} of {total}"
    if told == "waiting" and found["ahead"] > 0:
        told = f"waiting, {found['ahead']} before or after it"
    if found["error"]:
        told = f"error: {found['error']}"
    title = share or ("done" if found["state"] == "done" else "")
    return f'<p class="state" data-title="{html.escape(title)}">{html.escape(told)}</p>'
