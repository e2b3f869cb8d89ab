"""The report of a GPU, tried in small on this machine."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import _gpu_programs as programs  # noqa: E402
import _gpu_runs as runs  # noqa: E402
import _gpu_session as session  # noqa: E402
import gpu_report  # noqa: E402
from _gpu_table import tables  # noqa: E402


def test_time_of_overlapping_kernels_counts_once():
    """[0, 2], [1, 3] and [5, 6] are busy for four."""
    assert programs._union([(5, 6), (0, 2), (1, 3)]) == 4


def test_kernels_are_named_without_their_number():
    assert programs._kind("loop_add_fusion_12_3") == "loop_add_fusion"
    assert programs._kind("input_reduce_fusion") == "input_reduce_fusion"


def test_differences_are_relative():
    found = {"total": np.array(3.0), "gradient": np.array([3.0, 4.0])}
    truth = {"total": np.array(2.0), "gradient": np.array([3.0, 0.0])}
    assert gpu_report.differences(found, truth) == {"total": 0.5, "gradient": 4 / 3}


def test_numbers_of_a_log():
    text = "plan: 603 updates of 603, about 1 s left at 430 updates/s; compiled in 2 min\nother"
    told = runs.told(text)
    assert told["updates_per_second_told"] == 430
    assert told["lines"] == [text.splitlines()[0]]
    assert runs.told("nothing")["updates_per_second_told"] is None


def test_a_program_that_ends_and_one_that_hangs(tmp_path):
    until = time.monotonic() + 60
    ended = runs.Served(tmp_path / "1.log", sys.executable, "-c", "import sys; sys.exit('why')")
    with pytest.raises(RuntimeError, match="it ended: why"):
        ended.answer(until=until)
    hangs = runs.Served(tmp_path / "2.log", sys.executable, "-c", "import time; time.sleep(100)")
    with pytest.raises(RuntimeError, match="no time left"):
        hangs.answer(until=time.monotonic() + 0.2)
    echo = "for line in iter(input, ''): print(line, flush=True)"
    answers = runs.Served(tmp_path / "3.log", sys.executable, "-c", echo)
    assert answers.ask("[1, 2]", until=until) == [1, 2]
    answers.close()


def test_a_section_that_fails_leaves_its_error(tmp_path, capsys):
    report = gpu_report.Report(tmp_path, time.monotonic() + 60, True, None)

    def section(report, found):
        found["first"] = 1
        raise ValueError("why")

    report.run("name", section, 0)
    late = gpu_report.Report(tmp_path, time.monotonic(), True, None)
    late.run("late", section, 10)
    assert "skipped" in late.results["late"]
    found = report.results["name"]
    assert (found["first"], found["error"]) == (1, "ValueError: why")


def test_tables_by_hand():
    """102,000 updates at 200 a second are 8.5 minutes."""
    row = {
        "updates_per_second": 200.0, "tflop_per_second": 66.04, "share_of_matmul": 0.104,
        "peak_bytes": 2**29, "compile_seconds": 53.2, "gflop": 330.2,
    }  # fmt: skip
    found = tables({
        "updates": {"full bfloat16": row, "full float32": {"error": "first\nno memory"}},
        "machine": {"copy_bytes_per_second": 1e12},
        "footage": {"skipped": "no time"},
    })  # fmt: skip
    lines = [line for line in found.splitlines() if line]
    assert lines[0] == "## updates"
    assert lines[3] == "| full bfloat16 | 200 | 8.5 | 66 | 10% | 0.5 | 53 |"
    assert lines[4:] == [
        "## updates: not measured", "* full float32: no memory",
        "## footage: not measured", "* skipped: no time",
    ]  # fmt: skip


def test_every_system_is_timed_at_both_sizes_in_both_precisions(tmp_path):
    report = gpu_report.Report(tmp_path, 0.0, False, None)
    sections = ("updates", "systems", "larger", "larger systems")
    specs = [spec for name in sections for spec in report.specs(name).values()]
    timed = {
        (s.loss, s.conv_ndim, s.length, s.dtype, s.height, s.width)
        for s in specs
    }  # fmt: skip
    systems = [("full", 2, 5), ("flow", 2, 5), ("image", 2, 5), ("image", 3, 5), ("image", 2, 1)]
    sizes = [(192, 384), (480, 854)]
    assert timed == {
        (*system, dtype, *size) for system in systems for dtype in session.DTYPES for size in sizes
    }
    assert len(specs) == len(timed)


def test_an_unknown_section(tmp_path):
    told = subprocess.run(
        [sys.executable, ROOT / "tools/gpu_report.py", f"--output={tmp_path}", "--sections=no"],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 1
    assert "error: no section no; there are" in told.stderr


@pytest.mark.long
def test_a_small_report(tmp_path):
    """One network, four in one program, and several threads."""
    options = ("--small", "--sections=machine,many", f"--output={tmp_path}")
    subprocess.run([sys.executable, ROOT / "tools/gpu_report.py", *options], check=True)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["machine"]["float32_flop_per_second"] > 0
    assert "error" not in report["many"]
    for name in ("1 network", "4 networks, default"):
        row = report["many"][name]
        assert row["updates_per_second"] > 0
        assert row["grouped"] == 0
    assert report["many"]["2 programs in flight, updates/s"] > 0
    assert "| 4 networks, default |" in (tmp_path / "report.md").read_text()
