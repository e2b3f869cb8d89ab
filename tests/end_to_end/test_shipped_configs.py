"""Every configuration that ships, shrunk, from clip to result; and the hand-over to PWC-Net."""

import json
import sys
import zlib

import numpy as np
import pytest
from harness import (
    HEIGHT,
    ROOT,
    SEVEN,
    SMALLEST,
    TINY,
    WIDTH,
    assert_last_error,
    assert_same_run,
    contents,
    metrics,
    pictures,
)
from helpers import SHIPPED

from vidprior.model.vgg import parameter_shapes

pytestmark = pytest.mark.slow

# What shrinks a configuration further, or takes its place on a machine without fetched files.
SHRUNK = {
    "flow": ("--config.flow.estimator=dis", "--config.schedule.windows_per_pass=4"),
    "demo": ("--config.schedule.windows_per_pass=4",),
    # Trained also where propagated pixels leave nothing to gain.
    "fast": (
        "--config.schedule.windows_per_pass=4",
        "--config.checkpoint.keep_best=False",
        "--config.video.crop=frame",
    ),
    "propagate": ("--config.video.crop=frame",),
    "footage": (
        "--config.schedule.windows_per_pass=4",
        "--config.checkpoint.keep_best=False",
        "--config.video.crop=frame",
        "--config.mask.dilate=0",
        "--config.render.feather=0",
    ),
}


@pytest.fixture
def vgg_weights(tmp_path):
    """VGG16's shapes, filled by a formula."""
    arrays = {}
    for name, shape in parameter_shapes().items():
        x = np.random.default_rng([7, zlib.crc32(name.encode())]).standard_normal(shape)
        gain = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.1
        arrays[name] = (gain * x).astype(np.float32)
    np.savez(tmp_path / "vgg16.npz", **arrays)
    return tmp_path / "vgg16.npz"


# What others differ from little, or what takes long.
OFTEN = ("footage", "propagate")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in OFTEN else [pytest.mark.long])
        for name in SHIPPED
        if name != "base"
    ],
)
def test_configuration_runs_from_clip_to_result(name, command, clip, vgg_weights, tmp_path):
    workdir = tmp_path / "run"
    smallest = [flag for flag in SMALLEST if name != "dip" or "window.length" not in flag]
    command.succeed(
        f"--config={ROOT / 'configs' / name}.py",
        *smallest,
        *SHRUNK.get(name, ()),
        SEVEN,
        f"--config.vgg.weights={vgg_weights}",
        *clip.inputs,
        f"--workdir={workdir}",
    )
    result = np.stack(list(pictures(workdir / "result").values()))
    frames, hole = clip.frames[:7], clip.hole[:7]
    np.testing.assert_array_equal(result[~hole], frames[~hole])
    assert (result != frames).any(axis=-1)[hole].mean() > 0.9

    config = json.loads((workdir / "config.json").read_text())["config"]
    alone = config["method"] == "propagate"
    shown = config["render"]["propagated_pixels"] != "none"
    propagates = alone or shown or config["loss"]["propagated"] > 0
    assert (workdir / "propagated.npz").exists() == propagates
    if alone:
        assert not (workdir / "checkpoints").exists()
        return
    terms = {term for term, weight in config["loss"].items() if weight}
    assert metrics(workdir)[-1].keys() == {"update", "pass", "total", *terms}
    assert (workdir / "flows.npz").exists() == bool(terms & {"flow", "consistency"})


@pytest.mark.long
def test_windows_fitted_together_end_as_those_fitted_alone(command, clip, tmp_path):
    """Five frames in groups of two: the last group has one."""
    shown = {}
    for at_once in (1, 2):
        workdir = tmp_path / str(at_once)
        command.succeed(
            "--config=dip",
            *SMALLEST,
            "--config.window.length=1",
            "--config.video.stop=5",
            "--config.schedule.updates_per_window=2",
            f"--config.schedule.windows_at_once={at_once}",
            *clip.inputs,
            f"--workdir={workdir}",
        )
        shown[at_once] = np.stack(list(pictures(workdir / "result").values())).astype(int)
    assert len(shown[1]) == 5
    assert np.abs(shown[1] - shown[2]).max() <= 1


def test_the_configurations_are_the_systems_that_they_say(command, clip, tmp_path):
    """What each changes, as it is resolved: stored before the work begins."""
    expected = {
        "dip_vid": {"terms": {"image"}, "conv_ndim": 2, "strides": [1], "length": 5},
        "dip_vid_3dcn": {"terms": {"image"}, "conv_ndim": 3, "strides": [1], "length": 5},
        "dip": {"terms": {"image"}, "conv_ndim": 2, "strides": [1], "length": 1},
        "flow": {
            "terms": {"image", "flow", "consistency", "perceptual"},
            "conv_ndim": 2,
            "strides": [1, 3, 5],
            "length": 5,
        },
        "demo": {
            "terms": {"image", "flow", "consistency"},
            "conv_ndim": 2,
            "strides": [1, 3, 5],
            "length": 5,
        },
    }
    propagates = expected["demo"] | {"terms": {"image", "propagated"}}
    expected["fast"] = expected["footage"] = propagates
    expected["demo"]["terms"].add("propagated")
    expected["propagate"] = {"terms": {"image"}, "conv_ndim": 2, "strides": [1], "length": 1}
    code = (
        "import sys; from vidprior import configuration as c; print(c.load(sys.argv[1]).to_json())"
    )
    assert set(expected) == {name for name in SHIPPED if name != "base"}
    for name, wanted in expected.items():
        config = json.loads(command.execute([sys.executable, "-c", code, name]).stdout)
        assert {
            "terms": {term for term, weight in config["loss"].items() if weight},
            "conv_ndim": config["model"]["conv_ndim"],
            "strides": config["window"]["strides"],
            "length": config["window"]["length"],
        } == wanted


# A stand-in for `third_party/pwcnet_torch/estimate.py`, run in place of its Python: it notes
# what it was given, and writes flow that is zero everywhere.
STAND_IN = """#!{python}
import json, pathlib, sys
import numpy as np
script, *flags = sys.argv[1:]
flags = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
given = np.load(flags["frames"], allow_pickle=False)
frames = given["frames"]
pathlib.Path({notes!r}).write_text(json.dumps({{
    "script": script, "flags": flags, "sha256": str(given["source_sha256"]),
    "shape": frames.shape, "dtype": str(frames.dtype), "sum": int(frames.sum()),
}}))
offsets = np.array([1, -1, 3, -3, 5, -5], np.int32)
T, H, W, _ = frames.shape
partner = np.arange(T) + offsets[:, None]
exists = (partner >= 0) & (partner < T)
if {code}:
    print("the weights are of another network", file=sys.stderr)
    sys.exit({code})
np.savez(
    flags["output"], version=1, estimator="pwcnet sha256:0123456789abcdef", offsets=offsets,
    flow=np.zeros((6, T, H, W, 2), np.float16), exists=exists,
    reliable=np.broadcast_to(exists[:, :, None, None], (6, T, H, W)),
    size=np.array([H, W], np.int32), source_sha256=given["source_sha256"],
)
"""


@pytest.fixture
def pwcnet(tmp_path):
    """Flags that choose a stand-in for PWC-Net, which ends with a given exit code."""
    weights = tmp_path / "network.pytorch"
    weights.write_bytes(b"weights")
    python = tmp_path / "python"

    def make(code=0):
        notes = str(tmp_path / "notes.json")
        python.write_text(STAND_IN.format(python=sys.executable, notes=notes, code=code))
        python.chmod(0o755)
        return (
            "--config.flow.estimator=pwcnet",
            f"--config.flow.pwcnet_python={python}",
            f"--config.flow.pwcnet_weights={weights}",
        )

    return make


DEMO = ("--config=demo", *SMALLEST, *SHRUNK["demo"], SEVEN)


def test_pwcnet_that_fails_is_named_and_can_be_run_again(command, clip, pwcnet, tmp_path):
    workdir = tmp_path / "run"
    arguments = (*DEMO, *clip.inputs, f"--workdir={workdir}")
    finished = command(*arguments, *pwcnet(code=3))
    assert_last_error(finished, "PWC-Net", "3")
    assert "the weights are of another network" in finished.stderr
    assert set(contents(workdir)) == {"config.json", "clip.npz"}

    command.succeed(*arguments, *pwcnet())
    notes = json.loads((tmp_path / "notes.json").read_text())
    assert notes["script"] == str(ROOT / "third_party/pwcnet_torch/estimate.py")
    assert notes["flags"]["weights"] == str(tmp_path / "network.pytorch")
    assert notes["flags"]["output"] == str(workdir / "flows.npz")
    assert (notes["shape"], notes["dtype"]) == ([7, HEIGHT, WIDTH, 3], "uint8")
    assert notes["sum"] == int(clip.frames[:7].sum())  # the object is shown, as published
    with np.load(workdir / "clip.npz") as prepared:
        assert notes["sha256"] == str(prepared["source_sha256"])
    with np.load(workdir / "flows.npz") as flows:
        assert str(flows["estimator"]).startswith("pwcnet")
    assert pictures(workdir / "result")
    # What was handed over is gone; nothing else is hidden there.
    assert not [name for name in contents(workdir) if name.startswith(".")]


def test_pwcnet_gets_filled_frames_where_the_hole_is_blank(command, clip, pwcnet, tmp_path):
    """Known pixels, and the identity of the clip, are those of the unfilled frames."""
    finished = command(
        *DEMO,
        *pwcnet(code=3),
        *clip.inputs,
        f"--workdir={tmp_path / 'run'}",
        "--config.flow.fill_hole=True",
    )
    assert finished.returncode == 2
    notes = json.loads((tmp_path / "notes.json").read_text())
    assert notes["sum"] != int(clip.frames[:7].sum())
    with np.load(tmp_path / "run" / "clip.npz") as prepared:
        assert notes["sha256"] == str(prepared["source_sha256"])


def test_pwcnet_that_cannot_be_run(command, clip, pwcnet, tmp_path):
    flags = pwcnet()
    (tmp_path / "python").chmod(0o644)
    finished = command(*DEMO, *flags, *clip.inputs, f"--workdir={tmp_path / 'run'}")
    assert_last_error(finished, str(tmp_path / "python"), "cannot be run")


@pytest.mark.long
def test_a_flow_file_takes_the_place_of_any_estimator(command, clip, trained, tmp_path):
    """PWC-Net need not be there, and the same flow gives the same bits."""
    workdir = tmp_path / "run"
    flags = ("--config.flow.estimator=pwcnet", "--config.flow.pwcnet_python=/nowhere/python")
    flows = f"--flows={trained / 'flows.npz'}"
    command.succeed(*TINY, *flags, *clip.inputs, flows, f"--workdir={workdir}")
    assert_same_run(trained, workdir)
    # Going on without the flag must not take another flow.
    with np.load(workdir / "flows.npz") as kept, np.load(trained / "flows.npz") as given:
        np.testing.assert_array_equal(kept["flow"], given["flow"])
