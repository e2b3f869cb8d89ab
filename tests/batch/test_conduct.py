"""How rows are run: order, failures, tries, what is known from before; on an engine of paper."""

import json
import os
import signal

import pytest

from vidprior.batch import conduct
from vidprior.batch.job import RETRIES
from vidprior.batch.manifest import Row
from vidprior.batch.process import Outcome
from vidprior.errors import InputError, Interrupted

GIB = 1 << 30


class Paper:
    """An engine of one unit at a time, whose reports come from a function."""

    def __init__(self, answer, *, memory=8 * GIB):
        self.memory, self._answer, self._now, self.ran, self.stops = memory, answer, [], [], 0

    def describe(self):
        return "paper"

    def has_room(self, unit):
        return not self._now

    def start(self, unit):
        assert not self._now
        self._now.append(unit)
        self.ran.append((unit.task.name, unit.task.kind, unit.task.segment))

    def wait(self, seconds):
        unit = self._now.pop()
        told = self._answer(unit)
        return [Outcome(unit, told or {}, died=told is None, seconds=1.0)]

    def running(self):
        return list(self._now)

    def stop(self):
        self.stops += 1

    def close(self):
        pass


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "video").write_text("frames")
    (tmp_path / "mask").write_text("hole")
    paths = str(tmp_path / "video"), str(tmp_path / "mask")
    return [
        Row(number, name, *paths, str(tmp_path / name), ("--config=propagate",))
        for number, name in enumerate("abc", start=1)
    ]


def run(rows, engine, folder, *, retry_failed=False):
    with conduct.locked(folder):
        jobs = conduct.conduct(
            rows, engine, output=folder, scratch="", retry_failed=retry_failed, about={}
        )
    written = json.loads((folder / "batch.json").read_text())
    assert {name: row["state"] for name, row in written["rows"].items()} == {
        job.row.name: job.state for job in jobs
    }
    return {job.row.name: job for job in jobs}


def fine(unit):
    return {"measures": {"psnr": 30.0}}


def test_a_failed_row_stops_no_other(rows, tmp_path):
    jobs = run(rows, Paper(lambda u: {"error": "no"} if u.task.name == "b" else {}), tmp_path)
    assert [jobs[name].state for name in "abc"] == ["done", "failed", "done"]
    assert jobs["b"].error == "no"


def test_what_is_done_is_not_run_again(rows, tmp_path):
    run(rows, Paper(lambda u: {"error": "no"} if u.task.name == "b" else fine(u)), tmp_path)
    again = Paper(fine)
    jobs = run(rows, again, tmp_path)
    assert again.ran == []
    assert (jobs["b"].state, jobs["b"].error) == ("failed", "no")
    assert jobs["a"].measures == {"psnr": 30.0}
    assert jobs["a"].seconds == 1.0
    retried = Paper(fine)
    assert run(rows, retried, tmp_path, retry_failed=True)["b"].state == "done"
    assert retried.ran == [("b", "begin", None)]


def test_another_input_or_configuration_is_run(rows, tmp_path):
    run(rows, Paper(fine), tmp_path)
    changed = [rows[0], rows[1]._replace(flags=("--config=propagate", "--config.seed=1")), rows[2]]
    engine = Paper(fine)
    run(changed, engine, tmp_path)
    assert engine.ran == [("b", "begin", None)]
    (tmp_path / "video").write_text("others")
    engine = Paper(fine)
    run(changed, engine, tmp_path)
    assert len(engine.ran) == 3


def test_segments_are_units_and_the_film_is_finished_after_the_last(rows, tmp_path):
    def answer(unit):
        if unit.task.kind == "begin" and unit.task.name == "a":
            return {"segments": [[0, 5, GIB], [4, 9, 2 * GIB]]}
        return fine(unit)

    engine = Paper(answer)
    jobs = run(rows, engine, tmp_path)
    assert engine.ran == [
        ("a", "begin", None),
        ("a", "fit", (0, 5)),
        ("a", "fit", (4, 9)),
        ("a", "finish", None),
        ("b", "begin", None),
        ("c", "begin", None),
    ]
    assert (jobs["a"].segments, jobs["a"].seconds, jobs["a"].state) == (2, 4.0, "done")


def test_the_rest_of_a_film_whose_segment_fails_is_left_out(rows, tmp_path):
    def answer(unit):
        if unit.task.name != "a":
            return fine(unit)
        segments = [[0, 5, GIB], [4, 9, GIB]]
        return {"segments": segments} if unit.task.kind == "begin" else {"error": "no"}

    engine = Paper(answer)
    assert run(rows, engine, tmp_path)["a"].state == "failed"
    assert [kind for name, kind, _ in engine.ran if name == "a"] == ["begin", "fit"]


def test_a_unit_that_was_killed_is_tried_again_so_often(rows, tmp_path):
    tries = []

    def answer(unit):
        if unit.task.name == "a":
            tries.append((unit.attempt, unit.task.patience))
            return fine(unit) if unit.attempt == 1 else None
        return None if unit.task.name == "b" else fine(unit)

    engine = Paper(answer)
    jobs = run(rows, engine, tmp_path)
    assert [jobs[name].state for name in "abc"] == ["done", "failed", "done"]
    assert jobs["a"].retried == 1
    assert [attempt for attempt, _ in tries] == [0, 1]
    assert tries[1][1] > tries[0][1] == 0
    assert sum(name == "b" for name, _, _ in engine.ran) == RETRIES + 1


def test_memory_that_is_not_there_is_told_and_what_is_there_is_set_aside(rows, tmp_path):
    granted = {}

    def answer(unit):
        granted.setdefault(unit.task.name, []).append((unit.memory, unit.task.granted))
        needs = {"a": 3, "b": 100, "c": 0}[unit.task.name] * GIB
        return {"needs": needs} if needs > unit.task.granted else fine(unit)

    jobs = run(rows, Paper(answer), tmp_path)
    assert [jobs[name].state for name in "abc"] == ["done", "failed", "done"]
    assert granted["a"] == [(GIB, GIB), (3 * GIB, 3 * GIB)]
    assert "needs about 100.0 GiB" in jobs["b"].error
    assert len(granted["b"]) == 1


def test_memory_that_was_predicted_and_taken_is_recorded(rows, tmp_path):
    def answer(unit):
        if unit.task.name == "b":
            return {"predicted": 2 * GIB, "peak": GIB}
        if unit.task.kind == "begin" and unit.task.name == "a":
            return {"segments": [[0, 5, 3 * GIB], [4, 9, GIB]], "peak": GIB // 2}
        return {"peak": {"fit": 2 * GIB, "finish": GIB, "begin": None}[unit.task.kind]}

    run(rows, Paper(answer), tmp_path)
    stored = {n: json.loads((tmp_path / f"rows/{n}.json").read_text()) for n in "abc"}
    found = {name: (about["predicted"], about["peak"]) for name, about in stored.items()}
    assert found == {"a": (3 * GIB, 2 * GIB), "b": (2 * GIB, GIB), "c": (None, None)}


def test_what_is_missing_fails_by_itself(rows, tmp_path):
    gone = [rows[0], rows[1]._replace(video=str(tmp_path / "gone")), rows[2]]
    jobs = run(gone, Paper(fine), tmp_path)
    assert jobs["b"].state == "failed"
    assert "gone: cannot be read" in jobs["b"].error
    assert jobs["c"].state == "done"


def test_a_second_batch_on_the_folder_is_refused(tmp_path):
    again = conduct.locked(tmp_path)
    with conduct.locked(tmp_path), pytest.raises(InputError, match="another batch is using"):
        again.__enter__()
    with conduct.locked(tmp_path):
        pass


def test_a_batch_that_is_stopped_leaves_its_rows_waiting(rows, tmp_path):
    def answer(unit):
        os.kill(os.getpid(), signal.SIGINT)
        return {"stopped": "saved"}

    engine = Paper(answer)
    with pytest.raises(Interrupted, match="0 of 3 rows ended"):
        run(rows, engine, tmp_path)
    assert engine.stops == 1
    assert len(engine.ran) == 1
    states = json.loads((tmp_path / "batch.json").read_text())["states"]
    assert states == {"waiting": 3}
