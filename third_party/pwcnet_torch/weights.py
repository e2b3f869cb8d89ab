"""Reads published PWC-Net weights, in either of their two layouts, into `PWCNet`.

A  `moduleExtractor.moduleOne.0.weight ...`, also spelled `netExtractor.netOne.0.weight ...`
B  `conv1a.0.weight ...`

A file holds the parameters themselves or {"state_dict": parameters}, with or without `module.`
before each name. Anything else is refused: a network with half its weights still gives a flow.
"""

import hashlib
import pathlib
import re

import torch
from pwcnet import CHANNELS, LEVELS, PWCNet


class InputError(ValueError):
    """The user's input is at fault; the message is one line that says what to mend."""


NUMBERS = {1: "One", 2: "Two", 3: "Thr", 4: "Fou", 5: "Fiv", 6: "Six"}
UNUSED = {"deconv2.weight", "deconv2.bias"}  # layout B holds one layer that flow never passes


def layout_a() -> dict[str, str]:
    """Layer of `PWCNet` -> layer of layout A."""
    names = {}
    for level in CHANNELS:
        for i in range(3):
            names[f"extractor.{level}.{i}"] = f"moduleExtractor.module{NUMBERS[level]}.{2 * i}"
    for level in LEVELS:
        decoder, published = f"decoders.{level}", f"module{NUMBERS[level]}"
        for i in range(5):
            names[f"{decoder}.dense.{i}"] = f"{published}.module{NUMBERS[i + 1]}.0"
        names[f"{decoder}.flow"] = f"{published}.moduleSix.0"
        if level < max(LEVELS):
            names[f"{decoder}.up_flow"] = f"{published}.moduleUpflow"
            names[f"{decoder}.up_features"] = f"{published}.moduleUpfeat"
    for i in range(7):
        names[f"context.{i}"] = f"moduleRefiner.moduleMain.{2 * i}"
    return names


def layout_b() -> dict[str, str]:
    """Layer of `PWCNet` -> layer of layout B."""
    names = {}
    for level in CHANNELS:
        for i, suffix in enumerate(("aa", "a", "b") if level == 6 else ("a", "aa", "b")):
            names[f"extractor.{level}.{i}"] = f"conv{level}{suffix}.0"
    for level in LEVELS:
        decoder = f"decoders.{level}"
        for i in range(5):
            names[f"{decoder}.dense.{i}"] = f"conv{level}_{i}.0"
        names[f"{decoder}.flow"] = f"predict_flow{level}"
        if level < max(LEVELS):  # here the transposed convolutions belong to the level below
            names[f"{decoder}.up_flow"] = f"deconv{level + 1}"
            names[f"{decoder}.up_features"] = f"upfeat{level + 1}"
    for i in range(7):
        names[f"context.{i}"] = f"dc_conv{i + 1}" + (".0" if i < 6 else "")
    return names


def load(path: pathlib.Path) -> tuple[PWCNet, str]:
    """Returns (the network with the weights of a file, the sha256 of that file).

    Raises:
      InputError: the file is not one of the two layouts, complete and of the right shapes.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read weights {path}: {error.strerror}") from error
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(f"{path} is not a PyTorch weights file") from error
    net = PWCNet()
    net.load_state_dict(_translate(_parameters(data, path), net, path))
    return net.eval().requires_grad_(False), digest


def _parameters(data: object, path: pathlib.Path) -> dict[str, torch.Tensor]:
    if isinstance(data, dict) and isinstance(data.get("state_dict"), dict):
        data = data["state_dict"]
    if not isinstance(data, dict) or not all(isinstance(x, torch.Tensor) for x in data.values()):
        raise InputError(f"{path} holds no dict of named parameters")
    parameters = {}
    for name, value in data.items():
        name = str(name).removeprefix("module.")
        parameters[re.sub(r"\bnet(?=[A-Z])", "module", name)] = value
    return parameters


def _translate(given, net, path) -> dict[str, torch.Tensor]:
    layout = layout_b() if any(name.startswith("conv1a") for name in given) else layout_a()
    state, faults = {}, []
    for name, parameter in net.state_dict().items():
        layer, kind = name.rsplit(".", 1)
        published = f"{layout[layer]}.{kind}"
        value = given.get(published)
        if value is None:
            faults.append(f"{published} is missing")
        elif value.shape != parameter.shape:
            shapes = f"{list(value.shape)}, not {list(parameter.shape)}"
            faults.append(f"{published} has shape {shapes}")
        state[name] = value
    known = {f"{layer}.{kind}" for layer in layout.values() for kind in ("weight", "bias")}
    faults += [f"{name} is unknown" for name in sorted(given.keys() - known - UNUSED)]
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise InputError(f"{path} is not a PWC-Net weights file: {'; '.join(faults[:3])}{more}")
    return state
