"""Tables, JSON and CSV of measures."""

import csv
import json
import math

import pytest

from vidprior.evaluation import protocols, tables

PROTOCOL = protocols.find("davis432")


@pytest.fixture
def evaluation():
    def clip(psnr, pairs):
        return {
            "frames": len(psnr), "width": 20, "height": 10, "hole_fraction": 0.25,
            "frames_equal": psnr.count(math.inf), "frames_without_hole": 0,
            "psnr_full": 30.0, "consistency_psnr": None, "warping_error": 0.001234,
            "per_frame": {"psnr_full": psnr, "consistency_psnr": pairs, "warping_error": pairs},
        }  # fmt: skip

    clips = {"a": clip([30.0, math.inf], [None]), "b": clip([29.0, 31.0, 33.0], [1.0, 2.0])}
    return tables.summarise(PROTOCOL, clips)


def test_summary_says_how_was_measured(evaluation):
    assert evaluation["protocol"] == {"name": "davis432", "parameters": PROTOCOL.parameters()}
    assert evaluation["mean"]["psnr_full"] == pytest.approx(123 / 4)


def test_json_that_others_can_read(evaluation, tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    path = tables.write(tmp_path, evaluation)[0]
    stored = json.loads(path.read_text(), parse_constant=refuse)
    assert stored["protocol"]["parameters"]["size"] == "432x240"
    assert stored["clips"]["a"]["per_frame"]["psnr_full"] == [30.0, "inf"]
    assert stored["clips"]["a"]["consistency_psnr"] is None
    assert stored["clips"]["b"] == evaluation["clips"]["b"]


def test_csv_by_clip_and_by_frame(evaluation, tmp_path):
    _, by_clip, by_frame = tables.write(tmp_path, evaluation)
    with by_clip.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["clip"], row["frames"], row["protocol"]) for row in rows] == [
        ("a", "2", "davis432"), ("b", "3", "davis432"),
    ]  # fmt: skip
    assert rows[0]["consistency_psnr"] == ""
    with by_frame.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["clip"], row["frame"], row["psnr_full"]) for row in rows] == [
        ("a", "0", "30.0"), ("a", "1", "inf"),
        ("b", "0", "29.0"), ("b", "1", "31.0"), ("b", "2", "33.0"),
    ]  # fmt: skip
    assert [row["warping_error"] for row in rows] == ["", "", "1.0", "2.0", ""]


def test_table_of_several_clips_ends_with_their_mean(evaluation):
    assert tables.table(evaluation, ("psnr_full", "consistency_psnr")).splitlines() == [
        "                 psnr_full consistency_psnr",
        "a                   30.000                -",
        "b                   30.000                -",
        "mean over frames    30.750            1.500",
    ]


def test_table_of_one_clip_is_a_list(evaluation):
    del evaluation["clips"]["b"]
    shown = ("psnr_full", "warping_error", "consistency_psnr")
    assert tables.table(evaluation, shown).splitlines() == [
        "  psnr_full            30.000",
        "  warping_error      1.23e-03",
        "  consistency_psnr          -",
    ]


def test_numbers_for_people():
    values = [None, math.inf, 0.0, 1, 0.00999, -31.23456]
    assert [*map(tables.number, values)] == ["-", "inf", "0.000", "1", "9.99e-03", "-31.235"]
