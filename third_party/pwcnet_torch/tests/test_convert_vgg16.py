import functools
import hashlib
import http.server
import threading

import convert_vgg16
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import seeded

SHAPES = {
    f"features.{index}.{kind}": shape
    for index, inputs, outputs in convert_vgg16.LAYERS.values()
    for kind, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,)))
}


@pytest.fixture(scope="module")
def state():
    state = {name: seeded(name, shape, gain=2**0.5) for name, shape in SHAPES.items()}
    return state | {"features.17.weight": torch.zeros(1), "classifier.0.bias": torch.zeros(2)}


@pytest.fixture
def checkpoint(state, tmp_path):
    torch.save(state, tmp_path / "vgg16.pth")
    return tmp_path / "vgg16.pth"


def convert(checkpoint, output):
    return convert_vgg16.main(["--checkpoint", str(checkpoint), "--output", str(output)])


def test_converts_to_hwio(state, checkpoint, tmp_path):
    output = tmp_path / "weights/vgg16.npz"
    assert convert(checkpoint, output) == 0
    with np.load(output, allow_pickle=False) as file:
        arrays = dict(file)
    layers = ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"]
    names = [f"{layer}.{kind}" for layer in layers for kind in ("kernel", "bias")]
    assert list(arrays) == [*names, "version", "source_sha256"]
    assert arrays["version"] == 1
    assert str(arrays["source_sha256"]) == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    for layer, index in zip(layers, (0, 2, 5, 7, 10, 12, 14), strict=True):
        kernel, weight = arrays[f"{layer}.kernel"], state[f"features.{index}.weight"]
        assert kernel.dtype == np.float32
        assert kernel.shape == (3, 3, weight.shape[1], weight.shape[0])
        assert kernel[0, 2, 1, 5] == weight[5, 1, 0, 2]  # row, column, input, output
        np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), weight)
        np.testing.assert_array_equal(arrays[f"{layer}.bias"], state[f"features.{index}.bias"])
    assert [path.name for path in output.parent.iterdir()] == ["vgg16.npz"]


def test_converted_weights_give_the_published_features(goldens, golden_shapes):
    golden = np.load(goldens / "vgg16.npz")
    seed, gain = int(golden["weight_seed"]), float(golden["weight_gain"])
    shapes = golden_shapes["shapes"]["vgg16_features"]
    assert shapes == {name: list(shape) for name, shape in SHAPES.items()}
    state = {n: seeded(n, s, seed=seed, gain=gain) for n, s in shapes.items()}
    arrays = convert_vgg16.convert(state)
    x, features = torch.from_numpy(golden["input"]), {}
    for layer in convert_vgg16.LAYERS:
        if layer in ("conv2_1", "conv3_1"):
            x = F.max_pool2d(x, 2)
        kernel = torch.from_numpy(arrays[f"{layer}.kernel"]).permute(3, 2, 0, 1)
        x = features[layer] = F.conv2d(
            x, kernel, torch.from_numpy(arrays[f"{layer}.bias"]), padding=1
        ).relu()
    for name in ("1_2", "2_2", "3_3"):
        found = features[f"conv{name}"][:, ::4, ::3, ::3]
        np.testing.assert_allclose(found, golden[f"relu{name}_sub"], atol=2e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.5.bias": None}, "features.5.bias is missing"),
        ({"features.0.weight": torch.zeros(64, 1, 3, 3)}, "[64, 1, 3, 3], not [64, 3, 3, 3]"),
        ({"features.0.bias": torch.zeros(64).half()}, "features.0.bias is torch.float16"),
    ],
)
def test_other_networks_are_refused(state, tmp_path, capsys, change, message):
    torch.save(state | change, tmp_path / "other.pth")
    assert convert(tmp_path / "other.pth", tmp_path / "vgg16.npz") == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert not (tmp_path / "vgg16.npz").exists()


def test_files_that_are_no_checkpoints_are_refused(tmp_path, capsys):
    assert convert(tmp_path / "absent.pth", tmp_path / "vgg16.npz") == 2
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "text.pth").write_text("text")
    assert convert(tmp_path / "text.pth", tmp_path / "vgg16.npz") == 2
    assert "is not a PyTorch file" in capsys.readouterr().err


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder behind a local web address; pooch's cache is a folder of the test."""
    monkeypatch.setattr(convert_vgg16.pooch, "os_cache", lambda name: tmp_path / "cache")
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield tmp_path / "served", f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_a_download_is_what_its_name_promises(server):
    folder, address = server
    good = f"vgg16-{hashlib.sha256(b'weights').hexdigest()[:8]}.pth"
    (folder / good).write_bytes(b"weights")
    assert convert_vgg16.download(f"{address}/{good}").read_bytes() == b"weights"

    (folder / "vgg16-00000000.pth").write_bytes(b"weights")
    with pytest.raises(convert_vgg16.InputError, match="not 00000000"):
        convert_vgg16.download(f"{address}/vgg16-00000000.pth")
    assert [path.name for path in (folder.parent / "cache").iterdir()] == [good]

    with pytest.raises(convert_vgg16.InputError, match="cannot download"):
        convert_vgg16.download(f"{address}/vgg16-11111111.pth")
