"""The flow file: round trip, selection of offsets, and what a reader refuses."""

import hashlib
import tracemalloc

import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.flow.flow_file import frames_sha256, load_flows, save_flows
from vidprior.io.npz import save_npz
from vidprior.types import OFFSETS, Flows

NUM_FRAMES, SIZE = 4, (5, 7)
SOURCE = "0123456789abcdef" * 4


def example_flows(dtype=np.float16):
    rng = np.random.default_rng(0)
    frame = np.arange(NUM_FRAMES)
    exists = np.stack([(frame + d >= 0) & (frame + d < NUM_FRAMES) for d in OFFSETS])
    flow = rng.normal(size=(len(OFFSETS), NUM_FRAMES, *SIZE, 2)).astype(dtype)
    reliable = rng.random(flow.shape[:-1]) < 0.5
    flow[~exists], reliable[~exists] = 0, False
    return Flows(np.array(OFFSETS, np.int32), flow, reliable, exists, "dis-medium", SOURCE)


def contents(**changes):
    """The fields of a valid file, as the contract writes them, with changes; None removes."""
    flows = example_flows()
    fields = {
        "version": 1,
        "estimator": flows.estimator,
        "offsets": flows.offsets,
        "flow": flows.flow,
        "reliable": flows.reliable,
        "exists": flows.exists,
        "size": np.array(SIZE, np.int32),
        "source_sha256": SOURCE,
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def load(path, **changes):
    wanted = {
        "num_frames": NUM_FRAMES,
        "size": SIZE,
        "source_sha256": SOURCE,
        "offsets": OFFSETS,
    }
    return load_flows(path, **(wanted | changes))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_round_trip(tmp_path, dtype):
    flows = example_flows(dtype)
    save_flows(tmp_path / "flows.npz", flows)
    loaded = load(tmp_path / "flows.npz")
    assert loaded.flow.dtype == dtype
    assert loaded.estimator == "dis-medium"
    assert loaded.source_sha256 == SOURCE
    for field in ("offsets", "flow", "reliable", "exists"):
        np.testing.assert_array_equal(getattr(loaded, field), getattr(flows, field))


def test_a_file_of_any_other_writer_is_read(tmp_path):
    np.savez_compressed(tmp_path / "flows.npz", **contents())
    np.testing.assert_array_equal(load(tmp_path / "flows.npz").flow, example_flows().flow)


def test_the_file_holds_exactly_the_contract(tmp_path):
    save_flows(tmp_path / "flows.npz", example_flows())
    with np.load(tmp_path / "flows.npz", allow_pickle=False) as stored:
        expected = contents()
        assert sorted(stored) == sorted(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(stored[name], value)
        assert stored["offsets"].dtype == stored["size"].dtype == np.int32


@pytest.mark.parametrize("offsets", [(5, -1), (1,), (3, -3, 1, -1), (1, -1)])
def test_offsets_are_selected_in_the_order_wanted(tmp_path, offsets):
    save_flows(tmp_path / "flows.npz", example_flows())
    loaded = load(tmp_path / "flows.npz", offsets=offsets)
    assert tuple(loaded.offsets) == offsets
    for k, offset in enumerate(offsets):
        stored = OFFSETS.index(offset)
        np.testing.assert_array_equal(loaded.flow[k], example_flows().flow[stored])
        np.testing.assert_array_equal(loaded.reliable[k], example_flows().reliable[stored])
        np.testing.assert_array_equal(loaded.exists[k], example_flows().exists[stored])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"num_frames": 6}, "number of frames is 4, expected 6"),
        ({"size": (5, 8)}, r"size \(height, width\) is \(5, 7\), expected \(5, 8\)"),
        ({"size": (7, 5)}, r"size \(height, width\) is \(5, 7\), expected \(7, 5\)"),
        ({"source_sha256": "f" * 64}, "source_sha256 is '0123456789abcdef.*, expected 'ffff"),
        # Equal in the part that the message shows.
        ({"source_sha256": SOURCE[:-1] + "0"}, "source_sha256 is "),
        ({"offsets": (1, 2, 7)}, r"offsets are .* expected \[1, 2, 7\] \(\[2, 7\] missing\)"),
    ],
)
def test_a_file_of_another_clip_is_refused(tmp_path, wanted, message):
    save_flows(tmp_path / "flows.npz", example_flows())
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path / "flows.npz", **wanted)
    assert "flows.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def with_value(field, index, value):
    array = contents()[field].copy()
    array[index] = value
    return {field: array}


BROKEN = {
    "version": ({"version": 2}, "version is 2, expected 1"),
    "version missing": ({"version": None}, "version is missing"),
    "flow missing": ({"flow": None}, "flow is missing"),
    "pickled flow": ({"flow": np.array([None])}, "flow holds pickled objects"),
    "size dtype": ({"size": np.array(SIZE)}, "dtype of size is int64, expected int32"),
    "size rank": ({"size": np.array([SIZE], np.int32)}, "size has shape"),
    "flow dtype": ({"flow": contents()["flow"].astype(float)}, "dtype of flow is float64"),
    "flow kind": ({"flow": contents()["flow"].astype(int)}, "dtype of flow is int64"),
    "flow shape": ({"flow": contents()["flow"][:, :, :4]}, "shape of flow is"),
    "flow rank": ({"flow": contents()["flow"][0]}, "shape of flow is"),
    "flow channels first": (
        {"flow": np.moveaxis(contents()["flow"], -1, 2)},
        r"shape of flow is \(6, 4, 2, 5, 7\), expected \(6, 4, 5, 7, 2\)",
    ),
    "reliable dtype": ({"reliable": contents()["reliable"].astype(np.uint8)}, "dtype of reliable"),
    "reliable shape": ({"reliable": contents()["reliable"][:5]}, "shape of reliable is"),
    "exists shape": ({"exists": contents()["exists"][:, :3]}, "shape of exists is"),
    "offset zero": (with_value("offsets", 2, 0), "expected distinct numbers other than 0"),
    "offset twice": (with_value("offsets", 2, 1), "expected distinct numbers other than 0"),
    "no offsets": (
        {"offsets": np.zeros(0, np.int32), "exists": np.zeros((0, 4), bool)},
        "expected distinct numbers other than 0",
    ),
    "nan": (with_value("flow", (1, 2, 3, 4, 1), np.nan), "offset -1, frame 2: flow is not finite"),
    "infinity": (with_value("flow", (0, 1, 0, 0, 0), np.inf), "offset 1, frame 1: flow is not"),
    "leaves the clip": (with_value("exists", (2, 1), True), "offset 3, frame 1: exists is True"),
    "reliable nowhere": (
        with_value("reliable", (2, 1, 0, 0), True),
        "offset 3, frame 1: reliable is True where exists is False",
    ),
    "estimator with escapes": ({"estimator": "dis\x1b[2J"}, "estimator is 'dis.*printable"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_breaks_the_contract_is_refused(tmp_path, case):
    changes, message = BROKEN[case]
    np.savez(tmp_path / "flows.npz", **contents(**changes))
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path / "flows.npz")
    assert "\n" not in str(caught.value)


def test_a_flow_that_does_not_exist_inside_the_clip_is_accepted(tmp_path):
    """An estimator may leave pairs out, across a cut for example."""
    flows = example_flows()
    flows.exists[0, 1], flows.reliable[0, 1], flows.flow[0, 1] = False, False, 0
    save_flows(tmp_path / "flows.npz", flows)
    assert not load(tmp_path / "flows.npz").exists[0, 1]


def test_a_large_file_of_another_clip_is_refused_without_reading_it(tmp_path):
    large = np.zeros((6, 4, 300, 300, 2), np.float16)
    save_npz(
        tmp_path / "flows.npz", **contents(flow=large, reliable=np.zeros((6, 4, 300, 300), bool))
    )
    tracemalloc.start()
    with pytest.raises(InputError, match="shape of flow is"):
        load(tmp_path / "flows.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < large.nbytes / 4


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04"])
def test_something_else_is_refused(tmp_path, content):
    (tmp_path / "flows.npz").write_bytes(content)
    with pytest.raises(InputError, match="damaged or not an"):
        load(tmp_path / "flows.npz")


def test_a_truncated_file_is_refused(tmp_path):
    save_flows(tmp_path / "flows.npz", example_flows())
    content = (tmp_path / "flows.npz").read_bytes()
    (tmp_path / "flows.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged or not an"):
        load(tmp_path / "flows.npz")


def test_frames_sha256_is_that_of_size_line_and_bytes():
    frames = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    expected = hashlib.sha256(b"2x3x4x3\n" + bytes(range(72))).hexdigest()
    assert frames_sha256(frames) == expected
    # The layout in memory does not matter; size and order of pixels do.
    assert frames_sha256(np.asfortranarray(frames)) == expected
    assert frames_sha256(frames.reshape(2, 4, 3, 3)) != expected
    assert frames_sha256(frames[:, ::-1]) != expected


@pytest.mark.parametrize(
    "frames",
    [np.zeros((2, 3, 4, 3)), np.zeros((3, 4, 3), np.uint8), np.zeros((2, 3, 4, 1), np.uint8)],
)
def test_frames_sha256_takes_nothing_else(frames):
    with pytest.raises(ValueError, match="expected"):
        frames_sha256(frames)
