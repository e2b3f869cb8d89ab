"""Saving, restoring, and what a damaged or full disk leaves behind."""

import contextlib
import dataclasses
import gc
import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vidprior.errors import InputError
from vidprior.training.checkpoints import Checkpoints, _keep_storage_quiet
from vidprior.training.train_step import TrainState, update_best, with_best, with_ema

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = pathlib.Path(__file__).parents[2]


def make_state(step, *, width=2000, names=("first", "second")):
    """A state whose every number depends on the step; arrays large enough to fill files."""
    random = np.random.default_rng(step)
    params = {
        name: {
            "kernel": jnp.asarray(random.normal(size=(2, width)), jnp.float32),
            "bias": jnp.asarray(random.normal(size=width) * 1e-30, jnp.float32),
        }
        for name in names
    }
    adam = optax.adam(0.01)
    _, opt_state = adam.update(jax.tree.map(jnp.cos, params), adam.init(params))
    return TrainState(params, opt_state, jnp.asarray(step, jnp.int32))


def assert_identical(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with the checkpoints of updates 100 and 200."""
    folder = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(folder, keep=2)
    for step in (100, 200):
        checkpoints.save(make_state(step), {"flow_scale": [1.5, step]})
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


@pytest.mark.parametrize("keep", [None, 2])
def test_restored_is_what_was_saved_bit_for_bit(saved, keep):
    checkpoints = Checkpoints(saved, keep=keep)
    assert checkpoints.steps() == [100, 200]
    for step in (100, 200):
        assert_identical(checkpoints.restore(step, make_state(0)), make_state(step))


def test_parameters_alone_need_no_optimiser(saved):
    params, extra = Checkpoints(saved).restore_params(100)
    assert_identical(params, make_state(100).params)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))
    assert extra == {"flow_scale": [1.5, 100]}


def test_averaged_parameters_are_those_that_render(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    state = make_state(3).replace(ema=jax.tree.map(lambda x: x / 2, make_state(3).params))
    checkpoints.save(state, {})
    assert_identical(checkpoints.restore_params(3)[0], state.ema)
    like = make_state(0).replace(ema=make_state(0).params)
    assert_identical(checkpoints.restore(3, like), state)


def test_extra_facts_are_read_alone(saved):
    assert Checkpoints(saved).restore_extra(200) == {"flow_scale": [1.5, 200]}
    with pytest.raises(InputError, match="no checkpoint of update 7"):
        Checkpoints(saved).restore_extra(7)


def test_the_best_parameters_are_saved_with_the_rest(tmp_path):
    state = with_best(make_state(5))
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(state, {})
    assert_identical(checkpoints.restore(5, with_best(make_state(0))), state)


def test_what_was_judged_best_is_rendered(tmp_path):
    """Before anything was judged, the newest are."""
    checkpoints = Checkpoints(tmp_path, keep=2)
    state = with_best(make_state(5))
    checkpoints.save(state, {})
    assert_identical(checkpoints.restore_params(5)[0], state.params)
    older = state.params
    state = update_best(state, 2.5).replace(params=make_state(6).params, step=make_state(6).step)
    checkpoints.save(state, {})
    assert_identical(checkpoints.restore_params(6)[0], older)
    assert_identical(checkpoints.restore(6, with_best(make_state(0))), state)


@pytest.fixture
def from_gpu(copy):
    """A copy whose arrays were written on a GPU, as far as the checkpoint tells."""
    for path in copy.rglob("_sharding"):
        text = path.read_text()
        assert "cpu:0" in text
        path.write_text(text.replace("cpu:0", "cuda:0"))
    return copy


def test_what_a_gpu_has_written_is_read_without_one(from_gpu):
    params, extra = Checkpoints(from_gpu).restore_params(200)
    assert_identical(params, make_state(200).params)
    assert extra == {"flow_scale": [1.5, 200]}
    restored = Checkpoints(from_gpu, keep=2).restore(200, make_state(0))
    assert_identical(restored, make_state(200))
    assert {leaf.device for leaf in jax.tree.leaves(restored)} == {jax.local_devices()[0]}


def test_networks_of_windows_are_found_in_their_groups(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=9)
    checkpoints.save(make_state(20), {"windows": [4, 1]})
    checkpoints.save(make_state(30), {"windows": [0]})
    assert checkpoints.windows() == {4: (20, 0), 1: (20, 1), 0: (30, 0)}
    params_for = checkpoints.restore_by_window()
    for number, (step, position) in checkpoints.windows().items():
        params = make_state(step).params
        expected = {
            name: {leaf: np.asarray(x[position]) for leaf, x in layer.items()}
            for name, layer in params.items()
        }
        assert_identical(params_for(number), expected)


def test_names_in_checkpoints_stay(tmp_path):
    """Those of every version, whatever the program calls them."""
    state = with_ema(with_best(make_state(5)))
    Checkpoints(tmp_path, keep=1).save(state, {})
    (described,) = tmp_path.rglob("_METADATA")
    tree = json.loads(described.read_text())["tree_metadata"]
    names = {entry["key_metadata"][0]["key"] for entry in tree.values()}
    assert names == {"params", "opt_state", "step", "best", "average"}


def test_the_newest_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "new" / "folder", keep=2)
    assert checkpoints.steps() == []
    for step in (3, 9, 10):
        checkpoints.save(make_state(step), {})
    assert checkpoints.steps() == [9, 10]
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"9", "10"}
    assert_identical(checkpoints.restore(9, make_state(0)), make_state(9))


def test_a_checkpoint_is_never_written_twice(copy):
    checkpoints = Checkpoints(copy, keep=2)
    changed = dataclasses.replace(make_state(7), step=jnp.asarray(200, jnp.int32))
    checkpoints.save(changed, {})
    assert_identical(checkpoints.restore(200, make_state(0)), make_state(200))


def test_reading_makes_no_folder(tmp_path):
    assert Checkpoints(tmp_path / "none").steps() == []
    assert not (tmp_path / "none").exists()


def test_a_missing_step_names_those_at_hand(saved, tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint of update 150 .*: 100, 200$"):
        Checkpoints(saved).restore(150, make_state(0))
    with pytest.raises(InputError, match=r"no checkpoint of update 7 .*: none$"):
        Checkpoints(tmp_path / "none").restore_params(7)


@pytest.fixture
def tidy():
    """Orbax leaves reads behind that it began before it found an array damaged: end them here."""
    yield
    gc.collect()


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("other", [{"width": 1999}, {"names": ("first",)}, {"names": "abc"}])
def test_a_state_of_another_network_is_refused(saved, other):
    with pytest.raises(InputError, match="update 200") as caught:
        Checkpoints(saved).restore(200, make_state(0, **other))
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def damage(pattern, change):
    """Builds a function that changes the bytes of every file of a folder that fits a pattern."""

    def apply(step):
        files = [file for file in step.rglob(pattern) if file.is_file()]
        assert files
        for file in files:
            file.write_bytes(change(file.read_bytes()))

    return apply


def garbage(data):
    return b"\0garbage" * 9


def half(data):
    return data[: len(data) // 2]


def zeros(data):
    """What a power failure may leave of a file whose size was written first."""
    return bytes(len(data))


DAMAGES = {
    "all": damage("*", garbage),
    "all empty": damage("*", lambda data: b""),
    "all cut": damage("*", half),
    "all zeros": damage("*", zeros),
    "manifests": damage("manifest.ocdbt", garbage),
    "arrays": damage("d/*", garbage),
    "arrays cut": damage("d/*", half),
    "arrays zeros": damage("d/*", zeros),
    "metadata": damage("_METADATA", garbage),
    "state gone": lambda step: shutil.rmtree(step / "state"),
}


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_is_one_line_that_names_it(copy, kind):
    DAMAGES[kind](copy / "200")
    checkpoints = Checkpoints(copy, keep=2)
    for read in (lambda: checkpoints.restore(200, make_state(0)),
                 lambda: checkpoints.restore_params(200)):  # fmt: skip
        with pytest.raises(InputError, match="update 200") as caught:
            read()
        assert str(copy) in str(caught.value)
        assert "\n" not in str(caught.value)
    # The one before is not touched by it, and is the newest once the damaged one is removed.
    assert_identical(checkpoints.restore(100, make_state(0)), make_state(100))
    shutil.rmtree(copy / "200")
    assert Checkpoints(copy, keep=2).steps() == [100]


@pytest.mark.usefixtures("tidy")
def test_a_flipped_bit_is_never_taken_for_a_number(copy):
    """Orbax itself gives wrong numbers for many of these; here none may be given."""
    random = np.random.default_rng(0)
    files = [file for file in (copy / "200/state").rglob("d/*") if file.stat().st_size > 1000]
    refused = 0
    for _ in range(20):
        file = files[random.integers(len(files))]
        data = bytearray(whole := file.read_bytes())
        data[random.integers(len(data))] ^= 1 << random.integers(8)
        file.write_bytes(data)
        with contextlib.suppress(InputError):
            refused += 1
            read = Checkpoints(copy).restore(200, make_state(0))
            refused -= 1
            assert_identical(read, make_state(200))  # the bit stood where nothing is read
        file.write_bytes(whole)
    assert refused > 10


def test_a_checksum_that_differs_says_so(copy):
    (facts,) = (copy / "200/extra").rglob("metadata")
    facts.write_text(facts.read_text().replace('"sha256": "', '"sha256": "0'))
    for read in (lambda: Checkpoints(copy).restore(200, make_state(0)),
                 lambda: Checkpoints(copy).restore_params(200)):  # fmt: skip
        with pytest.raises(
            InputError, match=r"is damaged: its checksum does not match; move it away"
        ):
            read()


def test_a_checkpoint_of_an_earlier_version_has_no_checksum(copy):
    (facts,) = (copy / "200/extra").rglob("metadata")
    facts.write_text('{"flow_scale": null}')
    checkpoints = Checkpoints(copy)
    assert_identical(checkpoints.restore(200, make_state(0)), make_state(200))
    assert checkpoints.restore_params(200)[1] == {"flow_scale": None}


FULL_DISK = """
import pathlib, resource, sys
from test_checkpoints import make_state
from vidprior.training.checkpoints import Checkpoints
from vidprior.errors import InputError

checkpoints = Checkpoints(pathlib.Path(sys.argv[1]), keep=1)
checkpoints.save(make_state(1), {})
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        checkpoints.save(make_state(2), {})
        print("saved")
    except InputError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
Checkpoints(pathlib.Path(sys.argv[1]), keep=2).save(make_state(3), {})
"""


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory):
    """A folder whose second checkpoint found the disk full, twice; the third one did not."""
    folder = tmp_path_factory.mktemp("full") / "checkpoints"
    # No byte at all, and a few thousand: the first array does not fit.
    finished = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder), "0", "9000"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/training'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    return folder, finished.stdout.splitlines()


def test_a_full_disk_is_one_line_that_names_the_usable_checkpoint(full_disk):
    folder, lines = full_disk
    assert len(lines) == 2
    for line in lines:
        assert f"update 2 could not be saved to {folder}" in line
        assert "that of update 1 is usable" in line


def test_a_full_disk_leaves_the_previous_checkpoint_as_it_was(full_disk, tmp_path):
    folder, _ = full_disk
    kept = shutil.copytree(folder, tmp_path / "kept")
    checkpoints = Checkpoints(kept, keep=2)
    assert_identical(checkpoints.restore(1, make_state(0)), make_state(1))
    assert_identical(Checkpoints(kept).restore_params(1)[0], make_state(1).params)


def test_a_disk_with_room_again_takes_the_next_checkpoint(full_disk):
    folder, _ = full_disk
    checkpoints = Checkpoints(folder, keep=2)
    assert checkpoints.steps() == [1, 3]
    assert_identical(checkpoints.restore(3, make_state(0)), make_state(3))


def test_late_reports_of_a_failed_save_are_dropped_and_no_others(monkeypatch, caplog):
    """What cannot be raised goes to a hook: writers of the failed save call it from afar."""
    told, absl = [], logging.getLogger("absl")
    monkeypatch.setattr(sys, "unraisablehook", lambda found: told.append(str(found.exc_value)))
    monkeypatch.setattr(absl, "filters", [])
    _keep_storage_quiet.__wrapped__()
    for text in ("Event loop is closed", "another"):
        sys.unraisablehook(types.SimpleNamespace(exc_value=RuntimeError(text)))
    assert told == ["another"]
    for text in ("_SignalingThread.run() raised an exception", "another"):
        record = absl.makeRecord("absl", logging.ERROR, "", 0, text, (), None)
        assert bool(absl.filter(record)) == (text == "another")


def test_a_state_is_saved_while_the_next_update_takes_its_place(tmp_path):
    state = make_state(3)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save_in_background(state, {"rows": []})
        for leaf in jax.tree.leaves(state):
            leaf.delete()  # as an update does that is given it
        checkpoints.save_in_background(make_state(4), {})
    assert checkpoints.steps() == [3, 4]
    for step in (3, 4):
        assert_identical(Checkpoints(tmp_path).restore(step, make_state(0)), make_state(step))


def test_a_failed_save_in_the_background_is_raised_by_the_next_or_at_the_end(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(make_state(1), {})
    monkeypatch.setattr(checkpoints._manager, "save", lambda *_, **__: 1 / 0)
    checkpoints.save_in_background(make_state(2), {})
    with pytest.raises(InputError, match=r"update 2 .* that of update 1 is usable"):
        checkpoints.save_in_background(make_state(3), {})
    checkpoints.save_in_background(make_state(4), {})
    with pytest.raises(InputError, match="update 4 could not be saved"), checkpoints:
        pass


def test_reading_says_nothing(tmp_path, capfd):
    """A manager that only reads warns through absl that it does not write."""
    Checkpoints(tmp_path, keep=1).save(make_state(1), {})
    code = (
        "import pathlib, sys; from vidprior.training.checkpoints import Checkpoints\n"
        "print(Checkpoints(pathlib.Path(sys.argv[1])).steps())"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert capfd.readouterr() == ("[1]\n", "")
