"""VGG16's pool5: the layers in their order, against torch.nn; and files that are none."""

import numpy as np
import pytest
import torch
import vgg_pool5
from conftest import seeded


def make_network():
    """Torchvision's `features`, by torch.nn."""
    layers, inputs = [], 3
    for block in vgg_pool5.BLOCKS:
        for outputs in block:
            layers += [torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU()]
            inputs = outputs
        layers.append(torch.nn.MaxPool2d(2, 2))
    return torch.nn.Sequential(*layers)


@pytest.fixture(scope="module")
def state():
    shapes = {name: value.shape for name, value in make_network().state_dict().items()}
    return {f"features.{n}": seeded(f"features.{n}", s, gain=2**0.5) for n, s in shapes.items()}


def run(folder, frames, checkpoint):
    words = ["--frames", frames, "--checkpoint", checkpoint, "--output", folder / "out.npz"]
    return vgg_pool5.main([str(word) for word in words])


def test_features_are_those_of_the_network(state, tmp_path):
    assert len(state) == 26
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 70, 3), np.uint8)
    np.savez(tmp_path / "clip.npz", frames=frames)
    torch.save(state | {"classifier.0.bias": torch.zeros(2)}, tmp_path / "vgg16.pth")
    assert run(tmp_path, tmp_path / "clip.npz", tmp_path / "vgg16.pth") == 0
    network = make_network()
    network.load_state_dict({name.partition(".")[2]: value for name, value in state.items()})
    x = (frames / 255 - vgg_pool5.MEAN) / vgg_pool5.DEVIATION
    with torch.no_grad():
        expected = network(torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2))
    with np.load(tmp_path / "out.npz") as made:
        assert made["features"].shape == (2, 1, 2, 512)
        expected = expected.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(made["features"], expected, rtol=1e-3, atol=1e-4)
        assert str(made["network"]).startswith("vgg16 pool5 sha256:")


def test_bad_input_is_one_line(state, tmp_path, capsys):
    np.savez(tmp_path / "clip.npz", frames=np.zeros((1, 32, 32, 3), np.uint8))
    np.savez(tmp_path / "small.npz", frames=np.zeros((1, 31, 32, 3), np.uint8))
    np.savez(tmp_path / "none.npz", images=np.zeros(3))
    torch.save(state, tmp_path / "vgg16.pth")
    torch.save({n: v for n, v in state.items() if "28" not in n}, tmp_path / "cut.pth")
    for frames, checkpoint, says in [
        ("none.npz", "vgg16.pth", "frames is missing"),
        ("small.npz", "vgg16.pth", "a side needs 32"),
        ("clip.npz", "cut.pth", "features.28"),
    ]:
        assert run(tmp_path, tmp_path / frames, tmp_path / checkpoint) == 2
        told = capsys.readouterr().err
        assert says in told
        assert len(told.splitlines()) == 1
    assert not (tmp_path / "out.npz").exists()
