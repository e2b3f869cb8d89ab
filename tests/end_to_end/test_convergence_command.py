"""tools/convergence.py as people run it: curves that grow, and go on where they ended."""

import json
import sys

import pytest
from harness import ROOT, SMALLEST, assert_one_error

pytestmark = pytest.mark.slow

TOOL = (sys.executable, str(ROOT / "tools/convergence.py"))
SHRUNK = [flag for flag in SMALLEST if "video." not in flag and "schedule." not in flag]


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
        return told.stdout, json.loads((output / "curves.json").read_text())["cells"]

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
    assert (output / "curves.png").stat().st_size > 10_000
    assert "image" in shown
    assert "200" in shown


def test_bad_input_is_one_line(command, composed, tmp_path):
    given = [*TOOL, f"--set={composed}", f"--output={tmp_path / 'out'}"]
    assert_one_error(command.execute([*given, "--config.schedule.no=1"]), "schedule.no")
    told = command.execute([*given, "--config.seed"])
    assert told.returncode == 2
    assert "unrecognized argument: --config.seed" in told.stderr.splitlines()[-1]
