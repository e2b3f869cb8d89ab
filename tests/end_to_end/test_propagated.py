"""Carried pixels through the real command: alone, in training, and over the network's."""

import numpy as np
import pytest
from harness import SMALLEST, TINY, assert_last_error, metrics, pictures

from vidprior.workdir import Workdir

pytestmark = pytest.mark.slow


def rendered(folder):
    return np.stack(list(pictures(folder / "result").values()))


def test_carried_pixels_alone_need_no_training(command, clip, tmp_path):
    run = tmp_path / "run"
    words = (*SMALLEST[:2], "--config.model.channels=(8,)")
    told = command.succeed("--config=propagate", *words, *clip.inputs, f"--workdir={run}").stderr
    assert "carried from other frames" in told
    assert "device:" not in told
    assert not (run / "checkpoints").exists()
    carried = Workdir(run).read_propagated(clip.hole)
    np.testing.assert_array_equal(rendered(run), carried.frames)
    assert (carried.confidence[clip.hole] > 0).mean() > 0.5

    command.succeed("--mode=render", f"--workdir={run}", "--frames=2:4")
    np.testing.assert_array_equal(rendered(run / "render_000000_2-4"), carried.frames[2:4])
    told = command("--mode=render", f"--workdir={run}", "--config.render.propagated=none")
    assert_last_error(told, "no checkpoint yet")


def test_carried_pixels_teach_and_are_laid_over(command, clip, trained, tmp_path):
    run = tmp_path / "run"
    words = ("--config.loss.propagated=1", "--config.render.propagated=blend")
    command.succeed(*TINY, *words, *clip.inputs, f"--workdir={run}")
    assert {"image", "flow", "consistency", "propagated"} <= metrics(run)[-1].keys()
    carried = Workdir(run).read_propagated(clip.hole)
    shown = {"blend": rendered(run)}
    for way in ("none", "alone"):
        command.succeed("--mode=render", f"--workdir={run}", f"--config.render.propagated={way}")
        shown[way] = rendered(run)
    np.testing.assert_array_equal(shown["alone"], carried.frames)
    assert (shown["none"] != rendered(trained)).any()  # the term has changed the network
    share = np.minimum(2 * carried.confidence[..., None].astype(np.float32), 1)
    mixed = shown["none"] + share * (carried.frames - shown["none"].astype(np.float32))
    assert np.abs(shown["blend"] - mixed).max() <= 0.5
