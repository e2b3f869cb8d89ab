"""Round trips, atomicity, and refusal of hostile or damaged files."""

import io
import os
import pathlib
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidprior.errors import InputError
from vidprior.io.npz import load_npz, read_headers, save_npz

FIELDS = {"name": ("U", 0), "mask": ("b", 2), "values": ("f", 3)}


def example_arrays():
    values = np.linspace(-2, 3, 2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    return {"name": "a name", "mask": values[0] > 0, "values": values}


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "example.npz"
    save_npz(path, **example_arrays())
    return path


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An .npy member with a header of our own making."""
    text = header.encode()
    length = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + length + text + data


def write_members(path, **members: bytes):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def test_round_trip_keeps_values_dtypes_and_field_order(example):
    loaded = load_npz(example, fields=FIELDS, max_bytes=10_000)
    assert list(loaded) == list(FIELDS)
    for name, array in example_arrays().items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == np.asarray(array).dtype


def test_numpy_reads_what_is_written(example):
    with np.load(example, allow_pickle=False) as loaded:
        assert sorted(loaded) == sorted(FIELDS)
        np.testing.assert_array_equal(loaded["values"], example_arrays()["values"])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(tmp_path, save):
    arrays = example_arrays() | {"values": np.asfortranarray(example_arrays()["values"])}
    save(tmp_path / "example.npz", **arrays)
    loaded = load_npz(tmp_path / "example.npz", fields=FIELDS, max_bytes=10_000)
    np.testing.assert_array_equal(loaded["values"], arrays["values"])


def test_equal_arrays_give_equal_files(example, tmp_path):
    save_npz(tmp_path / "second.npz", **example_arrays())
    assert (tmp_path / "second.npz").read_bytes() == example.read_bytes()


def test_masks_are_compressed_and_floats_are_not(tmp_path):
    save_npz(tmp_path / "a.npz", mask=np.zeros((100, 100), bool), values=np.zeros(100))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        sizes = {info.filename: info.compress_size for info in archive.infolist()}
    assert sizes["mask.npy"] < 1000
    assert sizes["values.npy"] == 100 * 8 + 128


def test_a_failed_write_keeps_the_older_file_and_leaves_nothing_behind(example):
    before = example.read_bytes()
    with pytest.raises(ValueError, match="Object arrays"):
        save_npz(example, values=np.zeros(3), bad=np.array([None]))
    assert example.read_bytes() == before
    assert os.listdir(example.parent) == [example.name]


def test_what_the_file_system_refuses_is_the_users_problem(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"a\.npz: cannot be written \("):
        save_npz(tmp_path / "file" / "a.npz", values=np.zeros(3))


def test_headers_are_read_without_contents(example):
    headers = read_headers(example, ["values", "mask"])
    assert headers["values"] == ((2, 3, 4), np.dtype(np.float32), 96)
    assert headers["mask"] == ((3, 4), np.dtype(bool), 12)


@pytest.mark.parametrize(
    ("fields", "max_bytes", "message"),
    [
        ({"absent": ("f", 1)}, 1000, "absent is missing"),
        ({"values": ("iu", 3)}, 1000, "values has dtype float32, expected kind 'iu'"),
        ({"values": ("f", 2)}, 1000, r"values has shape \(2, 3, 4\), expected 2 dimensions"),
        ({"values": ("f", 3), "mask": ("b", 2)}, 107, "take 108 bytes, at most 107.*values"),
    ],
)
def test_what_differs_is_named(example, fields, max_bytes, message):
    with pytest.raises(InputError, match=message):
        load_npz(example, fields=fields, max_bytes=max_bytes)


def test_the_limit_itself_is_accepted(example):
    fields = {"values": ("f", 3), "mask": ("b", 2)}
    assert len(load_npz(example, fields=fields, max_bytes=108)) == 2


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_missing_file_or_a_folder(tmp_path, make):
    make(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"a\.npz: no such file"):
        load_npz(tmp_path / "a.npz", fields=FIELDS, max_bytes=1)


def test_pickles_are_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "sprung",)

    np.savez(tmp_path / "a.npz", values=np.array([Trap()], object))
    with pytest.raises(InputError, match="values holds pickled objects"):
        load_npz(tmp_path / "a.npz", fields={"values": ("fO", 1)}, max_bytes=1000)
    assert not (tmp_path / "sprung").exists()


HOSTILE = {
    "header larger than the data": (
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 1)}", b"1234"),
        "announces 4000000000000 bytes",
    ),
    "product that overflows 64 bits to zero": (
        npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**32}, {2**32}, 1)}}"),
        f"announces {2**66} bytes",
    ),
    "negative dimension": (
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1, 1)}", b"1234"),
        "which is no shape",
    ),
    "trailing data": (
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1)}", b"12345"),
        "announces 4 bytes .* 5 stored",
    ),
    "cut inside the header": (
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1)}")[:30],
        "damaged",
    ),
    "long header": (
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1)}" + " " * 2000, b"1234"),
        "damaged",
    ),
    "header that is no literal": (npy("__import__('os').abort()"), "damaged"),
    "deeply nested header": (npy("-" * 900 + "1"), "damaged"),
    "unknown format version": (npy("{}", version=b"\x03\x00"), "array format"),
    "not an array": (b"hello", "damaged"),
    "empty": (b"", "damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members_are_refused_before_memory_is_taken(tmp_path, case):
    content, message = HOSTILE[case]
    write_members(tmp_path / "a.npz", values=content)
    tracemalloc.start()
    with pytest.raises(InputError, match=message) as caught:
        load_npz(tmp_path / "a.npz", fields={"values": ("f", 3)}, max_bytes=1 << 60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 2_000_000


def test_a_huge_but_honest_array_is_refused_by_its_size(tmp_path):
    save_npz(tmp_path / "a.npz", mask=np.zeros((4000, 4000), bool))  # 16 kB on disk
    tracemalloc.start()
    with pytest.raises(InputError, match="take 16000000 bytes, at most 1000000"):
        load_npz(tmp_path / "a.npz", fields={"mask": ("b", 2)}, max_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_other_compressions_are_refused(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.zeros((1, 1, 1), np.float32))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("values.npy", buffer.getvalue())
    with pytest.raises(InputError, match="compressed in a way"):
        load_npz(tmp_path / "a.npz", fields={"values": ("f", 3)}, max_bytes=1000)


def test_text_that_is_not_unicode(tmp_path):
    np.savez(tmp_path / "a.npz", name=np.array([0x7FFFFFFF], np.uint32).view("<U1"))
    with pytest.raises(InputError, match="name is not Unicode"):
        load_npz(tmp_path / "a.npz", fields={"name": ("U", 1)}, max_bytes=1000)


def test_every_truncation_is_refused(example):
    content = example.read_bytes()
    for length in range(len(content)):
        example.write_bytes(content[:length])
        with pytest.raises(InputError):
            load_npz(example, fields=FIELDS, max_bytes=10_000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_changed_bytes_give_the_same_arrays_or_a_refusal(tmp_path, changes):
    """The checksum of the zip format stands behind this; no other exception escapes."""
    path = tmp_path / "fuzz.npz"
    save_npz(path, **example_arrays())
    content = bytearray(path.read_bytes())
    for position, value in changes:
        content[position % len(content)] = value
    path.write_bytes(content)
    try:
        loaded = load_npz(path, fields=FIELDS, max_bytes=10_000)
    except InputError:
        return
    for name, array in example_arrays().items():
        np.testing.assert_array_equal(loaded[name], array)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    array=hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.int32, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_any_plain_array_survives(tmp_path, array):
    path = tmp_path / "any.npz"
    save_npz(path, array=array)
    fields = {"array": (array.dtype.kind, array.ndim)}
    loaded = load_npz(path, fields=fields, max_bytes=array.nbytes)["array"]
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)
