"""tools/compose.py as people run it."""

import json
import sys

import numpy as np
import pytest
from harness import ROOT, assert_one_error, contents, pictures

TOOL = (sys.executable, str(ROOT / "tools/compose.py"))
SMALL = ("--size=48x32", "--frames=8")


@pytest.fixture
def compose(command):
    return lambda *words, **options: command.execute([*TOOL, *map(str, words)], **options)


def test_a_clip_that_training_can_take(compose, command, clip, tmp_path):
    told = compose(
        "clip", f"--background={clip.truth_folder}", f"--masks={clip.masks_folder}",
        "--start=2", "--mask-start=4", f"--output={tmp_path / 'clip'}", *SMALL,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "8 frames of 48x32, 2 to 10" in told.stdout
    truth, frames, masks = (
        np.stack(list(pictures(tmp_path / "clip" / name).values()))
        for name in ("truth", "frames", "masks")
    )
    hole = masks > 0
    np.testing.assert_array_equal(hole, clip.hole[4:12])
    np.testing.assert_array_equal(frames[~hole], truth[~hole])
    about = json.loads((tmp_path / "clip/manifest.json").read_text())
    assert about["seed"] is None  # nothing was drawn
    assert about["masks"]["indices"] == list(range(4, 12))


def test_a_set_is_the_same_for_the_same_seed(compose, clip, tmp_path):
    def make(seed, name, *backgrounds):
        words = ("set", "--background", *backgrounds, "--masks", clip.masks_folder,
                 clip.masks_folder / "00000.png", clip.masks_folder / "00005.png")  # fmt: skip
        drawn = ("--masks-per-background=2", f"--seed={seed}")
        told = compose(*words, *drawn, f"--output={tmp_path / name}", *SMALL)
        assert told.returncode == 0, told.stderr
        return contents(tmp_path / name)

    first = make(0, "first", clip.truth_folder, clip.video)
    assert len({path.partition("/")[0] for path in first}) == 4
    assert first == make(0, "second", clip.truth_folder, clip.video)
    assert first != make(1, "third", clip.truth_folder, clip.video)
    # Another background later in the list changes nothing of the first.
    alone = make(0, "alone", clip.truth_folder)
    assert alone.items() <= first.items()


def test_bad_input_is_one_line(compose, clip, tmp_path):
    background, masks = f"--background={clip.truth_folder}", f"--masks={clip.masks_folder}"
    output = f"--output={tmp_path / 'out'}"
    told = compose("clip", background, masks, output, "--size=48x32", "--frames=13")
    assert_one_error(told, "no shot of 13 frames", "has 12")
    told = compose("clip", f"--background={tmp_path / 'none'}", masks, output)
    assert_one_error(told, "none: no such file or folder")
    told = compose("set", background, masks, output)
    assert_one_error(told, "5 different masks")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    told = compose("clip", background, masks, output, *SMALL)
    assert_one_error(told, "not empty: choose another --output")
    assert contents(tmp_path / "out").keys() == {"mine"}


@pytest.mark.parametrize("flag", ["--size=48", "--frames=0", "--offset=3", "--seed=-1"])
def test_flags_that_cannot_be_read(compose, flag):
    told = compose("clip", "--background=b", "--masks=m", "--output=o", flag)
    assert told.returncode == 2
    assert "error: " in told.stderr.splitlines()[-1]
    assert "Traceback" not in told.stderr
