"""tools/convergence.py as people run it: curves that grow, and go on where they ended."""

import json
import sys

import pytest
from harness import ROOT, SMALLEST, assert_one_error

from vidprior.evaluation import ablation, protocols

pytestmark = pytest.mark.slow

TOOL = (sys.executable, str(ROOT / "tools/convergence.py"))
SHRUNK = [flag for flag in SMALLEST if "model." in flag]  # stages set the others


def stages_in(output):
    cells = json.loads((output / "curves.json").read_text())["cells"]
    return {name: about["stages"] for name, about in cells.items()}


@pytest.fixture
def composed(compose):
    return compose("clip", "clip", "--start=0", "--mask-start=0", "--frames=4")


@pytest.mark.long
def test_curves_grow_by_doubled_passes_and_go_on(command, composed, tmp_path):
    output = tmp_path / "out"
    systems = {
        "systems": [{"name": "image", "config": "dip_vid"}, {"name": "DIP", "config": "dip"}]
    }
    (tmp_path / "systems.json").write_text(json.dumps(systems))

    def run(*words):
        given = [f"--set={composed}", f"--output={output}", f"--systems={tmp_path}/systems.json"]
        told = command.execute([*TOOL, *given, *SHRUNK, "--seeds=1", *words])
        assert told.returncode == 0, told.stderr
        return told.stdout, stages_in(output)

    _, first = run("--most-passes=1")
    assert list(first) == ["image on clip seed 0", "DIP on clip seed 0"]
    # One window of all four frames a pass, with 100 updates.
    assert [[stage["visits"] for stage in stages] for stages in first.values()] == [[100], [100]]

    shown, second = run("--most-passes=2")
    for name, stages in second.items():
        assert [stage["passes"] for stage in stages] == [1, 2]
        assert stages[0] == first[name][0]
    whole = output / "runs/image/clip/seed0"
    config = json.loads((whole / "config.json").read_text())["config"]
    assert config["schedule"]["num_passes"] == 2
    single = output / "runs/DIP/clip/seed0"
    assert sorted(path.name for path in single.iterdir()) == ["passes1", "passes2"]
    # Another system is added; those of before stay.
    systems["systems"] = [{"name": "other", "config": "dip_vid", "overrides": {"seed": 7}}]
    (tmp_path / "systems.json").write_text(json.dumps(systems))
    _, third = run("--most-passes=1")
    assert third == {"other on clip seed 0": third["other on clip seed 0"], **second}
    assert (output / "curves.png").stat().st_size > 10_000
    assert "image" in shown
    assert "200" in shown


def test_bad_input_is_one_line(command, composed, tmp_path):
    given = [*TOOL, f"--set={composed}", f"--output={tmp_path / 'out'}"]
    assert_one_error(command.execute([*given, "--config.schedule.no=1"]), "schedule.no")
    told = command.execute([*given, "--config.window.length=3"])
    assert_one_error(told, "system DIP", "each stage sets window.length")
    described = {"systems": [{"name": "pieces", "config": "dip_vid", "window": 2}]}
    (tmp_path / "systems.json").write_text(json.dumps(described))
    told = command.execute([*given, f"--systems={tmp_path / 'systems.json'}"])
    assert_one_error(told, "system pieces", "leave out its window")
    described["systems"][0] = {"name": "x", "config": "dip_vid", "overrides": {"window": 2}}
    (tmp_path / "systems.json").write_text(json.dumps(described))
    told = command.execute([*given, f"--systems={tmp_path / 'systems.json'}"])
    assert_one_error(told, "window")
    told = command.execute([*given, "--config.seed"])
    assert told.returncode == 2
    assert "unrecognized argument: --config.seed" in told.stderr.splitlines()[-1]


def test_curves_go_on_only_with_what_they_were_run_with(command, composed, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    given = [*TOOL, f"--set={composed}", f"--output={output}"]

    def store(**changed):
        clip = ablation.read_clip(composed)
        flow = ablation.SYSTEMS[3]._replace(overrides={"model.channels": "(8,)"})
        identity = ablation.identity_of(flow, clip, protocols.find("hole")) | changed
        cell = {"identity": identity, "stages": [{"passes": 1, "psnr_hole": 20.0}]}
        stored = {"cells": {"DIP-Vid-Flow on clip seed 0": cell}}
        (output / "curves.json").write_text(json.dumps(stored))

    store()
    told = command.execute([*given, "--config.model.channels=(4,)"])
    assert_one_error(told, "DIP-Vid-Flow on clip seed 0", "another model.channels: (8,), now (4,)")
    told = command.execute([*given, "--config.model.channels=(8,)", "--config.seed=1"])
    assert_one_error(told, "another seed: not given, now 1")
    store(truth_sha256="0" * 64)
    told = command.execute([*given, "--config.model.channels=(8,)"])
    assert_one_error(told, "another truth_sha256")
    (output / "curves.json").write_text(json.dumps({"cells": {"DIP on clip seed 0": [{}]}}))
    told = command.execute(given)
    assert_one_error(told, "does not say what its curves were run with")
