"""A browser, a server with the demo clip, and a tab of it.

They need Gradio, Playwright and Debian's `chromium`. Pictures lie in `$VIDPRIOR_SCREENSHOTS`, or in
a temporary folder.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of footage: the demo clip, and a file that is no video."""
    made = tmp_path_factory.mktemp("page")
    size = ("--frames", "24", "--height", "96", "--width", "160")
    script = ROOT / "tools/make_demo_clip.py"
    subprocess.run([sys.executable, script, "--output", made / "demo", *size], check=True)
    (made / "broken.mp4").write_bytes(b"no video" * 100)
    return made


@pytest.fixture(scope="module")
def address(folder):
    from page_driver import serving

    with serving(folder) as (found, _):
        yield found


@pytest.fixture(scope="session")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no browser: apt-get install chromium")
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, address):
    """A tab of 1280x800, which must have asked no other server."""
    tab = browser.new_page(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    tab.set_default_timeout(180_000)  # of a busy machine
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
