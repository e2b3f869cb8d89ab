"""The words of the command line: mode and configuration first, then everything else."""

import re

import pytest
from helpers import configured

from vidprior import command_line, configuration
from vidprior.errors import InputError


def parse(*words):
    return command_line.parse(["command", *words])


# --frames


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, range(12)),
        ("0:12", range(12)),
        (":", range(12)),
        ("3:7", range(3, 7)),
        ("3:", range(3, 12)),
        (":7", range(7)),
        ("11", range(11, 12)),
        ("0", range(1)),
    ],
)
def test_frames(text, expected):
    assert command_line.frame_range(text, 12) == expected


@pytest.mark.parametrize("text", ["0:13", "12", "-1", "-3:4", "7:7", "7:3", "0:0", "99:100"])
def test_frames_outside_the_clip(text):
    with pytest.raises(InputError, match=rf"--frames={text} .*12 frames"):
        command_line.frame_range(text, 12)


@pytest.mark.parametrize("text", ["", " ", "a", "1:b", "1:2:3", "1.5:3", "1-3"])
def test_frames_that_are_no_range(text):
    with pytest.raises(InputError, match=r"--frames=.*FIRST:STOP"):
        command_line.frame_range(text, 12)


# --config and its fields


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from vidprior.configuration import load\n\n"
        "def get_config():\n    config = load('flow')\n    with config.unlocked():\n"
        "        config.extra = 1\n    return config\n"
    )
    return path


@pytest.mark.parametrize("words", [["--config=flow"], ["-config=flow"], ["--config", "flow"]])
def test_a_configuration_is_found_by_name(words):
    request = parse(*words, "--video=flow")
    assert (request.mode, request.video, request.overridden) == ("train", "flow", ())
    assert request.config == configured("flow")


def test_a_configuration_is_found_by_path(mine):
    request = parse("--config.extra=2", f"--config={mine}")
    assert (request.config.extra, request.overridden) == (2, ("extra",))


def test_without_words_there_is_no_configuration():
    assert parse("--mode=render", "--workdir=x").config is None
    assert parse().mode == "train"


def test_rendering_takes_fields_without_a_configuration():
    request = parse("--mode=render", "--config.render.format=png")
    assert command_line.render_overrides(request) == {"format": "png"}
    for word in ("--config.seed=1", "--config.loss.flow=0"):
        with pytest.raises(InputError, match="cannot be changed after training"):
            command_line.render_overrides(parse("--mode=render", word))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--config"], "Missing value for flag --config"),
        (["--config=nothing"], r"'nothing'.*dip_vid.*flow"),
        (["--config.seed=1"], "--config is missing"),
        (["--config=flow", "--config.seed=a"], "config.seed=a"),
        (["--config=flow", "rest"], "unexpected argument 'rest'"),
        (["--config=flow", "--nothing=1"], "Unknown command line flag 'nothing'"),
        (["--mode=nothing"], "train|render"),
        (["--checkpoint=a"], "checkpoint=a"),
        (["--config=flow", "--config.loss.flwo=1"], r'config\.loss\.flwo.*Did you mean "flow"'),
        (["--config.loss.flwo=1", "--config=flow"], r'config\.loss\.flwo.*Did you mean "flow"'),
        (["--config", "flow", "--config.loss.flwo", "1"], r"config\.loss\.flwo"),
    ],
)
def test_a_wrong_word_is_one_line(words, told):
    with pytest.raises(InputError, match=told) as caught:
        parse(*words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["def get_config(:", "learning_rate = 1", "import nothing_there"])
def test_a_configuration_that_does_not_run_is_named(text, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(InputError, match=r"broken\.py"):
        parse(f"--config={path}")


def test_the_last_of_a_tuple_is_taken():
    """As of any other field: ml_collections would put one behind the other."""
    first, last = "--config.window.strides=(1,3)", "--config.window.strides=(5,)"
    apart = ["--config.window.strides", "(1,)"]
    others = ["--config.seed=1", "--config.window.directions=('backward',)", "--config.seed=2"]
    for words in (
        ["--config=flow", first, *others, last],
        ["--config=flow", *apart, *others, last],
        [first, *apart, "--config=flow", *others, last],
    ):
        config = parse(*words).config
        assert config.window.strides == (5,)
        assert (config.window.directions, config.seed) == (("backward",), 2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--config.mask.dilate=None"], None),
        (["--config.mask.dilate", "None"], None),
        (["--config.mask.dilate=3", "--config.mask.dilate=None"], None),
        (["--config.mask.dilate=None", "--config.mask.dilate=3"], 3.0),
    ],
)
def test_none_is_a_value_of_fields_whose_comment_says_so(words, expected):
    request = parse("--config=propagate", *words, "--config.seed=2")
    assert request.config.mask.dilate == expected
    assert request.config.seed == 2
    assert set(request.overridden) == {"mask.dilate", "seed"}


def test_every_field_that_may_be_none_can_be_set_to_it():
    fields = [
        field for field in configuration.describe_fields() if configuration.may_be_none(field)
    ]
    assert {"video.stop", "mask.dilate"} <= set(fields)
    request = parse("--config=propagate", *(f"--config.{field}=None" for field in fields))
    assert all(
        value is None
        for field, value in configuration.flatten(request.config.to_dict())
        if field in fields
    )


def test_none_is_no_value_of_other_fields():
    with pytest.raises(InputError, match="seed"):
        parse("--config=propagate", "--config.seed=None")


def test_a_flag_without_a_value_switches_on():
    assert parse("--config=flow", "--config.log.tensorboard").config.log.tensorboard is True
    assert parse("--config=flow", "--noconfig.render.audio").config.render.audio is False


# Names of earlier versions


def test_old_names_of_fields_are_taken_with_a_note(capsys):
    config = parse(
        "--config=flow", "--config.video.dilate=3", "--config.optimizer.kind", "muon"
    ).config
    assert (config.mask.dilate, config.optimizer.name) == (3, "muon")
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "note: --config.video.dilate=3 is now --config.mask.dilate=3",
        "note: --config.optimizer.kind is now --config.optimizer.name",
    ]


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--config.video.shots=split"], "video.split_at_cuts", True),
        (["--config.video.shots", "whole"], "video.split_at_cuts", False),
        (["--config.render.propagated=alone"], "method", "propagate"),
        (["--config.render.propagated=blend"], "render.propagated_pixels", "blend"),
        (["--config.render.format=lossless"], "render.format", "ffv1"),
        (["--fit_mask"], "mask.fit", True),
        (["--fit_mask=false"], "mask.fit", False),
        (["--nofit_mask"], "mask.fit", False),
    ],
)
def test_old_values_have_a_meaning(words, field, value):
    fields = dict(configuration.flatten(parse("--config=base", *words).config.to_dict()))
    assert fields[field] == value


def test_every_old_name_leads_to_a_field():
    fields = dict(configuration.flatten(configured("base").to_dict()))
    assert set(configuration.RENAMED.values()) <= fields.keys()
    assert not set(configuration.RENAMED) & fields.keys()


def test_a_stored_configuration_of_an_earlier_version_is_read(tmp_path):
    fields = {"video": {"shots": "split", "dilate": 8}, "optimizer": {"average": 0.99}}
    config = configuration.from_stored(fields, where=tmp_path)
    assert (config.video.split_at_cuts, config.mask.dilate) == (True, 8)
    assert (config.optimizer.ema_decay, config.seed) == (0.99, 0)


def test_a_configuration_file_with_an_old_name_says_the_new_one(tmp_path):
    path = tmp_path / "old.py"
    path.write_text(
        "from vidprior.configuration import load\n\n"
        "def get_config():\n    config = load('flow')\n    config.video.dilate = 8\n"
        "    return config\n"
    )
    with pytest.raises(InputError, match=r"config\.video\.dilate, which is now config\.mask\.dil"):
        parse(f"--config={path}")


# --help


@pytest.mark.parametrize("word", ["--help", "-help", "--helpfull"])
def test_help_ends_without_an_error(word, capsys):
    with pytest.raises(SystemExit) as ended:
        parse("--config=nothing", word)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("Remove an object from a video.")


def test_help_names_footage_first_and_every_flag():
    text = command_line.help_text()
    assert text.index("--config=footage") < text.index("--mode=render")
    for values in (command_line.define_first(), command_line.define_others()):
        assert all(re.search(rf"^  --{name} ", text, re.MULTILINE) for name in values)


def test_the_full_help_lists_every_field():
    fields = dict(configuration.flatten(configured("base").to_dict()))
    listed = re.findall(r"^  ([\w.]+) ", command_line.help_text(full=True), re.MULTILINE)
    assert set(fields) <= set(listed)


# Paths


def test_home_is_meant_after_an_equals_sign_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    request = command_line.parse(["x", "--video=~/a.mp4", "--mask=b~", "--workdir", "./~"])
    assert (request.video, request.mask, request.workdir) == ("/home/me/a.mp4", "b~", "./~")
    request = command_line.parse(["x", "--config=flow", "--config.vgg.weights=~/w.npz"])
    assert request.config.vgg.weights == "/home/me/w.npz"


def test_labels_are_numbers():
    request = command_line.parse(["x", "--config=flow", "--config.mask.labels=1,3"])
    assert request.config.mask.labels == (1, 3)
    request = command_line.parse(["x", "--config=flow", "--config.mask.ignore=255"])
    assert request.config.mask.ignore == (255,)
