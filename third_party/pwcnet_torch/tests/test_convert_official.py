from collections import OrderedDict

import convert_official
import numpy as np
import pytest
import torch
from conftest import seeded

GOLDEN_NAMES = {
    "2D, image": "generator2d_image",
    "2D, image and flow": "generator2d_flow",
    "3D, image": "generator3d_image",
}


def state(network="2D, image and flow"):
    shapes = convert_official.NETWORKS[network]
    return OrderedDict((name, seeded(name, shape)) for name, shape in shapes.items())


def convert(source, output, *flags):
    return convert_official.main([str(source), "--output", str(output), *flags])


@pytest.mark.parametrize("network", GOLDEN_NAMES)
def test_names_and_shapes_are_the_published_ones(golden_shapes, network):
    found = [(n, list(s)) for n, s in convert_official.NETWORKS[network].items()]
    assert found == list(golden_shapes["shapes"][GOLDEN_NAMES[network]].items())


def test_parameter_counts():
    counts = [sum(map(np.prod, s.values())) for s in convert_official.NETWORKS.values()]
    assert counts == [3_071_935, 3_072_139, 9_089_119]  # as the paper's code reports


def wrappings(state):
    """The ways in which a state dict may lie in a checkpoint."""
    buffers = {
        "1.0.2.running_mean": torch.zeros(4),
        "1.0.2.running_var": torch.ones(4),
        "1.0.2.num_batches_tracked": torch.tensor(7),
    }
    adam = {"state": {0: {"step": 3, "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.01}]}
    prefixed = {f"module.{name}": value for name, value in state.items()}
    return {
        "bare": state,
        "with buffers": buffers | state,
        "parallel": {"epoch": 3, "state_dict": prefixed, "optimizer": adam},
        "nested": {"optimizer": adam, "model": {"generator": state, "loss": torch.zeros(2)}},
        "parameters": {n: torch.nn.Parameter(value) for n, value in state.items()},
    }


@pytest.mark.parametrize("network", GOLDEN_NAMES)
def test_to_npz_and_back(tmp_path, network):
    expected = state(network)
    for name, contents in wrappings(expected).items():
        torch.save(contents, tmp_path / "generator.tar")
        assert convert(tmp_path / "generator.tar", tmp_path / f"out/{name}.npz") == 0
        with np.load(tmp_path / f"out/{name}.npz", allow_pickle=False) as file:
            assert file.files == list(expected)
            for parameter, value in expected.items():
                np.testing.assert_array_equal(file[parameter], value)
                assert file[parameter].dtype == np.float32
    assert convert(tmp_path / "out/bare.npz", tmp_path / "back.pth", "--to-torch") == 0
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert list(back) == ["state_dict"]
    assert isinstance(back["state_dict"], OrderedDict)
    assert list(back["state_dict"]) == list(expected)
    assert all(torch.equal(back["state_dict"][n], v) for n, v in expected.items())


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "4.bias"), "nearest (2D, image and flow): 4.bias is missing\n"),
        (lambda s: s | {"4.bias": torch.zeros(3)}, "4.bias has shape [3], not [16]"),
        (lambda s: s | {"4.bias": torch.zeros(16).double()}, "4.bias is torch.float64"),
        (lambda s: s | {"10.weight": torch.zeros(3)}, "10.weight is unknown"),
        (lambda s: {"epoch": 3}, "no named parameters"),
        (lambda s: [3], "no named parameters"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, capsys, change, message):
    torch.save(change(state()), tmp_path / "other.tar")
    assert convert(tmp_path / "other.tar", tmp_path / "out.npz") == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert not (tmp_path / "out.npz").exists()


def test_files_of_another_kind_are_refused(tmp_path, capsys):
    torch.save(state(), tmp_path / "generator.tar")
    assert convert(tmp_path / "generator.tar", tmp_path / "x.pth", "--to-torch") == 2
    assert "generator.tar: " in capsys.readouterr().err
    np.savez(tmp_path / "objects.npz", x=np.array([{}]))
    assert convert(tmp_path / "objects.npz", tmp_path / "x.pth", "--to-torch") == 2
    assert "holds pickled objects" in capsys.readouterr().err
    assert convert(tmp_path / "objects.npz", tmp_path / "x.npz") == 2
    assert "is not a PyTorch file" in capsys.readouterr().err
    assert convert(tmp_path / "absent.npz", tmp_path / "x.pth", "--to-torch") == 2
    assert "no such file" in capsys.readouterr().err


def test_noise_is_stored_with_the_parameters(tmp_path):
    noise = torch.rand(3, 1, 5, 7)
    torch.save(state(), tmp_path / "generator.tar")
    torch.save(noise, tmp_path / "noise.pt")
    given = ("--noise", str(tmp_path / "noise.pt"))
    assert convert(tmp_path / "generator.tar", tmp_path / "net.npz", *given) == 0
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        assert file.files == [*state(), "noise"]
        np.testing.assert_array_equal(file["noise"], noise)
    assert convert(tmp_path / "net.npz", tmp_path / "back.pth", "--to-torch") == 0
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert list(back) == ["state_dict", "noise"]
    assert torch.equal(back["noise"], noise)


@pytest.mark.parametrize("noise", [torch.rand(3, 5, 7), torch.rand(3, 2, 5, 7), {"noise": 1}])
def test_other_noise_is_refused(tmp_path, capsys, noise):
    torch.save(state(), tmp_path / "generator.tar")
    torch.save(noise, tmp_path / "noise.pt")
    given = ("--noise", str(tmp_path / "noise.pt"))
    assert convert(tmp_path / "generator.tar", tmp_path / "net.npz", *given) == 2
    assert "expected a tensor [frames, 1, H, W]" in capsys.readouterr().err
    assert not (tmp_path / "net.npz").exists()
