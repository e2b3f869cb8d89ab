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
    assert "carried from other frames and trusted" in told
    assert "device:" not in told
    assert not (run / "checkpoints").exists()
    carried = Workdir(run).read_propagated(clip.hole)
    np.testing.assert_array_equal(rendered(run), carried.frames)
    assert not carried.rehearsal.any()
    assert carried.confidence[clip.hole].mean() > 0.2

    command.succeed("--mode=render", f"--workdir={run}", "--frames=2:4")
    np.testing.assert_array_equal(rendered(run / "render_000000_2-4"), carried.frames[2:4])
    told = command("--mode=render", f"--workdir={run}", "--config.render.propagated=none")
    assert_last_error(told, "no checkpoint yet")


def test_carried_pixels_teach_and_are_laid_over(command, clip, trained, tmp_path):
    run = tmp_path / "run"
    words = ("--config.schedule.rehearse=True", "--config.loss.propagated=1")
    told = command.succeed(
        *TINY, *words, "--config.render.propagated=blend", *clip.inputs, f"--workdir={run}"
    ).stderr
    assert "where this is rehearsed, they deviate by" in told
    assert {"image", "flow", "consistency", "propagated"} <= metrics(run)[-1].keys()
    carried = Workdir(run).read_propagated(clip.hole)
    shown = {"blend": rendered(run)}
    for way in ("none", "alone"):
        command.succeed("--mode=render", f"--workdir={run}", f"--config.render.propagated={way}")
        shown[way] = rendered(run)
    np.testing.assert_array_equal(shown["alone"][clip.hole], carried.frames[clip.hole])
    assert (shown["none"] != rendered(trained)).any()  # the term has changed the network
    # Somewhere between both, pixel by pixel.
    low, high = np.minimum(shown["none"], shown["alone"]), np.maximum(shown["none"], shown["alone"])
    assert ((shown["blend"] >= low) & (shown["blend"] <= high)).all()

    command.succeed(
        "--mode=render", f"--workdir={run}", "--config.render.propagated=blend", "--frames=2:4"
    )
    (part,) = run.glob("render_*")
    np.testing.assert_array_equal(rendered(part), shown["blend"][2:4])


def test_a_run_without_a_rehearsal_cannot_be_blended(command, trained):
    told = command("--mode=render", f"--workdir={trained}", "--config.render.propagated=blend")
    assert_last_error(told, "needs --config.schedule.rehearse=True")
