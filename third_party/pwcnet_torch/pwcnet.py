"""PWC-Net in plain PyTorch: optical flow between two images (Sun et al., CVPR 2018).

Letters
    N    images, or pairs of images     l    pyramid level, sides H / 2^l and W / 2^l
    H W  sides of the network's input, multiples of 64

The network sees BGR float32 [N, 3, H, W] in [0, 1] and works in flow units of 20 input
pixels. Everything outside speaks RGB uint8 frames and (x, y) pixels of the frame.
"""

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = {1: 16, 2: 32, 3: 64, 4: 96, 5: 128, 6: 196}  # features of each level
LEVELS = (6, 5, 4, 3, 2)  # decoded from coarse to fine
DENSE = (128, 128, 96, 64, 32)  # channels that a decoder's layers add
CONTEXT = ((128, 1), (128, 2), (128, 4), (96, 8), (64, 16), (32, 1))  # channels, dilation
RADIUS = 4  # of the cost volume, in pixels of its level
FLOW_UNIT = 20.0  # input pixels for one unit of the network's flow
GRID = 64  # the sides must halve six times

# cuDNN rounds convolutions to TensorFloat-32, 10 bits, unless told not to.
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_tf32 = False

Pyramid = dict[int, torch.Tensor]


def _conv(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation)


def _activate(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, 0.1)


def warp(image: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Samples `image` at p + flow(p): bilinear, corner-aligned, zeros outside.

    Args:
      image: [N, C, H, W].
      flow: [N, 2, H, W], (x, y) in pixels.

    Returns:
      [N, C, H, W].
    """
    height, width = image.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    # grid_sample wants -1 and 1 at the centres of the first and the last pixel.
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], -1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def cost_volume(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Correlates each feature of `first` with its neighbourhood in `second`.

    Args:
      first, second: [N, C, h, w].

    Returns:
      [N, 81, h, w]; channel 9 * (dy + 4) + (dx + 4) is the mean over C of
      first(p) * second(p + (dx, dy)), zero outside.
    """
    height, width = first.shape[-2:]
    padded = F.pad(second, [RADIUS] * 4)
    side = 2 * RADIUS + 1
    costs = [
        (first * padded[:, :, y : y + height, x : x + width]).mean(1)
        for y in range(side)
        for x in range(side)
    ]
    return torch.stack(costs, 1)


class Decoder(nn.Module):
    """Flow of one level, from its cost volume and what the coarser level hands up."""

    def __init__(self, level: int):
        super().__init__()
        channels = (2 * RADIUS + 1) ** 2
        self.level = level
        if level < max(LEVELS):
            self.up_flow = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
            self.up_features = nn.ConvTranspose2d(decoded(level + 1), 2, 4, stride=2, padding=1)
            channels += CHANNELS[level] + 2 + 2
        self.dense = nn.ModuleList()
        for outputs in DENSE:
            self.dense.append(_conv(channels, outputs))
            channels += outputs
        self.flow = _conv(channels, 2)

    def forward(self, first, second, flow, features):
        """Returns (flow [N, 2, h, w], features [N, decoded(level), h, w]) of this level."""
        if flow is None:
            x = _activate(cost_volume(first, second))
        else:
            flow = self.up_flow(flow)
            x = [_activate(cost_volume(first, self._warp(second, flow))), first, flow]
            x = torch.cat([*x, self.up_features(features)], 1)
        for layer in self.dense:
            x = torch.cat([_activate(layer(x)), x], 1)
        return self.flow(x), x

    def _warp(self, features, flow):
        flow = flow * (FLOW_UNIT / 2**self.level)
        inside = warp(torch.ones_like(features[:, :1]), flow) > 0.999
        return warp(features, flow) * inside


def decoded(level: int) -> int:
    """Channels of a decoder's features."""
    first = 0 if level == max(LEVELS) else CHANNELS[level] + 4
    return (2 * RADIUS + 1) ** 2 + first + sum(DENSE)


class PWCNet(nn.Module):
    """The network, in two halves, so that a frame of many pairs is encoded once."""

    def __init__(self):
        super().__init__()
        self.extractor = nn.ModuleDict()
        inputs = 3
        for level, outputs in CHANNELS.items():
            layers = (_conv(inputs, outputs, stride=2), *(_conv(outputs, outputs) for _ in "ab"))
            self.extractor[str(level)] = nn.ModuleList(layers)
            inputs = outputs
        self.decoders = nn.ModuleDict({str(level): Decoder(level) for level in LEVELS})
        self.context = nn.ModuleList()
        inputs = decoded(min(LEVELS))
        for outputs, dilation in (*CONTEXT, (2, 1)):
            self.context.append(_conv(inputs, outputs, dilation=dilation))
            inputs = outputs

    def encode(self, image: torch.Tensor) -> Pyramid:
        """Features of images [N, 3, H, W] (see `prepare`), by level."""
        pyramid, x = {}, image
        for level in CHANNELS:
            for layer in self.extractor[str(level)]:
                x = _activate(layer(x))
            if level in LEVELS:
                pyramid[level] = x
        return pyramid

    def decode(self, first: Pyramid, second: Pyramid) -> torch.Tensor:
        """Flow from first to second images, [N, 2, H / 4, W / 4] in units of 20 pixels."""
        flow = features = None
        for level in LEVELS:
            decoder = self.decoders[str(level)]
            flow, features = decoder(first[level], second[level], flow, features)
        x = features
        for layer in self.context[:-1]:
            x = _activate(layer(x))
        return flow + self.context[-1](x)


def prepare(frames: torch.Tensor) -> torch.Tensor:
    """RGB uint8 frames [N, h, w, 3] of any size to the network's input, sides rounded up to 64."""
    image = frames.flip(-1).permute(0, 3, 1, 2).float() / 255
    size = [-(-side // GRID) * GRID for side in image.shape[-2:]]
    return F.interpolate(image, size, mode="bilinear", align_corners=False)


def to_pixels(raw: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The network's flow [N, 2, H / 4, W / 4] as pixels of frames, [N, 2, height, width]."""
    rows, columns = raw.shape[-2:]
    flow = FLOW_UNIT * F.interpolate(raw, (height, width), mode="bilinear", align_corners=False)
    return flow * flow.new_tensor([width / (4 * columns), height / (4 * rows)])[:, None, None]


def reliable(flow: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """The paper's O: where going along `flow` and returning along `back` ends at home.

    Args:
      flow, back: [N, 2, H, W] pixels, of frame i to j and of j to i.

    Returns:
      [N, H, W] bool: exp(-|flow(p) + back(p + flow(p))|^2 / 2) > 0.5.
    """
    return torch.exp(-(flow + warp(back, flow)).square().sum(1) / 2) > 0.5
