"""Which windows there are, their order, and gathering one."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.training import windows
from vidprior.types import OFFSETS, DeviceClip, Window

BOTH = ("forward", "backward")


def test_windows_of_the_paper():
    # T = 60, N = 5: starts 0..55, 0..47 and 0..39, in both directions.
    listed = windows.list_windows(60, length=5, strides=(1, 3, 5), directions=BOTH)
    assert len(listed.frames) == 288 == 2 * (56 + 48 + 40)
    seen = {
        (int(frames[0]), int(frames[1] - frames[0]), bool(source[0] < target[0]))
        for frames, source, target in zip(listed.frames, listed.source, listed.target, strict=True)
    }
    assert seen == {
        (start, stride, forward)
        for stride, starts in ((1, 56), (3, 48), (5, 40))
        for start in range(starts)
        for forward in (True, False)
    }


def test_a_window_by_hand():
    listed = windows.list_windows(10, length=3, strides=(3,), directions=BOTH)
    # Starts 0..3, forward before backward: the last is the backward window 3 6 9.
    assert listed.frames[-1].tolist() == [3, 6, 9]
    assert listed.source[-1].tolist() == [1, 2]
    assert listed.target[-1].tolist() == [0, 1]
    assert [OFFSETS[k] for k in listed.offset[-1]] == [-3, -3]
    assert listed.source[-2].tolist() == [0, 1]
    assert listed.target[-2].tolist() == [1, 2]
    assert [OFFSETS[k] for k in listed.offset[-2]] == [3, 3]


@hypothesis.given(
    num_frames=st.integers(1, 40),
    length=st.integers(1, 6),
    strides=st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=3, unique=True),
    directions=st.lists(st.sampled_from(BOTH), min_size=1, max_size=2, unique=True),
)
def test_every_window_lies_in_the_clip_and_names_its_flow(num_frames, length, strides, directions):
    fitting = [s for s in strides if (length - 1) * s + 1 <= num_frames]
    keywords = {"length": length, "strides": strides, "directions": directions}
    if not fitting:
        with pytest.raises(InputError, match=f"has {num_frames} frames"):
            windows.list_windows(num_frames, **keywords)
        return
    listed = windows.list_windows(num_frames, **keywords)
    count = sum(num_frames - (length - 1) * s for s in fitting) * len(directions)
    assert listed.frames.shape == (count, length)
    assert listed.source.shape == listed.target.shape == listed.offset.shape == (count, length - 1)
    assert {field.dtype for field in listed} == {np.dtype(np.int32)}
    assert listed.frames.min() >= 0
    assert listed.frames.max() < num_frames
    if length > 1:
        assert len(set(map(bytes, np.concatenate(listed, axis=1)))) == count
    frame_i = np.take_along_axis(listed.frames, listed.source, axis=1)
    frame_j = np.take_along_axis(listed.frames, listed.target, axis=1)
    assert np.array_equal(frame_j - frame_i, np.array(OFFSETS)[listed.offset])


def test_strides_that_do_not_fit_are_left_out():
    assert windows.strides_that_fit(13, length=5, strides=(1, 3, 5)) == (1, 3)
    assert windows.strides_that_fit(12, length=5, strides=(1, 3, 5)) == (1,)
    listed = windows.list_windows(12, length=5, strides=(1, 3, 5), directions=BOTH)
    assert len(listed.frames) == 2 * 8


def test_a_clip_too_short_names_both_numbers():
    with pytest.raises(InputError, match=r"12 frames.* 5 frames at stride 3 needs 13"):
        windows.list_windows(12, length=5, strides=(5, 3), directions=BOTH)


@pytest.mark.parametrize(("num_frames", "start"), [(60, 30), (11, 5), (7, 2), (5, 0)])
def test_median_window(num_frames, start):
    # From T // 2, or the last start that fits: 7 - 5 = 2.
    listed = windows.list_windows(num_frames, length=5, strides=(1, 3, 5), directions=BOTH)
    median = windows.median_window(listed, num_frames)
    assert listed.frames[median].tolist() == list(range(start, start + 5))
    assert listed.source[median].tolist() == [0, 1, 2, 3]


def test_median_window_is_a_forward_one():
    listed = windows.list_windows(11, length=5, strides=(1,), directions=("backward", "forward"))
    assert listed.source[windows.median_window(listed, 11)].tolist() == [0, 1, 2, 3]


def schedule(num_windows=7, **changes):
    fields = {
        "seed": 0,
        "num_passes": 3,
        "windows_per_pass": 0,
        "updates_per_window": 2,
        "median": 0,
        "median_role": "none",
        **changes,
    }
    return windows.make_schedule(num_windows=num_windows, **fields)


def visits(made, updates_per_window):
    """The windows in order, one entry for the updates in a row on each."""
    rows = made.windows.reshape(-1, updates_per_window)
    assert (rows == rows[:, :1]).all()
    return rows[:, 0]


cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**31),
        "num_passes": st.integers(1, 6),
        "windows_per_pass": st.integers(0, 20),
        "updates_per_window": st.integers(1, 3),
        "median": st.integers(0, 1),
        "median_role": st.sampled_from(["none", "extra", "last"]),
    }
)


@hypothesis.given(num_windows=st.integers(2, 12), fields=cases)
def test_windows_are_dealt_from_a_deck(num_windows, fields):
    made = schedule(num_windows, **fields)
    order = visits(made, fields["updates_per_window"])
    passes = order.reshape(fields["num_passes"], -1)
    kept = set(range(num_windows))
    if fields["median_role"] != "none":
        assert (passes[:, -1] == fields["median"]).all()
        passes = passes[:, :-1]
    if fields["median_role"] == "last":
        kept.remove(fields["median"])
    assert passes.shape[1] == (fields["windows_per_pass"] or len(kept))
    # Every window once before any comes again, across the ends of passes too.
    dealt = passes.reshape(-1).tolist()
    for start in range(0, len(dealt), len(kept)):
        round_ = dealt[start : start + len(kept)]
        assert len(set(round_)) == len(round_)
        assert set(round_) <= kept
        assert len(round_) < len(kept) or set(round_) == kept
    ends = np.arange(1, fields["num_passes"] + 1) * len(made.windows) // fields["num_passes"]
    assert np.array_equal(made.pass_ends, ends)
    assert made.windows.dtype == made.pass_ends.dtype == np.int32


@hypothesis.given(num_windows=st.integers(2, 12), fields=cases, more=st.integers(1, 4))
def test_a_longer_run_begins_like_a_shorter_one(num_windows, fields, more):
    shorter = schedule(num_windows, **fields)
    longer = schedule(num_windows, **{**fields, "num_passes": fields["num_passes"] + more})
    assert np.array_equal(longer.windows[: len(shorter.windows)], shorter.windows)
    assert np.array_equal(longer.pass_ends[: len(shorter.pass_ends)], shorter.pass_ends)
    assert len(longer.windows) > len(shorter.windows)


def test_rounds_and_seeds_differ_in_order():
    order = visits(schedule(30, updates_per_window=1), 1).reshape(3, 30)
    assert not np.array_equal(order[0], np.arange(30))
    assert not np.array_equal(order[0], order[1])
    other = visits(schedule(30, updates_per_window=1, seed=1), 1).reshape(3, 30)
    assert not np.array_equal(order[0], other[0])
    assert np.array_equal(order, visits(schedule(30, updates_per_window=1), 1).reshape(3, 30))


# 'last': once a pass, at its end. 'extra': in the shuffle and at the end.
@pytest.mark.parametrize(("role", "times"), [("last", 1), ("extra", 2)])
def test_median_window_ends_a_pass(role, times):
    order = visits(schedule(6, median=4, median_role=role), 2).reshape(3, -1)
    assert ((order == 4).sum(axis=1) == times).all()
    assert (order[:, -1] == 4).all()
    assert order.shape[1] == 5 + times


def test_without_a_role_the_median_window_is_as_any_other():
    order = visits(schedule(6, median=4, median_role="none", num_passes=20), 2).reshape(20, 6)
    assert (np.sort(order, axis=1) == np.arange(6)).all()
    assert 0 < (order[:, -1] == 4).sum() < 20


def test_only_one_window():
    order = visits(schedule(1, median_role="last"), 2)
    assert order.tolist() == [0, 0, 0]


def test_only_one_window_and_windows_per_pass():
    made = schedule(1, median_role="last", windows_per_pass=50)
    assert set(made.windows.tolist()) == {0}


def test_published_schedule():
    config = configuration.load("flow")
    listed = windows.list_windows(60, length=5, strides=(1, 3, 5), directions=BOTH)
    fields = config.schedule
    made = windows.make_schedule(
        seed=config.seed,
        num_windows=len(listed.frames),
        num_passes=fields.num_passes,
        windows_per_pass=fields.windows_per_pass,
        updates_per_window=fields.updates_per_window,
        median=windows.median_window(listed, 60),
        median_role=fields.median_window,
    )
    # 20 passes of 50 windows and the median window once more, 100 updates each.
    assert len(made.windows) == 102_000 == 20 * (50 + 1) * 100
    assert made.pass_ends.tolist() == list(range(5100, 102_001, 5100))
    last = listed.frames[made.windows[5000:5100]]
    assert (last == np.arange(30, 35)).all()


def test_select_one_and_many():
    listed = windows.list_windows(9, length=3, strides=(1,), directions=("forward",))
    assert windows.select(listed, 4).frames.tolist() == [4, 5, 6]
    some = windows.select(listed, np.array([6, 0, 6]))
    assert some.frames.tolist() == [[6, 7, 8], [0, 1, 2], [6, 7, 8]]
    assert some.offset.shape == (3, 2)


@pytest.mark.parametrize("index", [[1, 2], [0, 3, 0], []])
def test_picking_is_indexing_and_so_is_its_gradient(index):
    """An entry that is picked twice has both gradients."""
    random = np.random.default_rng(0)
    x, weight = random.normal(size=(4, 2, 3)), random.normal(size=(len(index), 2, 3))
    picked, index = jnp.asarray(x), np.array(index, np.int32)
    assert np.array_equal(windows.pick(picked, index), picked[index])
    found = jax.grad(lambda x: jnp.sum(weight * windows.pick(x, index)))(picked)
    expected = np.zeros(x.shape)
    np.add.at(expected, index, weight)
    assert np.allclose(found, expected, atol=1e-6)


@pytest.fixture(scope="module")
def clip(make_random_clip):
    return make_random_clip(11, (4, 6))


def test_gathering_is_indexing(clip):
    listed = windows.list_windows(11, length=3, strides=(1, 3, 5), directions=BOTH)
    gather = jax.jit(windows.gather)
    host = jax.tree.map(np.asarray, clip)
    for index in range(0, len(listed.frames), 3):
        window = windows.select(listed, index)
        batch = gather(clip, window)
        frames = window.frames
        assert np.array_equal(batch.noise, host.noise[frames])
        assert np.allclose(batch.image, host.frames[frames] / 255, atol=1e-7)
        assert np.array_equal(batch.hole[..., 0], host.hole[frames])
        for ours, given in zip(
            (batch.source, batch.target, batch.offset),
            (window.source, window.target, window.offset),
            strict=True,
        ):
            assert np.array_equal(ours, given)
        for p in range(2):
            pair = (window.offset[p], frames[window.source[p]])
            assert np.array_equal(batch.flow[p], host.flow[pair].astype(np.float32))
            assert np.array_equal(batch.flow_known[p, ..., 0], host.flow_known[pair])
            assert np.array_equal(batch.flow_hole[p, ..., 0], host.flow_hole[pair])
            assert batch.flow_scale[p] == host.flow_scale[window.offset[p]]
        for ours, layer in zip(batch.features, host.features, strict=True):
            assert np.array_equal(ours, layer[frames])
        for ours, layer in zip(batch.feature_hole, host.feature_hole, strict=True):
            assert np.array_equal(ours[..., 0], layer[frames])
    assert {x.dtype for x in (batch.image, batch.hole, batch.flow, batch.flow_known)} == {
        jnp.dtype("float32")
    }


def test_gathering_leaves_out_what_the_clip_does_not_hold(clip):
    bare = DeviceClip(frames=clip.frames, hole=clip.hole, noise=clip.noise)
    window = Window(np.arange(3), np.arange(2), np.arange(1, 3), np.zeros(2, np.int32))
    batch = windows.gather(bare, window)
    assert batch.image.shape == (3, 4, 6, 3)
    for name in (
        "flow", "flow_known", "flow_hole", "flow_scale", "features", "feature_hole",
    ):  # fmt: skip
        assert getattr(batch, name) is None
    batch = windows.gather(bare.replace(feature_hole=clip.feature_hole), window)
    assert len(batch.feature_hole) == 2
    assert batch.features is None
