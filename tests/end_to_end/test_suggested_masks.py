"""Shadows outside the mask, through the real command and the Python entry."""

import json

import imageio.v3
import numpy as np
import pytest
from harness import assert_last_error, pictures

import vidprior
from vidprior import configuration
from vidprior.imaging.dilation import dilate_masks
from vidprior.run.workdir import Workdir

pytestmark = pytest.mark.slow

T, H, W = 14, 64, 112
FIELDS = ("--config.video.height=64", "--config.video.width=112", "--config.render.format=png")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A box that crosses a textured ground, and its shadow below, which the mask leaves out."""
    folder = tmp_path_factory.mktemp("shadow")
    random = np.random.default_rng(2)
    blocks = random.integers(90, 220, (H // 4, W // 4, 3), np.uint8)
    ground = blocks.repeat(4, axis=0).repeat(4, axis=1)
    frames, mask = np.repeat(ground[None], T, axis=0), np.zeros((T, H, W), bool)
    shadow = np.zeros_like(mask)
    for number in range(T):
        left = 8 + 6 * number
        mask[number, 20:40, left : left + 16] = True
        shadow[number, 40:46, left : left + 16] = True
    frames[mask] = (200, 40, 40)
    frames[shadow] = (frames[shadow] * 0.55).astype(np.uint8)
    for number in range(T):
        for name, image in (("frames", frames), ("masks", 255 * mask.astype(np.uint8))):
            (folder / name).mkdir(exist_ok=True)
            imageio.v3.imwrite(folder / f"{name}/{number:05d}.png", image[number])
    inputs = (f"--video={folder}/frames", f"--mask={folder}/masks")
    return inputs, frames, mask, shadow, ground


def test_a_shadow_is_reported_and_the_suggested_masks_are_taken(command, clip, tmp_path):
    inputs, _, mask, shadow, ground = clip
    plain, auto = tmp_path / "plain", tmp_path / "auto"
    told = command.succeed("--config=propagate", *FIELDS, *inputs, f"--workdir={plain}")
    assert (
        "a shadow or reflection of the object stays outside the mask in frames 0 to" in told.stderr
    )
    assert "take them in a new run with --config.mask.grow=auto" in told.stderr
    suggested = np.stack(list(pictures(plain / "suggested_masks").values())) > 127
    assert (suggested & shadow).sum() > 0.9 * shadow.sum()
    assert suggested[mask].all()
    # The run itself keeps the given mask.
    np.testing.assert_array_equal(Workdir(plain).read_clip().hole, mask)

    words = ("--config=propagate", "--config.mask.grow=auto", *FIELDS, *inputs)
    told = command.succeed(*words, f"--workdir={auto}")
    assert "the run takes the masks in" in told.stderr
    np.testing.assert_array_equal(Workdir(auto).read_clip().hole, suggested)

    def error(run):
        shown = np.stack(list(pictures(run / "result_png").values())).astype(np.float64)
        return np.abs(shown - ground)[shadow].mean()

    assert error(auto) < 0.25 * error(plain)

    # Resuming and rendering use the same masks, and do not look again.
    again = command.succeed(*words, f"--workdir={auto}").stderr
    assert "resuming" in again
    assert "shadow or" not in again
    command.succeed("--mode=render", f"--workdir={auto}", "--frames=5:7")
    part = pictures(auto / "render_000000_5-7" / "result_png")
    np.testing.assert_array_equal(part["00005.png"], pictures(auto / "result_png")["00005.png"])
    for number in range(T):
        (tmp_path / "truth").mkdir(exist_ok=True)
        imageio.v3.imwrite(tmp_path / f"truth/{number:05d}.png", ground)
    command.succeed("--mode=evaluate", f"--workdir={auto}", f"--truth={tmp_path}/truth")
    assert json.loads((auto / "evaluation.json").read_text())["source"]["file"] == "result_png"
    (auto / "suggested_masks/00006.png").unlink()
    assert_last_error(command("--mode=render", f"--workdir={auto}"), "suggested_masks/00006.png")


def test_masks_that_cover_all_are_not_suggested(command, clip, tmp_path):
    _, _, mask, shadow, _ = clip
    inputs = [clip[0][0], f"--mask={tmp_path}/masks"]
    (tmp_path / "masks").mkdir()
    for number, one in enumerate(mask | shadow):
        imageio.v3.imwrite(tmp_path / f"masks/{number:05d}.png", 255 * one.astype(np.uint8))
    run = tmp_path / "run"
    told = command.succeed("--config=propagate", *FIELDS, *inputs, f"--workdir={run}")
    assert "shadow or reflection" not in told.stderr
    assert not (run / "suggested_masks").exists()


def test_arrays_take_suggested_masks_too(clip):
    _, frames, mask, shadow, ground = clip
    config = configuration.load("propagate")
    config.video.height, config.video.width, config.mask.grow = H, W, "auto"
    result = vidprior.inpaint(frames, mask, config)
    assert np.abs(result.frames[shadow].astype(float) - ground[np.nonzero(shadow)[1:]]).mean() < 15


def test_a_run_grows_its_masks_as_it_began(command, clip, tmp_path):
    """Also where the configuration has come to leave the number to the height."""
    inputs, _, mask, _, _ = clip
    file, run = tmp_path / "by_height.py", tmp_path / "run"
    file.write_text(
        "from vidprior.configuration import load\n\n\ndef get_config():\n"
        "    config = load('propagate')\n    config.mask.dilate = None\n    return config\n"
    )
    command.succeed(
        "--config=propagate", "--config.mask.dilate=3", *FIELDS, *inputs, f"--workdir={run}"
    )
    told = command.succeed(f"--config={file}", *FIELDS, *inputs, f"--workdir={run}").stderr
    assert "resuming" in told
    other = command(
        f"--config={file}", "--config.mask.dilate=4", *FIELDS, *inputs, f"--workdir={run}"
    )
    assert_last_error(other, "was begun with mask.dilate=3")
    new = tmp_path / "new"
    command.succeed(f"--config={file}", *FIELDS, *inputs, f"--workdir={new}")
    grown = dilate_masks(255 * mask.astype(np.uint8), 8) > 127
    np.testing.assert_array_equal(Workdir(new).read_clip().hole, grown)


def test_segments_share_the_suggested_masks(command, clip, tmp_path):
    inputs, _, _, shadow, ground = clip
    run = tmp_path / "run"
    command.succeed(
        "--config=propagate", "--config.mask.grow=auto", "--config.video.max_segment_frames=9",
        "--config.video.segment_overlap=2", *FIELDS, *inputs, f"--workdir={run}",
    )  # fmt: skip
    holes = [Workdir(part).read_clip().hole for part in sorted(run.glob("parts/0*"))]
    assert len(holes) == 2
    assert (holes[0] & shadow[: len(holes[0])]).sum() > 0.9 * shadow[: len(holes[0])].sum()
    part = sorted(run.glob("parts/0*"))[1]
    command.succeed("--mode=render", f"--workdir={part}")
    shown = np.stack(list(pictures(part / "result_png").values())).astype(np.float64)
    assert np.abs(shown - ground)[shadow[-len(shown) :]].mean() < 20
