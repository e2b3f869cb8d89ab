"""Converts torchvision's VGG16 to the small .npz that the perceptual loss reads.

    .venv-pwcnet/bin/python tools/convert_vgg16.py [--checkpoint FILE] [--output weights/vgg16.npz]

Without --checkpoint, torchvision's file (528 MB) is downloaded to pooch's cache. The result has
`convL_I.kernel` (float32, HWIO) and `convL_I.bias` of the seven convolutions up to relu3_3,
`version` and `source_sha256` (of the checkpoint). Input channels are RGB, as torchvision has them.
"""

import argparse
import hashlib
import pathlib
import re
import sys

import numpy as np
import pooch
import torch
from torch_checkpoint import InputError, read_torch, run

from vidprior.io.npz import save_npz

FILE_VERSION = 1
URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
# Name: index in torchvision's `features`, input channels, output channels.
LAYERS = {
    "conv1_1": (0, 3, 64),
    "conv1_2": (2, 64, 64),
    "conv2_1": (5, 64, 128),
    "conv2_2": (7, 128, 128),
    "conv3_1": (10, 128, 256),
    "conv3_2": (12, 256, 256),
    "conv3_3": (14, 256, 256),
}


def download(url: str = URL) -> pathlib.Path:
    """Fetches a checkpoint whose name ends in the first digits of its sha256, as torchvision's do.

    Raises:
      InputError: the download failed, or the file is not the one that its name promises.
    """
    try:
        cached = pooch.retrieve(
            url,
            known_hash=None,
            fname=url.rsplit("/", 1)[1],
            path=pooch.os_cache("vidprior"),
            progressbar=sys.stderr.isatty(),
        )
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        raise InputError(f"cannot download {url}; fetch it yourself: --checkpoint FILE") from error
    path = pathlib.Path(cached)
    promised, found = re.search(r"-([0-9a-f]{8,})\.", path.name)[1], sha256(path)
    if not found.startswith(promised):
        path.unlink()
        raise InputError(f"{url}: sha256 starts with {found[:8]}, not {promised}; deleted, retry")
    return path


def sha256(path: pathlib.Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert(state: object) -> dict[str, np.ndarray]:
    """Torchvision's state dict (OIHW, more layers allowed) to the arrays of the .npz (HWIO).

    Raises:
      InputError: a parameter is missing or has another shape or type; names the first.
    """
    if not isinstance(state, dict):
        raise InputError("the checkpoint holds no dict of parameters")
    arrays = {}
    for name, (index, inputs, outputs) in LAYERS.items():
        for kind, shape in (("weight", [outputs, inputs, 3, 3]), ("bias", [outputs])):
            published = f"features.{index}.{kind}"
            value = state.get(published)
            if not isinstance(value, torch.Tensor):
                raise InputError(f"not torchvision's VGG16: {published} is missing")
            if list(value.shape) != shape or value.dtype != torch.float32:
                found = f"{value.dtype} {list(value.shape)}"
                raise InputError(f"not torchvision's VGG16: {published} is {found}, not {shape}")
            value = value.detach().numpy()
            if kind == "weight":
                arrays[f"{name}.kernel"] = np.ascontiguousarray(value.transpose(2, 3, 1, 0))
            else:
                arrays[f"{name}.bias"] = value
    return arrays


def main(argv=None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=pathlib.Path, help="local torchvision checkpoint")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("weights/vgg16.npz"))
    args = parser.parse_args(argv)

    def command():
        path = args.checkpoint or download()
        arrays = convert(read_torch(path))
        source = {"version": FILE_VERSION, "source_sha256": sha256(path)}
        save_npz(args.output, **arrays, **source)
        print(f"wrote {args.output} from {path}")

    return run(command)


if __name__ == "__main__":
    sys.exit(main())
