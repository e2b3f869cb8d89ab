"""The training loop's parts: how updates are cut, logged and stopped."""

import json
import os
import signal
import threading

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidprior.configuration import load
from vidprior.run import train
from vidprior.run.workdir import Workdir
from vidprior.training.windows import Schedule, list_windows

pytestmark = pytest.mark.usefixtures("log_on_stderr")

# Blocks


def test_blocks_by_hand():
    found = list(train.blocks(0, 12, size=5, ends=frozenset({7})))
    assert found == [(0, 5), (5, 7), (7, 10), (10, 12)]


def test_blocks_of_a_run_taken_up_inside_a_block():
    found = list(train.blocks(6, 12, size=5, ends=frozenset({7})))
    assert found == [(6, 7), (7, 10), (10, 12)]


def test_a_finished_run_has_no_blocks():
    assert list(train.blocks(12, 12, size=5, ends=frozenset({7}))) == []


cuts = st.integers(0, 60).flatmap(
    lambda total: st.tuples(
        st.just(total),
        st.integers(1, 20),
        st.frozensets(st.integers(0, 70), max_size=6),
    )
)


@given(cuts, st.data())
def test_blocks_cover_every_update_once_in_order(cut, data):
    total, size, ends = cut
    begin = data.draw(st.integers(0, total))
    found = list(train.blocks(begin, total, size=size, ends=ends))
    updates = [update for first, stop in found for update in range(first, stop)]
    assert updates == list(range(begin, total))
    for first, stop in found:
        assert 0 < stop - first <= size
        assert not any(first < end < stop for end in ends)


@given(cuts, st.data())
def test_cuts_do_not_depend_on_where_a_run_is_taken_up(cut, data):
    total, size, ends = cut
    whole = list(train.blocks(0, total, size=size, ends=ends))
    begin = data.draw(st.sampled_from([0, total, *(stop for _, stop in whole)]))
    rest = list(train.blocks(begin, total, size=size, ends=ends))
    assert rest == [block for block in whole if block[0] >= begin]


# The log. Two passes of four updates; windows of two frames: 0 to 3 at stride 1, then [0, 3]
# and [1, 4] at stride 3.

WINDOWS = list_windows(5, length=2, strides=(1, 3), directions=("forward",))
SCHEDULE = Schedule(
    windows=np.array([0, 0, 4, 4, 1, 1, 5, 5], np.int32), pass_ends=np.array([4, 8], np.int32)
)


@pytest.fixture
def workdir(tmp_path):
    return Workdir(tmp_path)


@pytest.fixture
def log(workdir):
    return train._Log(workdir.append_metrics, SCHEDULE, WINDOWS, begin=0, every=3)


def losses(*values):
    """The losses of a block, one for each update, as `fit` returns them."""
    return {"image": jnp.array(values), "total": 2 * jnp.array(values)}


def rows(workdir):
    path = workdir.metrics_file
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_rows_are_means_since_the_row_before(log, workdir):
    for start, value in enumerate([1.0, 2.0, 6.0, 4.0, 8.0, 16.0, 32.0, 64.0]):
        log.add(start, losses(value))
        log.settle(keep=0)
    assert rows(workdir) == [
        {"update": 3, "pass": 1, "image": 3.0, "total": 6.0},  # (1 + 2 + 6) / 3
        {"update": 4, "pass": 1, "image": 4.0, "total": 8.0},  # the end of the pass
        {"update": 6, "pass": 2, "image": 12.0, "total": 24.0},  # (8 + 16) / 2
        {"update": 8, "pass": 2, "image": 48.0, "total": 96.0},  # (32 + 64) / 2
    ]


@settings(deadline=None)
@given(st.lists(st.integers(1, 7), max_size=7, unique=True))
def test_rows_do_not_depend_on_the_blocks(tmp_path_factory, cut):
    values = np.float32([1, 2, 6, 4, 8, 16, 32, 64])
    written = []
    for stops in ([*range(1, 9)], [*sorted(cut), 8]):
        workdir = Workdir(tmp_path_factory.mktemp("log"))
        log = train._Log(workdir.append_metrics, SCHEDULE, WINDOWS, begin=0, every=3)
        start = 0
        for stop in stops:
            log.add(start, losses(*values[start:stop]))
            log.settle(keep=1)
            start = stop
        log.settle(keep=0)
        written.append(rows(workdir))
    assert written[0] == written[1]


def test_the_newest_block_may_wait(log, workdir):
    log.add(0, losses(1.0, 2.0, 3.0))
    assert log.settle(keep=1) == {}
    assert rows(workdir) == []
    log.add(3, losses(4.0))
    assert log.settle(keep=1) == {"loss": 4.0}  # the mean total of the first row
    assert [row["update"] for row in rows(workdir)] == [3]
    log.settle(keep=0)
    assert [row["update"] for row in rows(workdir)] == [3, 4]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_names_update_and_window(log, bad):
    log.add(0, losses(1.0, 1.0))
    log.add(2, {"image": jnp.array([1.0, 1.0]), "total": jnp.array([1.0, bad])})
    with pytest.raises(train.NonFiniteLoss, match=r"\(total\) at update 4, .*\[0, 3\]") as error:
        log.settle(keep=0)
    assert "--config.optimizer.learning_rate" in str(error.value)


def test_rows_before_a_loss_that_is_not_finite_are_kept(log, workdir):
    log.add(0, losses(1.0, 2.0, 3.0, np.nan))
    with pytest.raises(train.NonFiniteLoss):
        log.settle(keep=0)
    assert rows(workdir) == [{"update": 3, "pass": 1, "image": 2.0, "total": 4.0}]


# Stopping


def test_the_first_signal_is_a_wish_and_the_second_an_order(capsys):
    with train.StopRequest() as stop:
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        assert "once more" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_polite_kill_is_a_wish_too(capsys):
    with train.StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked


def test_handlers_are_put_back():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    stop = train.StopRequest()
    stop.__enter__()
    assert all(
        signal.getsignal(number) != handler for number, handler in zip(numbers, before, strict=True)
    )
    stop.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert [signal.getsignal(number) for number in numbers] == before


def test_other_threads_leave_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def run():
        with train.StopRequest() as stop:
            seen.extend([stop.asked, signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False, before]


# Previews


@pytest.mark.parametrize(
    ("wanted", "expected"), [(1, [4]), (2, [3, 6]), (3, [2, 4, 6]), (30, [*range(9)])]
)
def test_previews_are_spread_over_the_clip(monkeypatch, wanted, expected):
    """Ten frames, numbered 0 to 9: their ends are left out, and none is shown twice."""
    shown = []
    take = lambda params, noise, frames, **_: shown.extend(frames)  # noqa: E731
    monkeypatch.setattr(train.build, "render", take)
    config = load("dip_vid")
    config.log.preview_frames = wanted
    train._preview({}, np.zeros((10, 8, 8, 1), np.float32), config)
    assert shown == expected
