"""Input that cannot be used: one line that says so, exit code 2, and nothing half-written."""

import contextlib
import json
import shutil
import sys
from fractions import Fraction

import imageio.v3
import numpy as np
import pytest
from harness import (
    HEIGHT,
    NUM_FRAMES,
    SEVEN,
    SMALLEST,
    TINY,
    WIDTH,
    assert_last_error,
    assert_one_error,
    checkpoint_steps,
    contents,
    pictures,
)

from vidprior.io.video_writer import write_video
from vidprior.run.workdir import Workdir


def write_images(folder, pictures):
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        imageio.v3.imwrite(folder / f"{i:05d}.png", picture)
    return folder


def write_masks(folder, hole):
    return write_images(folder, 255 * np.asarray(hole, np.uint8))


@pytest.fixture
def refuses(command, clip, tmp_path):
    """Runs the command with overrides; it must stop with one line and leave no folder."""

    def check(*overrides, says, base=(*TINY, *clip.inputs)):
        workdir = tmp_path / "run"
        finished = command(*base, f"--workdir={workdir}", *overrides)
        told = assert_one_error(finished, *says)
        assert not workdir.exists()
        return told

    return check


# The inputs' files


def test_video_that_is_not_there(refuses, tmp_path):
    refuses(f"--video={tmp_path}/none.mp4", says=[f"{tmp_path}/none.mp4", "no such file"])


def test_file_that_is_no_video(refuses, tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(bytes(range(256)) * 40)
    refuses(f"--video={path}", says=[str(path)])


def test_number_of_masks(refuses, clip, tmp_path):
    masks = write_masks(tmp_path / "masks", clip.hole[:-1])
    refuses(f"--mask={masks}", says=[str(masks), f"{NUM_FRAMES - 1} masks", f"{NUM_FRAMES} frames"])


def test_size_of_masks(refuses, clip, tmp_path):
    masks = write_masks(tmp_path / "masks", clip.hole[:, :, :-2])
    refuses(f"--mask={masks}", says=[f"{WIDTH - 2}x{HEIGHT}", f"{WIDTH}x{HEIGHT}"])


def test_mask_without_a_hole(refuses, clip, tmp_path):
    masks = write_masks(tmp_path / "masks", np.zeros_like(clip.hole))
    refuses(f"--mask={masks}", says=[str(masks), "no frame has a hole"])


def test_mask_that_covers_everything(refuses, clip, tmp_path):
    masks = write_masks(tmp_path / "masks", np.ones_like(clip.hole))
    refuses(f"--mask={masks}", says=[str(masks), "covers every frame"])


@pytest.fixture
def cut_video(clip, tmp_path):
    """A video that breaks off within its eighth frame or thereabouts."""
    data = clip.video.read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(data[: len(data) * 15 // 24])
    return path


def test_video_that_breaks_off(refuses, cut_video):
    told = refuses(
        f"--video={cut_video}", says=[str(cut_video), "cut", "--config.video.allow_truncated=True"]
    )
    assert f"of {NUM_FRAMES} frames" in told


@pytest.mark.slow
def test_video_that_breaks_off_is_used_when_asked(command, clip, cut_video, tmp_path):
    workdir = tmp_path / "run"
    inputs = (f"--video={cut_video}", f"--mask={clip.masks_folder}", f"--workdir={workdir}")
    command.succeed("--config=propagate", *SMALLEST, *inputs, "--config.video.allow_truncated=True")
    result = pictures(workdir / "result")
    assert 2 <= len(result) < NUM_FRAMES
    shown = np.stack(list(result.values()))
    known = ~clip.hole[: len(shown)]
    np.testing.assert_array_equal(shown[known], clip.frames[: len(shown)][known])


# The clip's length and size


def test_clip_shorter_than_any_window(refuses):
    refuses("--config.video.stop=2", says=["2 frames", "window of 3 frames", "needs 3"])


@pytest.mark.slow
def test_strides_that_do_not_fit_are_named(command, clip, tmp_path):
    """Seven frames hold three at stride 1 and 3, but not at stride 5."""
    workdir = tmp_path / "run"
    flags = ("--config=dip_vid", *SMALLEST, "--config.window.strides=(1,3,5)", SEVEN)
    finished = command.succeed(*flags, *clip.inputs, f"--workdir={workdir}")
    (note,) = [line for line in finished.stderr.splitlines() if line.startswith("note:")]
    assert "stride 5 " in note
    assert "7 frames" in note
    assert len(pictures(workdir / "result")) == 7


def test_size_too_small_for_the_scales(refuses):
    """Two scales take 9 pixels: 9, 5 and 3 rows, of which the deepest kernel reflects two."""
    told = refuses("--config.video.height=8", says=[f"{WIDTH}x8", "2 scales", "at least 9"])
    assert "--config.model.channels" in told


def test_size_too_small_for_the_flow(refuses):
    refuses("--config.video.height=12", says=["12", "16"])


def test_range_beyond_the_clip(refuses):
    refuses(f"--config.video.start={NUM_FRAMES}", says=[f"{NUM_FRAMES} frames"])


# The configuration


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("--config.loss.flwo=1", ["config.loss.flwo", 'Did you mean "flow"']),
        ("--config.model.skip_channels=four", ["config.model.skip_channels", "four"]),
        ("--config.flow.estimator=raft", ["config.flow.estimator", "'raft'", "'dis'", "'pwcnet'"]),
        ("--config.video.image_fps=0", ["config.video.image_fps", "0"]),
        ("--config=nothing", ["nothing", "dip_vid", "flow"]),
        ("--unknown=1", ["unknown"]),
        ("--mode=paint", ["paint", "train", "render", "evaluate"]),
        ("frames", ["unexpected argument 'frames'"]),
    ],
)
def test_configuration_and_flags(override, says, refuses, clip):
    # A folder of images has no rate of its own.
    inputs = (f"--video={clip.frames_folder}", f"--mask={clip.masks_folder}")
    refuses(override, says=says, base=(*TINY, *inputs))


def test_configuration_file_that_does_not_run(refuses, clip, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def get_config(:")
    refuses(base=(f"--config={path}", *clip.inputs), says=[str(path)])


@pytest.mark.parametrize("missing", ["--config", "--mask", "--workdir"])
def test_missing_flag(missing, command, clip, tmp_path):
    flags = ("--config=dip_vid", *clip.inputs, f"--workdir={tmp_path / 'run'}")
    finished = command(*(flag for flag in flags if not flag.startswith(f"{missing}=")))
    assert_one_error(finished, missing, "missing")
    assert not (tmp_path / "run").exists()


# Weights, estimators and extras


def test_summaries_without_the_package_that_writes_them(command, clip, tmp_path):
    code = (
        "import importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'tensorboard' else find(name)\n"
        "from vidprior import main; main.run()"
    )
    workdir = tmp_path / "run"
    flags = (*TINY, *clip.inputs, f"--workdir={workdir}", "--config.log.tensorboard=True")
    finished = command.execute([sys.executable, "-c", code, *flags])
    assert_one_error(finished, "--config.log.tensorboard", "pip install 'vidprior[tensorboard]'")
    assert not workdir.exists()


def test_vgg_weights_that_are_missing(refuses, tmp_path):
    path = tmp_path / "vgg16.npz"
    told = refuses(
        "--config.loss.perceptual=0.01", f"--config.vgg.weights={path}", says=[str(path)]
    )
    assert "`make vgg16-weights`" in told
    assert "--config.loss.perceptual=0" in told


def test_pwcnet_without_environment_and_weights(refuses):
    told = refuses(
        "--config.flow.estimator=pwcnet",
        "--config.flow.pwcnet_python=/nowhere/python",
        "--config.flow.pwcnet_weights=/nowhere/pwc net.pytorch",
        says=["/nowhere/python", "`make pwcnet-env`", "--config.flow.estimator=dis", "--flows"],
    )
    assert "`curl -fL --create-dirs -o '/nowhere/pwc net.pytorch' http" in told


# Flow files


def change_flows(source, path, **changes):
    with np.load(source) as stored:
        np.savez(path, **(dict(stored) | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source_sha256": np.array("f" * 64)}, ["source_sha256", "ffff"]),
        ({"size": np.array([HEIGHT, WIDTH + 2], np.int32)}, ["size", str(WIDTH + 2), str(WIDTH)]),
        ({"estimator": np.array([print], object)}, ["estimator", "pickled"]),
    ],
)
@pytest.mark.slow
def test_flow_file_that_does_not_belong(changes, says, refuses, trained, tmp_path):
    path = change_flows(trained / "flows.npz", tmp_path / "other.npz", **changes)
    refuses(f"--flows={path}", says=[str(path), *says])


@pytest.mark.slow
def test_flow_file_that_breaks_off(refuses, trained, tmp_path):
    path = tmp_path / "cut.npz"
    data = (trained / "flows.npz").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refuses(f"--flows={path}", says=[str(path), "damaged"])


# Work directories


def assert_untouched(command, folder, *arguments, says):
    before = contents(folder)
    assert_one_error(command(*arguments, f"--workdir={folder}"), str(folder), *says)
    assert contents(folder) == before


@pytest.mark.slow
def test_work_directory_of_another_video(command, clip, copy_of_trained, tmp_path):
    other = clip.frames.copy()
    other[5, 10, 20] ^= 1
    video = write_images(tmp_path / "frames", other)
    inputs = (f"--video={video}", f"--mask={clip.masks_folder}")
    assert_untouched(command, copy_of_trained, *TINY, *inputs, says=["another video"])


@pytest.mark.slow
def test_work_directory_of_another_mask(command, clip, copy_of_trained, tmp_path):
    other = clip.hole.copy()
    other[0, 0, 0] ^= True
    masks = write_masks(tmp_path / "masks", other)
    inputs = (f"--video={clip.video}", f"--mask={masks}")
    assert_untouched(command, copy_of_trained, *TINY, *inputs, says=["another mask"])


@pytest.mark.slow
def test_work_directory_of_another_configuration(command, clip, copy_of_trained):
    arguments = (*TINY, *clip.inputs, "--config.optimizer.learning_rate=0.02")
    says = ["optimizer.learning_rate", "0.01", "0.02"]
    assert_untouched(command, copy_of_trained, *arguments, says=says)


@pytest.mark.slow
def test_work_directory_begun_with_another_flow(command, clip, copy_of_trained, tmp_path):
    """The rest of its updates would follow other targets than those before."""
    flow = np.load(copy_of_trained / "flows.npz")["flow"] / 2
    path = change_flows(copy_of_trained / "flows.npz", tmp_path / "other.npz", flow=flow)
    arguments = (*TINY, *clip.inputs, f"--flows={path}", "--config.schedule.num_passes=4")
    assert_untouched(command, copy_of_trained, *arguments, says=["flow"])


def test_folder_with_other_things_in_it(command, clip, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"dear")
    assert_untouched(command, folder, *TINY, *clip.inputs, says=["not empty"])


@pytest.mark.slow
def test_work_directory_with_a_damaged_configuration(command, clip, copy_of_trained):
    path = copy_of_trained / "config.json"
    path.write_bytes(path.read_bytes()[:50])
    assert_untouched(command, copy_of_trained, *TINY, *clip.inputs, says=[str(path)])


@pytest.mark.slow
def test_work_directory_with_a_damaged_clip(command, copy_of_trained):
    path = copy_of_trained / "clip.npz"
    path.write_bytes(path.read_bytes()[:5000])
    assert_untouched(command, copy_of_trained, "--mode=render", says=[str(path)])


def change_stored(workdir, change):
    stored = json.loads((workdir / "config.json").read_text())
    change(stored["config"])
    (workdir / "config.json").write_text(json.dumps(stored))


@pytest.mark.slow
def test_a_run_of_an_earlier_version_goes_on(command, clip, copy_of_trained):
    """Its configuration lacks what later versions have added."""

    def forget(config):
        del config["log"], config["render"]["seam"], config["video"]["image_fps"]

    change_stored(copy_of_trained, forget)
    command.succeed("--mode=render", f"--workdir={copy_of_trained}")
    command.succeed(*TINY, *clip.inputs, f"--workdir={copy_of_trained}")


@pytest.mark.slow
def test_a_run_of_a_later_version_is_refused(command, clip, copy_of_trained):
    change_stored(copy_of_trained, lambda config: config["model"].update(beauty=1))
    for arguments in (["--mode=render"], [*TINY, *clip.inputs]):
        assert_untouched(
            command, copy_of_trained, *arguments, says=["this version has no fields model.beauty"]
        )


@pytest.mark.slow
def test_a_work_directory_in_use(command, clip, copy_of_trained):
    with Workdir(copy_of_trained).lock():
        for arguments in (["--mode=render"], [*TINY, *clip.inputs]):
            assert_untouched(command, copy_of_trained, *arguments, says=["another process"])
    command.succeed("--mode=render", f"--workdir={copy_of_trained}")


def test_work_directory_below_a_file(command, clip, tmp_path):
    (tmp_path / "file").write_text("in the way")
    workdir = tmp_path / "file" / "run"
    finished = command(*TINY, *clip.inputs, f"--workdir={workdir}")
    assert_one_error(finished, str(workdir))
    assert (tmp_path / "file").read_text() == "in the way"


@contextlib.contextmanager
def read_only(folder):
    """Takes the right to write from a folder and all folders below it."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        yield
    finally:
        for path in folders:
            path.chmod(0o755)


def test_work_directory_in_a_read_only_folder(command, clip, tmp_path):
    workdir = tmp_path / "shelf" / "run"
    workdir.parent.mkdir()
    with read_only(workdir.parent):
        finished = command.obediently(*TINY, *clip.inputs, f"--workdir={workdir}")
    assert_one_error(finished, f"cannot create {workdir}: Permission denied")
    assert not workdir.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--mode=render"], "cannot lock {}: Permission denied"),
        (
            ["--mode=render", "--frames=1:3"],
            "cannot create {}/render_000030_1-3: Permission denied",
        ),
        ([*TINY, "--config.schedule.num_passes=4"], "cannot lock {}: Permission denied"),
    ],
)
def test_read_only_work_directory(arguments, says, command, clip, copy_of_trained):
    before = contents(copy_of_trained)
    with read_only(copy_of_trained):
        finished = command.obediently(*arguments, *clip.inputs, f"--workdir={copy_of_trained}")
    assert_last_error(finished, says.format(copy_of_trained))
    assert contents(copy_of_trained) == before


def test_work_directory_that_is_a_file(command, clip, tmp_path):
    (tmp_path / "file").write_text("in the way")
    finished = command(*TINY, *clip.inputs, f"--workdir={tmp_path / 'file'}")
    assert_one_error(finished, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "in the way"


# Rendering and measuring


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--frames=5:99", ["5:99", f"{NUM_FRAMES} frames"]),
        ("--frames=", ["--frames"]),
        ("--checkpoint=29", ["29", "24, 30"]),
    ],
)
def test_what_cannot_be_rendered(flag, says, command, copy_of_trained):
    before = contents(copy_of_trained)
    finished = command("--mode=render", f"--workdir={copy_of_trained}", flag)
    assert_one_error(finished, *says)
    assert contents(copy_of_trained) == before


@pytest.mark.slow
def test_a_checkpoint_of_many_networks_cannot_be_chosen(command, copy_of_trained):
    def reset(config):
        config["schedule"].update(reset_per_window=True)
        config["window"].update(strides=[1], directions=["forward"])

    change_stored(copy_of_trained, reset)
    before = contents(copy_of_trained)
    finished = command("--mode=render", f"--workdir={copy_of_trained}", "--checkpoint=30")
    assert_one_error(finished, "--checkpoint", "schedule.reset_per_window")
    assert contents(copy_of_trained) == before


def test_rendering_without_a_run(command, tmp_path):
    flags = ("--mode=render", f"--workdir={tmp_path / 'none'}")
    assert_one_error(command(*flags), str(tmp_path / "none"), "no work directory")
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_run_without_a_checkpoint_cannot_be_rendered(command, copy_of_trained):
    shutil.rmtree(copy_of_trained / "checkpoints")
    says = ["no checkpoint", "nothing was trained yet"]
    assert_untouched(command, copy_of_trained, "--mode=render", says=says)
    assert not checkpoint_steps(copy_of_trained)


@pytest.mark.slow
def test_evaluation_without_truth_or_result(command, clip, copy_of_trained):
    finished = command("--mode=evaluate", f"--workdir={copy_of_trained}")
    assert_one_error(finished, "--truth", "missing")
    shutil.rmtree(copy_of_trained / "result")
    truth = f"--truth={clip.truth_folder}"
    says = ["no result yet"]
    assert_untouched(command, copy_of_trained, "--mode=evaluate", truth, says=says)


@pytest.mark.slow
def test_truth_of_another_length(command, copy_of_trained, clip, tmp_path):
    path = tmp_path / "truth.mkv"
    write_video(path, clip.frames[:5], rate=Fraction(25), lossless=True)
    finished = command("--mode=evaluate", f"--workdir={copy_of_trained}", f"--truth={path}")
    assert_one_error(finished, str(path), "5 frames", str(NUM_FRAMES))
    assert not (copy_of_trained / "evaluation.json").exists()
