"""Clips, paths and commands of the page, without a browser."""

import json
import os
import pathlib
import shutil
import sys
import time

import numpy as np
import pytest

from vidprior.app import jobs as queue
from vidprior.app import project, words
from vidprior.errors import InputError
from vidprior.io import images

SIZE = (32, 48)


@pytest.fixture
def clip(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), np.uint8)
    images.write_frames(tmp_path / "footage" / "clip", noise)
    return project.create(tmp_path / "out", tmp_path / "footage" / "clip")


@pytest.fixture
def painted(clip):
    mask = np.zeros(SIZE, bool)
    mask[4:9, 5:11] = True
    clip.paint(1, mask)
    return clip


@pytest.mark.parametrize("text", ["", "..", "../out", "/etc/passwd", "clip/../../out", "link"])
def test_paths_outside_the_folder_are_refused(clip, tmp_path, text):
    (tmp_path / "footage/link").symlink_to("/etc")
    with pytest.raises(InputError, match="give a path in"):
        project.confined(text, tmp_path / "footage")


def test_paths_inside_the_folder_are_found(clip, tmp_path):
    folder = tmp_path / "footage"
    assert project.confined(" clip ", folder) == folder / "clip"
    with pytest.raises(InputError, match="does not exist"):
        project.confined("other", folder)


@pytest.mark.parametrize("name", [None, "", "..", "../footage", "other"])
def test_only_names_of_projects_are_found(clip, tmp_path, name):
    with pytest.raises(InputError, match="no clip is open"):
        project.find(tmp_path / "out", name)
    assert project.find(tmp_path / "out", clip.path.name).video == clip.video


def test_a_clip_is_opened_once_until_it_changes(clip, monkeypatch):
    count = []
    real = project.open_footage
    monkeypatch.setattr(project, "open_footage", lambda path: count.append(path) or real(path))
    folder = pathlib.Path(clip.video)
    for _ in range(2):
        assert project.find(clip.path.parent, clip.path.name).footage.count == 3
    images.write_image(folder / "000003.png", np.zeros((*SIZE, 3), np.uint8))
    os.utime(folder, ns=(1, 1))
    assert clip.footage.count == 4
    assert len(count) == 2
    shutil.rmtree(folder)
    with pytest.raises(InputError):
        _ = clip.footage


def test_the_picture_of_a_frame_is_made_anew_when_the_clip_changes(clip):
    folder = pathlib.Path(clip.video)
    for grey, later in ((255, 0), (0, 10)):
        images.write_frames(folder, [np.full((*SIZE, 3), grey, np.uint8)] * 3)
        changed = time.time() - 20 + later
        os.utime(folder, (changed, changed))
        assert (images.read_image(clip.picture(1)) == grey).all()
        made = clip.picture(1).stat().st_mtime_ns
        assert clip.picture(1).stat().st_mtime_ns == made
        os.utime(clip.picture(1), (changed + 5, changed + 5))


def test_the_brush_fits_the_frame():
    assert [words.brush_size((height, 2 * height)) for height in (96, 480, 1080)] == [12, 20, 45]


def test_paint_is_stored_and_removed(painted):
    assert painted.paint_of(1).sum() == 30
    assert painted.paint_of(0) is None
    painted.paint(1, np.zeros(SIZE, bool))
    assert painted.paint_of(1) is None
    with pytest.raises(InputError, match="no frame is painted"):
        painted.masks()


def test_masks_have_a_folder_for_each_painting(painted):
    first = painted.masks()
    assert painted.masks() == first
    other = painted.paint_of(1)
    other[0, 0] = True
    painted.paint(1, other)
    assert painted.masks() != first


def test_the_same_choices_are_the_same_run(painted):
    with pytest.raises(InputError, match="press Track first"):
        words.run(painted, "propagate", grow=2, invert=False)
    painted.masks().mkdir(parents=True)
    first = words.run(painted, "propagate", grow=2, invert=False)
    assert words.run(painted, "propagate", grow=2, invert=False) == first
    others = [words.run(painted, "propagate", grow=3, invert=False)[1]]
    others.append(words.run(painted, "propagate", grow=2, invert=True)[1])
    others.append(words.run(painted, "footage", grow=2, invert=False)[1])
    assert len({first[1], *others}) == 4


def test_a_quick_look_shows_the_whole_frame(painted):
    found = words.options(painted, "quick look", grow=2, invert=False)
    assert {"--config.video.crop=frame", "--config.render.resolution=training"} <= {*found}


@pytest.mark.parametrize(
    ("kind", "grow"), [("--mode=export", 0), ("footage", -1), ("footage", 1e9)]
)
def test_choices_that_no_control_offers_are_refused(painted, kind, grow):
    painted.masks().mkdir(parents=True)
    with pytest.raises(InputError):
        words.run(painted, kind, grow=grow, invert=False)


def test_working_sizes_keep_the_aspect():
    assert words.working_size((1080, 1920), 384 * 192) == (200, 360)
    assert words.working_size((96, 160), 128 * 72) == (72, 120)
    assert words.working_size((32, 48), 384 * 192) == (32, 48)  # never enlarged


def wait(jobs, target, *states):
    for _ in range(200):
        found = jobs.status(target)
        if found["state"] in states:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


@pytest.fixture
def sleeping(monkeypatch):
    """A queue whose commands sleep so many seconds, their first word, and end with the second."""
    # As `child` does: a shell starts tests in the background with SIGINT ignored.
    code = (
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "time.sleep(float(sys.argv[1])); sys.exit(sys.argv[2])"
    )
    started = queue.subprocess.Popen
    monkeypatch.setattr(
        queue.subprocess,
        "Popen",
        lambda given, **options: started([sys.executable, "-c", code, *given[3:]], **options),
    )
    jobs = queue.Jobs()
    yield jobs
    jobs.close()


def test_one_command_runs_at_a_time(sleeping, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    sleeping.submit(["60", ""], first)
    wait(sleeping, first, "running")
    sleeping.submit(["0", ""], second)
    assert sleeping.status(second)["state"] == "waiting"
    sleeping.stop(first)
    assert wait(sleeping, first, "stopped")
    assert wait(sleeping, second, "failed")  # `sys.exit("")` is 1


def test_a_waiting_command_is_stopped_without_a_start(sleeping, tmp_path):
    sleeping.submit(["60", ""], tmp_path / "first")
    sleeping.submit(["60", ""], tmp_path / "second")
    sleeping.stop(tmp_path / "second")
    assert sleeping.status(tmp_path / "second")["state"] == "stopped"
    assert not (tmp_path / "second.log").exists()


def test_a_new_server_finds_what_an_earlier_one_ran(tmp_path):
    record = {"words": ["--config=footage"], "state": "running"}
    (tmp_path / "run.job.json").write_text(json.dumps(record))
    (tmp_path / "run.log").write_text("update: 40/100, 3 updates/s\n")
    found = queue.Jobs().status(tmp_path / "run")
    assert (found["state"], found["words"]) == ("stopped", ["--config=footage"])
    assert found["progress"] == ("update", 40, 100)


@pytest.mark.parametrize("content", ["", "[]", "null", '{"words": 3}', '{"state": "done"}'])
def test_damaged_records_are_no_records(tmp_path, content):
    (tmp_path / "run.job.json").write_text(content)
    found = queue.read(tmp_path / "run")
    assert (found["words"], found["state"], found["seconds"]) == ([], "none", 0)
