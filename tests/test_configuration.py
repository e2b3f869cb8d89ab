"""Finding and loading configurations, and what the shipped ones may say."""

import ast
import pathlib

import ml_collections
import pytest
from helpers import assert_each

from vidprior import configuration
from vidprior.errors import InputError

FOLDER = pathlib.Path(configuration.__file__).parents[1] / "configs"
OVERLAYS = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "base")


def fields(name):
    return dict(configuration.flatten(configuration.load(name).to_dict()))


def test_a_shipped_configuration_is_found_by_name_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configuration.find("flow") == FOLDER / "flow.py"


def test_a_file_is_found_by_path(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("")
    assert configuration.find(str(tmp_path / "mine.py")) == tmp_path / "mine.py"
    monkeypatch.chdir(tmp_path)
    assert configuration.find("mine.py") == pathlib.Path("mine.py")


@pytest.mark.parametrize("name", ["nothing", "flow.txt", "none/flow.py", "__init__", ""])
def test_what_is_not_found_is_named_with_what_there_is(name):
    with pytest.raises(InputError) as caught:
        configuration.find(name)
    message = str(caught.value)
    assert f"no configuration '{name}'" in message
    for shipped in ("base", *OVERLAYS):
        assert shipped in message
    assert "__init__" not in message.replace(f"'{name}'", "")


@pytest.mark.parametrize("name", ["best", "configs/best.py"])
def test_a_configuration_that_is_gone_says_what_takes_its_place(name):
    with pytest.raises(InputError, match="is now --config=footage "):
        configuration.find(name)


def test_overlays_are_there():
    assert {"flow", "dip", "dip_vid", "dip_vid_3dcn", "demo"} <= set(OVERLAYS)


def test_an_overlay_has_the_fields_of_base():
    base = fields("base")

    def check(name):
        overlay = fields(name)
        assert list(overlay) == list(base)
        for field, value in overlay.items():
            if None not in (value, base[field]):
                assert type(value) is type(base[field]), field

    assert_each(check, OVERLAYS)


def assignments(tree):
    """Yields ('section.field', value) of every `config.section.field = value`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            field = ast.unparse(node.targets[0]).removeprefix("config.")
            yield field, ast.literal_eval(node.value)


def parent(tree):
    """The name that an overlay loads and changes."""
    (name,) = (
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "load"
    )
    return name


def test_an_overlay_states_only_differences():
    def check(name):
        tree = ast.parse((FOLDER / f"{name}.py").read_text())
        below, stated = fields(parent(tree)), dict(assignments(tree))
        assert {field for field, value in stated.items() if below[field] == value} == set()
        assert {**below, **stated} == fields(name)

    assert_each(check, OVERLAYS)


def test_every_configuration_says_how_it_is_used():
    def check(name):
        docstring = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
        assert f"--config=configs/{name}.py" in docstring

    assert_each(check, OVERLAYS)


def test_loading_twice_gives_two():
    first, second = configuration.load("flow"), configuration.load("flow")
    first.loss.flow = 7.0
    assert second.loss.flow == 0.1


def test_fields_that_exist_pass():
    config = configuration.load("flow")
    configuration.check_overrides(config, ["seed", "loss.flow", "video.stop", "model.channels"])
    configuration.check_overrides(config, list(fields("flow")))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("loss.flwo", ["config.loss.flwo", '"flow"', "config.loss has: consistency, flow, image"]),
        ("lss.flow", ["config.lss.flow", '"loss"', "config has: checkpoint, flow, log, loss"]),
        ("loss.zzz", ["config.loss.zzz", "config.loss has: consistency, flow"]),
        ("loss.flow.weight", ["config.loss.flow.weight", "config.loss.flow has no fields"]),
        ("seed.more", ["config.seed.more", "config.seed has no fields"]),
    ],
)
def test_an_unknown_field_is_named_with_those_there_are(field, words):
    config = configuration.load("flow")
    with pytest.raises(InputError, match="unknown field") as caught:
        configuration.check_overrides(config, ["seed", field])
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_and_back():
    stored = configuration.to_dict(configuration.load("flow"))
    assert stored["window"]["strides"] == [1, 3, 5]
    assert stored["video"]["stop"] is None
    again = ml_collections.ConfigDict(stored)
    assert again.loss.consistency == 1.0
    assert configuration.to_dict(again) == stored


def test_flatten_by_hand():
    tree = {"a": 1, "b": {"c": [2], "d": {"e": None}}, "f": {}}
    assert list(configuration.flatten(tree)) == [("a", 1), ("b.c", [2]), ("b.d.e", None)]


def test_a_slip_in_an_overlay_is_no_new_field(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from vidprior.configuration import load\n"
        "def get_config():\n"
        "    config = load('base')\n"
        "    config.loss.perceptaul = 0.5\n"
        "    return config\n"
    )
    with pytest.raises((InputError, AttributeError), match="perceptaul"):
        configuration.load(str(tmp_path / "mine.py"))
