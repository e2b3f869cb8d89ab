"""Clips that are opened in a real browser, also while the page loads, and what a tab sends."""

import re
import shutil

import cv2
import numpy as np
import pytest
from page_driver import (
    BALL,
    FACTS,
    RADIUS,
    go_to,
    on_screen,
    open_clip,
    paint,
    wait_for,
    wait_until,
)

from vidprior.io import images

pytestmark = pytest.mark.long

SHORT = "160x96, 12 frames"


@pytest.fixture(scope="module")
def short(folder):
    """Another clip, of half the frames."""
    frames = sorted((folder / "demo/frames").iterdir())[:12]
    (folder / "short").mkdir()
    for frame in frames:
        shutil.copy(frame, folder / "short")
    return "short"


@pytest.fixture
def tab(browser):
    opened = browser.new_page()
    opened.set_default_timeout(180_000)
    yield opened
    opened.close()


def test_what_is_known_of_a_clip_is_told_again(page):
    for _ in range(2):
        open_clip(page, "demo/frames")
        wait_for(page, "#facts", FACTS)
        wait_for(page, "#cuts", "no cuts")
        wait_for(page, "#plan", "about")
        page.fill("#path textarea, #path input", "")


def test_a_clip_that_is_opened_before_the_newest_is_found_stays(page, tab, address, short):
    """The tab's first request, for the newest clip, comes last."""
    open_clip(page, "demo/frames")
    wait_for(page, "#facts", FACTS)
    held = []

    def hold_first(route):
        if held:
            route.continue_()
        else:
            held.append(route)

    tab.route(re.compile("queue/join"), hold_first)
    tab.goto(address)
    tab.wait_for_selector("#path textarea, #path input")
    wait_until(tab, lambda: held)
    open_clip(tab, short)
    wait_for(tab, "#facts", SHORT)
    with tab.expect_response(re.compile("queue/join")):
        held[0].continue_()
    tab.wait_for_timeout(4000)
    wait_for(tab, "#facts", SHORT)
    assert tab.locator("#frame input[type=number]").get_attribute("max") == "11"


def test_a_clip_that_is_opened_at_once_stays(page, tab, address, short):
    open_clip(page, "demo/frames")
    wait_for(page, "#facts", FACTS)
    tab.goto(address, wait_until="commit")
    tab.wait_for_selector("#path textarea, #path input")
    open_clip(tab, short)
    wait_for(tab, "#facts", SHORT)
    tab.wait_for_timeout(4000)
    wait_for(tab, "#facts", SHORT)
    assert tab.locator("#frame input[type=number]").get_attribute("max") == "11"


@pytest.fixture
def smaller(folder):
    """A clip of another size, which lacks the lower rows and the right columns."""
    for file in sorted((folder / "demo/frames").iterdir())[:6]:
        images.write_image(folder / "smaller" / file.name, images.read_image(file)[:80, :128])
    return "smaller"


def painted_at(page, place, size):
    """Whether the editor shows paint at a place of the frame."""
    x, y = on_screen(page, place, size=size)
    shot = page.screenshot(clip={"x": x - 1, "y": y - 1, "width": 2, "height": 2})
    blue, green, red = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR).mean((0, 1))
    return red > green + 60 and blue > green + 60


def test_paint_is_shown_again_when_its_clip_is_opened_anew(page, tab, address, smaller):
    clips = {"demo/frames": ((120, 24), (160, 96), FACTS), smaller: ((40, 60), (128, 80), "128x80")}
    for name, (place, size, told) in clips.items():
        open_clip(page, name)
        wait_for(page, "#facts", told)
        page.wait_for_selector("#editor canvas")
        page.wait_for_timeout(1500)
        assert not painted_at(page, place, size)
        paint(page, place, RADIUS, size=size)
        wait_until(page, lambda: painted_at(page, place, size))  # noqa: B023
        page.wait_for_timeout(3000)
    # The newest by itself, as on a page that was closed; then the other one.
    tab.goto(address)
    for name in (smaller, "demo/frames"):
        place, size, told = clips[name]
        if name != smaller:
            open_clip(tab, name)
        wait_for(tab, "#facts", told)
        tab.wait_for_selector("#editor canvas")
        wait_until(tab, lambda: painted_at(tab, place, size))  # noqa: B023


def test_pictures_are_sent_after_a_stroke_alone(page, folder):
    open_clip(page, "demo/frames")
    wait_for(page, "#facts", FACTS)
    page.wait_for_selector("#editor canvas")
    go_to(page, 12)
    sent = []
    page.on("request", lambda asked: sent.append(asked.url) if "/upload" in asked.url else None)
    page.wait_for_timeout(4000)
    assert sent == []
    paint(page, BALL, RADIUS)
    wait_until(page, lambda: list(folder.glob("out/*/painted/000012.png")))
    page.wait_for_timeout(4000)
    count = len(sent)
    assert 1 <= count <= 3  # frame, layer and both together
    go_to(page, 13)
    page.wait_for_timeout(4000)
    assert len(sent) == count
