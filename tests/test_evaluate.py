"""A work directory's result against the truth."""

import json
import math

import numpy as np
import pytest

from vidprior import configuration, evaluate, image_io, metrics
from vidprior.errors import InputError
from vidprior.workdir import Prepared, Workdir

SIZE = (16, 24)


@pytest.fixture(scope="module")
def config():
    return configuration.load("base")


@pytest.fixture(scope="module")
def truth():
    return np.random.default_rng(0).integers(0, 256, (6, *SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def result(truth):
    """The truth with noise in its hole; frame 2 is the truth itself."""
    noise = np.random.default_rng(1).integers(0, 40, truth.shape)
    noise[:, :5] = noise[2] = 0
    return np.clip(truth + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def workdir(tmp_path, truth, result, config):
    hole = np.zeros((6, *SIZE), bool)
    hole[:, 5:] = True
    made = Workdir(tmp_path / "run")
    clip = Prepared(truth, hole, "", rate=(25, 1), pixel_aspect=(1, 1), transform="")
    made.claim(configuration.to_dict(config), {}, clip)
    image_io.write_frames(made.path / "result", result)
    return made


def folder_of(path, frames):
    image_io.write_frames(path, frames)
    return str(path)


def test_measures_are_those_of_the_frames(workdir, config, truth, result, tmp_path):
    hole = workdir.read_clip().hole
    measures = evaluate.evaluate(workdir, folder_of(tmp_path / "truth", truth), config=config)
    assert measures == metrics.evaluate_clip(truth, result, hole)
    assert measures["frames"] == 6
    assert measures["frames_equal"] == 1
    assert 10 < measures["psnr_hole"] < 30


def test_measures_are_stored_as_json_that_others_can_read(workdir, config, truth, tmp_path):
    measures = evaluate.evaluate(workdir, folder_of(tmp_path / "truth", truth), config=config)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    stored = json.loads(workdir.evaluation_file.read_text(), parse_constant=refuse)
    assert stored["psnr_full"] == measures["psnr_full"]
    assert measures["per_frame"]["psnr_full"][2] == math.inf
    assert stored["per_frame"]["psnr_full"][2] == "inf"
    assert stored["per_frame"]["psnr_full"][3] == measures["per_frame"]["psnr_full"][3]
    # Frames smaller than the patch: nothing to measure.
    assert stored["consistency_psnr"] is None


def test_truth_of_the_whole_source_is_cut_to_the_range(workdir, config, truth, result, tmp_path):
    config = config.copy_and_resolve_references()
    config.video.start = 3
    longer = np.concatenate([truth[:3] // 2, truth, truth[:1]])
    path = folder_of(tmp_path / "truth", longer)
    measures = evaluate.evaluate(workdir, path, config=config)
    assert measures == metrics.evaluate_clip(truth, result, workdir.read_clip().hole)


def test_without_a_result_there_is_nothing_to_measure(tmp_path, workdir, config, truth):
    (workdir.path / "result").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="has no result yet: train or render first"):
        evaluate.evaluate(workdir, folder_of(tmp_path / "truth", truth), config=config)


def test_a_truth_too_short_is_refused(workdir, config, truth, tmp_path):
    with pytest.raises(InputError, match=r"truth has 4 frames, the result has 6"):
        evaluate.evaluate(workdir, folder_of(tmp_path / "truth", truth[:4]), config=config)
    assert not workdir.evaluation_file.exists()


def test_a_result_in_part_is_refused(workdir, config, truth, result, tmp_path):
    image_io.write_frames(workdir.path / "result", result[:4])
    with pytest.raises(InputError, match="has 4 frames of 24x16, the truth 6 of 24x16"):
        evaluate.evaluate(workdir, folder_of(tmp_path / "truth", truth), config=config)


def test_table_shows_the_main_measures():
    measures = {"frames": 6, "psnr_full": 31.23456, "ssim_hole": None, "psnr_hole": math.inf}
    assert evaluate.table(measures).splitlines() == [
        "  psnr_full            31.235",
        "  psnr_hole               inf",
        "  ssim_hole               nan",
    ]
