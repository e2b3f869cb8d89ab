"""Systems and the tables of their measures; runs themselves are in end_to_end."""

import json
import pathlib
import re

import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.evaluation import ablation, complexity, protocols
from vidprior.evaluation.ablation import BenchmarkClip, System
from vidprior.io import images

DOCS = pathlib.Path(__file__).parents[2] / "docs/research/evaluation.md"


@pytest.fixture
def clip(tmp_path):
    manifest = {"frames": 2, "height": 8, "width": 16, "truth_sha256": "t", "hole_sha256": "h"}
    nothing = np.zeros((2, 8, 16, 3), np.uint8)
    rank = complexity.Complexity(1.0, 0.5)
    return BenchmarkClip(tmp_path / "set/one", manifest, nothing, nothing[..., 0], rank)


def test_table_1_is_four_systems_that_exist():
    assert [system.name for system in ablation.SYSTEMS] == [
        "DIP", "DIP-Vid", "DIP-Vid-3DCN", "DIP-Vid-Flow",
    ]  # fmt: skip
    ablation.check_systems(ablation.SYSTEMS)


def test_the_run_of_a_row(clip):
    system = System("s", "dip_vid", {"model.channels": [8], "seed": 3, "video.width": 32})
    (run,) = ablation.runs(system, clip, output=pathlib.Path("out"))
    assert run.name == f"s on {clip.folder.name}"
    assert run.workdir == pathlib.Path("out/runs/s") / clip.folder.name
    assert run.flags[0].endswith("configs/dip_vid.py")
    assert run.flags[1:] == (
        "--config.video.height=8",
        "--config.video.width=32",
        "--config.model.channels=(8,)",
        "--config.seed=3",
    )


def painted(folder, frames, value):
    images.write_frames(folder, np.full((len(frames), 8, 16, 3), value, np.uint8))


def test_pieces_are_inpainted_one_by_one_and_joined(clip, tmp_path, monkeypatch):
    """A piece has no hole; the configuration's window of 5 frames is too long for the others."""
    frames = np.zeros((7, 8, 16, 3), np.uint8)
    masks = np.full((7, 8, 16), 255, np.uint8)
    masks[3:6] = 0
    images.write_frames(clip.folder / "frames", frames)
    clip = clip._replace(truth=frames, masks=masks)
    system = System("s", "dip_vid", window=3)
    found = ablation.runs(system, clip, output=tmp_path / "out")
    assert [run.frames for run in found] == [range(0, 3), range(6, 7)]
    assert [run.flags[-3:] for run in found] == [
        ("--config.video.start=0", "--config.video.stop=3", "--config.window.length=3"),
        ("--config.video.start=6", "--config.video.stop=7", "--config.window.length=1"),
    ]
    nine = ablation.runs(system._replace(window=9), clip, output=tmp_path)
    assert nine[0].flags[-1] == "--config.window.length=5"
    for run in found:
        painted(run.workdir / "result", run.frames, run.frames.stop)
    measured = []
    monkeypatch.setattr(
        ablation.protocols,
        "measure",
        lambda protocol, truth, result, masks: measured.append(result),
    )
    monkeypatch.setattr(ablation, "write_json", lambda *_: None)
    ablation.row(system, clip, output=tmp_path / "out", protocol=protocols.find("hole"))
    assert measured[0][:, 0, 0, 0].tolist() == [3, 3, 3, 0, 0, 0, 7]


def test_systems_of_a_file(tmp_path):
    file = tmp_path / "systems.json"
    shared = {"seed": 1, "loss.flow": 0.5}
    systems = [
        {"name": "a", "config": "flow"},
        {"name": "b", "config": "dip", "overrides": {"seed": 2}, "window": 10},
    ]
    file.write_text(json.dumps({"overrides": shared, "systems": systems}))
    assert ablation.read_systems(file) == [
        System("a", "flow", shared),
        System("b", "dip", {"seed": 2, "loss.flow": 0.5}, 10),
    ]


def test_systems_of_the_manual(tmp_path):
    found = re.findall(r"^```json\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    for example in found:
        (tmp_path / "systems.json").write_text(example)
        ablation.check_systems(ablation.read_systems(tmp_path / "systems.json"))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{}", '{"systems": 3}', '{"systems": [3]}', '{"systems": [{"name": "a"}]}',
     '{"systems": [{"name": "a", "config": "dip", "overrides": 3}]}', "[" * 100000],
)  # fmt: skip
def test_a_file_that_describes_no_systems(tmp_path, text):
    (tmp_path / "systems.json").write_text(text)
    with pytest.raises(InputError, match=r"systems.json: expected \{"):
        ablation.read_systems(tmp_path / "systems.json")


@pytest.mark.parametrize(
    ("systems", "says"),
    [
        ([], "no system"),
        ([System("../a", "dip")], "is called '../a'"),
        ([System(3, "dip")], "is called 3"),
        ([System("a", "dop")], "no configuration 'dop'"),
        ([System("a", 3)], "its configuration is 3"),
        ([System("a", "dip", {"loss.flaw": 1})], "unknown field config.loss.flaw"),
        ([System("a", "dip", window=0)], "its window is 0"),
        ([System("a", "dip", window="3")], "its window is '3'"),
        ([System("a", "dip"), System("a", "flow")], "several systems called a"),
    ],
)
def test_systems_that_cannot_run(systems, says):
    with pytest.raises(InputError, match=says):
        ablation.check_systems(systems)


def test_a_row_is_taken_from_its_file_only_if_nothing_has_changed(clip, tmp_path, monkeypatch):
    """Measuring is replaced: what is asked is whether a stored row is of the same run."""
    measures = {"psnr_full": float("inf"), "per_frame": {}}
    monkeypatch.setattr(ablation.protocols, "measure", lambda *_: measures)
    images.write_frames(tmp_path / "out/runs/s/one/result", clip.truth)
    system, protocol = System("s", "dip", {"seed": 1}), protocols.find("hole")

    def stored(system=system, clip=clip, protocol=protocol):
        return ablation.finished_row(system, clip, output=tmp_path / "out", protocol=protocol)

    assert stored() is None
    ablation.row(system, clip, output=tmp_path / "out", protocol=protocol)
    assert stored() == measures
    for change in (
        {"system": system._replace(overrides={"seed": 2})},
        {"system": system._replace(config="flow")},
        {"system": system._replace(window=None, overrides={})},
        {"clip": clip._replace(manifest={**clip.manifest, "hole_sha256": "other"})},
        {"protocol": protocols.find("hole", size=(4, 8))},
    ):
        assert stored(**change) is None
    (tmp_path / "out/rows/s/one.json").write_text("{}")
    with pytest.raises(InputError, match=r"rows/s/one.json: not a row of a table"):
        stored()


def test_summary_by_hand():
    def measures(psnr):
        return {"psnr_full": psnr, "per_frame": {"psnr_full": [psnr]}}

    rows = {
        "ours": {clip: measures(psnr) for clip, psnr in zip("abcd", (30, 20, 40, 10), strict=True)},
        "half done": {"a": measures(25.0)},
        "not begun": {},
    }
    ranks = {"a": 0.5, "b": 9.0, "c": 1.0, "d": 2.0}
    summary = ablation.summarise(rows, ranks, protocols.find("paper"))
    assert summary["systems"] == {
        "ours": {
            "all": {"clips": 4, "mean": {"psnr_full": 25.0}},
            "complex": {"clips": 2, "mean": {"psnr_full": 15.0}},
            "simple": {"clips": 2, "mean": {"psnr_full": 35.0}},
        },
        "half done": {
            "all": {"clips": 1, "mean": {"psnr_full": 25.0}},
            "simple": {"clips": 1, "mean": {"psnr_full": 25.0}},
        },
    }
    assert summary["clips"]["b"] == {"complexity": 9.0, "complex": True}
    assert summary["protocol"]["name"] == "paper"
