"""Reading a manifest: columns, globs, errors by row."""

import json

import fsspec
import pytest

from vidprior.batch import manifest
from vidprior.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("shots/x/clip.mp4", "shots/y/clip.mp4", "masks/x.png", "masks/y.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def read(folder, text, *, name="clips.yaml", **options):
    (folder / name).write_text(text)
    return manifest.read(folder / name, output=str(folder / "out"), **options)


ONE = {"video": "shots/x/clip.mp4", "mask": "masks/x.png", "config": "propagate"}


def test_the_three_forms_say_the_same(folder):
    fields = ONE | {"config.seed": 3}
    lines = read(folder, json.dumps(fields) + "\n\n", name="a.jsonl")
    header, cells = ",".join(fields), ",".join(map(str, fields.values()))
    table = read(folder, f"{header}\n{cells}\n", name="a.csv")
    listed = read(folder, json.dumps([ONE | {"overrides": {"seed": 3}}]))
    assert lines == table == listed
    (row,) = lines
    assert row.name == "clip"
    assert row.video == str(folder / "shots/x/clip.mp4")
    assert row.workdir == str(folder / "out/runs/clip")
    assert row.flags == ("--config=propagate", "--config.seed=3")
    assert (row.truth, row.reference, row.protocol) == (None, None, "hole")


def test_a_glob_makes_a_row_of_each_match(folder):
    globbed = {
        "video": "shots/*/clip.mp4", "mask": "masks/{parent}.png", "name": "{parent}-{stem}",
        "config": "propagate", "config.model.channels": [4, 8],
    }  # fmt: skip
    rows = read(folder, json.dumps([globbed]), flags=["--config.seed=1"])
    assert [row.name for row in rows] == ["x-clip", "y-clip"]
    assert [row.mask for row in rows] == [str(folder / f"masks/{name}.png") for name in "xy"]
    assert rows[0].flags[1:] == ("--config.seed=1", "--config.model.channels=(4, 8)")


def test_urls_and_absolute_paths_stay(folder):
    video = f"file://{folder}/shots/x/clip.mp4"
    given = {"video": video, "workdir": "memory://b/out", "truth": "/", "reference": "memory://r"}
    fsspec.filesystem("memory").pipe_file("/r/1.png", b"")
    (row,) = read(folder, json.dumps([ONE | given]))
    assert {name: getattr(row, name) for name in given} == given


def test_a_glob_finds_urls(folder):
    fields = {"video": f"file://{folder}/shots/*/clip.mp4", "name": "{parent}", "config": "fast"}
    fields |= {"mask": f"file://{folder}/masks/{{parent}}.png", "workdir": "memory://b/{parent}"}
    rows = read(folder, json.dumps([fields]))
    assert [row.name for row in rows] == ["x", "y"]
    assert [row.video for row in rows] == [f"file://{folder}/shots/{n}/clip.mp4" for n in "xy"]
    assert [row.workdir for row in rows] == ["memory://b/x", "memory://b/y"]


def test_a_storage_that_refuses_is_told_once(folder):
    """Not for each row: the answer would be the same."""
    (folder / "none").touch()
    row = ONE | {"workdir": f"file://{folder}/none/runs/a"}
    with pytest.raises(InputError) as caught:
        read(folder, json.dumps([row, row | {"name": "b", "workdir": row["workdir"] + "b"}]))
    assert str(caught.value).startswith(f"file://{folder}/none/runs: cannot be written (")
    assert len(str(caught.value).splitlines()) == 1


def test_a_cell_that_is_empty_is_not_given(folder):
    text = "video,mask,config,truth\nshots/x/clip.mp4,masks/x.png,,\n"
    (row,) = read(folder, text, name="a.csv", config="fast")
    assert row.truth is None
    assert row.flags == ("--config=fast",)


WRONG = {
    "unknown column 'vidoe'": {"vidoe": "x"},
    "no mask": {"mask": None},
    "no config, for example footage": {"config": None},
    "no configuration 'besst'": {"config": "besst"},
    "unknown field config.sed": {"config.sed": 1},
    "the video does not exist: ": {"video": "none.mp4"},
    "nothing matches": {"video": "shots/*.mov"},
    "the mask does not exist: ": {"mask": "none.png"},
    "the truth does not exist: ": {"truth": "none"},
    "the reference does not exist: ": {"reference": "40:none.png"},
    "mask is 3, not a text": {"mask": 3},
    "the name '../x' is no folder's": {"name": "../x"},
    "overrides are fields": {"overrides": [1]},
    "no protocol 'papper'": {"protocol": "papper"},
    "the name 'clip' is that of row 1": {"name": "clip"},
    "the workdir is that of row 1": {"workdir": "out/runs/clip"},
    "method": {"config.method": "fit"},
}


def test_every_row_that_is_wrong_is_told_in_a_line(folder, monkeypatch):
    monkeypatch.setattr(manifest, "_SHOWN", 100)
    rows = [
        ONE,
        *(ONE | {"name": f"n{number}"} | change for number, change in enumerate(WRONG.values())),
        ["not", "columns"],
    ]
    with pytest.raises(InputError) as caught:
        read(folder, json.dumps(rows))
    head, *lines = str(caught.value).splitlines()
    assert head.endswith(f"clips.yaml: {len(WRONG) + 1} rows are wrong, nothing was run")
    assert len(lines) == len(WRONG) + 1
    for number, (told, line) in enumerate(zip(WRONG, lines, strict=False), start=2):
        assert f"row {number}: " in line
        assert told in line


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "", "ends in .jsonl, .csv or .yaml"),
        ("a.jsonl", "\n{'a': 1}\n", "line 2"),
        ("a.yaml", "video: x", "a list of rows"),
        ("a.yaml", "- !!python/object:os.system {}", "cannot be read"),
        ("a.yaml", "[]", "no rows"),
        ("a.csv", "video,mask\na,b,c\n", "1 more cells than columns"),
    ],
)
def test_a_file_that_is_no_manifest(folder, name, text, told):
    with pytest.raises(InputError, match=told):
        read(folder, text, name=name)


def test_many_errors_are_cut_short(folder):
    rows = [{"video": "none", "mask": "none", "config": "fast"}] * 30
    with pytest.raises(InputError, match="and 20 more"):
        read(folder, json.dumps(rows))
