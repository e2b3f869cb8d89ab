"""The training loop: how updates are cut, and what is saved, scored, shown and stopped."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import Traced
from hypothesis import given
from hypothesis import strategies as st

from vidprior.errors import Interrupted, NonFiniteLoss
from vidprior.training import loop
from vidprior.training.loop import Loop, Network
from vidprior.training.train_step import Fit, TrainState, update_best, with_best
from vidprior.training.windows import Schedule, list_windows
from vidprior.types import DeviceClip

pytestmark = pytest.mark.usefixtures("log_on_stderr")

# Blocks


def test_blocks_by_hand():
    found = list(loop.blocks(0, 12, size=5, ends=frozenset({7})))
    assert found == [(0, 5), (5, 7), (7, 12)]


def test_blocks_of_a_run_taken_up_inside_a_block():
    found = list(loop.blocks(6, 12, size=5, ends=frozenset({7})))
    assert found == [(6, 7), (7, 12)]


def test_a_finished_run_has_no_blocks():
    assert list(loop.blocks(12, 12, size=5, ends=frozenset({7}))) == []


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
    found = list(loop.blocks(begin, total, size=size, ends=ends))
    updates = [update for first, stop in found for update in range(first, stop)]
    assert updates == list(range(begin, total))
    for first, stop in found:
        assert 0 < stop - first <= size
        assert not any(first < end < stop for end in ends)


@given(cuts, st.data())
def test_cuts_do_not_depend_on_where_a_run_is_taken_up(cut, data):
    total, size, ends = cut
    whole = list(loop.blocks(0, total, size=size, ends=ends))
    begin = data.draw(st.sampled_from([0, total, *(stop for _, stop in whole)]))
    rest = list(loop.blocks(begin, total, size=size, ends=ends))
    assert rest == [block for block in whole if block[0] >= begin]


@pytest.mark.parametrize(
    ("ends", "size"),
    [
        ([300], 100),
        ([27, 54, 81], 27),
        ([250, 500], 50),  # divides 250; 83 would take fewer dispatches, and a second program
        ([101], 100),  # and one by itself: nothing divides 101
        ([206], 68),  # 3 dispatches and 2 by themselves; 100 would leave 6
        ([7, 9], 7),  # one, and then two by themselves
    ],
)
def test_blocks_fit_the_passes(ends, size):
    order = Schedule(np.zeros(ends[-1], int), np.array(ends))
    assert loop.block_size(order, largest=100) == size
    assert loop.block_size(order, largest=1) == 1


# The loop itself, with a network of one number that grows by one in every update. Its loss is
# what it was before.

WINDOWS = list_windows(5, length=2, strides=(1,), directions=("forward",))
CLIP = DeviceClip(frames=jnp.zeros(1), hole=jnp.zeros(1), noise=jnp.zeros(1))


def schedule(*passes):
    """The same window in all updates, cut into passes of so many."""
    ends = np.cumsum(passes)
    return Schedule(np.zeros(ends[-1], np.int32), ends)


def grow(state, clip, window):
    params = {"a": state.params["a"] + 1}
    return state.replace(params=params, step=state.step + 1), {"total": state.params["a"]}


def fresh(value=0.0):
    return TrainState({"a": jnp.array(value)}, (), jnp.zeros((), jnp.int32))


class Kept:
    """What a run saves, records, shows and tells."""

    def __init__(self):
        self.saved, self.rows, self.shown, self.told = [], [], [], []

    def save(self, state, rows):
        number = int(np.ravel(state.step)[-1])
        self.saved.append((number, [row["total"] for row in rows]))

    def run(self, networks, *, total, step=grow, length=1, **fields):
        made = Loop(
            fit=Fit(step, length=length),
            clip=CLIP,
            windows=WINDOWS,
            fill=lambda clip, _: clip,
            record=self.rows.append,
            stopped=lambda done: f"stopped after {done}",
            **{"log_every": 3, "save_every": 100} | fields,
        )
        return made.run(networks, total=total, listener=lambda *told: self.told.append(told))


@pytest.fixture
def kept():
    return Kept()


@pytest.mark.parametrize("length", [1, 2, 4])
def test_updates_are_recorded_saved_and_shown(kept, length):
    """Two passes of four updates, a row of every three and a save of every five."""
    shown = []
    state = kept.run(
        [Network(fresh(), schedule(4, 4), kept.save)],
        total=8,
        length=length,
        save_every=5,
        preview=lambda params, end: shown.append((float(params["a"]), end)),
    )
    assert float(state.params["a"]) == int(state.step) == 8
    assert kept.rows == [
        {"update": 3, "pass": 1, "total": 1.0},  # of 0, 1, 2
        {"update": 4, "pass": 1, "total": 3.0},
        {"update": 6, "pass": 2, "total": 4.5},
        {"update": 8, "pass": 2, "total": 6.5},
    ]
    between = {1: [(5, [4.0])], 2: [(6, [])], 4: []}[length]
    assert kept.saved == [(4, []), *between, (8, [])]
    assert shown == [(4.0, 4), (8.0, 8)]
    assert [done for done, _, _ in kept.told] == [*range(length, 9, length)]
    assert {total for _, total, _ in kept.told} == {8}


def test_a_run_goes_on_where_it_stood(kept):
    state = fresh(5.0).replace(step=jnp.array(5, jnp.int32))
    network = Network(state, schedule(4, 4), kept.save, begin=5, rows=[{"total": 4.0}])
    kept.run([network], total=8)
    assert kept.rows[0] == {"update": 6, "pass": 2, "total": 4.5}
    assert kept.saved == [(8, [])]


def test_one_network_follows_the_other(kept):
    """Each of two updates; the second pair is fitted at once, and counts as two."""

    def networks():
        yield Network(fresh(), schedule(2), kept.save, can_go_on=False)
        assert kept.saved == [(2, [])]
        yield Network(fresh(10.0), schedule(2), kept.save, before=2, can_go_on=False)

    state = kept.run(networks(), total=4, log_every=1)
    assert float(state.params["a"]) == 12
    assert [row["update"] for row in kept.rows] == [1, 2, 3, 4]
    assert [done for done, _, _ in kept.told] == [1, 2, 3, 4]


def test_networks_at_once_count_as_so_many(kept):
    states = jax.tree.map(lambda x: jnp.stack([x, x, x]), fresh())
    order = Schedule(np.zeros((2, 3), np.int32), np.array([2]))
    network = Network(states, order, kept.save, before=4, num_networks=2, can_go_on=False)
    kept.run([network], total=8, step=jax.vmap(grow, in_axes=(0, None, 0)), log_every=1)
    assert [row["update"] for row in kept.rows] == [6, 8]
    assert [done for done, _, _ in kept.told] == [6, 8]


def test_without_networks_nothing_is_compiled(kept, capsys):
    assert kept.run([], total=0) is None
    assert capsys.readouterr().err == ""


class StopAt:
    """In the place of `StopRequest`: asks for an end from the nth time on that it is looked at."""

    def __init__(self, number):
        self._left = number

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def asked(self):
        self._left -= 1
        return self._left <= 0


@pytest.mark.parametrize("number", range(1, 9))
def test_what_is_said_to_be_saved_is_saved(kept, monkeypatch, number):
    """A signal may come between any two looks at it."""
    monkeypatch.setattr(loop, "StopRequest", lambda: StopAt(number))
    with pytest.raises(Interrupted) as stopped:
        kept.run([Network(fresh(), schedule(4, 4), kept.save)], total=8)
    assert str(stopped.value) == f"stopped after {kept.saved[-1][0]}"
    assert kept.saved[-1][0] == number


def test_a_network_that_cannot_go_on_is_saved_at_its_end_alone(kept, monkeypatch):
    network = Network(fresh(), schedule(3), kept.save, can_go_on=False)
    monkeypatch.setattr(loop, "StopRequest", lambda: StopAt(2))
    with pytest.raises(Interrupted):
        kept.run([network], total=3, save_every=1)
    assert kept.saved == []
    monkeypatch.setattr(loop, "StopRequest", lambda: StopAt(3))
    with pytest.raises(Interrupted):
        kept.run([network._replace(state=fresh())], total=3, save_every=1)
    assert kept.saved == [(3, [])]


def test_a_save_is_due_after_some_time_too(kept, monkeypatch):
    """Every look at the clock takes 50 seconds."""
    now = [0.0]

    def monotonic():
        now[0] += 50
        return now[0]

    monkeypatch.setattr(loop.time, "monotonic", monotonic)
    kept.run([Network(fresh(), schedule(20), kept.save)], total=20)
    numbers = [number for number, _ in kept.saved]
    assert len(numbers) > 2
    assert numbers[-1] == 20


@pytest.mark.parametrize("at", [1, 3])
def test_parameters_that_are_not_finite_are_not_saved(kept, at):
    """The loss of an update does not show what the update has done."""

    def spoil(state, clip, window):
        value = jnp.where(state.step + 1 == at, jnp.inf, 1.0)
        return state.replace(params={"a": value}, step=state.step + 1), {"total": jnp.array(2.0)}

    with pytest.raises(NonFiniteLoss, match=rf"\(parameters\) at update {at}, .*\[0, 1\]"):
        kept.run([Network(fresh(), schedule(9), kept.save)], total=9, step=spoil, save_every=1)
    assert [number for number, _ in kept.saved] == [*range(1, at)]


def test_the_best_pass_is_kept_and_ends_the_run(kept, capsys):
    """Errors of the passes: 4, 1, 9, none, 9; after the fourth half of the updates are in vain."""
    errors = iter([4.0, 1.0, 9.0, np.nan, 9.0, 9.0])
    network = Network(with_best(fresh()), schedule(*[2] * 6), kept.save)
    state = kept.run([network], total=12, score=lambda params: next(errors))
    assert int(state.step) == 8
    assert int(state.best.step) == 4
    assert float(state.rendered["a"]) == 4
    told = capsys.readouterr().err
    assert "update 2: held-out RMSE 2.0/255" in told
    assert "training stopped after update 8: the best score was after update 4" in told
    assert told.count("held-out RMSE") == 3


def test_a_score_does_not_compile_the_updates_again():
    traced = Traced(grow)
    fit = Fit(traced, length=2)
    windows = functools.partial(jax.tree.map, lambda x: np.stack([x[0]] * 2))
    state, _ = fit(with_best(fresh()), CLIP, windows(WINDOWS))
    state, _ = fit(update_best(state, 3.0), CLIP, windows(WINDOWS))
    assert int(state.step) == 4
    assert traced.count == 1


def test_two_programs_serve_all_blocks(kept):
    """One for blocks of four, one for what is left of every pass."""
    traced = Traced(grow)
    state = kept.run(
        [Network(fresh(), schedule(9, 7, 6), kept.save)], total=22, step=traced, length=4
    )
    assert float(state.params["a"]) == 22
    assert traced.count == 2
