"""What a long job says on a terminal and in a log."""

import io
import sys

import pytest

from vidprior.training import progress

pytestmark = pytest.mark.usefixtures("log_on_stderr")


class Clock:
    """A clock that the test sets; `time.monotonic` reads it."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(progress.time, "monotonic", made)
    return made


def test_plain_lines_come_every_ten_seconds_and_at_the_end(capsys, clock):
    with progress.Progress("training", total=100) as bar:
        for done in range(1, 101):
            clock.now += 0.25
            bar.advance(done)
    lines = capsys.readouterr().err.splitlines()
    # 25 seconds: after 10, after 20, and the last update.
    assert [line.split(",")[0] for line in lines] == [
        "training: 40/100",
        "training: 80/100",
        "training: 100/100",
    ]


def test_a_line_tells_speed_rest_and_values(capsys, clock):
    with progress.Progress("training", total=500) as bar:
        clock.now += 20
        bar.advance(100, {"loss": 0.0123456})
    # 100 in 20 s: 5 a second, 400 more in 80 s.
    line = "training: 100/500, 5 updates/s, 80 s left, loss 0.0123\n"
    assert capsys.readouterr().err == line


def test_what_was_done_before_does_not_count_as_speed(capsys, clock):
    with progress.Progress("flow", total=1000, done=900, unit="pair") as bar:
        clock.now += 10
        bar.advance(950)
    assert capsys.readouterr().err == "flow: 950/1000, 5 pairs/s, 10 s left\n"


def test_the_total_may_be_corrected(capsys, clock):
    with progress.Progress("flow", total=1) as bar:
        bar.set_total(4)
        clock.now += 1
        bar.advance(1)
        assert capsys.readouterr().err == ""
        bar.advance(4)
    assert capsys.readouterr().err.startswith("flow: 4/4,")


def test_other_words_come_in_between(capsys):
    with progress.Progress("flow", total=9) as bar:
        bar.say("a note")
    captured = capsys.readouterr()
    assert captured.err == "a note\n"
    assert captured.out == ""


def test_a_standstill_is_told(capsys, clock):
    with progress.Progress("flow", total=9) as bar:
        clock.now += 60
        bar.advance(0)
    assert capsys.readouterr().err.startswith("flow: 0/9, 0 updates/s")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.Progress("training", total=4, done=1) as bar:
        bar.advance(2, {"loss": 0.5})
        bar.say("a note")
        bar.advance(4)
    shown = terminal.getvalue()
    assert "training" in shown
    assert "1/4" in shown
    assert "4/4" in shown
    assert "loss=0.5" in shown
    # The note stands in a line of its own.
    assert "a note" in shown.replace("\r", "\n").splitlines()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (48.4, "48 s"),
        (99, "99 s"),
        (100, "2 min"),
        (720, "12 min"),
        (5940, "99 min"),
        (6000, "1 h 40 min"),
        (12000, "3 h 20 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_durations_in_words(seconds, words):
    assert progress.duration(seconds) == words
