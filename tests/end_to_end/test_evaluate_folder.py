"""tools/evaluate_folder.py as people run it, for results of any origin."""

import json
import math
import shutil
import sys

import imageio.v3
import numpy as np
import pytest
from harness import ROOT, assert_one_error, pictures

TOOL = (sys.executable, str(ROOT / "tools/evaluate_folder.py"))


@pytest.fixture
def evaluate(command, clip, tmp_path):
    """Runs the tool on the clip's frames as the result; flags replace those of the same name."""

    def run(*words):
        given = {
            "--result": clip.frames_folder,
            "--truth": clip.truth_folder,
            "--mask": clip.masks_folder,
            "--output": tmp_path / "out",
            "--protocol": "hole",
        }
        given |= dict(str(word).split("=", 1) for word in words)
        return command.execute([*TOOL, *(f"{name}={value}" for name, value in given.items())])

    return run


def test_any_frames_against_the_truth(evaluate, clip, tmp_path):
    told = evaluate()
    assert told.returncode == 0, told.stderr
    stored = json.loads((tmp_path / "out/evaluation.json").read_text())
    truth = np.stack([*pictures(clip.truth_folder).values()])
    error = np.square((clip.frames - truth.astype(float)) / 255).mean(axis=-1)
    expected = [
        10 * math.log10(1 / e[hole].mean()) for e, hole in zip(error, clip.hole, strict=True)
    ]
    assert stored["clips"]["frames"]["per_frame"]["psnr_hole"] == pytest.approx(expected)
    assert stored["mean"]["psnr_hole"] == pytest.approx(np.mean(expected))
    assert "protocol hole (size: the result's own" in told.stdout
    assert f"psnr_hole {np.mean(expected):15.3f}".split() in map(
        str.split, told.stdout.splitlines()
    )


def test_a_video_and_a_single_mask(evaluate, clip, tmp_path):
    told = evaluate(f"--result={clip.video}", f"--mask={clip.masks_folder / '00003.png'}")
    assert told.returncode == 0, told.stderr
    stored = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert stored["clips"]["video"]["frames"] == 12
    assert stored["clips"]["video"]["hole_fraction"] == pytest.approx(clip.hole[3].mean())


def test_a_set_clip_by_clip(command, clip, tmp_path):
    words = ["set", "--background", clip.truth_folder, "--masks", clip.masks_folder,
             clip.masks_folder / "00000.png", "--masks-per-background=2", "--frames=6",
             "--size=48x32", f"--output={tmp_path / 'set'}"]  # fmt: skip
    made = command.execute([sys.executable, str(ROOT / "tools/compose.py"), *map(str, words)])
    assert made.returncode == 0, made.stderr
    first, second = sorted(path.name for path in (tmp_path / "set").iterdir())
    shutil.copytree(tmp_path / "set" / first / "frames", tmp_path / "results" / first / "result")
    shutil.copytree(tmp_path / "set" / second / "truth", tmp_path / "results" / second)

    def run():
        return command.execute([
            *TOOL, f"--set={tmp_path / 'set'}", f"--results={tmp_path / 'results'}",
            f"--output={tmp_path / 'out'}", "--protocol=paper", "--size=48x32",
        ])  # fmt: skip

    told = run()
    assert told.returncode == 0, told.stderr
    stored = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert list(stored["clips"]) == [first, second]
    assert stored["protocol"]["name"] == "paper+"
    assert stored["clips"][second]["psnr_full"] == "inf"
    assert stored["mean"]["psnr_full"] == stored["clips"][first]["psnr_full"]

    (tmp_path / "set" / first / "manifest.json").write_text("{")
    assert_one_error(run(), f"{first}/manifest.json", "not the manifest of a composed clip")
    shutil.rmtree(tmp_path / "results" / second)
    shutil.copy(tmp_path / "set" / second / "manifest.json", tmp_path / "set" / first)
    assert_one_error(run(), f"one result is needed for clip {second}, there are none")


def test_bad_input_is_one_line(evaluate, clip, tmp_path):
    def copy(folder, name):
        return shutil.copytree(folder, tmp_path / name)

    assert_one_error(evaluate("--protocol=davis"), "no protocol 'davis'", "davis432")
    assert_one_error(evaluate("--protocol=paper"), "48x32, smaller than protocol paper")

    shorter = copy(clip.frames_folder, "shorter")
    (shorter / "00011.png").unlink()
    assert_one_error(evaluate(f"--result={shorter}"), "has 11 frames", "has 12")
    (shorter / "00004.png").unlink()
    assert_one_error(evaluate(f"--result={shorter}"), "after 00003.png comes 00005.png")

    masks = copy(clip.masks_folder, "fewer")
    (masks / "00011.png").unlink()
    assert_one_error(evaluate(f"--mask={masks}"), "11 masks do not match 12 frames")

    other = tmp_path / "other.png"
    imageio.v3.imwrite(other, np.full((32, 46), 255, np.uint8))
    assert_one_error(evaluate(f"--mask={other}"), "mask is 46x32, the truth 48x32")
    imageio.v3.imwrite(other, np.zeros((32, 48), np.uint8))
    assert_one_error(evaluate(f"--mask={other}"), "no mask has a hole")
    assert_one_error(evaluate(f"--truth={tmp_path / 'none'}"), "no such file or folder")
    assert not (tmp_path / "out").exists()
