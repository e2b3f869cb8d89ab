"""Runs that are killed, interrupted, out of disk or diverging, and what they go on from."""

import itertools
import json
import random
import shlex
import shutil
import signal
import time

import numpy as np
import pytest
from harness import (
    CHECKPOINTS,
    ROWS,
    TINY,
    TOTAL,
    assert_last_error,
    assert_same_arrays,
    assert_same_run,
    checkpoint_steps,
    contents,
    metrics,
    parameters,
    pictures,
    wait_for,
)

pytestmark = pytest.mark.slow


def stop_at(command, arguments, workdir, *, number, condition, delay=0.0, **options):
    """Starts the command, and sends it a signal some time after `condition()` has come true."""
    process = command.start(*arguments, f"--workdir={workdir}", **options)
    try:
        wait_for(condition, process)
        time.sleep(delay)
        process.send_signal(number)
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, told


def stop_before_training(command, clip, workdir, number):
    """Signals the command while it estimates flow or compiles, which takes it seconds here."""
    code, told = stop_at(
        command,
        (*TINY, *clip.inputs),
        workdir,
        number=number,
        condition=(workdir / "config.json").exists,
        delay=random.Random(0).uniform(0, 0.3),
        compiled=workdir.parent / "nothing compiled yet",
    )
    assert not checkpoint_steps(workdir)
    return code, told


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_run_goes_on_to_the_same_bits(seed, trained, command, clip, tmp_path):
    moment = random.Random(seed)
    reached = moment.choice([8, 10, 16, 20])
    workdir, arguments = tmp_path / "run", (*TINY, *clip.inputs)
    code, _ = stop_at(
        command,
        arguments,
        workdir,
        number=signal.SIGKILL,
        condition=lambda: max(checkpoint_steps(workdir), default=0) >= reached,
        delay=moment.uniform(0, 0.15),
    )
    assert code == -signal.SIGKILL
    assert not (workdir / "result").exists()
    finished = command.succeed(*arguments, f"--workdir={workdir}")
    assert "resuming" in finished.stderr
    assert_same_run(trained, workdir)


@pytest.mark.long
def test_a_decaying_rate_and_averaged_parameters_go_on_to_the_same_bits(command, clip, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    arguments = (
        *TINY, *clip.inputs, "--config.optimizer.lr_schedule=cosine",
        "--config.optimizer.ema_decay=0.9",
        "--config.checkpoint.keep=9",
    )  # fmt: skip
    command.succeed(*arguments, f"--workdir={whole}")
    shutil.copytree(whole, cut)
    for step in (step for step in CHECKPOINTS if step > 16):
        shutil.rmtree(cut / "checkpoints" / str(step))
    shutil.rmtree(cut / "result")
    command.succeed(*arguments, f"--workdir={cut}")
    assert_same_run(whole, cut)
    told = command(*arguments, f"--workdir={cut}", "--config.schedule.num_passes=4")
    assert_last_error(told, "schedule.num_passes=3, now it is 4", "decays")


@pytest.mark.long
def test_a_run_killed_before_its_first_checkpoint_begins_again(trained, command, clip, tmp_path):
    workdir = tmp_path / "run"
    code, _ = stop_before_training(command, clip, workdir, signal.SIGKILL)
    assert code == -signal.SIGKILL
    command.succeed(*TINY, *clip.inputs, f"--workdir={workdir}")
    assert_same_run(trained, workdir)


def test_a_run_killed_while_it_took_its_folder_begins_again(trained, command, clip, tmp_path):
    """The clip is written before the configuration: a kill between them leaves it alone."""
    workdir = tmp_path / "run"
    workdir.mkdir()
    shutil.copy(trained / "clip.npz", workdir)
    (workdir / ".config.json.12345.part").write_text('{"config": ')
    command.succeed(*TINY, *clip.inputs, f"--workdir={workdir}")
    assert_same_run(trained, workdir)


def test_ctrl_c_saves_and_says_how_to_go_on(trained, command, real_command, clip, tmp_path):
    """Where it stops, neither a checkpoint nor a row of metrics.jsonl need be due."""
    workdir = tmp_path / "a run"  # the command that is shown must be quoted
    code, told = stop_at(
        command,
        (*TINY, *clip.inputs),
        workdir,
        number=signal.SIGINT,
        condition=lambda: 16 in checkpoint_steps(workdir),
    )
    assert code == 130, told
    assert "Traceback" not in told
    stopped_at = checkpoint_steps(workdir)[-1]
    assert f"stopped after update {stopped_at} of {TOTAL}" in told
    shown = told.splitlines()[-1]
    assert "rerun the command" in told.splitlines()[-2]
    finished = real_command.execute(shlex.split(shown))
    assert finished.returncode == 0, finished.stderr
    assert_same_run(trained, workdir)


@pytest.mark.long
def test_ctrl_c_before_training_needs_no_traceback(trained, command, clip, tmp_path):
    """While flow is estimated and updates are compiled: minutes, on a real clip."""
    workdir = tmp_path / "run"
    code, told = stop_before_training(command, clip, workdir, signal.SIGINT)
    assert code == 130, told
    assert "Traceback" not in told
    assert "\nstopped. To resume, rerun the command" in told
    command.succeed(*TINY, *clip.inputs, f"--workdir={workdir}")
    assert_same_run(trained, workdir)


def test_a_finished_run_is_only_rendered_again(trained, command, clip, copy_of_trained):
    before = contents(copy_of_trained / "checkpoints")
    shutil.rmtree(copy_of_trained / "result")
    finished = command.succeed(*TINY, *clip.inputs, f"--workdir={copy_of_trained}")
    assert "plan:" not in finished.stderr
    assert contents(copy_of_trained / "checkpoints") == before
    assert_same_run(trained, copy_of_trained)


@pytest.mark.long
def test_a_shorter_run_can_be_made_longer(trained, command, clip, tmp_path):
    workdir = tmp_path / "run"
    command.succeed(*TINY, *clip.inputs, f"--workdir={workdir}", "--config.schedule.num_passes=1")
    assert checkpoint_steps(workdir)[-1] == TOTAL // 3
    command.succeed(*TINY, *clip.inputs, f"--workdir={workdir}")
    assert_same_run(trained, workdir)
    stored = json.loads((workdir / "config.json").read_text())
    assert stored["config"]["schedule"]["num_passes"] == 3


@pytest.mark.long
def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(
    trained, command, clip, copy_of_trained
):
    older, newest = checkpoint_steps(copy_of_trained)
    folder = copy_of_trained / "checkpoints" / str(newest)
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[:100])
    finished = command("--mode=render", f"--workdir={copy_of_trained}")
    assert_last_error(finished, str(newest), str(copy_of_trained / "checkpoints"))
    finished = command(*TINY, *clip.inputs, f"--workdir={copy_of_trained}")
    assert_last_error(finished, str(newest), str(copy_of_trained / "checkpoints"))
    shutil.rmtree(folder)
    finished = command.succeed(*TINY, *clip.inputs, f"--workdir={copy_of_trained}")
    assert f"{TOTAL - older} updates of {TOTAL}" in finished.stderr
    assert_same_run(trained, copy_of_trained)


def rerun_with_learning_rate(command, clip, workdir, value, *overrides):
    """Goes on with another learning rate, as if the run had been begun with it."""
    stored = json.loads((workdir / "config.json").read_text())
    stored["config"]["optimizer"]["learning_rate"] = value
    (workdir / "config.json").write_text(json.dumps(stored))
    rate = f"--config.optimizer.learning_rate={value}"
    return command(*TINY, *clip.inputs, f"--workdir={workdir}", rate, *overrides)


@pytest.mark.long
def test_a_diverging_run_stops_and_its_last_good_checkpoint_renders(
    trained, command, clip, copy_of_trained
):
    """The loss of the first update is that of the parameters before: only the next one shows."""
    overrides = ("--config.schedule.num_passes=4", "--config.checkpoint.keep=1")
    finished = rerun_with_learning_rate(command, clip, copy_of_trained, 1e30, *overrides)
    told = assert_last_error(finished, "finite", f"update {TOTAL + 2},", code=1)
    # The window by its frames: three of them, one stride apart.
    frames = json.loads(told[told.index("[") : told.index("]") + 1])
    assert len(frames) == 3
    assert len(set(np.diff(frames))) == 1
    assert checkpoint_steps(copy_of_trained)[-1] == TOTAL
    shutil.rmtree(copy_of_trained / "result")
    command.succeed("--mode=render", f"--workdir={copy_of_trained}")
    assert_same_arrays(pictures(trained / "result"), pictures(copy_of_trained / "result"))


@pytest.mark.long
def test_parameters_that_are_not_finite_are_never_saved(command, clip, copy_of_trained):
    """An infinite step spoils the parameters in the very update whose loss is still finite."""
    finished = rerun_with_learning_rate(
        command,
        clip,
        copy_of_trained,
        float("inf"),
        "--config.schedule.num_passes=4",
        "--config.checkpoint.every=1",
        "--config.checkpoint.keep=1",
    )
    assert_last_error(finished, "finite", code=1)
    assert all(np.isfinite(leaf).all() for leaf in parameters(copy_of_trained).values())


@pytest.mark.long
def test_a_full_disk_leaves_the_checkpoint_before_usable(trained, command, clip, tmp_path):
    workdir, arguments = tmp_path / "run", (*TINY, *clip.inputs)
    short = "--config.schedule.num_passes=1"
    command.succeed(*arguments, f"--workdir={workdir}", short)
    last, kept = checkpoint_steps(workdir)[-1], parameters(workdir)
    largest = max(p.stat().st_size for p in (workdir / "checkpoints").rglob("*") if p.is_file())
    limit = largest // 2
    assert (workdir / "metrics.jsonl").stat().st_size < limit

    finished = command(*arguments, f"--workdir={workdir}", max_file=limit)
    assert_last_error(finished, "update 16", str(workdir / "checkpoints"), f"{last} is usable")
    assert checkpoint_steps(workdir)[-1] == last
    assert_same_arrays(parameters(workdir), kept)
    command.succeed(*arguments, f"--workdir={workdir}")
    assert_same_run(trained, workdir)


def test_a_disk_too_small_for_the_clip_leaves_nothing(command, clip, tmp_path):
    workdir = tmp_path / "run"
    finished = command(*TINY, *clip.inputs, f"--workdir={workdir}", max_file=10_000)
    assert_last_error(finished, str(workdir / "clip.npz"))
    assert not workdir.exists() or not list(workdir.iterdir())


def test_rows_do_not_depend_on_how_often_checkpoints_are_saved(trained):
    """What the tests above compare: rows whose updates lie on both sides of a checkpoint."""
    inside = [
        number
        for first, last in itertools.pairwise(ROWS)
        for number in CHECKPOINTS
        if first < number < last
    ]
    assert inside == [8, 16]
    assert [row["update"] for row in metrics(trained)] == list(ROWS)
