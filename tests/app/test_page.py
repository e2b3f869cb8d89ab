"""The page in a real browser, from top to bottom: open, paint, track, run, compare, download."""

import pathlib
import re
import shlex
import time

import pytest
from page_driver import (
    BALL,
    FACTS,
    RADIUS,
    go_to,
    open_clip,
    paint,
    picture,
    run_here,
    sync_api,
    wait_for,
    wait_until,
)

from vidprior.io import images

pytestmark = pytest.mark.long


@pytest.mark.short
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nothing", "does not exist"),
        ("/etc/passwd", "give a path in"),
        ("broken.mp4", "broken.mp4"),
    ],
)
def test_a_wrong_file_is_told_in_the_page(page, path, told):
    open_clip(page, path)
    wait_for(page, "#told-open .error", told)


@pytest.mark.short
def test_the_five_steps(page, folder, pictures):
    began = time.monotonic()
    open_clip(page, "demo/frames")
    wait_for(page, "#facts", FACTS)
    wait_for(page, "#cuts", "no cuts")
    page.wait_for_selector("#editor canvas")
    page.wait_for_timeout(1500)
    picture(page, pictures, "app_open", "#upload")
    page.click("#start")
    wait_for(page, "#told-run .error", "no frame is painted: paint the object in one")

    go_to(page, 12)
    paint(page, BALL, RADIUS + 2)
    # At once, without a change of the frame.
    wait_until(page, lambda: list(folder.glob("out/*/painted/000012.png")))
    print(f"from the open page to a painted mask: {time.monotonic() - began:.0f} s")
    page.click("#track")
    wait_for(page, "#tracking", "done")
    page.wait_for_selector("#strip i")
    assert page.locator("#strip i").count() == 24
    wait_for(page, "#plan", "of the hole is shown by no frame")
    picture(page, pictures, "app_paint", "#frame")
    (kept,) = folder.glob("out/*/painted/000012.png")
    mask = images.read_image(kept)[..., 0] > 127
    rows, columns = mask.nonzero()
    assert abs(columns.mean() - BALL[0]) < 4
    assert abs(rows.mean() - BALL[1]) < 4
    assert mask.sum() > 2 * RADIUS**2

    # A tracked mask that is shown to be corrected is not painted as long as it is not.
    page.locator("#strip i").nth(14).click()
    sync_api.expect(page.locator("#shown input")).to_have_value("14")
    go_to(page, 12)
    assert [file.name for file in kept.parent.iterdir()] == [kept.name]

    page.click("#start")
    wait_for(page, "#run-state", "running: about|running: longer")
    wait_until(page, lambda: page.title() not in ("vidprior", "running - vidprior"))
    wait_for(page, "#run-state", "done in")
    page.wait_for_selector("#result video")
    page.wait_for_selector("#preview img")
    picture(page, pictures, "app_run", "#kind")
    page.wait_for_timeout(1500)
    picture(page, pictures, "app_compare", "#view")

    with page.expect_download() as waiting:
        page.click("#download")
    (result,) = folder.glob("out/*/runs/quick_look-*/result.mp4")
    assert pathlib.Path(waiting.value.path()).read_bytes() == result.read_bytes()


def test_a_short_propagate_is_rendered_again_in_a_shell(page, folder):
    wait_for(page, "#facts", FACTS)
    page.get_by_label("propagate", exact=True).check()
    page.click("#start")
    wait_until(page, lambda: "propagate" in page.locator("#run input").input_value())
    wait_for(page, "#run-state", "running")
    wait_for(page, "#run-state", "done in")
    (result,) = folder.glob("out/*/runs/propagate-*/result.mp4")
    # The command that is shown continues the run of the page.
    words = shlex.split(page.inner_text("#shell .cm-content").replace("\n", ""))
    again = run_here(words)
    assert again.returncode == 0, again.stderr
    assert "resuming the run" in again.stderr
    assert str(result) in again.stdout
    rendered = run_here(["vidprior", "--mode=render", f"--workdir={result.parent}", "--frames=3:9"])
    assert rendered.returncode == 0, rendered.stderr
    assert list(result.parent.glob("render_*_3-9/result.mp4"))


@pytest.mark.parametrize("view", ["hole, magnified", "difference", "slice over time"])
def test_results_are_compared_in_several_ways(page, pictures, view):
    wait_for(page, "#facts", FACTS)
    page.wait_for_selector("#compare img", state="attached")  # loaded when it is scrolled to
    picture_of = page.locator("#compare img").first
    first = picture_of.get_attribute("src")
    go_to(page, 12)  # where the mask is
    wait_until(page, lambda: picture_of.get_attribute("src") != first)
    before = picture_of.get_attribute("src")
    page.get_by_label(view, exact=True).check()
    wait_until(page, lambda: picture_of.get_attribute("src") != before)
    page.wait_for_timeout(1000)
    picture(page, pictures, "view_" + re.sub(r"\W+", "_", view), "#view")
    assert page.inner_text("#told-compare").strip() == ""


def test_a_page_that_is_opened_again_finds_the_run(page):
    wait_for(page, "#facts", FACTS)
    wait_for(page, "#run-state", "done")
    page.wait_for_selector("#result video")


@pytest.mark.short
def test_keys_change_frame_and_brush(page):
    wait_for(page, "#facts", FACTS)
    page.wait_for_timeout(1500)
    page.locator("h2").first.click()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    sync_api.expect(page.locator("#frame input[type=number]")).to_have_value("1")
    for key in ("]", "]", "["):
        page.keyboard.press(key)
    sync_api.expect(page.locator("#brush input[type=number]")).to_have_value("14")
    playing = "document.querySelector('#result video').paused"
    page.wait_for_selector("#result video")
    for stands in (False, True):
        page.keyboard.press(" ")
        page.wait_for_function(f"{playing} === {str(stands).lower()}")
