"""Serves the page and drives it as a person does: with mouse, keys and files."""

import contextlib
import math
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

pytest.importorskip("gradio", reason="the page needs Gradio: make test-app")
sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: make test-app")

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
# Where the ball is in frame 12 of the demo clip at 160x96, in pixels.
BALL, RADIUS = (83.5, 56), 12
FACTS = "160x96, 24 frames"
# Milliseconds.
DONE = 180_000


@contextlib.contextmanager
def serving(folder, *flags):
    """The page's address, and what the server prints.

    It must live on, end by a signal, and print no traceback, whatever browsers do.
    """
    words = [sys.executable, "-m", "vidprior.main", "app", "--no-browser", "--port=0", *flags]
    words += [f"--output={folder / 'out'}", f"--footage={folder}"]
    errors = folder / "server.stderr"
    with errors.open("w") as stderr:
        server = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=stderr, text=True, env=ENVIRONMENT
        )
    try:
        lines = ""
        while "Ctrl-C" not in lines:
            line = server.stdout.readline()
            assert line, lines + errors.read_text()
            lines += line
        yield re.search(r"page: (\S+)", lines)[1], lines
        assert server.poll() is None
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
        assert "Traceback" not in errors.read_text(), errors.read_text()
    finally:
        server.kill()


def run_here(words):
    """A command that the page showed, in a shell."""
    assert words[0] == "vidprior"
    return subprocess.run(
        [sys.executable, "-m", "vidprior.main", *words[1:]],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def open_clip(page, path):
    page.fill("#path textarea, #path input", path)
    page.click("#open")


def upload_masks(page, files):
    wait_for(page, "#facts", FACTS)
    page.click("#more-masks button")
    page.set_input_files("#given input[type=file]", files)


def go_to(page, number):
    field = page.locator("#frame input[type=number]")
    field.fill(str(number))
    field.press("Enter")
    field.blur()
    page.wait_for_timeout(2000)


def editor_scale(page, size):
    """The editor's box, and how much larger it shows a frame: in the middle, with margins."""
    page.locator("#editor").scroll_into_view_if_needed()
    box = page.locator("#editor canvas").first.bounding_box()
    return box, min(box["width"] / size[0], (box["height"] - 60) / size[1])


def on_screen(page, place, *, size=(160, 96)):
    """Where a place of the frame is on the screen."""
    box, scale = editor_scale(page, size)
    x = box["x"] + box["width"] / 2 + (place[0] - size[0] / 2) * scale
    y = box["y"] + box["height"] / 2 + (place[1] - size[1] / 2) * scale
    return x, y


def paint(page, centre, radius, *, size=(160, 96)):
    """Moves the mouse over a disc of the frame, with the button pressed."""
    _, scale = editor_scale(page, size)
    x, y = on_screen(page, centre, size=size)
    reach = (radius - 6) * scale  # half a brush less
    page.mouse.move(x + reach, y)
    page.mouse.down()
    for turn in range(1, 9):
        page.mouse.move(x + reach * math.cos(turn * math.pi / 4),
                        y + reach * math.sin(turn * math.pi / 4))  # fmt: skip
    page.mouse.move(x - reach, y)
    page.mouse.up()
    page.wait_for_timeout(1000)


def wait_until(page, condition):
    for _ in range(DONE // 200):
        if condition():
            return
        page.wait_for_timeout(200)
    raise AssertionError("it took too long")


def wait_for(page, where, text):
    sync_api.expect(page.locator(where)).to_contain_text(re.compile(text), timeout=DONE)


def picture(page, pictures, name, where):
    page.locator(where).first.evaluate("found => found.scrollIntoView()")
    page.wait_for_timeout(1500)
    page.screenshot(path=pictures / f"{name}.png")
