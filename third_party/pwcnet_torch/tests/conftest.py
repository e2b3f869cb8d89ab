"""Shared by the tests of the torch environment: goldens, and weights made by formula."""

import json
import os
import pathlib
import sys
import zlib

import numpy as np
import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "third_party/pwcnet_torch"), str(ROOT / "tools")]

from pwcnet import PWCNet  # noqa: E402
from weights import layout_a, layout_b  # noqa: E402

torch.manual_seed(0)


def seeded(name, shape, *, seed=1, gain=1.0):
    """A parameter by the formula of the goldens."""
    x = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
    if len(shape) > 1:
        x = gain * x / np.sqrt(np.prod(shape[1:]))
    elif name.endswith("weight"):
        x = 1 + 0.1 * x
    else:
        x = 0.1 * x
    return torch.from_numpy(x.astype(np.float32))


@pytest.fixture(scope="session")
def goldens():
    """Path of a golden file, and the shapes and seed of `seeded_weights.json`."""
    folder = pathlib.Path(os.environ.get("VIDPRIOR_GOLDENS", ROOT / "../shared/goldens"))
    if not folder.is_dir():
        pytest.skip(f"no goldens in {folder}; set VIDPRIOR_GOLDENS")
    return folder


@pytest.fixture(scope="session")
def golden_shapes(goldens):
    return json.loads((goldens / "seeded_weights.json").read_text())


@pytest.fixture(scope="session")
def layouts():
    """The same parameters in both published layouts, and as `PWCNet` names them."""
    own = PWCNet().state_dict()

    def rename(layout):
        return {f"{layout[n.rsplit('.', 1)[0]]}.{n.rsplit('.', 1)[1]}": n for n in own}

    names_a, names_b = rename(layout_a()), rename(layout_b())
    a = {name: seeded(name, own[n].shape, gain=1.2) for name, n in names_a.items()}
    state = {n: a[name] for name, n in names_a.items()}
    return {"a": a, "b": {name: state[n] for name, n in names_b.items()}, "own": state}


@pytest.fixture(scope="session")
def weights_file(layouts, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "network.pytorch"
    torch.save(layouts["a"], path)
    return path
