"""What the controls do, without a page."""

import json
import os
from fractions import Fraction

import cv2
import numpy as np
import pytest

from vidprior.app import project, words
from vidprior.app.actions import PAINT, Actions
from vidprior.app.jobs import Jobs
from vidprior.app.runs import VIEWS, Runs
from vidprior.errors import InputError
from vidprior.io import images, video_writer

SIZE = (48, 64)
COUNT = 6


@pytest.fixture
def clip(tmp_path):
    """A white square on a dark noisy ground."""
    frames = np.random.default_rng(0).integers(0, 60, (COUNT, *SIZE, 3), np.uint8)
    frames[:, 16:32, 20:40] = 250
    images.write_frames(tmp_path / "footage" / "clip", frames)
    return project.create(tmp_path / "out", tmp_path / "footage" / "clip")


@pytest.fixture
def do(clip, tmp_path):
    return Actions(tmp_path / "out", tmp_path / "footage", Jobs())


@pytest.fixture
def edited(tmp_path):
    """Writes a mask as the editor sends it: the files of its layers."""

    def write(mask):
        layer = np.zeros((*mask.shape, 4), np.uint8)
        layer[mask] = PAINT
        cv2.imwrite(str(tmp_path / "layer_0.png"), layer)
        return [str(tmp_path / "layer_0.png")]

    return write


def square(left=5):
    mask = np.zeros(SIZE, bool)
    mask[4:9, left : left + 6] = True
    return mask


def test_what_is_painted_is_kept_and_what_is_only_shown_is_not(clip, do, edited):
    name = clip.path.name
    images.write_frames(clip.path / "masks/ab", [np.uint8(255) * square(n) for n in range(COUNT)])
    (clip.path / "masks/ab.json").write_text('{"confidence": []}')
    shown = do.shown(clip, 2)
    assert (shown["layers"][0][..., 3] > 0).tolist() == square(2).tolist()
    do.keep(name, 2, edited(square(2)))
    assert clip.paint_of(2) is None
    do.keep(name, 2, edited(square(3)))
    assert (clip.paint_of(2) == square(3)).all()
    do.keep(name, 2, [])  # the editor has nothing to tell
    assert clip.paint_of(2) is not None
    do.unpaint(name, 2)
    assert clip.paint_of(2) is None


def test_a_tracked_frame_that_is_erased_is_told_to_the_tracker(clip, do, edited):
    name, nothing = clip.path.name, np.zeros(SIZE, bool)
    clip.paint(0, square(0))
    assert do.keep(name, 2, edited(square(2))) == ""
    assert do.keep(name, 2, edited(nothing)) == ""  # nothing was tracked: as if never painted
    assert clip.paint_of(2) is None
    order, before = words.track(clip)
    assert not [word for word in order if word.startswith("--absent")]
    images.write_frames(clip.path / "masks/ab", [np.uint8(255) * square(n) for n in range(COUNT)])
    (clip.path / "masks/ab.json").write_text('{"confidence": []}')
    assert "the object is not here" in do.keep(name, 2, edited(nothing))
    assert do.shown(clip, 2)["layers"][0][..., 3].max() == 0
    order, after = words.track(clip)
    assert order[-2:] == [f"--painted={clip.painted}", "--absent=2"]
    assert after != before
    do.unpaint(name, 0)
    with pytest.raises(InputError, match="no frame is painted"):
        words.track(clip)
    do.unpaint(name, 2)
    assert (clip.shown_mask(2) == square(2)).all()  # tracked again, to be corrected


def test_the_confidence_stays_while_corrections_are_painted(clip, do, edited):
    name = clip.path.name
    clip.paint(0, square(0))
    assert do.state_of_tracking(name) == (
        '<p class="state">not tracked yet: press Track</p>', "", "",
    )  # fmt: skip
    masks = clip.masks()
    images.write_frames(masks, [np.uint8(255) * square(n) for n in range(COUNT)])
    masks.with_suffix(".json").write_text('{"confidence": [1, 1, 0.9, 0.2, 0.9, 1]}')
    line, strip, ready = do.state_of_tracking(name)
    assert "tracked" in line
    assert strip.count("<i ") == COUNT
    assert ready == str(masks)
    do.keep(name, 3, edited(square(4)))
    line, again, ready = do.state_of_tracking(name)
    assert "painted since the last tracking: press Track" in line
    assert again == strip
    assert ready == ""
    assert do.weakest(name) == 3


@pytest.mark.parametrize(
    ("number", "mask", "told"),
    [(0, np.ones((4, 4), bool), "another size"), (COUNT, square(), "no frame")],
)
def test_paintings_that_do_not_fit_are_refused(clip, do, edited, number, mask, told):
    with pytest.raises(InputError, match=told):
        do.keep(clip.path.name, number, edited(mask))


def test_a_box_is_painted_or_the_object_in_it(clip, do):
    name = clip.path.name
    with pytest.raises(InputError, match="paint a line across the object"):
        do.paint_box(name, 0, "", find_object=True)
    do.paint_box(name, 0, "14, 10, 32 28", find_object=False)
    assert words.box_around(clip.paint_of(0)) == (14, 10, 32, 28)
    do.paint_box(name, 0, "", find_object=True)  # in the box that is painted
    assert words.box_around(clip.paint_of(0)) == (20, 16, 20, 16)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "1,2,0,4", "1,2,nan,4", "99,99,5,5"])
def test_boxes_that_are_none_are_refused(clip, do, text):
    with pytest.raises(InputError):
        do.paint_box(clip.path.name, 0, text, find_object=False)


def test_boxes_that_move_are_those_of_the_command_line(clip, do):
    clip.paint(0, square(5))
    clip.paint(4, square(9))
    painted, first = words.track(clip)
    do.choose_masks(clip.path.name, project.BOXES)
    moved, second = words.track(clip)
    assert f"--painted={clip.painted}" in painted
    assert moved[-2:] == ["--box=0:5,4,6,5", "--box=4:9,4,6,5"]
    assert first != second
    with pytest.raises(InputError, match="no masks were uploaded"):
        do.choose_masks(clip.path.name, project.GIVEN)


@pytest.fixture
def finished(clip, tmp_path):
    """A run whose result is black, with a moving mask."""
    masks, run = tmp_path / "masks", clip.runs / "propagate-1"
    images.write_frames(masks, [np.uint8(255) * square(n) for n in range(COUNT)])
    dark = np.zeros((COUNT, *SIZE, 3), np.uint8)
    run.mkdir(parents=True)
    video_writer.write_video(run / "result.mp4", dark, rate=Fraction(25))
    record = {"words": [f"--mask={masks}"], "state": "done"}
    (clip.runs / "propagate-1.job.json").write_text(json.dumps(record))
    return Runs(tmp_path / "out", Jobs())


@pytest.mark.parametrize("view", VIEWS)
def test_a_result_is_compared(clip, finished, view):
    first, second = finished.compare(clip.path.name, "propagate-1", 3, view)
    assert first.shape == second.shape
    if view == "before and after":
        assert (first == clip.frame(3)).all()
        assert second.max() < 10
    if view == "hole, magnified":  # rows 4 to 8, columns 3 to 8, and 8 more around
        assert first.shape == (3 * 17, 3 * 17, 3)
    if view == "slice over time":
        assert first.shape == (240, SIZE[1], 3)


def test_runs_that_are_not_there_are_refused(clip, finished):
    with pytest.raises(InputError, match="no such run"):
        finished.compare(clip.path.name, "../propagate-1", 3, VIEWS[0])
    with pytest.raises(InputError, match="no result yet"):
        finished.compare(clip.path.name, None, 3, VIEWS[0])


def test_the_newest_picture_of_a_run_is_its_preview(clip, finished):
    name, run = clip.path.name, clip.runs / "propagate-1"
    assert finished.preview(name, "propagate-1") is None
    for number, file in enumerate(("propagated.png", "parts/000000-000003/previews/000010.png")):
        images.write_image(run / file, np.zeros((4, 4, 3), np.uint8))
        times = 10**9 * (number + 1)
        os.utime(run / file, ns=(times, times))
    path, stamp = finished.preview(name, "propagate-1")
    assert path.endswith("previews/000010.png")
    assert str(times) in stamp
