"""The Python entry: arrays in, arrays out, and the same as the command line gives."""

import json

import numpy as np
import pytest

import vidprior
from vidprior.configuration import load
from vidprior.errors import InputError
from vidprior.imaging.dilation import dilate_masks
from vidprior.io import footage

pytestmark = pytest.mark.slow  # compiles

T, SIZE = 7, (40, 60)


def tiny(**fields):
    """One pass over a clip of seven frames at 32x48: five updates, of a network without scales."""
    config = load("dip_vid")
    config.video.height, config.video.width, config.mask.dilate = 32, 48, 2
    config.model.channels = ()
    config.window.length = 3
    config.schedule.num_passes = config.schedule.updates_per_window = 1
    config.render.feather = 2.0
    config.log.preview_frames = 0
    config.log.every = 2
    config.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in fields.items()}
    )
    return config


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (T, *SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def hole():
    hole = np.zeros((T, *SIZE), bool)
    hole[:, 10:22, 15:33] = True
    return hole


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def result(frames, hole, told):
    return vidprior.inpaint(frames, hole, tiny(), lambda *told_now: told.append(told_now))


def test_the_hole_is_filled_and_nothing_else_changed(result, frames, hole):
    grown = dilate_masks(255 * hole.astype(np.uint8), 2) > 127
    assert (result.frames.shape, result.frames.dtype) == (frames.shape, np.uint8)
    assert np.array_equal(result.frames[~grown], frames[~grown])
    assert (result.frames != frames).any(axis=-1)[hole].mean() > 0.9


def test_progress_is_told(result, told):
    assert [done for done, _, _ in told] == [1, 2, 3, 4, 5]
    assert {total for _, total, _ in told} == {5}
    assert told[0][2] == {}
    assert told[-1][2] == {"loss": pytest.approx(result.metrics[-1]["total"])}


def test_what_led_there(result):
    assert [row["update"] for row in result.metrics] == [2, 4, 5]
    assert result.flows is None
    assert int(result.state.step) == 5
    assert result.config.mask.dilate == 2


@pytest.mark.parametrize("name", ["result.mkv", "frames"])
def test_saved_frames_read_back(result, tmp_path, name):
    result.save(tmp_path / name, **({"lossless": True} if "." in name else {}))
    video = footage.read_frames(tmp_path / name)
    assert np.array_equal(video.frames, result.frames)
    assert video.rate == (25 if "." in name else None)


def test_the_rate_of_a_saved_video(result, tmp_path):
    result.save(tmp_path / "a.mp4", rate=30000 / 1001)
    assert float(footage.read_frames(tmp_path / "a.mp4").rate) == pytest.approx(29.97003, abs=1e-5)


def test_flow_one_mask_for_all_and_training_size(frames, hole):
    config = tiny(loss__consistency=1.0, render__resolution="training")
    made = vidprior.inpaint(frames, hole[0], config)
    assert made.frames.shape == (T, 32, 48, 3)
    assert made.flows.flow.shape[1:] == (T, 32, 48, 2)
    assert made.metrics[-1].keys() == {"update", "pass", "image", "consistency", "total"}


def test_a_work_directory_keeps_the_run(result, frames, hole, tmp_path):
    told = []
    for _ in range(2):
        told.clear()
        again = vidprior.inpaint(
            frames, hole, tiny(), lambda *now: told.append(now), workdir=tmp_path / "run"
        )
        assert np.array_equal(again.frames, result.frames)
    assert told == []  # the second time there was nothing left to train
    assert json.loads((tmp_path / "run/config.json").read_text())["inputs"]["video"] is None
    with pytest.raises(InputError, match="another mask"):
        vidprior.inpaint(frames, ~hole, tiny(), workdir=tmp_path / "run")


def test_a_network_for_every_window_has_no_single_state(frames, hole):
    config = tiny(schedule__reset_per_window=True, schedule__median_window="none")
    config.window.length = 1
    made = vidprior.inpaint(frames[:2], hole[:2], config)
    assert made.state is None
    assert made.frames.shape == (2, *SIZE, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f, h: (f.astype(np.float32), h), "uint8"),
        (lambda f, h: (f[..., :2], h), r"\[T, h, w, 3\]"),
        (lambda f, h: (f[0], h), r"\[T, h, w, 3\]"),
        (lambda f, h: (f[:0], h[:0]), r"\[T, h, w, 3\]"),
        (lambda f, h: (f, h.astype(np.uint8)), "bool"),
        (lambda f, h: (f, h[:-1]), "bool"),
        (lambda f, h: (f, h[:, 1:]), "bool"),
        (lambda f, h: (f, ~h & h), "no frame has a hole"),
        (lambda f, h: (f, ~h | h), "covers every frame"),
    ],
)
def test_arrays_that_cannot_be_are_refused(frames, hole, change, says):
    with pytest.raises(InputError, match=says):
        vidprior.inpaint(*change(frames, hole), tiny())


@pytest.mark.parametrize("field", ["video__start", "video__stop", "video__max_frames"])
def test_ranges_are_for_files(frames, hole, field):
    with pytest.raises(InputError, match="pass a slice of the array"):
        vidprior.inpaint(frames, hole, tiny(**{field: 3}))


def test_a_configuration_may_be_named(frames, hole):
    with pytest.raises(InputError, match="no configuration 'nothing'"):
        vidprior.inpaint(frames, hole, "nothing")
    with pytest.raises(InputError, match="VGG16"):
        vidprior.inpaint(frames, hole, "flow")
    config = tiny(loss__flow=0.1, flow__estimator="pwcnet", flow__pwcnet_python="/nowhere")
    with pytest.raises(InputError, match="PWC-Net"):
        vidprior.inpaint(frames, hole, config)


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="nothing"):
        vidprior.nothing  # noqa: B018


def test_propagated_pixels_alone_leave_no_state(frames, hole):
    config = tiny(method="propagate", render__resolution="training")
    alone = vidprior.inpaint(frames, hole, config)
    assert alone.state is alone.flows is None
    assert alone.metrics == []
    assert alone.frames.shape == (T, 32, 48, 3)


def test_a_clip_of_two_shots_has_two_parts(frames, hole):
    """Shots of 3 and 4 frames: 1 and 2 windows of 3, and as many updates."""
    shots = frames // 4
    shots[:3, ..., 0] += 190
    shots[3:, ..., 2] += 190
    told = []
    made = vidprior.inpaint(
        shots, hole, tiny(video__split_at_cuts=True), lambda *now: told.append(now[:2])
    )
    assert [one.frames for one in made.segments] == [range(0, 3), range(3, 7)]
    assert [int(one.state.step) for one in made.segments] == [1, 2]
    assert [one.metrics[-1]["update"] for one in made.segments] == [1, 2]
    assert made.parts is made.segments
    assert told == [(1, 3), (2, 3), (3, 3)]
    grown = dilate_masks(255 * hole.astype(np.uint8), 2) > 127
    assert np.array_equal(made.frames[~grown], shots[~grown])
    for field in ("flows", "metrics", "state"):
        with pytest.raises(InputError, match="2 segments: see `segments`"):
            getattr(made, field)


def test_a_reference_frame_is_returned_as_it_was_given(frames, hole):
    config = load("propagate")
    config.video.height, config.video.width = SIZE
    clean = np.where(hole[2][..., None], 255 - frames[2], frames[2])
    result = vidprior.inpaint(frames, hole, config, reference={2: clean})
    assert np.array_equal(result.frames[2], clean)
    with pytest.raises(InputError, match="reference: there is no frame 7"):
        vidprior.inpaint(frames, hole, config, reference={7: clean})
