"""The page in a real browser: open, paint, track, run, compare, download.

It needs Gradio, Playwright and Debian's `chromium`. Pictures lie in `$VIDPRIOR_SCREENSHOTS`, or in
a temporary folder.
"""

import contextlib
import math
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from vidprior import main
from vidprior.io import images

pytest.importorskip("gradio", reason="the page needs Gradio: make test-app")
sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: make test-app")
CHROMIUM = shutil.which("chromium")
ROOT = pathlib.Path(__file__).parents[2]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium"),
    pytest.mark.skipif("track" not in main.SUBCOMMANDS, reason="there is no command `track`"),
]

# Where the ball is in frame 12 of the demo clip at 160x96, in pixels.
BALL, RADIUS = (83.5, 56), 12
DONE = 180_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("page")
    size = ("--frames", "24", "--height", "96", "--width", "160")
    script = ROOT / "tools/make_demo_clip.py"
    subprocess.run([sys.executable, script, "--output", made / "demo", *size], check=True)
    (made / "broken.mp4").write_bytes(b"no video" * 100)
    return made


@contextlib.contextmanager
def serving(folder, *flags):
    """The page's address, and what the server prints; it must live on, and end by a signal."""
    words = [sys.executable, "-m", "vidprior.main", "app", "--no-browser", *flags]
    words += [f"--output={folder / 'out'}", f"--footage={folder}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        lines = ""
        while "Ctrl-C" not in lines:
            line = server.stdout.readline()
            assert line, lines
            lines += line
        yield re.search(r"page: (\S+)", lines)[1], lines
        assert server.poll() is None
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
    finally:
        server.kill()


@pytest.fixture(scope="module")
def address(folder):
    with serving(folder, "--port=7913") as (found, _):
        yield found


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, address):
    """A tab of 1280x800, which must have asked no other server."""
    tab = browser.new_page(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(address)
    tab.wait_for_selector("#path textarea, #path input")
    yield tab
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    tab.close()
    assert outside == []


@pytest.fixture(scope="module")
def pictures(folder):
    kept = pathlib.Path(os.environ.get("VIDPRIOR_SCREENSHOTS", folder / "screenshots"))
    kept.mkdir(parents=True, exist_ok=True)
    return kept


def open_clip(page, path):
    page.fill("#path textarea, #path input", path)
    page.click("#open")


def go_to(page, number):
    field = page.locator("#frame input[type=number]")
    field.fill(str(number))
    field.press("Enter")
    field.blur()
    page.wait_for_timeout(2000)


def paint(page, centre, radius, *, size=(160, 96)):
    """Moves the mouse over a disc of the frame, with the button pressed."""
    page.locator("#editor").scroll_into_view_if_needed()
    box = page.locator("#editor canvas").first.bounding_box()
    # The editor shows the frame in the middle, with a margin above and below.
    scale = min(box["width"] / size[0], (box["height"] - 60) / size[1])
    x = box["x"] + box["width"] / 2 + (centre[0] - size[0] / 2) * scale
    y = box["y"] + box["height"] / 2 + (centre[1] - size[1] / 2) * scale
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


def run_here(words):
    """A command that the page showed, in a shell."""
    assert words[0] == "vidprior"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-m", "vidprior.main", *words[1:]],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_the_five_steps(page, folder, pictures):
    began = time.monotonic()
    open_clip(page, "demo/frames")
    wait_for(page, "#facts", "160x96, 24 frames")
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
    go_to(page, 14)
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
    wait_for(page, "#facts", "160x96, 24 frames")
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


def test_frames_are_written_to_be_cleaned_and_taken_back(page, folder, tmp_path):
    wait_for(page, "#facts", "160x96, 24 frames")
    page.click("#clean button")
    page.click("#to-clean")
    wait_for(page, "#cleaning", "done in|nothing is guessed")
    clean = tmp_path / "00003.png"
    images.write_image(clean, images.read_image(folder / "demo/frames/00003.png"))
    page.set_input_files("#cleaned input[type=file]", clean)
    wait_for(page, "#told-clean", "the next run uses frame 3 as you cleaned it")
    page.click("#forget")
    wait_for(page, "#told-clean", "no cleaned frames")


@pytest.mark.parametrize("view", ["hole, magnified", "difference", "slice over time"])
def test_results_are_compared_in_several_ways(page, pictures, view):
    wait_for(page, "#facts", "160x96, 24 frames")
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


def upload_masks(page, files):
    wait_for(page, "#facts", "160x96, 24 frames")
    page.click("#more-masks button")
    page.set_input_files("#given input[type=file]", files)


def test_masks_that_do_not_fit_are_told_in_the_page(page, folder):
    upload_masks(page, sorted((folder / "demo/masks").glob("*.png"))[:5])
    wait_for(page, "#told-paint .error", "5")


def test_uploaded_masks_need_no_tracking(page, folder, tmp_path):
    packed = shutil.make_archive(str(tmp_path / "masks"), "zip", folder / "demo/masks")
    upload_masks(page, packed)
    wait_for(page, "#told-paint", "uploaded masks are used")
    wait_for(page, "#tracking", "uploaded masks")
    page.click("#track")
    wait_for(page, "#told-paint .error", "uploaded masks are not tracked")
    (given,) = folder.glob("out/*/given/*")
    assert len(list(given.glob("*.png"))) == 24
    page.get_by_label("track what is painted", exact=True).check()
    wait_for(page, "#tracking", "done")


def test_a_box_is_painted_and_typed(page, folder):
    wait_for(page, "#facts", "160x96, 24 frames")
    page.click("#more-masks button")
    page.fill("#box input, #box textarea", "1,2,0,4")
    page.click("#paint-box")
    wait_for(page, "#told-paint .error", "width and height must be above 0")
    page.fill("#box input, #box textarea", "10,20,30,16")
    page.click("#paint-box")
    (clip,) = folder.glob("out/*/painted")
    wait_until(page, (clip / "000000.png").exists)
    assert (images.read_image(clip / "000000.png")[..., 0] > 127).sum() == 30 * 16
    page.wait_for_timeout(1000)
    page.click("#unpaint")
    wait_until(page, lambda: not (clip / "000000.png").exists())


def test_a_page_that_is_opened_again_finds_the_run(page):
    wait_for(page, "#facts", "160x96, 24 frames")
    wait_for(page, "#run-state", "done")
    page.wait_for_selector("#result video")


def test_stop_resume_and_a_second_tab(page, browser, address):
    wait_for(page, "#facts", "160x96, 24 frames")
    page.get_by_label("footage", exact=True).check()
    page.click("#start")
    wait_for(page, "#run-state", "running")
    other = browser.new_page()
    other.goto(address)
    wait_for(other, "#run-state", "running")
    page.wait_for_timeout(5000)
    other.click("#stop")
    wait_for(page, "#run-state", "stopped")
    page.click("#start")
    wait_for(page, "#run-state", "running")
    page.click("#stop")
    wait_for(other, "#run-state", "stopped")
    other.close()


def test_keys_change_frame_and_brush(page):
    wait_for(page, "#facts", "160x96, 24 frames")
    page.wait_for_timeout(1500)
    page.locator("h2").first.click()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    sync_api.expect(page.locator("#frame input[type=number]")).to_have_value("1")
    for key in ("]", "]", "["):
        page.keyboard.press(key)
    sync_api.expect(page.locator("#brush input[type=number]")).to_have_value("14")


def status_of(address, path="", **headers):
    request = urllib.request.Request(address + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_no_other_file_and_no_other_name_is_served(address, folder):
    assert status_of(address) == 200
    assert status_of(address, Host="other.example") == 400
    for path in ("/etc/passwd", folder / "broken.mp4", f"{folder}/out/../broken.mp4"):
        assert status_of(address, f"gradio_api/file={path}") in (403, 404)


def test_an_address_that_is_not_loopback_asks_for_the_token(folder):
    # It is on this machine too, but is no address that the page trusts.
    with serving(folder, "--host=127.0.0.2", "--port=7914") as (address, lines):
        assert "user vidprior, token " in lines
        assert status_of(address, "config") == 401


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_tablet_shows_everything_in_its_width(browser, address, pictures, scheme):
    tab = browser.new_page(viewport={"width": 768, "height": 1024}, color_scheme=scheme)
    tab.goto(address)
    wait_for(tab, "#facts", "160x96, 24 frames")
    tab.wait_for_timeout(2500)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 768
    tab.screenshot(path=pictures / f"tablet_{scheme}.png")
    tab.close()
