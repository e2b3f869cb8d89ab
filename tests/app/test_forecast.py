"""What a run takes is told beforehand."""

import json

import cv2
import numpy as np
import pytest

from vidprior.app import forecast, jobs, project, runs, show, words
from vidprior.io import images

SIZE = (96, 128)


@pytest.fixture
def clip(tmp_path):
    """A disc that moves over a noisy wall: each of its places is free in another frame."""
    wall = np.random.default_rng(0).integers(0, 256, (SIZE[0] // 4, SIZE[1] // 4, 3), np.uint8)
    wall = cv2.resize(wall, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    frames = np.repeat(wall[None], 8, axis=0)
    for number, frame in enumerate(frames):
        frame[32:56, 8 + 12 * number : 24 + 12 * number] = 200
    images.write_frames(tmp_path / "footage" / "clip", frames)
    return project.create(tmp_path / "out", tmp_path / "footage" / "clip")


def predicted(clip, kind):
    return forecast.forecast(words.options(clip, kind, grow=8, invert=False), clip.footage)


def test_kinds_take_more_and_more(clip):
    found = [predicted(clip, kind) for kind in words.KINDS]
    assert found[0].seconds < found[1].seconds < found[2].seconds
    assert [one.trains for one in found] == [False, False, True]
    assert found[0].memory <= found[1].memory < found[2].memory < 8 * 2**30


def test_longer_clips_take_longer(clip):
    from vidprior.io.footage import wrap_frames

    flags = words.options(clip, "footage", grow=8, invert=False)
    short, long = (wrap_frames(np.zeros((n, *SIZE, 3), np.uint8)) for n in (50, 400))
    assert forecast.forecast(flags, long).seconds > 3 * forecast.forecast(flags, short).seconds


def record(root, name, **fields):
    file = root / "clip" / "runs" / f"{name}.job.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"words": [], "state": "done", **fields}))


def test_earlier_runs_say_how_fast_the_machine_is(tmp_path):
    assert forecast.measured_speed(tmp_path, "propagate") == 1
    record(tmp_path, "propagate-1", estimate=10, seconds=30)
    record(tmp_path, "propagate-2", estimate=10, seconds=40)
    record(tmp_path, "propagate-3", estimate=10, seconds=50)
    record(tmp_path, "propagate-4", estimate=10, seconds=0)  # it was resumed
    record(tmp_path, "footage-1", estimate=10, seconds=900)
    (tmp_path / "clip/runs/propagate-5.job.json").write_text("damaged")
    assert forecast.measured_speed(tmp_path, "propagate") == 4


def test_what_no_frame_shows_is_told(clip, tmp_path):
    moving, still = tmp_path / "moving", tmp_path / "still"
    for number in range(8):
        for folder, step in ((moving, 12), (still, 0)):
            mask = np.zeros(SIZE, bool)
            mask[32:56, 8 + step * number : 24 + step * number] = True
            project.write_mask(folder / project.mask_name(number), mask)
    seen = forecast.judge(clip.video, moving, False)
    hidden = forecast.judge(clip.video, still, False)
    assert seen is not None
    assert hidden is not None
    assert seen.mask_moves
    assert not hidden.mask_moves
    assert hidden.shown == 0
    told = show.forecasts({}, hidden, free=None)
    assert "about 100% of the hole is shown by no frame" in told


def test_a_run_that_needs_more_memory_than_there_is_is_marked():
    told = {"footage": (forecast.Forecast(100.0, 2**32, True), 1.0)}
    assert "class=tight" in show.forecasts(told, None, free=2**31)
    table = show.forecasts(told, None, free=2**33)
    assert "class=tight" not in table
    assert "at most 100 s" in table or "at most 2 min" in table
    assert "4.0 GiB" in table


def test_a_clip_that_is_too_short_to_train_on_is_told_so(tmp_path):
    images.write_frames(tmp_path / "few", np.zeros((2, *SIZE, 3), np.uint8))
    few = project.create(tmp_path / "out", tmp_path / "few")
    table = runs.Runs(tmp_path / "out", jobs.Jobs()).foretell(few.path.name, 8, False)
    assert "the clip has 2 frames" in table
    assert table.count("about") >= 4  # time and memory of the others


RUNNING = {
    "state": "running", "progress": None, "left": "", "estimated": True, "ahead": 0, "error": None,
    "seconds": 0.0, "elapsed": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "line", "title"),
    [
        ({}, ">running<", "running"),
        ({"elapsed": 42.3}, "running for 42 s", "running"),
        ({"left": "about 9 s left"}, "running: about 9 s left", "about 9 s left"),
        (
            {"progress": ("training", 40, 160), "left": "2 min left", "estimated": False},
            "running: training, 40 of 160, 2 min left",
            "25 %, 2 min left",
        ),
        ({"state": "done", "seconds": 12.3}, "done in 12 s", "done"),
        ({"state": "failed", "error": "<no>"}, "error: &lt;no&gt;", ""),
        ({"state": "stopping"}, "press Stop again", "stopping"),
    ],
)
def test_the_state_of_a_run_is_a_line_and_a_title(changed, line, title):
    shown = show.status({**RUNNING, **changed})
    assert line in shown
    assert f'data-title="{title}"' in shown


def test_the_time_left_comes_from_the_log(tmp_path):
    record(tmp_path, "run", estimate=10)
    target = tmp_path / "clip/runs/run"
    target.with_suffix(".log").write_text("training: 40/100, 3 updates/s, 12 min left, total 2\n")
    found = jobs.Jobs().status(target)
    assert (found["progress"], found["left"]) == (("training", 40, 100), "12 min left")
    assert not found["estimated"]
