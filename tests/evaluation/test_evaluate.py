"""A work directory's result against the truth."""

import json
import shutil

import numpy as np
import pytest

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.evaluation import evaluate, picture, protocols
from vidprior.imaging import geometry
from vidprior.io import images
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir

SIZE = (16, 24)
HOLE = protocols.find("hole")


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
    view = json.dumps(geometry.centre_crop(SIZE, SIZE).to_dict())
    clip = PreparedClip(truth, hole, "", rate=(25, 1), pixel_aspect=(1, 1), transform=view)
    made.open_run(configuration.to_dict(config), {}, clip)
    images.write_frames(made.path / "result", result)
    return made


def folder_of(path, frames):
    images.write_frames(path, frames)
    return str(path)


def expected(truth, result, workdir):
    masks = 255 * workdir.read_clip().hole.astype(np.uint8)
    return protocols.measure(HOLE, truth, result, masks)


def run(workdir, truth_path):
    return evaluate.evaluate(workdir, truth_path, protocol=HOLE)


def test_measures_are_those_of_the_frames(workdir, config, truth, result, tmp_path):
    evaluation = run(workdir, folder_of(tmp_path / "truth", truth))
    assert list(evaluation["clips"]) == ["run"]
    measures = evaluation["clips"]["run"]
    assert measures == expected(truth, result, workdir)
    assert measures["frames"] == 6
    assert measures["frames_equal"] == 1
    assert 10 < measures["psnr_hole"] < 30


def test_measures_are_stored_beside_the_result(workdir, config, truth, tmp_path):
    run(workdir, folder_of(tmp_path / "truth", truth))
    stored = json.loads(workdir.evaluation_file.read_text())
    assert stored["protocol"]["name"] == "hole"
    for ending in ("clips", "frames"):
        assert (workdir.path / f"evaluation_{ending}.csv").is_file()


def test_truth_of_the_whole_source_is_cut_to_the_range(workdir, config, truth, result, tmp_path):
    stored = json.loads(workdir.config_file.read_text())
    stored["config"]["video"]["start"] = 3
    workdir.config_file.write_text(json.dumps(stored))
    longer = np.concatenate([truth[:3] // 2, truth, truth[:1]])
    evaluation = run(workdir, folder_of(tmp_path / "truth", longer))
    assert evaluation["clips"]["run"] == expected(truth, result, workdir)


def test_without_a_result_there_is_nothing_to_measure(tmp_path, workdir, config, truth):
    (workdir.path / "result").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="has no result yet: train or render first"):
        run(workdir, folder_of(tmp_path / "truth", truth))


def test_a_truth_too_short_is_refused(workdir, config, truth, tmp_path):
    with pytest.raises(InputError, match=r"truth has 4 frames, the result has 6"):
        run(workdir, folder_of(tmp_path / "truth", truth[:4]))
    assert not workdir.evaluation_file.exists()


def test_a_result_in_part_is_refused(workdir, config, truth, result, tmp_path):
    images.write_frames(workdir.path / "result", result[:4])
    with pytest.raises(InputError, match="has 4 frames of 6: render all frames first"):
        run(workdir, folder_of(tmp_path / "truth", truth))


# At the source's size


@pytest.fixture
def at_source(tmp_path, config):
    """A run of frames twice as large as it was trained on, its result 9 off in the hole."""
    size = (2 * SIZE[0], 2 * SIZE[1])
    truth = np.random.default_rng(0).integers(20, 200, (3, *size, 3), np.uint8)
    mask = np.zeros((3, *size), np.uint8)
    mask[:, 10:20, 12:30] = 255
    view = geometry.centre_crop(size, SIZE)
    hole = geometry.crop_and_resize_masks(view, mask)
    small = geometry.crop_and_resize(view, truth)
    clip = PreparedClip(small, hole, "", (25, 1), (1, 1), json.dumps(view.to_dict()))
    asked = {
        "video": folder_of(tmp_path / "video", truth),
        "mask": folder_of(tmp_path / "mask", np.repeat(mask[..., None], 3, axis=-1)),
    }
    made = Workdir(tmp_path / "run")
    made.open_run(configuration.to_dict(config), asked, clip)
    images.write_frames(made.path / "result", small)
    result = np.where(mask[..., None] > 0, truth + 9, truth).astype(np.uint8)
    images.write_frames(made.path / "result_png", result)
    return made, truth, result, mask > 0


def test_what_is_seen_at_the_sources_size_is_measured_too(at_source, tmp_path):
    workdir, truth, result, hole = at_source
    measured = run(workdir, folder_of(tmp_path / "truth", truth))["source"]
    assert measured == {"file": "result_png", **picture.measure(truth, result, hole)}
    assert measured["rim"] == 9
    assert json.loads(workdir.evaluation_file.read_text())["source"] == measured


def test_a_video_that_is_gone_leaves_the_other_measures(at_source, tmp_path, caplog):
    workdir, truth, _, _ = at_source
    shutil.rmtree(tmp_path / "video")
    with caplog.at_level("INFO", logger="vidprior"):
        measured = run(workdir, folder_of(tmp_path / "truth", truth))
    assert "source" not in measured
    assert "no measures at source size" in caplog.text
    assert measured["clips"]


def test_without_mask_or_truth_of_that_size_it_is_not(at_source, tmp_path):
    workdir, truth, _, _ = at_source
    view = workdir.read_clip().view
    small = folder_of(tmp_path / "small", geometry.crop_and_resize(view, truth))
    assert "source" not in run(workdir, small)
    shutil.rmtree(tmp_path / "mask")
    assert "source" not in run(workdir, folder_of(tmp_path / "truth", truth))
