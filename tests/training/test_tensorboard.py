"""Summaries, read back as TensorBoard reads them."""

import importlib.util
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vidprior.errors import InputError
from vidprior.training import tensorboard
from vidprior.training.tensorboard import open_tensorboard

ROWS = [
    {"update": 3, "pass": 1, "image": 0.5, "total": 0.75},
    {"update": 6, "pass": 2, "image": 0.25, "total": 0.5},
]


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def points(events, name):
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_losses_and_learning_rate(tmp_path):
    with open_tensorboard(tmp_path / "new" / "folder", begin=0) as told:
        for row in ROWS:
            told.losses(row, learning_rate=0.125 / row["pass"])
    events = read(tmp_path / "new" / "folder")
    assert set(events.Tags()["scalars"]) == {"loss/image", "loss/total", "pass", "learning_rate"}
    assert points(events, "loss/image") == [(3, 0.5), (6, 0.25)]
    assert points(events, "loss/total") == [(3, 0.75), (6, 0.5)]
    assert points(events, "pass") == [(3, 1), (6, 2)]
    assert points(events, "learning_rate") == [(3, 0.125), (6, 0.0625)]


def test_pictures(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    with open_tensorboard(tmp_path, begin=0) as told:
        told.picture(7, "preview", image)
    (event,) = read(tmp_path).Images("preview")
    assert (event.step, event.height, event.width) == (7, 6, 9)
    decoded = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], image)


def test_what_is_done_again_is_told_once(tmp_path):
    """A run was killed after update 6, and went on from its checkpoint of update 3."""
    with open_tensorboard(tmp_path, begin=0) as told:
        for row in ROWS:
            told.losses(row, learning_rate=1)
    (first,) = tmp_path.iterdir()
    first.rename(tmp_path / "events.out.tfevents.0.first")  # as if it were older
    with open_tensorboard(tmp_path, begin=3) as told:
        told.losses({**ROWS[1], "image": 0.125}, learning_rate=1)
    assert points(read(tmp_path), "loss/image") == [(3, 0.5), (6, 0.125)]


def test_everything_is_on_the_disk_at_once(tmp_path):
    with open_tensorboard(tmp_path, begin=0) as told:
        told.losses(ROWS[0], learning_rate=1)
        assert points(read(tmp_path), "loss/image") == [(3, 0.5)]


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path):
    with open_tensorboard(None, begin=0) as told:
        told.losses(ROWS[0], learning_rate=1)
        told.picture(3, "preview", np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(InputError, match=r"file/events\S+: cannot be written"),
        open_tensorboard(tmp_path / "file", begin=0),
    ):
        pass


def test_a_full_disk_is_named(tmp_path):
    code = (
        "import pathlib, resource, sys\n"
        "from vidprior.training.tensorboard import open_tensorboard\n"
        "with open_tensorboard(pathlib.Path(sys.argv[1]), begin=0) as told:\n"
        "    told.losses({'update': 1, 'pass': 1}, learning_rate=1)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "    told.losses({'update': 2, 'pass': 1}, learning_rate=1)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert re.search(
        r"InputError: .*/events\S+: cannot be written \(File too large", finished.stderr
    )


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    tensorboard.require(False)
    for ask in (
        lambda: tensorboard.require(True),
        lambda: open_tensorboard(tmp_path / "run", begin=0).__enter__(),
    ):
        with pytest.raises(InputError, match=r"pip install 'vidprior\[tensorboard\]'"):
            ask()
    assert not (tmp_path / "run").exists()


def test_writing_loads_neither_pytorch_nor_tensorflow(tmp_path):
    code = (
        "import pathlib, sys; from vidprior.training.tensorboard import open_tensorboard\n"
        "assert 'tensorboard' not in sys.modules\n"
        "with open_tensorboard(pathlib.Path(sys.argv[1]), begin=0) as told:\n"
        "    told.losses({'update': 1, 'pass': 1, 'image': 0.5}, learning_rate=1)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    loaded = finished.stdout.split()
    assert "tensorboard" in loaded
    assert not {"torch", "tensorflow"} & set(loaded)
    assert points(read(tmp_path), "loss/image") == [(1, 0.5)]
