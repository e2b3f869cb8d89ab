"""tools/ablation.py as people run it: a table that grows and goes on."""

import csv
import json
import shutil
import sys

import pytest
from harness import ROOT, SMALLEST, assert_last_error, assert_one_error, metrics

pytestmark = pytest.mark.slow

TOOL = (sys.executable, str(ROOT / "tools/ablation.py"))
SHRUNK = (*(flag for flag in SMALLEST if "video." not in flag), "--size=48x32")


@pytest.fixture
def composed(compose, clip):
    other = clip.masks_folder / "00005.png"
    return compose("set", "set", other, "--masks-per-background=2", "--frames=6")


@pytest.mark.long
def test_a_table_grows_row_by_row(command, composed, tmp_path):
    output = tmp_path / "out"
    systems = {
        "systems": [
            {"name": "image only", "config": "dip_vid"},
            {"name": "3D", "config": "dip_vid_3dcn", "overrides": {"model.channels": [4]}},
        ]
    }
    (tmp_path / "systems.json").write_text(json.dumps(systems))

    def run(*words):
        given = [f"--set={composed}", f"--output={output}", f"--systems={tmp_path}/systems.json"]
        return command.execute([*TOOL, *given, *SHRUNK, *map(str, words)])

    told = run("--only")
    assert_last_error(told, "nothing is finished yet")
    told = run("--only", "image only")
    assert told.returncode == 0, told.stderr
    first = json.loads((output / "table.json").read_text())
    assert first["systems"].keys() == {"image only"}
    assert first["systems"]["image only"]["all"]["clips"] == 2
    assert first["protocol"]["parameters"]["size"] == "48x32"

    names = sorted(path.name for path in composed.iterdir())
    runs = output / "runs" / "image only"
    assert len(metrics(runs / names[0])) == 1
    config = json.loads((runs / names[0] / "config.json").read_text())["config"]
    assert (config["video"]["height"], config["video"]["width"]) == (32, 48)
    assert config["model"]["channels"] == [8]

    # Finished rows are not run again: nothing is left to run from.
    shutil.rmtree(runs)
    for name in names:
        shutil.copytree(composed / name / "frames", tmp_path / "telea" / name)
    told = run("--imported", f"Telea={tmp_path / 'telea'}", "--split")
    assert told.returncode == 0, told.stderr
    assert not runs.exists()
    second = json.loads((output / "table.json").read_text())
    assert list(second["systems"]) == ["Telea", "image only", "3D"]
    assert second["systems"]["image only"] == first["systems"]["image only"]
    assert second["systems"]["3D"]["complex"]["clips"] == 1
    for part in ("all", "complex", "simple"):
        assert part in told.stdout.splitlines()
    with (output / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["clip"]) for row in rows] == [
        (system, name) for system in ("Telea", "image only", "3D") for name in names
    ]
    with (output / "table.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 9


def test_bad_input_is_one_line(command, composed, tmp_path):
    def run(*words, folder=composed):
        given = [f"--set={folder}", f"--output={tmp_path / 'out'}", *map(str, words)]
        return command.execute([*TOOL, *given])

    assert_one_error(run(folder=tmp_path / "none"), "none: no composed clips")
    assert_one_error(run("--only", "DOP"), "--only DOP", "DIP-Vid-Flow")
    assert_one_error(run("--config.loss.flaw=1"), "unknown field config.loss.flaw")
    assert_one_error(run("--imported", "DIP=x"), "DIP: a system is called so already")
    assert_one_error(run("--imported", f"x={tmp_path}"), "one result is needed", "there are none")
    told = run("--what=1")
    assert told.returncode == 2
    assert "unrecognized argument: --what=1" in told.stderr
    # What a run would refuse is told before any.
    failed = run("--only", "DIP-Vid-3DCN", "--config.loss.flow=1", "--size=48x32")
    assert failed.returncode == 2
    assert_one_error(failed, "DIP-Vid-3DCN on 000", "predicts no flow")
    assert not (tmp_path / "out").exists()
