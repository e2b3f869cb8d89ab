"""Who may reach the page, what it serves, and the screens that it fits."""

import urllib.error
import urllib.request

import pytest
from page_driver import FACTS, open_clip, serving, wait_for

pytestmark = pytest.mark.long


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
    with serving(folder, "--host=127.0.0.2") as (address, lines):
        assert "user vidprior, token " in lines
        assert status_of(address, "config") == 401


def test_a_tab_that_is_closed_at_once_leaves_no_traceback(browser, address):
    """Of what the server prints, `serving` says at its end."""
    for pause in (0, 50, 200, 500, 1000, 2500):
        tab = browser.new_page()
        tab.goto(address, wait_until="commit")
        tab.wait_for_timeout(pause)
        tab.close()
    assert status_of(address) == 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_tablet_shows_everything_in_its_width(browser, address, pictures, scheme):
    tab = browser.new_page(viewport={"width": 768, "height": 1024}, color_scheme=scheme)
    tab.goto(address)
    tab.wait_for_selector("#path textarea, #path input")
    open_clip(tab, "demo/frames")
    wait_for(tab, "#facts", FACTS)
    tab.wait_for_timeout(2500)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 768
    tab.screenshot(path=pictures / f"tablet_{scheme}.png")
    tab.close()
