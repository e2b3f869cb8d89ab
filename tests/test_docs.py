"""What the documentation tells to type exists: flags, fields, targets, tools and files."""

import pathlib
import re
import shlex
from unittest import mock

import jsonschema
import pytest
import yaml
from helpers import assert_each

import vidprior
from vidprior import api, command_line
from vidprior.app import command as app_command
from vidprior.batch import command as batch_command
from vidprior.configuration import check_overrides, find, load
from vidprior.run.clip_file import PreparedClip
from vidprior.tracking import command as track_command
from vidprior.tracking import edges
from vidprior.tracking import track as tracking
from vidprior.training.train_step import TrainState
from vidprior.types import Flows, Propagated

ROOT = pathlib.Path(__file__).parents[1]
MANUALS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("third_party/*/*.md")])
# Command lines stand in fenced blocks here too.
LAUNCHES = [*MANUALS, *sorted(ROOT.glob("configs/*.py")), ROOT / "vidprior/main.py"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")

TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SHELL = ("", "sh", "bash", "console")


def commands(text: str) -> list[list[str]]:
    """The words of every command in the fenced blocks of a text, and inline in backticks."""
    blocks = [block for language, block in FENCE.findall(text) if language in SHELL]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines += [code for code in INLINE.findall(FENCE.sub("", text)) if is_command(code)]
    return [words for words in map(split, lines) if words]


def split(line: str) -> list[str]:
    """A line's words up to its comment; none where it is no command."""
    line = line.removeprefix("$ ")
    try:
        return shlex.split(line, comments=True) if is_command(line) else []
    except ValueError:  # an apostrophe in what a program prints
        return []


def is_command(line: str) -> bool:
    """Whether a line begins as those that this project tells to type."""
    return bool(re.match(r"make \S|\S*python3? |--[a-z]", line.strip()))


def everywhere():
    """(file, words) of every command."""
    for path in LAUNCHES:
        text = path.read_text()
        if path.suffix == ".py":  # the docstring of a configuration or of the command
            docstring = re.search(r'"""(.*?)"""', text, re.DOTALL)[1]
            text = f"```\n{re.sub('^ +', '', docstring, flags=re.MULTILINE)}\n```\n"
        for words in commands(text):
            yield path, words


ALL = list(everywhere())


def name(case) -> str:
    return f"{case[0].name}: {shlex.join(case[1])}"


# Flags by themselves are the command's, but for the manual of a program apart.
TRAINING = [
    (path, words)
    for path, words in ALL
    if "vidprior.main" in words or (words[0].startswith("--") and "third_party" not in path.parts)
]
MAKING = [case for case in ALL if case[1][0] == "make"]
SCRIPTS = [case for case in ALL if any(word.endswith(".py") for word in case[1][1:2])]


def field_of(flag: str) -> str:
    """`loss.flow` of `--config.loss.flow=0`."""
    return flag.removeprefix("--config.").partition("=")[0]


def test_there_are_commands_to_check():
    """The patterns above still find what they look for."""
    readme = [words for path, words in ALL if path.name == "README.md"]
    assert ["make", "demo"] in readme
    assert any("vidprior.main" in words for words in readme)
    assert len([path for path, _ in TRAINING if path.parent.name == "configs"]) >= 4
    assert SCRIPTS


def test_flags_and_fields_exist():
    ordinary = {*command_line.define_first(), *command_line.define_others()}
    of_batch, of_track, of_app = (
        {flag.removeprefix("--") for flag in command.parser()._option_string_actions}
        for command in (batch_command, track_command, app_command)
    )
    config = load("base")

    def check(case):
        known = of_batch if "batch" in case[1] else of_track if "track" in case[1] else ordinary
        if case[1][0].startswith("--") and case[0].stem in ("batch", "scale"):  # by itself
            known = ordinary | of_batch
        if case[1][0].startswith("--") and case[0].stem == "masks":
            known = ordinary | of_track
        if "app" in case[1] or (case[1][0].startswith("--") and case[0].stem == "app"):
            known = of_app
        for word in case[1]:
            flag, _, value = word.strip("[]").removeprefix("--").partition("=")
            if flag.startswith("config."):
                check_overrides(config, [flag.removeprefix("config.")])
            elif word.strip("[]").startswith("--"):
                assert flag in known | {"config"}, f"--{flag} is no flag of vidprior.main"
                assert flag != "config" or (ROOT / value).is_file()

    assert_each(check, TRAINING, name=name)


def test_the_cluster_of_the_manual_passes_the_schema_of_ray_up():
    """As `ray up` reads it, with the defaults of its provider."""
    util = pytest.importorskip("ray.autoscaler._private.util", reason="Ray is not installed")
    blocks = FENCE.findall((ROOT / "docs/use/batch.md").read_text())
    found = [yaml.safe_load(text) for language, text in blocks if language == "yaml"]
    (cluster,) = (one for one in found if "cluster_name" in one)
    util.validate_config(util.prepare_config(cluster))
    cluster["available_node_types"]["gpu"]["max_worker"] = 8
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        util.validate_config(util.prepare_config(cluster))


def test_make_targets_exist():
    def check(case):
        targets = [word for word in case[1][1:] if "=" not in word and not word.startswith("-")]
        assert set(targets) <= TARGETS

    assert_each(check, MAKING, name=name)


def test_scripts_exist_and_know_their_flags():
    def check(case):
        script, words = case[1][1], case[1][2:]
        assert (ROOT / script).is_file()
        text = (ROOT / script).read_text()
        known = set(re.findall(r'add_argument\(\s*"(--[a-z][\w-]*)"', text))
        if "engines.add_flags" in text:
            engines = (ROOT / "vidprior/batch/engines.py").read_text()
            known |= set(re.findall(r'add\("(--[a-z]+)"', engines))
        flags = [word for word in words if word.startswith("--")]
        if "_command.overrides" in text:
            fields = [flag for flag in flags if flag.startswith("--config.")]
            check_overrides(load("base"), [field_of(flag) for flag in fields])
            flags = [flag for flag in flags if flag not in fields]
        assert {flag.partition("=")[0] for flag in flags} <= known

    assert_each(check, SCRIPTS, name=name)


def test_links_lead_to_files():
    def check(path):
        for target in LINK.findall(FENCE.sub("", path.read_text())):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{target} is not there"

    assert_each(check, MANUALS)


def test_tables_are_whole():
    """A head, a rule below it, and as many columns in every row; no row stands outside."""
    for path in MANUALS:
        text = INLINE.sub("code", FENCE.sub("\n", path.read_text())).replace(r"\|", "")
        for block in re.split(r"\n\s*\n|\n(?!.*\|)", text):
            lines = [line.strip() for line in block.splitlines()]
            rows = [line for line in lines if line.startswith("|") or line.endswith("|")]
            if not rows:
                continue
            assert all(row.startswith("|") and row.endswith("|") for row in rows), (path, rows)
            assert len(rows) > 2, (path, rows)
            assert re.fullmatch(r"[-:|]+", rows[1]), (path, rows[:2])
            assert {row.count("|") for row in rows} == {rows[0].count("|")}, (path, rows)


def test_fields_that_a_table_names_exist():
    """`schedule.num_passes`, without dashes: where the first part is a section."""
    config = load("base")

    def check(path):
        for code in INLINE.findall(FENCE.sub("", path.read_text())):
            section, dot, field = code.partition(".")
            if dot and section in config and re.fullmatch(r"\w+", field):
                check_overrides(config, [code])

    assert_each(check, MANUALS)


def test_every_shipped_configuration_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for path in (ROOT / "configs").glob("[a-z]*.py"):
        assert f"configs/{path.name}" in text
        assert find(path.stem) == path


def test_file_formats_name_every_member():
    text = (ROOT / "docs/develop/file_formats.md").read_text()
    for container in (PreparedClip, Flows, Propagated, TrainState):
        for name in getattr(container, "_fields", None) or container.__dataclass_fields__:
            assert f"`{name}`" in text, f"{container.__name__}.{name}"


def test_the_python_of_the_manual_runs(monkeypatch, tmp_path):
    """All but the training: the calls fit the signatures, the configuration has the fields."""
    result = mock.create_autospec(vidprior.Result, instance=True)
    monkeypatch.setattr(vidprior, "inpaint", mock.create_autospec(api.inpaint, return_value=result))
    monkeypatch.setattr(vidprior, "track", mock.create_autospec(tracking.track))
    monkeypatch.setattr(vidprior, "soften", mock.create_autospec(edges.soften))
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/develop/python.md").read_text(), re.DOTALL
    )
    names = {"frames": mock.MagicMock(), "hole": mock.MagicMock()}
    for block in blocks:
        exec(block, names)
    assert vidprior.inpaint.call_count == vidprior.track.call_count == 2
    assert result.save.call_count == vidprior.soften.call_count == 1


def test_make_help_names_targets_that_exist():
    text = (ROOT / "Makefile").read_text()
    named = re.findall(r'echo "make ([\w-]+)', text)
    assert named
    assert set(named) <= TARGETS
