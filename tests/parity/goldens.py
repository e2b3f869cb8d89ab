"""The goldens: where they lie, how they are read, and the weights that a formula gives.

A golden is a number that the published PyTorch code computed. Its format is
described by the README beside the files. Shapes, seeds and frame counts are read
from the files: another set of goldens in the same format needs no change here.
"""

import json
import os
import pathlib
import zlib

import numpy as np
import pytest

from vidprior.model import published, vgg
from vidprior.model.generator import Generator
from vidprior.types import OFFSETS, Flows

_ROOT = pathlib.Path(__file__).parents[2]
FOLDER = pathlib.Path(os.environ.get("VIDPRIOR_GOLDENS", _ROOT / "../shared/goldens"))

# The steps at which large arrays are stored, rows and columns alike.
GENERATOR_STEP = 6
CLIP_STEP = 4

NOISE_HIGH = 0.1


def load(name):
    """The contents of a golden file; skips the test where it is not there."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no golden at {path} (VIDPRIOR_GOLDENS names the folder)")
    if path.suffix == ".json":
        return json.loads(path.read_text())
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def unpack(bits, shape):
    """The mask that `numpy.packbits` packed."""
    return np.unpackbits(bits, count=np.prod(shape)).reshape(shape).astype(bool)


def formula_weights(shapes, seed, *, gain=1.0):
    """Name -> float32 array, in the published layout.

    Args:
      shapes: name -> shape.
      seed: of all arrays; each folds its own name in.
      gain: of the arrays with more than two dimensions.
    """
    arrays = {}
    for name, shape in shapes.items():
        x = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
        if len(shape) > 2:
            x = gain * x / np.sqrt(np.prod(shape[1:]))
        else:
            x = 1 + 0.1 * x if name.endswith("weight") else 0.1 * x
        arrays[name] = x.astype(np.float32)
    return arrays


def generator(network):
    """A published generator at the formula's weights: the module and its parameters."""
    golden = load("seeded_weights.json")
    shapes = golden["shapes"][network]
    module = Generator(**published.describe(shapes))
    return module, published.from_published(formula_weights(shapes, golden["seed"]))


def vgg_arrays():
    """VGG16 at the formula's weights, as the arrays of a converted file."""
    golden = load("vgg16.npz")
    shapes = load("seeded_weights.json")["shapes"]["vgg16_features"]
    arrays = formula_weights(shapes, int(golden["weight_seed"]), gain=float(golden["weight_gain"]))
    # `features.N` counts activations and poolings too; only the order matters.
    positions = sorted({int(name.split(".")[1]) for name in arrays})
    converted = {}
    for position, layer in zip(positions, (n for stage in vgg.STAGES for n in stage), strict=True):
        kernel = arrays[f"features.{position}.weight"]
        converted[f"{layer}.kernel"] = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
        converted[f"{layer}.bias"] = arrays[f"features.{position}.bias"]
    return converted


def noise(num_frames, size):
    """The generator's input for the whole clip, [T, H, W, 1]."""
    seed = load("seeded_weights.json")["seed"]
    drawn = np.random.default_rng(seed).random((num_frames, 1, *size)) * NOISE_HIGH
    return drawn.astype(np.float32).transpose(0, 2, 3, 1)


def direction_name(offset):
    """What the goldens call a frame distance: 'f3' or 'b3'."""
    return f"{'f' if offset > 0 else 'b'}{abs(offset)}"


def pairs(offset, num_frames):
    """The frames i for which frame i + offset exists, as a slice."""
    return slice(max(0, -offset), min(num_frames, num_frames - offset))


def estimated_flows(num_frames, size):
    """The golden flows as the contents of a flow file, and their holes [K, T, H, W].

    Distances for which no flow is stored exist nowhere.
    """
    golden = load("flows.npz")
    shape = (len(OFFSETS), num_frames, *size)
    flow, exists = np.zeros((*shape, 2), np.float32), np.zeros(shape[:2], bool)
    reliable, hole = np.zeros(shape, bool), np.zeros(shape, bool)
    for k, offset in enumerate(OFFSETS):
        name = direction_name(offset)
        if f"flow8_{name}" not in golden:
            continue
        eighths = golden[f"flow8_{name}"]
        where, packed = pairs(offset, num_frames), (len(eighths), *size)
        flow[k, where] = eighths.transpose(0, 2, 3, 1) / np.float32(8)
        reliable[k, where] = unpack(golden[f"reliable_{name}"], packed)
        hole[k, where] = unpack(golden[f"flowhole_{name}"], packed)
        exists[k, where] = True
    offsets = np.array(OFFSETS, np.int32)
    return Flows(offsets, flow, reliable, exists, "goldens", "0" * 64), hole
