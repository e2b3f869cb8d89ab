r"""VGG16's pool5 features of a clip, for the figure of feature similarity.

.venv-pwcnet/bin/python tools/vgg_pool5.py --frames=clip.npz --checkpoint=vgg16-397923af.pth \
    --output=pool5.npz

The checkpoint is torchvision's and is not fetched. Frames are an .npz with `frames` (uint8
[T, H, W, 3], RGB; tools/pack_frames.py, or a work directory's clip.npz); each side needs 32
pixels. The result holds `features` float32 [T, H // 32, W // 32, 512], `network` and `version`.
"""

import argparse
import hashlib
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch_checkpoint import InputError, read_frames, read_torch, run

from vidprior.io.npz import save_npz

FILE_VERSION = 1
# Output channels of the convolutions of every block; a pooling ends each.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# ImageNet's colours, as torchvision's networks were trained.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def parameters(state: object) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Weight and bias of every convolution, block by block.

    Raises:
      InputError: the checkpoint is not torchvision's VGG16.
    """
    if not isinstance(state, dict):
        raise InputError("the checkpoint holds no dict of parameters")
    blocks, index, inputs = [], 0, 3
    for block in BLOCKS:
        blocks.append([])
        for outputs in block:
            pair = state.get(f"features.{index}.weight"), state.get(f"features.{index}.bias")
            shapes = [list(p.shape) if isinstance(p, torch.Tensor) else None for p in pair]
            if shapes != [[outputs, inputs, 3, 3], [outputs]]:
                raise InputError(f"not torchvision's VGG16: features.{index} is {shapes}")
            blocks[-1].append(pair)
            index, inputs = index + 2, outputs  # a ReLU has a number too
        index += 1  # and a pooling
    return blocks


@torch.no_grad()
def pool5(frames: np.ndarray, blocks: list) -> np.ndarray:
    """[T, H, W, 3] uint8 to [T, H // 32, W // 32, 512] float32."""
    mean, deviation = (torch.tensor(c).view(1, 3, 1, 1) for c in (MEAN, DEVIATION))
    found = []
    for frame in frames:
        x = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        x = (x - mean) / deviation
        for block in blocks:
            for weight, bias in block:
                x = F.relu(F.conv2d(x, weight.float(), bias.float(), padding=1))
            x = F.max_pool2d(x, 2)
        found.append(x[0].permute(1, 2, 0).numpy())
    return np.stack(found)


def main(argv: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=pathlib.Path, required=True, help=".npz with `frames`")
    parser.add_argument("--checkpoint", type=pathlib.Path, required=True, help="torchvision's")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the file to write")
    flags = parser.parse_args(argv)

    def command() -> None:
        frames = read_frames(flags.frames)
        if not len(frames) or min(frames.shape[1:3]) < 32:
            raise InputError(f"{flags.frames}: frames are {frames.shape[:3]}, a side needs 32")
        features = pool5(frames, parameters(read_torch(flags.checkpoint)))
        digest = hashlib.sha256(flags.checkpoint.read_bytes()).hexdigest()[:16]
        name = f"vgg16 pool5 sha256:{digest}"
        save_npz(flags.output, version=FILE_VERSION, features=features, network=name)
        print(f"wrote {flags.output}: {features.shape}")

    return run(command)


if __name__ == "__main__":
    sys.exit(main())
