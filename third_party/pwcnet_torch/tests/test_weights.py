import hashlib
import pickle

import pytest
import torch
from pwcnet import PWCNet
from weights import InputError, load


def check(path, expected):
    state = load(path)[0].state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_layout_a_has_the_golden_names_and_shapes(layouts, golden_shapes):
    found = {name: list(value.shape) for name, value in layouts["a"].items()}
    assert found == golden_shapes["shapes"]["pwcnet"]


@pytest.mark.parametrize("layout", ["a", "b"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_both_layouts_give_the_same_network(layouts, tmp_path, layout, prefix, wrapped):
    state = {prefix + name: value for name, value in layouts[layout].items()}
    path = tmp_path / "weights.tar"
    torch.save({"epoch": 3, "state_dict": state} if wrapped else state, path)
    check(path, layouts["own"])


def test_the_other_spelling_and_the_old_file_format(layouts, tmp_path):
    state = {name.replace("module", "net"): value for name, value in layouts["a"].items()}
    assert "netExtractor.netOne.0.weight" in state
    torch.save(state, tmp_path / "old.pytorch", _use_new_zipfile_serialization=False)
    check(tmp_path / "old.pytorch", layouts["own"])


def test_layout_b_level_names(layouts):
    """Hand-written names, so that a slip in the naming rule shows."""
    b = layouts["b"]
    assert [tuple(b[f"conv6{s}.0.weight"].shape[:2]) for s in ("aa", "a", "b")] == [
        (196, 128),
        (196, 196),
        (196, 196),
    ]
    assert b["conv1a.0.weight"].shape == (16, 3, 3, 3)
    assert torch.equal(b["conv2aa.0.bias"], layouts["a"]["moduleExtractor.moduleTwo.2.bias"])
    assert torch.equal(b["upfeat6.weight"], layouts["a"]["moduleFiv.moduleUpfeat.weight"])
    assert torch.equal(b["deconv3.weight"], layouts["a"]["moduleTwo.moduleUpflow.weight"])
    assert torch.equal(b["predict_flow6.bias"], layouts["a"]["moduleSix.moduleSix.0.bias"])
    assert torch.equal(b["conv6_4.0.bias"], layouts["a"]["moduleSix.moduleFiv.0.bias"])
    assert torch.equal(b["dc_conv7.bias"], layouts["a"]["moduleRefiner.moduleMain.12.bias"])
    assert len(b) == len(layouts["a"])


def test_layout_b_may_hold_its_unused_layer(layouts, tmp_path):
    unused = {"deconv2.weight": torch.zeros(2, 2, 4, 4), "deconv2.bias": torch.zeros(2)}
    torch.save(layouts["b"] | unused, tmp_path / "b.tar")
    check(tmp_path / "b.tar", layouts["own"])


def test_the_hash_is_the_files(weights_file):
    net, digest = load(weights_file)
    assert isinstance(net, PWCNet)
    assert digest == hashlib.sha256(weights_file.read_bytes()).hexdigest()


class Harmful:
    def __reduce__(self):
        return print, ("code of a weights file ran",)


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


MISSING = "moduleTwo.moduleUpflow.bias"
REFUSED = {
    "missing": (lambda a: without(a, MISSING), f"{MISSING} is missing"),
    "misshaped": (
        lambda a: a | {"moduleTwo.moduleSix.0.bias": torch.zeros(3)},
        r"moduleTwo.moduleSix.0.bias has shape \[3\], not \[2\]",
    ),
    "unknown": (lambda a: a | {"head.weight": torch.zeros(2)}, "head.weight is unknown"),
    "other network": (lambda a: {"fc.weight": torch.zeros(2)}, r"is missing;.*and 124 more"),
    "not tensors": (lambda a: a | {"epoch": 3}, "no dict of named parameters"),
    "a list": (lambda a: [1, 2], "no dict of named parameters"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_contents_are_refused_in_one_line(layouts, tmp_path, case):
    change, message = REFUSED[case]
    torch.save(change(layouts["a"]), tmp_path / "weights.pth")
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path / "weights.pth")
    assert "\n" not in str(caught.value)
    assert "weights.pth" in str(caught.value)


def test_files_that_are_no_weights_are_refused(tmp_path, capsys):
    path = tmp_path / "weights.pth"
    for contents in (b"", b"text", pickle.dumps(Harmful(), protocol=2), b"PK\x03\x04 damaged"):
        path.write_bytes(contents)
        with pytest.raises(InputError, match="not a PyTorch weights file"):
            load(path)
    torch.save({"x": Harmful()}, path)
    with pytest.raises(InputError, match="not a PyTorch weights file"):
        load(path)
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match=r"cannot read weights .*No such file"):
        load(tmp_path / "absent.pth")
