"""Converts a generator checkpoint of the published PyTorch code to .npz, and back.

    .venv-pwcnet/bin/python tools/convert_official.py CHECKPOINT --noise noise.pt --output net.npz
    .venv-pwcnet/bin/python tools/convert_official.py --to-torch FILE.npz --output generator.pth

The .npz contains the parameters under their published names, float32, in PyTorch's layout, and
`noise`, the input that the network was trained from: a tensor [frames, 1, H, W] in its own file.
Without it a network can be compared but not rendered. The way back writes {"state_dict":
OrderedDict} with parameters only, and "noise" if the .npz has it. This method does not use running
statistics of batch norm, so the published code loads the file with `strict=False`.
"""

import argparse
import functools
import pathlib
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch_checkpoint import InputError, read_torch, run

from vidprior.io.files import replacing
from vidprior.io.npz import load_all, save_npz

CHANNELS = (16, 32, 64, 128, 128, 128)
SKIP = 4
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def published_shapes(*, ndim: int, heads: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Every parameter of a published generator, in its order: name -> shape.

    Args:
      ndim: 2 or 3, dimensions of the convolutions.
      heads: name of each head -> its output channels.
    """
    shapes = {}

    def conv(name, inputs, outputs, size):
        depth = (3 if size > 1 else 1,) if ndim == 3 else ()
        shapes[f"{name}.1.weight"] = (outputs, inputs, *depth, size, size)
        shapes[f"{name}.1.bias"] = (outputs,)

    def norm(name, channels):
        name += ".bn" if ndim == 3 else ""
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (channels,)

    def scale(prefix, inputs, outputs, *deeper):
        conv(f"{prefix}1.0.1", inputs, SKIP, 1)
        norm(f"{prefix}1.0.2", SKIP)
        conv(f"{prefix}1.1.1", inputs, outputs, 5)
        norm(f"{prefix}1.1.2", outputs)
        conv(f"{prefix}1.1.4", outputs, outputs, 5)
        norm(f"{prefix}1.1.5", outputs)
        if deeper:
            scale(f"{prefix}1.1.7.", outputs, *deeper)
        joined = SKIP + (deeper or [outputs])[0]
        norm(f"{prefix}2", joined)
        conv(f"{prefix}3", joined, outputs, 3)
        norm(f"{prefix}4", outputs)
        conv(f"{prefix}6", outputs, outputs, 1)
        norm(f"{prefix}7", outputs)

    scale("", 1, *CHANNELS)
    for name, outputs in heads.items():
        conv(name, CHANNELS[0], outputs, 1)
    return shapes


NETWORKS = {
    "2D, image": published_shapes(ndim=2, heads={"9.conv_img": 3}),
    "2D, image and flow": published_shapes(ndim=2, heads={"9.conv_img": 3, "9.conv_flow": 12}),
    "3D, image": published_shapes(ndim=3, heads={"9": 3}),
}


def select(data: object) -> tuple[str, dict[str, np.ndarray]]:
    """Finds the published parameters in a checkpoint, at any of its outer levels.

    Args:
      data: the content of the file: dicts of tensors or arrays, nested or not, with or without
        `module.` before each name; it may contain buffers and other entries too.

    Returns:
      (which network it is, its parameters in the published order).

    Raises:
      InputError: no dict has exactly a network's parameters; names what the nearest lacks.
    """
    best = None
    for found in _parameter_dicts(data):
        for network, shapes in NETWORKS.items():
            faults = _faults(found, shapes)
            if not faults:
                return network, {name: _array(found[name]) for name in shapes}
            if best is None or len(faults) < len(best[1]):
                best = network, faults
    if best is None:
        raise InputError("the file holds no named parameters")
    network, faults = best
    more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
    raise InputError(
        f"not a published generator; nearest ({network}): {'; '.join(faults[:3])}{more}"
    )


def _array(value) -> np.ndarray:
    return torch.as_tensor(value).detach().contiguous().numpy()


def _parameter_dicts(data: object, *, depth: int = 3) -> Iterator[dict]:
    if not isinstance(data, Mapping):
        return
    found = {
        name.removeprefix("module."): value
        for name, value in data.items()
        if isinstance(name, str)
        and isinstance(value, torch.Tensor | np.ndarray)
        and name.rsplit(".", 1)[-1] not in BUFFERS
    }
    if found:
        yield found
    if depth:
        for value in data.values():
            yield from _parameter_dicts(value, depth=depth - 1)


def _faults(found: Mapping, shapes: Mapping) -> list[str]:
    faults = []
    for name, shape in shapes.items():
        if name not in found:
            faults.append(f"{name} is missing")
        elif tuple(found[name].shape) != shape:
            faults.append(f"{name} has shape {list(found[name].shape)}, not {list(shape)}")
        elif str(found[name].dtype).removeprefix("torch.") != "float32":
            faults.append(f"{name} is {found[name].dtype}, not float32")
    return faults + [f"{name} is unknown" for name in found if name not in shapes]


def read_noise(path: pathlib.Path) -> np.ndarray:
    """The tensor [frames, 1, H, W] of a `torch.save` file, float32.

    Raises:
      InputError: it holds anything else.
    """
    noise = read_torch(path)
    if not isinstance(noise, torch.Tensor) or noise.ndim != 4 or noise.shape[1] != 1:
        shape = list(noise.shape) if isinstance(noise, torch.Tensor) else type(noise).__name__
        raise InputError(f"{path} holds {shape}, expected a tensor [frames, 1, H, W]")
    return _array(noise.float())


def to_npz(source: pathlib.Path, output: pathlib.Path, noise: pathlib.Path | None = None) -> None:
    """Checkpoint to .npz."""
    network, arrays = select(read_torch(source))
    extra = {} if noise is None else {"noise": read_noise(noise)}
    save_npz(output, **arrays, **extra)
    print(f"wrote {output}: {network}, {len(arrays)} parameters")


def to_torch(source: pathlib.Path, output: pathlib.Path) -> None:
    """.npz to checkpoint."""
    found = load_all(source, max_bytes=2**30)
    noise = found.pop("noise", None)
    network, arrays = select(found)
    state = OrderedDict((name, torch.from_numpy(value)) for name, value in arrays.items())
    extra = {} if noise is None else {"noise": torch.from_numpy(noise)}
    with replacing(output) as temporary:
        torch.save({"state_dict": state, **extra}, temporary)
    print(f"wrote {output}: {network}, {len(arrays)} parameters")


def main(argv=None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=pathlib.Path, help="checkpoint, or .npz with --to-torch")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--noise", type=pathlib.Path, help="the input of the network, torch.save")
    parser.add_argument("--to-torch", action="store_true", help="from .npz to a checkpoint")
    args = parser.parse_args(argv)
    if args.to_torch:
        return run(functools.partial(to_torch, args.source, args.output))
    return run(functools.partial(to_npz, args.source, args.output, args.noise))


if __name__ == "__main__":
    sys.exit(main())
