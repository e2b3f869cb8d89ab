"""Frames on a larger canvas, through the real command and in Python."""

import cv2
import imageio.v3
import numpy as np
import pytest
from harness import assert_one_error, pictures

import vidprior
from vidprior.configuration import load

pytestmark = pytest.mark.slow

COUNT, HEIGHT, WIDTH, STEP = 12, 40, 64, 4
# The canvas that `OUTPAINT` makes of a frame, and where the frame lies on it.
CANVAS = (HEIGHT, WIDTH + 16)
LEFT = 8
OUTPAINT = "--config.video.outpaint=(1.25,1.0)"


@pytest.fixture(scope="module")
def panning(tmp_path_factory):
    """A camera that moves along a scene: frames, and the truth on the larger canvas."""
    folder = tmp_path_factory.mktemp("panning")
    random = np.random.default_rng(0)
    small = random.integers(
        0, 256, (HEIGHT // 4, (WIDTH + COUNT * STEP + 16) // 4 + 1, 3), np.uint8
    )
    scene = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    truth = np.stack([scene[:, STEP * t : STEP * t + CANVAS[1]] for t in range(COUNT)])
    for name in ("frames", "truth"):
        (folder / name).mkdir()
    frames = truth[:, :, LEFT : LEFT + WIDTH]
    for number in range(COUNT):
        imageio.v3.imwrite(folder / f"frames/{number:05d}.png", frames[number])
    words = (
        "--config=propagate", f"--config.video.height={CANVAS[0]}",
        f"--config.video.width={CANVAS[1]}", "--config.render.format=png", OUTPAINT,
    )  # fmt: skip
    return folder, words, truth


def border_psnr(shown, truth):
    """In the frames that others show the border of: not the first and the last three."""
    border = np.ones(CANVAS, bool)
    border[:, LEFT : LEFT + WIDTH] = False
    error = shown[3:-3].astype(np.float64) - truth[3:-3]
    return 10 * np.log10(255**2 / np.square(error)[:, border].mean())


def test_a_moving_camera_shows_what_surrounds_the_frame(command, panning, tmp_path):
    folder, words, truth = panning
    run = tmp_path / "run"
    command.succeed(*words, f"--video={folder}/frames", f"--workdir={run}")
    shown = np.stack(list(pictures(run / "result_png").values()))
    assert shown.shape == truth.shape
    # Within the frame nothing changes.
    inner = np.s_[:, :, LEFT : LEFT + WIDTH]
    np.testing.assert_array_equal(shown[inner], truth[inner])
    edge = np.pad(truth[inner], ((0, 0), (0, 0), (LEFT, LEFT), (0, 0)), mode="edge")
    assert border_psnr(shown, truth) > max(25, border_psnr(edge, truth) + 8)
    # Rendering and resuming need no mask either.
    again = command.succeed("--mode=render", f"--workdir={run}", "--frames=4:6")
    (rendered,) = [line.split()[1] for line in again.stdout.splitlines() if "result:" in line]
    np.testing.assert_array_equal(list(pictures(run / rendered).values()), shown[4:6])
    command.succeed(*words, f"--video={folder}/frames", f"--workdir={run}")


def test_an_object_is_removed_as_well(command, panning, tmp_path):
    folder, words, truth = panning
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:20, 20:30] = 255
    imageio.v3.imwrite(tmp_path / "mask.png", mask)
    run = tmp_path / "run"
    given = (f"--video={folder}/frames", f"--mask={tmp_path}/mask.png", f"--workdir={run}")
    command.succeed(*words, *given)
    shown = np.stack(list(pictures(run / "result_png").values()))
    kept = np.zeros(CANVAS, bool)
    kept[:, LEFT : LEFT + WIDTH] = mask == 0
    np.testing.assert_array_equal(shown[:, kept], truth[:, kept])
    assert not np.array_equal(shown[:, 10:20, 28:38], truth[:, 10:20, 28:38])


def test_python_needs_no_hole(panning):
    _, _, truth = panning
    config = load("propagate")
    config.video.height, config.video.width = CANVAS
    config.video.outpaint = (1.25, 1.0)
    result = vidprior.inpaint(truth[:, :, LEFT : LEFT + WIDTH], None, config)
    assert result.frames.shape == truth.shape
    assert border_psnr(result.frames, truth) > 25


def test_what_cannot_be_done_is_said_in_one_line(command, panning, tmp_path):
    folder, words, _ = panning
    given = (f"--video={folder}/frames", f"--workdir={tmp_path}/run")
    plain = [word for word in words if word != OUTPAINT]
    assert_one_error(command(*plain, *given), "--mask is missing")
    for value in ("0.5", "4", "(2,1,1)"):
        wrong = (*plain, f"--config.video.outpaint={value}")
        assert_one_error(command(*wrong, *given), "factor from 1 to 3")
    with pytest.raises(vidprior.InputError, match="hole"):
        vidprior.inpaint(np.zeros((3, 32, 32, 3), np.uint8), None, load("propagate"))
