"""Propagated pixels through the real command: alone, in training, and blended."""

import re
import shutil

import cv2
import imageio.v3
import numpy as np
import pytest
from harness import (
    SMALLEST,
    TINY,
    assert_last_error,
    assert_same_arrays,
    assert_same_run,
    checkpoint_steps,
    metrics,
    parameters,
    pictures,
)

from vidprior.run.workdir import Workdir

pytestmark = pytest.mark.slow


def rendered(folder):
    return np.stack(list(pictures(folder / "result").values()))


def test_propagated_pixels_alone_need_no_training(command, clip, tmp_path):
    run = tmp_path / "run"
    words = (*SMALLEST[:2], "--config.model.channels=(8,)")
    told = command.succeed("--config=propagate", *words, *clip.inputs, f"--workdir={run}").stderr
    assert "propagated from other frames with confidence" in told
    assert "device:" not in told
    assert not (run / "checkpoints").exists()
    stored = Workdir(run).read_propagated(clip.hole)
    assert stored.held_out.any()  # known pixels, shown as they are
    known = Workdir(run).read_clip().frames
    expected = np.where(clip.hole[..., None], stored.frames, known)
    np.testing.assert_array_equal(rendered(run), expected)
    assert stored.confidence[clip.hole].mean() > 0.2

    command.succeed("--mode=render", f"--workdir={run}", "--frames=2:4")
    np.testing.assert_array_equal(rendered(run / "render_000000_2-4"), expected[2:4])
    # Without a network there is nothing else to show.
    command.succeed("--mode=render", f"--workdir={run}", "--config.render.propagated_pixels=none")
    np.testing.assert_array_equal(rendered(run), expected)


@pytest.mark.long
def test_propagated_pixels_are_targets_and_are_blended(command, clip, trained, tmp_path):
    run = tmp_path / "run"
    words = (
        "--config.propagation.holdout=True", "--config.checkpoint.keep_best=True",
        "--config.loss.propagated=1",
    )  # fmt: skip
    told = command.succeed(
        *TINY, *words, "--config.render.propagated_pixels=blend", *clip.inputs, f"--workdir={run}"
    ).stderr
    (deviation,) = re.findall(r"confidence; held-out RMSE ([\d.]+)/255", told)
    found = re.findall(r"update \d+: held-out RMSE ([\d.]+)/255", told)
    # The score is that of the shown frames: propagated pixels, unless others have less error.
    assert found
    assert max(map(float, found)) <= 1.01 * float(deviation)
    assert {"image", "flow", "consistency", "propagated"} <= metrics(run)[-1].keys()
    stored = Workdir(run).read_propagated(clip.hole)
    shown = {"blend": rendered(run)}
    for way in ("none", "only"):
        command.succeed(
            "--mode=render", f"--workdir={run}", f"--config.render.propagated_pixels={way}"
        )
        shown[way] = rendered(run)
    np.testing.assert_array_equal(shown["only"][clip.hole], stored.frames[clip.hole])
    assert (shown["none"] != rendered(trained)).any()  # the term has changed the network
    # Somewhere between both, pixel by pixel.
    low, high = np.minimum(shown["none"], shown["only"]), np.maximum(shown["none"], shown["only"])
    assert ((shown["blend"] >= low) & (shown["blend"] <= high)).all()

    command.succeed(
        "--mode=render",
        f"--workdir={run}",
        "--config.render.propagated_pixels=blend",
        "--frames=2:4",
    )
    (part,) = run.glob("render_*")
    np.testing.assert_array_equal(rendered(part), shown["blend"][2:4])


def pan(folder, count=9, height=64, width=96):
    """A smooth picture that pans behind a small standing hole: other frames show everything."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (height, width + 3 * count, 3), np.uint8)
    picture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 20, 235, cv2.NORM_MINMAX)
    mask = np.zeros((height, width), np.uint8)
    mask[28:34, 45:51] = 255
    for name, image in (("frames", picture), ("masks", mask)):
        (folder / name).mkdir()
        for number in range(count):
            shown = image[:, 3 * number :][:, :width]
            imageio.v3.imwrite(
                folder / name / f"{number:02d}.png", shown if name == "frames" else mask
            )
    return f"--video={folder / 'frames'}", f"--mask={folder / 'masks'}"


@pytest.mark.long
def test_a_network_that_could_not_gain_is_not_trained(command, tmp_path):
    inputs = pan(tmp_path)
    size = ("--config.video.height=64", "--config.video.width=96", "--config.model.channels=(8,)")
    quick = ("--config=fast", *size, "--config.schedule.windows_per_pass=2")
    run, alone = tmp_path / "run", tmp_path / "alone"
    told = command.succeed(*quick, *inputs, f"--workdir={run}").stderr
    assert "not trained: a network could hardly improve these pixels" in told
    assert "device:" not in told
    assert not (run / "checkpoints").exists()
    command.succeed(
        "--config=propagate", *size, "--config.propagation.holdout=True", *inputs,
        f"--workdir={alone}",
    )  # fmt: skip
    np.testing.assert_array_equal(rendered(run), rendered(alone))
    shown = rendered(run)
    command.succeed("--mode=render", f"--workdir={run}")
    np.testing.assert_array_equal(rendered(run), shown)
    told = command("--mode=render", f"--workdir={run}", "--config.render.propagated_pixels=none")
    assert_last_error(told, "has no checkpoint: nothing was trained yet")
    # It is trained if the user wants it.
    command.succeed(
        *quick, "--config.checkpoint.keep_best=False", *inputs, f"--workdir={tmp_path / 'other'}"
    )
    assert checkpoint_steps(tmp_path / "other")


def test_a_run_without_held_out_pixels_cannot_be_blended(command, trained):
    told = command(
        "--mode=render", f"--workdir={trained}", "--config.render.propagated_pixels=blend"
    )
    assert_last_error(told, "needs --config.propagation.holdout=True")


@pytest.mark.long
def test_a_run_ends_where_it_is_past_its_best_and_renders_that(command, clip, tmp_path):
    """Two passes at a good rate, then a ruinous one: of eight passes an early one is the best."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    arguments = (
        *TINY, *clip.inputs, "--config.propagation.holdout=True",
        "--config.checkpoint.keep_best=True",
        "--config.loss.flow=0", "--config.loss.consistency=0", "--config.optimizer.ema_decay=0.5",
        "--config.checkpoint.keep=99",
    )  # fmt: skip
    good = "--config.optimizer.learning_rate=0.01"
    command.succeed(*arguments, good, "--config.schedule.num_passes=2", f"--workdir={whole}")
    shutil.rmtree(whole / "result")
    stored = whole / "config.json"
    assert stored.read_text().count('"learning_rate": 0.01') == 1
    ruinous = stored.read_text().replace('"learning_rate": 0.01', '"learning_rate": 10.0')
    stored.write_text(ruinous)

    eight = ("--config.optimizer.learning_rate=10.0", "--config.schedule.num_passes=8")
    told = command.succeed(*arguments, *eight, f"--workdir={whole}").stderr
    found = re.findall(r"update (\d+): held-out RMSE ([\d.]+)/255", told)
    assert [int(update) for update, _ in found] == [30, 40]
    (best,) = re.findall(
        r"training stopped after update 40: the best score was after update (\d+)", told
    )
    assert int(best) <= 20
    assert checkpoint_steps(whole)[-1] == 40
    assert_same_arrays(parameters(whole), parameters(whole, int(best)))

    shutil.copytree(whole, cut)
    for step in checkpoint_steps(cut):
        if step > 24:
            shutil.rmtree(cut / "checkpoints" / str(step))
    shutil.rmtree(cut / "result")
    command.succeed(*arguments, *eight, f"--workdir={cut}")
    assert_same_run(whole, cut)
    told = command.succeed(*arguments, *eight, f"--workdir={cut}").stderr
    assert "device:" not in told  # nothing was trained
    assert "training stopped early after update 40" in told
    assert_same_run(whole, cut)
    # A run that is asked for more has not done its half.
    more = (eight[0], "--config.schedule.num_passes=9")
    command.succeed(*arguments, *more, f"--workdir={cut}")
    assert checkpoint_steps(cut)[-1] > 40


def test_grain_of_the_surroundings_is_added_in_the_hole_alone(command, tmp_path):
    """A grey scene with noise of strength 6; what fills its hole is smoother without grain."""
    random = np.random.default_rng(0)
    (tmp_path / "frames").mkdir()
    frames = np.clip(np.rint(128 + 6 * random.standard_normal((6, 96, 128, 3))), 0, 255)
    for number, frame in enumerate(frames.astype(np.uint8)):
        imageio.v3.imwrite(tmp_path / f"frames/{number:05d}.png", frame)
    hole = np.zeros((96, 128), bool)
    hole[24:72, 32:96] = True
    imageio.v3.imwrite(tmp_path / "mask.png", 255 * hole.astype(np.uint8))
    shown = {}
    for grain in (False, True):
        run = tmp_path / f"run{grain}"
        command.succeed(
            "--config=propagate", "--config.video.height=48", "--config.video.width=64",
            f"--video={tmp_path}/frames", f"--mask={tmp_path}/mask.png", f"--workdir={run}",
            "--config.render.format=png", "--config.propagation.guess=smooth",
            f"--config.render.grain={grain}",
        )  # fmt: skip
        shown[grain] = np.stack(list(pictures(run / "result_png").values())).astype(float)
    np.testing.assert_array_equal(shown[True][:, ~hole], frames[:, ~hole])
    assert shown[False][:, hole].std() < 4
    assert shown[True][:, hole].std() == pytest.approx(6, rel=0.2)
    # Fresh in each frame.
    fresh = (shown[True] - shown[False])[:, hole].reshape(6, -1)
    assert np.abs(np.corrcoef(fresh) - np.eye(6)).max() < 0.1
