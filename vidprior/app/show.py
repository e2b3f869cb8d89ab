"""What the page says of clips and runs, as HTML."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from vidprior.app.forecast import Forecast
from vidprior.propagation.mask_case import MaskCase
from vidprior.training.progress import duration

# A forecast and the speed of this machine, or why there is none.
Told = tuple[Forecast, float] | str

_GIB = 2**30
# A smaller share is told as "less than 1%".
_LEAST = 0.01
_SAYS = {
    "quick look": "small, to judge the masks",
    "propagate": "copies from other frames",
    "footage": "also trains for the rest",
}


def strip(confidence: Sequence[float]) -> str:
    """The confidence of each frame as a strip of colours, from red (0) to green (1)."""
    cells = "".join(
        f'<i title="frame {number}: {value:.2f}" style="flex:1;background:'
        f'hsl({120 * min(1, max(0, value)):.0f} 70% 45%)"></i>'
        for number, value in enumerate(confidence)
    )
    if not cells:
        return ""
    return (
        f'<div class="strip" role="img" aria-label="confidence of each frame">{cells}</div>'
        '<p class="note">Confidence of each frame, red to green: click to go there.</p>'
    )


def told(text: str, *, error: bool = False) -> str:
    """A line under a step; nothing for an empty text."""
    if not text:
        return ""
    kind, role = ("error", "alert") if error else ("note", "status")
    return f'<p class="told {kind}" role="{role}">{html.escape(text)}</p>'


def status(found: Mapping[str, Any], *, none: str = "not run yet") -> str:
    """The state of a command in a line; with its share and time left, for the page's title.

    Args:
      found: as `Jobs.status` tells it.
      none: what is told of one that never ran.
    """
    state, left = found["state"], found["left"]
    line, title = state, ""
    if state == "none":
        return f'<p class="state">{html.escape(none)}</p>'
    if state in ("running", "stopping"):
        facts, title = [], "running"
        if found["progress"]:
            label, done, total = found["progress"]
            facts.append(f"{label}, {done} of {total}")
            title = f"{100 * done // max(1, total)} %"
        if left:
            facts.append(left)
            title = left if found["estimated"] else f"{title}, {left}"
        line = f"running: {', '.join(facts)}" if facts else "running"
        if not facts and found["elapsed"]:  # nothing more is known
            line = f"running for {duration(found['elapsed'])}"
    if state == "stopping":
        line, title = "stopping: saves its state; press Stop again to end it at once", "stopping"
    if state == "waiting" and found["ahead"] > 0:
        line, title = f"waiting, {found['ahead']} before or after it", "waiting"
    if state == "stopped":
        line = "stopped: its state is saved; start it again to go on"
    if state == "done" and found["seconds"]:
        line = f"done in {duration(found['seconds'])}"
    if found["error"]:
        line = f"error: {found['error']}"
    title = "done" if state == "done" else title
    return f'<p class="state" data-title="{html.escape(title)}">{html.escape(line)}</p>'


def forecasts(told: Mapping[str, Told], case: MaskCase | None, *, free: int | None) -> str:
    """A table of what each kind of run takes, and a line on what can be known of the hole.

    Args:
      told: for each kind its forecast and the speed of this machine, 1 if it is not known; or why
        it cannot run.
      case: of the masks, if there are any.
      free: bytes that programs can take here; None if unknown.
    """
    rows = []
    for kind, known in told.items():
        if isinstance(known, str):
            why = html.escape(known)
            rows.append(f"<tr><th>{html.escape(kind)}</th><td colspan=3 class=why>{why}</td></tr>")
            continue
        found, speed = known
        most = "at most " if found.trains else "about "
        tight = free is not None and found.memory > free
        rows.append(
            f"<tr><th>{html.escape(kind)}</th><td>{_SAYS.get(kind, '')}</td>"
            f"<td>{most}{duration(_rounded(speed * found.seconds))}</td>"
            f"<td{' class=tight' if tight else ''}>about {found.memory / _GIB:.1f} GiB</td></tr>"
        )
    measured = any(not isinstance(known, str) and known[1] != 1 for known in told.values())
    basis = "earlier runs on this machine" if measured else "two cores of a server"
    notes = [f"Estimates, from {basis}"]
    if free is not None:
        notes[0] += f"; {free / _GIB:.1f} GiB of memory are free"
    return (
        "<table class='plan'><tr><th></th><th></th><th>time</th><th>memory</th></tr>"
        f"{''.join(rows)}</table><p class='note'>{notes[0]}.</p><p class='case'>{_case(case)}</p>"
    )


def _case(case: MaskCase | None) -> str:
    if case is None:
        return "With masks, this tells how much of the hole no frame shows."
    mask = "moves" if case.mask_moves else "stands still"
    if case.scene_moves is None or case.shown is None:
        return f"The mask {mask}; the camera's motion was not found."
    scene = "moving" if case.scene_moves else "still"
    hidden = 1 - case.shown
    share = f"about {hidden:.0%}" if hidden >= _LEAST else "less than 1%"
    return (
        f"The mask {mask} over a {scene} scene: {share} of the hole is shown by no frame, and will "
        f"be guessed."
    )


def _rounded(seconds: float) -> float:
    """Two digits: an estimate is no better."""
    return float(f"{seconds:.2g}")
