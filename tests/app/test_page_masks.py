"""Masks in a real browser: painted, boxed, uploaded, erased."""

import shutil

import pytest
from page_driver import (
    BALL,
    FACTS,
    RADIUS,
    go_to,
    open_clip,
    paint,
    upload_masks,
    wait_for,
    wait_until,
)

from vidprior.io import images

pytestmark = pytest.mark.long


@pytest.fixture
def long_clip(folder):
    """The demo's frames forwards and backwards, so many that tracking them can be stopped."""
    frames = sorted((folder / "demo/frames").glob("*.png"))
    made = folder / "long"
    made.mkdir()
    for number, frame in enumerate(5 * [*frames, *frames[::-1]]):
        shutil.copy(frame, made / f"{number:06d}.png")
    return made.name


def test_tracking_is_stopped_and_goes_on(page, long_clip):
    open_clip(page, long_clip)
    wait_for(page, "#facts", "240 frames")
    page.wait_for_selector("#editor canvas")
    page.wait_for_timeout(1500)
    go_to(page, 12)
    paint(page, BALL, RADIUS + 2)
    page.click("#track")
    wait_for(page, "#tracking", "running")
    page.click("#stop-tracking")
    wait_for(page, "#tracking", "stopped")
    page.click("#start")
    wait_for(page, "#told-run .error", "press Track first")
    page.click("#track")
    wait_for(page, "#tracking", "done")
    # What follows begins with the demo, tracked.
    open_clip(page, "demo/frames")
    wait_for(page, "#facts", FACTS)
    page.wait_for_timeout(1500)
    go_to(page, 12)
    paint(page, BALL, RADIUS + 2)
    page.click("#track")
    wait_for(page, "#tracking", "done in")


def test_a_painted_mask_is_erased(page, folder):
    open_clip(page, "demo/frames")
    wait_for(page, "#facts", FACTS)
    page.wait_for_selector("#editor canvas")
    page.wait_for_timeout(1500)
    go_to(page, 5)
    paint(page, BALL, RADIUS + 2)
    wait_until(page, lambda: list(folder.glob("out/frames-*/painted/000005.png")))
    (kept,) = folder.glob("out/frames-*/painted/000005.png")
    before = images.read_image(kept)[..., 0] > 127
    page.click("#editor [aria-label=Erase]")
    x, y = BALL
    paint(page, (x + RADIUS + 4, y), 7)  # on the right of it

    def erased():
        mask = images.read_image(kept)[..., 0] > 127
        return mask.any() and mask.nonzero()[1].max() < before.nonzero()[1].max() - 4

    wait_until(page, erased)
    after = images.read_image(kept)[..., 0] > 127
    assert not (after & ~before).any()
    assert (after[:, : int(x)] == before[:, : int(x)]).all()
    page.click("#unpaint")
    wait_until(page, lambda: not kept.exists())


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
    wait_for(page, "#facts", FACTS)
    page.click("#more-masks button")
    page.fill("#box input, #box textarea", "1,2,0,4")
    page.click("#paint-box")
    wait_for(page, "#told-paint .error", "width and height must be above 0")
    page.fill("#box input, #box textarea", "10,20,30,16")
    page.click("#paint-box")
    (clip,) = folder.glob("out/frames-*/painted")
    wait_until(page, (clip / "000000.png").exists)
    assert (images.read_image(clip / "000000.png")[..., 0] > 127).sum() == 30 * 16
    page.wait_for_timeout(1000)
    page.click("#unpaint")
    wait_until(page, lambda: not (clip / "000000.png").exists())


def test_an_upload_is_opened_with_its_sound(page, folder, write_clip, tmp_path):
    frames = [images.read_image(file) for file in sorted((folder / "demo/frames").iterdir())]
    for name, tones, told in (("loud", 1, "with sound"), ("silent", 0, "without sound")):
        clip = write_clip(tmp_path / f"{name}.mp4", frames, tones=tones)
        page.set_input_files("#upload input[type=file]", clip)
        wait_for(page, "#facts", f"{FACTS}, 25 frames/s, {told}")
        assert list(folder.glob(f"out/{name}-*/project.json"))
        page.get_by_label("Remove this file").or_(page.get_by_label("Clear")).first.click()
