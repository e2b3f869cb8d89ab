"""Rows of losses: which updates they are means of, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidprior.errors import NonFiniteLoss
from vidprior.training.loss_log import LossLog
from vidprior.training.windows import Schedule, list_windows

# Two passes of four updates; windows of two frames: 0 to 3 at stride 1, then [0, 3]
# and [1, 4] at stride 3.

WINDOWS = list_windows(5, length=2, strides=(1, 3), directions=("forward",))
SCHEDULE = Schedule(
    windows=np.array([0, 0, 4, 4, 1, 1, 5, 5], np.int32), pass_ends=np.array([4, 8], np.int32)
)


class Recorded(list):
    """Takes rows as `record` of a log does."""

    def __call__(self, update, number, means):
        self.append({"update": update, "pass": number, **means})


@pytest.fixture
def rows():
    return Recorded()


@pytest.fixture
def log(rows):
    return LossLog(rows, SCHEDULE, WINDOWS, every=3)


def losses(*values):
    """The losses of a block, one for each update, as `fit` returns them."""
    return {"image": jnp.array(values), "total": 2 * jnp.array(values)}


def test_rows_are_means_since_the_row_before(log, rows):
    for start, value in enumerate([1.0, 2.0, 6.0, 4.0, 8.0, 16.0, 32.0, 64.0]):
        log.add(start, losses(value))
        log.settle()
    assert rows == [
        {"update": 3, "pass": 1, "image": 3.0, "total": 6.0},  # (1 + 2 + 6) / 3
        {"update": 4, "pass": 1, "image": 4.0, "total": 8.0},  # the end of the pass
        {"update": 6, "pass": 2, "image": 12.0, "total": 24.0},  # (8 + 16) / 2
        {"update": 8, "pass": 2, "image": 48.0, "total": 96.0},  # (32 + 64) / 2
    ]


@settings(deadline=None)
@given(st.lists(st.integers(1, 7), max_size=7, unique=True))
def test_rows_do_not_depend_on_the_blocks(cut):
    values = np.float32([1, 2, 6, 4, 8, 16, 32, 64])
    written = []
    for stops in ([*range(1, 9)], [*sorted(cut), 8]):
        rows = Recorded()
        log = LossLog(rows, SCHEDULE, WINDOWS, every=3)
        start = 0
        for stop in stops:
            log.add(start, losses(*values[start:stop]))
            log.settle(behind=1)
            start = stop
        log.settle()
        written.append(rows)
    assert written[0] == written[1]


def test_the_newest_block_may_wait(log, rows):
    log.add(0, losses(1.0, 2.0, 3.0))
    assert log.settle(behind=1) == {}
    assert rows == []
    log.add(3, losses(4.0))
    assert log.settle(behind=1) == {"loss": 4.0}  # the mean total of the first row
    assert [row["update"] for row in rows] == [3]
    log.settle()
    assert [row["update"] for row in rows] == [3, 4]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_names_update_and_window(log, bad):
    log.add(0, losses(1.0, 1.0))
    log.add(2, {"image": jnp.array([1.0, 1.0]), "total": jnp.array([1.0, bad])})
    with pytest.raises(NonFiniteLoss, match=r"\(total\) at update 4, .*\[0, 3\]") as error:
        log.settle()
    assert "--config.optimizer.learning_rate" in str(error.value)


def test_rows_before_a_loss_that_is_not_finite_are_kept(log, rows):
    log.add(0, losses(1.0, 2.0, 3.0, np.nan))
    with pytest.raises(NonFiniteLoss):
        log.settle()
    assert rows == [{"update": 3, "pass": 1, "image": 2.0, "total": 4.0}]


def test_a_log_goes_on_with_the_losses_that_no_row_was_made_of(rows):
    log = LossLog(rows, SCHEDULE, WINDOWS, begin=2, every=3, rows=[{"image": 5.0, "total": 9.0}])
    log.add(2, losses(1.0))
    assert log.settle() == {"loss": 5.5}  # (9 + 2) / 2
    assert rows == [{"update": 3, "pass": 1, "image": 3.0, "total": 5.5}]


# Three networks at once, the last of which only fills up the group: windows 0, 4 and 0.

AT_ONCE = Schedule(np.array([[0, 4, 0]] * 2), np.array([2]))


def at_once(*rows):
    return {"total": jnp.array(rows)}


def test_networks_that_fill_up_a_group_are_not_looked_at(rows):
    log = LossLog(rows, AT_ONCE, WINDOWS, every=1, num_networks=2)
    log.add(0, at_once([1.0, 2.0, np.nan], [3.0, 5.0, np.nan]))
    log.settle()
    assert rows == [
        {"update": 1, "pass": 1, "total": 1.5},
        {"update": 2, "pass": 1, "total": 4.0},
    ]


def test_of_networks_at_once_the_diverging_one_is_named(rows):
    log = LossLog(rows, AT_ONCE, WINDOWS, every=1, num_networks=2)
    log.add(0, at_once([1.0, 2.0, 1.0], [3.0, np.inf, 1.0]))
    with pytest.raises(NonFiniteLoss, match=r"at update 2, window of frames \[0, 3\]"):
        log.settle()
