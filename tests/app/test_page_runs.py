"""Runs in a real browser: stopped, resumed, and corrected by a frame that was cleaned."""

import cv2
import numpy as np
import pytest
from page_driver import FACTS, open_clip, upload_masks, wait_for

from vidprior.io import images
from vidprior.io.footage import open_footage

pytestmark = pytest.mark.long


SIZE, COUNT = (96, 160), 24
# In every frame: what lies behind is shown by none.
HOLE = np.s_[30:60, 60:100]


@pytest.fixture(scope="module")
def still(folder):
    """A still scene, and masks that never move."""
    random = np.random.default_rng(0)
    scene = cv2.resize(random.integers(0, 160, (12, 20, 3), np.uint8), SIZE[::-1])
    mask = np.zeros(SIZE, np.uint8)
    mask[HOLE] = 255
    images.write_frames(folder / "still", [scene] * COUNT)
    images.write_frames(folder / "still_masks", [mask] * COUNT)
    return folder / "still_masks"


def test_a_cleaned_frame_is_followed_by_the_next_run(page, folder, still, tmp_path):
    """Frames to clean are downloaded, filled with red, and given back: the hole becomes red."""
    open_clip(page, "still")
    upload_masks(page, sorted(still.iterdir()))
    wait_for(page, "#told-paint", "uploaded masks are used")
    page.fill("#grow input", "0")
    page.get_by_label("propagate", exact=True).check()
    page.click("#start")
    wait_for(page, "#run-state", "running")
    wait_for(page, "#run-state", "done in")
    (first,) = folder.glob("out/still-*/runs/propagate-*/")
    assert redness(first) < 0.1

    page.click("#clean button")
    page.click("#to-clean")
    wait_for(page, "#cleaning", "done in")
    page.wait_for_selector("#frames a")
    with page.expect_download() as waiting:
        page.locator("#frames a").first.click()
    name = waiting.value.suggested_filename
    picture = cv2.imread(waiting.value.path(), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (*SIZE, 4)
    assert (picture[HOLE][..., 3] == 0).all()
    picture[HOLE] = (0, 0, 255, 255)  # BGR and opaque
    cv2.imwrite(str(tmp_path / name), picture)
    page.set_input_files("#cleaned input[type=file]", tmp_path / name)
    wait_for(page, "#told-clean", "the next run uses frame [0-9]+ as you cleaned it")

    page.click("#start")
    wait_for(page, "#run-state", "running")
    wait_for(page, "#run-state", "done in")
    (second,) = {*folder.glob("out/still-*/runs/propagate-*/")} - {first}
    assert redness(second) > 0.9
    page.click("#forget")
    wait_for(page, "#told-clean", "no cleaned frames")


def redness(workdir):
    """The share of the hole, in all frames of a result, that is nearly red."""
    shown = np.stack([*open_footage(workdir / "result.mp4").frames()])[:, *HOLE].astype(int)
    return ((shown[..., 0] > 200) & (shown[..., 1:].max(axis=-1) < 60)).mean()


def test_stop_resume_and_a_second_tab(page, browser, address):
    wait_for(page, "#facts", FACTS)
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
