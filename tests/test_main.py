"""Flags and dispatch. The command itself is run in tests/end_to_end."""

import pytest

from vidprior import configuration, main
from vidprior.errors import InputError

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
    assert main._parse_frames(text, 12) == expected


@pytest.mark.parametrize("text", ["0:13", "12", "-1", "-3:4", "7:7", "7:3", "0:0", "99:100"])
def test_frames_outside_the_clip(text):
    with pytest.raises(InputError, match=rf"--frames={text} .*12 frames"):
        main._parse_frames(text, 12)


@pytest.mark.parametrize("text", ["", " ", "a", "1:b", "1:2:3", "1.5:3", "1-3"])
def test_frames_that_are_no_range(text):
    with pytest.raises(InputError, match=r"--frames=.*FIRST:STOP"):
        main._parse_frames(text, 12)


# --config and its fields


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from vidprior.configuration import load\n\ndef get_config():\n    return load('flow')\n"
    )
    return path


def test_a_name_becomes_the_path_of_the_shipped_file():
    path = configuration.find("flow")
    assert main._with_config_file(["command", "--config=flow"]) == ["command", f"--config={path}"]
    assert main._with_config_file(["command", "-config=flow"]) == ["command", f"--config={path}"]


def test_a_name_may_stand_by_itself():
    path = str(configuration.find("flow"))
    assert main._with_config_file(["command", "--config", "flow", "--mode=render"]) == [
        "command",
        "--config",
        path,
        "--mode=render",
    ]


def test_a_path_and_everything_else_stay(mine):
    arguments = ["command", f"--config={mine}", "--video=flow", "--config.loss.flow=0", "rest"]
    assert main._with_config_file(arguments) == arguments


def test_arguments_are_not_changed_in_place():
    arguments = ["command", "--config=flow"]
    main._with_config_file(arguments)
    assert arguments == ["command", "--config=flow"]


@pytest.mark.parametrize("arguments", [["command"], ["command", "--mode=render", "--workdir=x"]])
def test_without_a_configuration_there_is_nothing_to_do(arguments):
    assert main._with_config_file(arguments) == arguments


def test_a_name_that_is_missing_is_left_to_the_parser():
    assert main._with_config_file(["command", "--config"]) == ["command", "--config"]


@pytest.mark.parametrize("first", ["--config=flow", "--config.loss.flwo=1"])
def test_fields_are_checked_wherever_they_stand(first):
    """Before or after --config, and by either spelling of a flag and its value."""
    both = {"--config=flow", "--config.loss.flwo=1"}
    (second,) = both - {first}
    with pytest.raises(InputError, match=r'config\.loss\.flwo.*Did you mean "flow"'):
        main._with_config_file(["command", first, second])
    with pytest.raises(InputError, match=r"config\.loss\.flwo"):
        main._with_config_file(["command", "--config", "flow", "--config.loss.flwo", "1"])


def test_fields_are_those_of_the_file_that_is_given(tmp_path):
    path = tmp_path / "more.py"
    path.write_text(
        "from vidprior.configuration import load\n\n"
        "def get_config():\n    config = load('flow')\n    with config.unlocked():\n"
        "        config.extra = 1\n    return config\n"
    )
    arguments = ["command", f"--config={path}", "--config.extra=2"]
    assert main._with_config_file(arguments) == arguments


def test_a_configuration_that_is_not_there_names_those_that_are():
    with pytest.raises(InputError, match=r"'nothing'.*dip_vid.*flow"):
        main._with_config_file(["command", "--config=nothing"])


@pytest.mark.parametrize("text", ["def get_config(:", "learning_rate = 1", "import nothing_there"])
def test_a_configuration_that_does_not_run_is_named(text, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(InputError, match=r"broken\.py"):
        main._with_config_file(["command", f"--config={path}"])


def test_the_last_of_a_tuple_is_taken():
    """As of any other field: ml_collections would put one behind the other."""
    first, last = "--config.window.strides=(1,3)", "--config.window.strides=(5,)"
    apart = ["--config.window.strides", "(1,)"]
    others = ["--config.seed=1", "--config.window.directions=('backward',)", "--config.seed=2"]
    path = configuration.find("flow")
    for arguments in (
        ["command", "--config=flow", first, *others, last],
        ["command", "--config=flow", *apart, *others, last],
        ["command", first, *apart, "--config=flow", *others, last],
    ):
        assert main._with_config_file(arguments) == ["command", f"--config={path}", *others, last]


def test_the_last_of_a_tuple_is_taken_without_a_configuration():
    given = ["command", "--mode=render", "--config.window.strides=(1,)"]
    base = f"--config={configuration.find('base')}"
    taken = main._with_config_file([*given, "--config.window.strides=(3,)"])
    assert taken == ["command", base, "--mode=render", "--config.window.strides=(3,)"]


# Paths


def test_home_is_meant_after_an_equals_sign_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert main._with_home("--video=~/a.mp4") == "--video=/home/me/a.mp4"
    assert main._with_home("--config.vgg.weights=~") == "--config.vgg.weights=/home/me"
    for unchanged in ("--video=a~b", "~/a.mp4", "--video", "--video=./~"):
        assert main._with_home(unchanged) == unchanged


def test_without_a_home_nothing_is_kept(monkeypatch):
    def fail(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.expanduser", fail)
    monkeypatch.setattr(main.jax.config, "update", lambda *_: pytest.fail("a cache was set"))
    main.keep_compiled()
