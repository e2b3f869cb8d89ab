"""Reference frames through the real command."""

import shutil

import cv2
import imageio.v3
import numpy as np
import pytest
from harness import HEIGHT, NUM_FRAMES, WIDTH, assert_last_error, assert_one_error, pictures

from vidprior.run.workdir import Workdir

pytestmark = pytest.mark.slow

# Twice the clip's size, so that source and training size differ.
SIZE = (2 * HEIGHT, 2 * WIDTH)


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    """A still scene of twelve frames; its hole never moves, so no frame shows what is behind."""
    folder = tmp_path_factory.mktemp("static")
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    scene = cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    hole = np.zeros(SIZE, bool)
    hole[20:44, 40:60] = True
    blank = np.where(hole[..., None], 128, scene).astype(np.uint8)
    (folder / "frames").mkdir()
    for number in range(NUM_FRAMES):
        imageio.v3.imwrite(folder / f"frames/{number:05d}.png", blank)
    imageio.v3.imwrite(folder / "mask.png", 255 * hole.astype(np.uint8))
    imageio.v3.imwrite(folder / "clean.png", scene)
    words = (
        "--config=propagate", f"--config.video.height={HEIGHT}", f"--config.video.width={WIDTH}",
        f"--video={folder}/frames", f"--mask={folder}/mask.png", "--config.render.format=png",
        "--config.video.crop=frame",  # a crop of so small a picture is too small to be aligned
    )  # fmt: skip
    return folder, words, scene, hole


def error(folder, scene, hole):
    shown = np.stack(list(pictures(folder / "result_png").values())).astype(np.float64)
    return np.abs(shown - scene)[:, hole].mean(axis=(1, 2))


def test_a_reference_is_shown_as_it_is_and_fills_all_other_frames(command, static, tmp_path):
    folder, words, scene, hole = static
    without, run = tmp_path / "without", tmp_path / "run"
    command.succeed(*words, f"--workdir={without}")
    given = f"--reference=5:{folder}/clean.png"
    command.succeed(*words, given, f"--workdir={run}")
    shown = pictures(run / "result_png")
    np.testing.assert_array_equal(shown["00005.png"], scene)
    assert error(run, scene, hole).max() < 8
    assert error(without, scene, hole).min() > 30
    assert not Workdir(run).read_clip().hole[5].any()

    # Rendering finds it again, and the same command resumes.
    command.succeed("--mode=render", f"--workdir={run}", "--frames=5:7")
    np.testing.assert_array_equal(
        pictures(run / "render_000000_5-7" / "result_png")["00005.png"], scene
    )
    assert "resuming" in command.succeed(*words, given, f"--workdir={run}").stderr
    told = command(*words, f"--workdir={run}")
    assert_last_error(told, "was begun with other reference frames")


def test_a_reference_that_changed_since_the_run_is_named(command, static, tmp_path):
    folder, words, scene, hole = static
    (tmp_path / "clean").mkdir()
    shutil.copy(folder / "clean.png", tmp_path / "clean/00003.png")
    run = tmp_path / "run"
    command.succeed(*words, f"--reference={tmp_path}/clean", f"--workdir={run}")
    other = np.where(hole[..., None], 255 - scene, scene).astype(np.uint8)
    imageio.v3.imwrite(tmp_path / "clean/00003.png", other)
    told = command("--mode=render", f"--workdir={run}")
    assert_last_error(told, "reference frame 3 is not what the run was made from")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("clean.png", "is an image; give a folder of images named by frame number"),
        ("12:{folder}/clean.png", "there is no frame 12, the clip has frames 0 to 11"),
        ("5:{folder}/frames/00005.png", "reference frame 5: the hole is as in the video"),
        ("5:{folder}/mask.png", "of its pixels outside the hole differ from the video"),
    ],
)
def test_one_line_says_why_a_reference_is_refused(command, static, tmp_path, given, says):
    folder, words, _, _ = static
    given = given.format(folder=folder) if ":" in given else f"{folder}/{given}"
    run = tmp_path / "run"
    finished = command(*words[:-1], f"--reference={given}", f"--workdir={run}")
    warning, *_ = finished.stderr.splitlines()
    assert_one_error(finished, says)
    assert not run.exists(), warning


def test_a_run_writes_frames_to_clean_and_takes_them_back(command, static, tmp_path):
    """As an image editor would: the transparent hole is painted, and the file is saved."""
    _, words, scene, hole = static
    run, next_run = tmp_path / "run", tmp_path / "next"
    told = command.succeed(*words, f"--workdir={run}").stderr
    assert "100.0% is shown by no frame and guessed" in told
    assert f"--mode=reference --workdir={run}" in told
    assert imageio.v3.imread(run / "propagated.png").shape == (3 * HEIGHT, 2 * WIDTH, 3)

    told = command.succeed("--mode=reference", f"--workdir={run}").stdout
    (path,) = (run / "reference").iterdir()
    assert told == f"reference: {path}, would show 100% of what is guessed\n"
    picture = imageio.v3.imread(path)
    np.testing.assert_array_equal(picture[..., 3] == 0, hole)
    shown = pictures(run / "result_png")[path.name]
    np.testing.assert_array_equal(picture[..., :3], shown)

    untouched = command(*words, f"--reference={run}/reference", f"--workdir={next_run}")
    assert_last_error(untouched, "the hole is as in the video, or transparent")
    picture[hole] = (*np.zeros(3, np.uint8), 255)
    picture[hole, :3] = scene[hole]
    imageio.v3.imwrite(path, picture)
    told = command.succeed(*words, f"--reference={run}/reference", f"--workdir={next_run}").stderr
    assert "is shown by no frame" not in told
    assert error(next_run, scene, hole).max() < 8


def test_a_run_without_guesses_needs_no_reference(command, static, tmp_path):
    folder, words, _, _ = static
    run = tmp_path / "run"
    command.succeed(*words, f"--reference=5:{folder}/clean.png", f"--workdir={run}")
    told = command("--mode=reference", f"--workdir={run}")
    assert_last_error(told, "other frames show all of the hole: nothing is guessed")
    assert not (run / "reference").exists()
