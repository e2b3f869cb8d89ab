"""Claiming a work directory, and its small files."""

import errno
import json
import signal
import subprocess
import sys

import filelock
import numpy as np
import pytest

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.io.npz import save_npz
from vidprior.run import workdir
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir
from vidprior.types import Origins, Propagated

INPUTS = {"video": "a.mp4", "mask": "b.png", "flows": None}


@pytest.fixture
def config():
    return configuration.to_dict(configuration.load("flow"))


@pytest.fixture
def clip():
    random = np.random.default_rng(0)
    return PreparedClip(
        frames=random.integers(0, 256, (3, 4, 5, 3), np.uint8),
        hole=random.random((3, 4, 5)) < 0.3,
        source_sha256="ab" * 32,
        rate=(30000, 1001),
        pixel_aspect=(16, 15),
        transform='{"top": 0}',
    )


@pytest.fixture
def claimed(tmp_path, config, clip):
    made = Workdir(tmp_path / "run")
    assert made.open_run(config, INPUTS, clip) is False
    return made


def test_claiming_makes_the_folder_and_remembers(tmp_path, config, clip):
    made = Workdir(tmp_path / "deep" / "run")
    assert made.open_run(config, INPUTS, clip) is False
    assert sorted(path.name for path in made.path.iterdir()) == ["clip.npz", "config.json"]
    assert made.read_config() == (config, INPUTS)
    read = made.read_clip()
    assert np.array_equal(read.frames, clip.frames)
    assert np.array_equal(read.hole, clip.hole)
    assert (read.frames.dtype, read.hole.dtype) == (np.uint8, bool)
    assert read[2:] == clip[2:]


def test_an_empty_folder_is_free(tmp_path, config, clip):
    assert Workdir(tmp_path).open_run(config, INPUTS, clip) is False


def test_the_same_run_is_resumed_and_nothing_is_written(claimed, config, clip):
    (claimed.path / "checkpoints").mkdir()
    before = {path: path.stat().st_mtime_ns for path in claimed.path.iterdir()}
    assert claimed.open_run(config, INPUTS, clip) is True
    assert before == {path: path.stat().st_mtime_ns for path in claimed.path.iterdir()}


def test_a_resumed_run_remembers_where_its_inputs_lie_now(claimed, config, clip):
    assert (
        claimed.open_run(config, {**INPUTS, "video": "elsewhere.mp4", "mask": None}, clip) is True
    )
    assert claimed.read_config() == (config, {**INPUTS, "video": "elsewhere.mp4"})


def test_a_run_of_an_earlier_version_takes_the_defaults_of_newer_fields(claimed, config, clip):
    old = {**config, "render": {"rounding": "nearest"}}
    del old["log"]
    workdir.write_json(claimed.config_file, {"config": old, "inputs": INPUTS})
    changed = {**config, "mask": {**config["mask"], "dilate": 3}}
    with pytest.raises(InputError, match=r"mask\.dilate=0.0, now it is 3"):
        claimed.open_run(changed, INPUTS, clip)
    assert claimed.read_config()[0] == old
    assert claimed.open_run(config, INPUTS, clip) is True
    assert claimed.read_config()[0] == config


def test_a_run_of_a_later_version_is_refused(claimed, config, clip):
    later = {**config, "loss": {**config["loss"], "beauty": 1.0}}
    workdir.write_json(claimed.config_file, {"config": later, "inputs": INPUTS})
    with pytest.raises(InputError, match=r"config\.json: this version has no fields loss\.beauty"):
        claimed.open_run(config, INPUTS, clip)


def test_a_folder_is_held_by_one(tmp_path):
    """Also against the same process: a lock belongs to who opened the folder."""
    with Workdir(tmp_path / "run").lock() as held:
        (held.path / "kept").touch()
        assert held.path == tmp_path / "run"
        with (
            pytest.raises(InputError, match=f"another process is using {held.path}"),
            Workdir(tmp_path / "run").lock(),
        ):
            pass
        with Workdir(tmp_path / "other").lock():
            pass
        assert not (tmp_path / "other").exists()  # it stayed empty
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["kept"]
    with Workdir(tmp_path / "run").lock():
        pass


def test_a_lock_ends_with_its_process(tmp_path, config, clip):
    code = (
        "import os, signal, sys; from vidprior.run.workdir import Workdir\n"
        "with Workdir(sys.argv[1]).lock():\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    finished = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=False)
    assert finished.returncode == -signal.SIGKILL
    left = tmp_path / "run" / ".lock"
    assert left.exists()
    with Workdir(tmp_path / "run").lock() as held:
        assert held.open_run(config, INPUTS, clip) is False  # what is left is not in the way
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_not_locked(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    with (
        pytest.raises(InputError, match=f"^cannot lock {tmp_path}: Permission denied$"),
        Workdir(tmp_path).lock(),
    ):
        pass


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("loss", "flow", 0.5),
        ("window", "strides", [1]),
        ("model", "channels", [4, 4]),
        ("video", "stop", 7),
        ("schedule", "updates_per_window", 50),
        ("schedule", "windows_per_pass", 40),
        ("flow", "fill_hole", True),
        ("vgg", "input", "imagenet"),
        ("checkpoint_", "x", 1),  # no field of `checkpoint`
    ],
)
def test_another_configuration_names_field_and_both_values(
    claimed, config, clip, section, field, value
):
    before = config.get(section, {}).get(field)
    config.setdefault(section, {})[field] = value
    with pytest.raises(InputError) as caught:
        claimed.open_run(config, INPUTS, clip)
    message = str(caught.value)
    assert f"{section}.{field}={before}, now it is {value}" in message
    assert str(claimed.path) in message
    assert "--workdir" in message
    assert "\n" not in message


def test_another_seed_is_another_run(claimed, config, clip):
    with pytest.raises(InputError, match="seed=0, now it is 1"):
        claimed.open_run({**config, "seed": 1}, INPUTS, clip)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("schedule", "num_passes", 99),
        ("checkpoint", "every", 7),
        ("checkpoint", "keep", 9),
        ("log", "every", 3),
        ("log", "preview_frames", 0),
        ("render", "rounding", "down"),
        ("vgg", "cache", "recompute"),
        ("flow", "pwcnet_weights", "elsewhere"),
        ("flow", "pwcnet_python", "python"),
    ],
)
def test_free_fields_may_change(claimed, config, clip, section, field, value):
    assert config[section][field] != value
    config[section][field] = value
    assert claimed.open_run(config, INPUTS, clip) is True
    assert claimed.read_config()[0] == config


def test_the_number_of_passes_is_not_free_where_the_learning_rate_decays(tmp_path, config, clip):
    config["optimizer"]["lr_schedule"] = "cosine"
    claimed = workdir.Workdir(tmp_path / "decaying")
    claimed.open_run(config, INPUTS, clip)
    assert claimed.open_run(config, INPUTS, clip) is True
    config["schedule"]["num_passes"] += 1
    with pytest.raises(
        InputError, match=r"num_passes=20, now it is 21: a learning rate that decays"
    ):
        claimed.open_run(config, INPUTS, clip)


def test_free_fields_are_fields():
    config = configuration.to_dict(configuration.load("base"))
    fields = [name for name, _ in configuration.flatten(config)]
    for free in workdir.FREE_FIELDS:
        assert any(name.startswith(free) for name in fields)


def test_another_video_or_mask_is_refused(claimed, config, clip):
    with pytest.raises(InputError, match=r"another video: .*--workdir"):
        claimed.open_run(config, INPUTS, clip._replace(source_sha256="cd" * 32))
    for hole in (~clip.hole, clip.hole[:2]):
        with pytest.raises(InputError, match=r"another mask: .*--workdir"):
            claimed.open_run(config, INPUTS, clip._replace(hole=hole))


def test_a_folder_of_other_things_is_left_alone(tmp_path, config, clip):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty and is no work directory"):
        Workdir(tmp_path).open_run(config, INPUTS, clip)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_is_named(tmp_path, config, clip):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match="cannot create") as caught:
            Workdir(path).open_run(config, INPUTS, clip)
        assert str(path) in str(caught.value)


def test_a_folder_without_configuration_is_no_work_directory(tmp_path):
    with pytest.raises(InputError, match=r"is no work directory: it has no config\.json"):
        Workdir(tmp_path).read_config()


@pytest.mark.parametrize("text", ["", "{", '{"config": {}}', "[1, 2]", "null", '"text"', "\0\xff"])
def test_a_damaged_configuration_is_named(claimed, config, clip, text):
    claimed.config_file.write_bytes(text.encode("latin-1"))
    for read in (claimed.read_config, lambda: claimed.open_run(config, INPUTS, clip)):
        with pytest.raises(InputError, match=r"config\.json cannot be read"):
            read()


def rewritten(claimed, **changes):
    with np.load(claimed.clip_file) as stored:
        arrays = dict(stored)
    save_npz(claimed.clip_file, **{**arrays, **changes})


def test_a_clip_of_another_version_is_refused(claimed):
    rewritten(claimed, version=2)
    with pytest.raises(InputError, match=r"clip\.npz has version 2, not 1"):
        claimed.read_clip()


def test_a_clip_whose_hole_does_not_fit_is_refused(claimed):
    rewritten(claimed, hole=np.zeros((3, 4, 4), bool))
    with pytest.raises(InputError, match=r"frames \(3, 4, 5, 3\) do not fit the hole \(3, 4, 4\)"):
        claimed.read_clip()


def test_a_damaged_clip_is_refused(claimed, config, clip):
    data = claimed.clip_file.read_bytes()
    claimed.clip_file.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"clip\.npz"):
        claimed.open_run(config, INPUTS, clip)


@pytest.mark.parametrize("name", ["rate", "pixel_aspect"])
@pytest.mark.parametrize("value", [[25], [25, 1, 1], [25, 0], [0, 1], [-25, 1], []])
def test_what_is_no_fraction_is_refused(claimed, name, value):
    rewritten(claimed, **{name: np.array(value, np.int64)})
    with pytest.raises(InputError, match=rf"clip\.npz: {name} is \["):
        claimed.read_clip()


def rows(claimed):
    return [json.loads(line) for line in claimed.metrics_file.read_text().splitlines()]


def propagated(clip):
    count = int(clip.hole.sum())
    random = np.random.default_rng(0)
    origins = Origins(
        random.integers(-1, 5, (count, 3), np.int32),
        random.random((count, 3, 2), np.float32),
        random.random((count, 3), np.float32),
    )
    return Propagated(clip.frames, (clip.hole / 3).astype(np.float16), ~clip.hole, origins)


def test_propagated_pixels_survive_their_file(claimed, clip):
    assert claimed.read_propagated(clip.hole) is None
    kept = propagated(clip)
    claimed.write_propagated(kept)
    read = claimed.read_propagated(clip.hole)
    for one, same in zip((*kept[:3], *kept.origins), (*read[:3], *read.origins), strict=True):
        assert np.array_equal(one, same)
        assert one.dtype == same.dtype
    with pytest.raises(InputError, match=r"propagated\.npz: .* does not fit the clip's hole"):
        claimed.read_propagated(clip.hole[:2])


def test_propagated_pixels_of_earlier_versions_have_no_origins(claimed, clip):
    kept = propagated(clip)
    save_npz(
        claimed.path / "carried.npz",
        frames=kept.frames,
        confidence=kept.confidence,
        rehearsal=kept.held_out,
    )
    read = claimed.read_propagated(clip.hole)
    assert np.array_equal(read.frames, kept.frames)
    assert np.array_equal(read.held_out, kept.held_out)
    assert read.origins is None


def test_origins_that_do_not_fit_each_other_are_refused(claimed, clip):
    kept = propagated(clip)
    short = kept.origins._replace(weight=kept.origins.weight[:, :2])
    claimed.write_propagated(kept._replace(origins=short))
    with pytest.raises(InputError, match="origins do not fit each other"):
        claimed.read_propagated(clip.hole)


def test_metrics_are_one_line_each(claimed):
    for update in (100, 200):
        claimed.append_metrics({"update": update, "total": 0.1 + update})
    assert rows(claimed) == [{"update": 100, "total": 100.1}, {"update": 200, "total": 200.1}]


def test_updates_to_be_done_again_are_forgotten(claimed):
    for update in (100, 200, 300, 400):
        claimed.append_metrics({"update": update})
    claimed.forget_metrics_after(300)
    assert [row["update"] for row in rows(claimed)] == [100, 200, 300]
    claimed.forget_metrics_after(250)
    claimed.append_metrics({"update": 300})
    assert [row["update"] for row in rows(claimed)] == [100, 200, 300]
    claimed.forget_metrics_after(0)
    assert claimed.metrics_file.read_text() == ""


@pytest.mark.parametrize(
    "rest", ['{"update": 20', '{"upd', '{"update": 200, "total": 0.', "{}", "7"]
)
def test_a_line_that_a_crash_cut_off_is_forgotten(claimed, rest):
    claimed.append_metrics({"update": 100})
    with claimed.metrics_file.open("a") as file:
        file.write(rest)
    claimed.forget_metrics_after(500)
    claimed.append_metrics({"update": 600})
    assert [row["update"] for row in rows(claimed)] == [100, 600]


def test_without_metrics_there_is_nothing_to_forget(claimed):
    claimed.forget_metrics_after(0)
    assert not claimed.metrics_file.exists()


def test_json_is_readable_and_ends_its_line(tmp_path):
    workdir.write_json(tmp_path / "value.json", {"a": [1, None]})
    text = (tmp_path / "value.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text) == {"a": [1, None]}


def test_json_that_cannot_be_written_names_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/value\.json: cannot be written"):
        workdir.write_json(tmp_path / "file" / "value.json", {})
