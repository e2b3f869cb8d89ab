"""An interrupted track goes on where it stood, with the same bits."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from vidprior.io import images
from vidprior.tracking import evidence, keeping, pursue
from vidprior.tracking.keeping import Kept
from vidprior.tracking.track import track

T, SIZE = 12, (64, 96)


@pytest.fixture(scope="module")
def clip():
    random = np.random.default_rng(0)
    ground, patch = (
        cv2.GaussianBlur(random.integers(0, 256, (*size, 3), np.uint8), (0, 0), 2)
        for size in (SIZE, (24, 30))
    )
    frames, truth = np.stack([ground] * T), np.zeros((T, *SIZE), bool)
    for t in range(T):
        place = np.s_[t, 10 + t : 34 + t, 10 + 3 * t : 40 + 3 * t]
        frames[place], truth[place] = patch, True
    return frames, truth


class Interrupted(Exception):
    pass


def counted(function, calls):
    """The function, with a list of the names of its calls."""

    def call(*arguments):
        calls.append(function.__name__)
        return function(*arguments)

    return call


# Eleven frames follow; in as many steps evidence is gathered, then they are followed.
@pytest.mark.parametrize("after", [5, 8, 16, 19])
def test_an_interrupted_track_goes_on_with_the_same_bits(clip, tmp_path, monkeypatch, after):
    frames, truth = clip
    for module in (pursue, evidence):
        monkeypatch.setattr(module, "EVERY", 3)
    expected = track(frames, {0: truth[0]})

    def stop(done, _):
        if done == after:
            raise Interrupted

    with pytest.raises(Interrupted):
        track(frames, {0: truth[0]}, keep=tmp_path, on_progress=stop)
    followed, steps = [], []
    for module, name in ((evidence, "match_labels"), (pursue, "segment_frame")):
        monkeypatch.setattr(module, name, counted(getattr(module, name), followed))
    found = track(
        frames, {0: truth[0]}, keep=tmp_path, on_progress=lambda *told: steps.append(told)
    )
    np.testing.assert_array_equal(found.masks, expected.masks)
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    # A state is written after each third frame.
    gathered, pursued = min(after, T - 1), max(after - (T - 1), 0)
    kept = gathered if gathered == T - 1 else gathered // 3 * 3
    kept += max(pursued - 1, 0) // 3 * 3
    assert len(followed) == 2 * (T - 1) - kept
    assert steps[-1] == (2 * (T - 1),) * 2


def test_a_correction_takes_what_was_followed_before(clip, tmp_path, monkeypatch):
    frames, truth = clip
    track(frames, {0: truth[0]}, keep=tmp_path)
    both = {0: truth[0], 6: truth[6]}
    expected = track(frames, both)
    followed = []
    for module, name in ((evidence, "match_labels"), (pursue, "segment_frame")):
        monkeypatch.setattr(module, name, counted(getattr(module, name), followed))
    found = track(frames, both, keep=tmp_path)
    np.testing.assert_array_equal(found.masks, expected.masks)
    # Frames 1 to 5 are followed from both sides, 7 to 11 from frame 6; what frame 0 says is kept.
    assert followed.count("segment_frame") == 15
    assert followed.count("match_labels") == 10
    # Evidence and masks: from frame 0, and from frame 6 in both directions.
    assert len(list(tmp_path.iterdir())) == 6
    track(frames, {3: truth[3]}, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4  # of frame 3, in both directions


def test_a_file_that_is_damaged_is_not_used(tmp_path):
    kept = Kept(tmp_path)
    kept.save("a", {"x": np.arange(1000)})
    whole = (tmp_path / "a.npz").read_bytes()
    assert kept.load("a")["x"].sum() == 499500
    assert kept.load("b") == {}
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    assert kept.load("a") == {}
    np.save(tmp_path / "c.npy", np.array([{}], object))
    os.replace(tmp_path / "c.npy", tmp_path / "a.npz")
    assert kept.load("a") == {}


@pytest.mark.long
def test_a_killed_command_goes_on(clip, tmp_path):
    frames, truth = clip
    many = np.concatenate([frames, frames[::-1], frames])
    images.write_frames(tmp_path / "frames", many)
    images.write_image(tmp_path / "painted.png", truth[0].astype(np.uint8) * 255)
    words = [
        sys.executable, "-m", "vidprior.main", "track", f"--video={tmp_path / 'frames'}",
        f"--painted=0:{tmp_path / 'painted.png'}",
    ]  # fmt: skip
    outputs = [tmp_path / "killed", tmp_path / "whole"]
    begun = subprocess.Popen([*words, f"--output={outputs[0]}"], stderr=subprocess.PIPE)
    state = tmp_path / "killed.state"
    deadline = time.monotonic() + 100
    while not list(state.glob("[!.]*.npz")) and begun.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    begun.send_signal(signal.SIGKILL)
    begun.communicate()
    assert not outputs[0].exists()
    assert list(state.glob("[!.]*.npz"))
    for output in outputs:
        subprocess.run([*words, f"--output={output}"], check=True, capture_output=True)
    files = [sorted(pathlib.Path(output).glob("*.png")) for output in outputs]
    assert len(files[0]) == len(many)
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]
    assert len(many) > keeping.EVERY
