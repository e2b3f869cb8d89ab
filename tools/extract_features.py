r"""Extracts features of frames or clips, for FID and VFID, with a network that you provide.

  .venv-pwcnet/bin/python tools/extract_features.py --network=inception-2015-12-05.pt --kind=image \
      --output=features.npz clip1.npz clip2.npz ...

The network is a TorchScript file, such as Inception (FID) and I3D (VFID) published by NVIDIA
and others. None is bundled or downloaded. It is a program: get it from a source that you trust.
It is called as follows:

  --kind=image   network(uint8 [N, 3, H, W], return_features=True) -> [N, D]: one for each frame
  --kind=video   network(float [1, 3, T, H, W] in 0..255, rescale=True, resize=True,
                 return_features=True) -> [1, D]: one for each clip

Clips are .npz with `frames` (uint8 [T, H, W, 3]), as tools/pack_frames.py writes them. The
result contains `features` [n, D] float32, `network` (name, hash and kind) and `version`, for
tools/frechet.py.
"""

import argparse
import hashlib
import pathlib
import sys

import numpy as np
import torch
from torch_checkpoint import InputError, read_frames, run

from vidprior.io.npz import save_npz

FILE_VERSION = 1
BATCH = 16


def load_network(path: pathlib.Path, device: torch.device) -> torch.jit.ScriptModule:
    """Reads a TorchScript file.

    Raises:
      InputError: it is missing or no TorchScript.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; you must provide the network, see --help")
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise InputError(f"{path} is not a TorchScript file") from error


def read_clip(path: pathlib.Path) -> torch.Tensor:
    """[T, 3, H, W] uint8 of the `frames` of a file."""
    return torch.from_numpy(read_frames(path)).permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def extract(network: torch.jit.ScriptModule, clip: torch.Tensor, kind: str) -> np.ndarray:
    """[n, D] float32: a row for each frame, or one for the clip.

    Raises:
      InputError: the network cannot be called so, or answers otherwise.
    """
    try:
        if kind == "image":
            parts = [network(part, return_features=True) for part in clip.split(BATCH)]
        else:
            video = clip.float().transpose(0, 1)[None]
            parts = [network(video, rescale=True, resize=True, return_features=True)]
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"the network is no {kind} network as described: {reason}") from error
    features = torch.cat(parts).float().cpu().numpy()
    if features.ndim != 2 or len(features) != (len(clip) if kind == "image" else 1):
        raise InputError(f"the network answers with {features.shape}, expected one row for each")
    return features


def main(argv: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=pathlib.Path, nargs="+")
    parser.add_argument("--network", type=pathlib.Path, required=True, help="TorchScript file")
    parser.add_argument("--kind", choices=("image", "video"), required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    flags = parser.parse_args(argv)

    def command() -> None:
        device = torch.device(flags.device)
        network = load_network(flags.network, device)
        features = np.concatenate(
            [extract(network, read_clip(path).to(device), flags.kind) for path in flags.clips]
        )
        digest = hashlib.sha256(flags.network.read_bytes()).hexdigest()[:16]
        name = f"{flags.network.name} sha256:{digest} {flags.kind}"
        save_npz(flags.output, version=FILE_VERSION, features=features, network=name)
        print(f"wrote {flags.output}: {features.shape[0]} features of {features.shape[1]} numbers")

    return run(command)


if __name__ == "__main__":
    sys.exit(main())
