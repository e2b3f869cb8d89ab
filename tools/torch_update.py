"""The method's update in PyTorch: the yardstick for the trainer's numbers and its speed.

Runs in the environment of `make pwcnet-env`, apart from the trainer, and shares no code
with it. Two commands:

    python tools/torch_update.py fit UPDATE.npz OUTPUT.npz --updates=10 --dtype=float64
    python tools/torch_update.py serve UPDATE.npz [--published] [--device=cuda] [--autocast]

`fit` writes the losses of every update, the first gradient and the last parameters. `serve`
reads numbers of updates from standard input, and answers each with the seconds they took.

UPDATE.npz holds the arrays of one window in the trainer's layouts: `params/MODULE/LEAF`,
`vgg/LAYER/LEAF` (13 layers, for RGB in [0, 1]), `batch/FIELD` and `weights/TERM`.
"""

import argparse
import dataclasses
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

# Convolutions of VGG16's five stages; the perceptual loss looks at the first three.
STAGES = (2, 2, 3, 3, 3)
COMPARED_STAGES = 3

Arrays = dict[str, torch.Tensor]


def generate(params: Arrays, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The generator: [N, 1, H, W] to colour [N, 3, H, W] and flow [N, K, 2, H, W]."""

    def convolve(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = params[f"{name}/kernel"]
        x = F.pad(x, 4 * (kernel.shape[-1] // 2,), mode="reflect")
        return F.conv2d(x, kernel, params[f"{name}/bias"], stride)

    def normalise(x: torch.Tensor, name: str) -> torch.Tensor:
        scale, bias = params[f"{name}_norm/scale"], params[f"{name}_norm/bias"]
        return F.batch_norm(x, None, None, scale, bias, training=True, eps=1e-5)

    def block(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        return F.leaky_relu(normalise(convolve(x, name, stride), name), 0.2)

    x, skips = noise, []
    scales = range(sum(name.startswith("down_") and name.endswith("kernel") for name in params))
    for k in scales:
        skips.append(block(x, f"skip_{k}"))
        x = block(block(x, f"down_{k}", stride=2), f"deepen_{k}")
    for k in reversed(scales):
        skip, x = _crop(skips[k], F.interpolate(x, scale_factor=2, mode="nearest"))
        x = normalise(torch.cat([skip, x], dim=1), f"join_{k}")
        x = block(block(x, f"up_{k}"), f"refine_{k}")
    image = torch.sigmoid(convolve(x, "image"))
    if "flow/kernel" not in params:
        return image, None
    flow = convolve(x, "flow")
    return image, flow.reshape(len(flow), -1, 2, *flow.shape[2:])


def _crop(*arrays: torch.Tensor) -> list[torch.Tensor]:
    height, width = (min(x.shape[axis] for x in arrays) for axis in (2, 3))
    cropped = []
    for x in arrays:
        top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
        cropped.append(x[:, :, top : top + height, left : left + width])
    return cropped


def warp(image: torch.Tensor, flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[P, C, H, W] at p + flow(p), flow [P, 2, H, W] in pixels; and where that is inside."""
    height, width = image.shape[2:]
    x = flow[:, 0] + torch.arange(width, dtype=flow.dtype, device=flow.device)
    y = flow[:, 1] + torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    warped = F.grid_sample(image, grid, align_corners=True)
    ones = torch.ones_like(image[:, :1])
    with torch.no_grad():
        valid = F.grid_sample(ones, grid, align_corners=True) >= 0.999
    return warped, valid


def vgg_features(params: Arrays, image: torch.Tensor, num_stages: int) -> list[torch.Tensor]:
    """relu1_2, relu2_2, relu3_3, ... of [N, 3, H, W]."""
    x, features = image, []
    for stage in range(num_stages):
        if stage:
            x = F.max_pool2d(x, 2)
        for i in range(STAGES[stage]):
            name = f"conv{stage + 1}_{i + 1}"
            x = F.relu(F.conv2d(x, params[f"{name}/kernel"], params[f"{name}/bias"], padding=1))
        features.append(x)
    return features


@dataclasses.dataclass
class Problem:
    """One window, the parameters to fit and the weights of the terms."""

    params: Arrays
    vgg: Arrays
    batch: Arrays
    weights: dict[str, float]
    published: bool = False
    targets: list[torch.Tensor] = dataclasses.field(default_factory=list)

    @classmethod
    def read(
        cls, path: str, *, dtype: torch.dtype, published: bool, device: str = "cpu"
    ) -> "Problem":
        """Reads UPDATE.npz; `published` computes all of VGG16, its targets and its gradients."""
        groups: dict[str, Arrays] = {"params": {}, "vgg": {}, "batch": {}, "weights": {}}
        with np.load(path, allow_pickle=False) as file:
            for key in file:
                group, name = key.split("/", 1)
                array = file[key]
                if name.endswith("kernel"):
                    array = array.transpose(3, 2, 0, 1)
                elif group == "batch" and array.ndim == 4:
                    array = array.transpose(0, 3, 1, 2)
                tensor = torch.from_numpy(np.ascontiguousarray(array)).to(device)
                groups[group][name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        for tensor in groups["params"].values():
            tensor.requires_grad_()
        weights = {name: float(weight) for name, weight in groups["weights"].items()}
        problem = cls(groups["params"], groups["vgg"], groups["batch"], weights, published)
        if weights["perceptual"] and not published:
            with torch.no_grad():
                problem.targets = problem._features(problem.batch["image"])
        for tensor in problem.vgg.values():
            tensor.requires_grad_(published)
        return problem

    def _features(self, image: torch.Tensor) -> list[torch.Tensor]:
        stages = len(STAGES) if self.published else COMPARED_STAGES
        return vgg_features(self.vgg, image, stages)

    def losses(self) -> Arrays:
        """The terms of Equation 2 that have a weight, and their weighted total."""
        batch, terms = self.batch, {}
        image, flow = generate(self.params, batch["noise"])
        known = 1 - batch["hole"]
        if self.weights["image"]:
            terms["image"] = (known * (image - batch["image"])).square().mean()
        if self.weights["flow"] or self.weights["consistency"]:
            source, target = batch["source"].long(), batch["target"].long()
            flow = flow[source, batch["offset"].long()]
            scale = batch["flow_scale"][:, None, None, None]
            error = batch["flow_known"] * (flow - batch["flow"] / scale)
            terms["flow"] = error.square().mean()
            warped, valid = warp(image[target], flow * scale)
            error = batch["flow_hole"] * valid * (warped - image[source].detach())
            terms["consistency"] = error.square().mean()
        if self.weights["perceptual"]:
            wanted = self._features(batch["image"]) if self.published else self.targets
            found = self._features(image)
            terms["perceptual"] = sum(
                ((1 - batch[f"feature_hole/{k}"]) * (found[k] - wanted[k].detach())).square().mean()
                for k in range(COMPARED_STAGES)
            )
        terms["total"] = sum(self.weights[name] * term for name, term in terms.items())
        return terms


def fit(problem: Problem, updates: int) -> dict[str, np.ndarray]:
    """Adam on the problem; losses before every update and after the last."""
    optimizer = torch.optim.Adam(problem.params.values(), lr=0.01)
    rows, gradient = [], {}
    for step in range(updates + 1):
        optimizer.zero_grad()
        terms = problem.losses()
        rows.append({name: term.item() for name, term in terms.items()})
        if step == updates:
            break
        terms["total"].backward()
        if not step:
            gradient = {name: x.grad.clone() for name, x in problem.params.items()}
        optimizer.step()
    if not updates:
        terms["total"].backward()
        gradient = {name: x.grad for name, x in problem.params.items()}
    found = {f"losses/{name}": np.array([row[name] for row in rows]) for name in rows[0]}
    for title, tensors in {"gradient": gradient, "params": problem.params}.items():
        for name, tensor in tensors.items():
            array = tensor.detach().numpy()
            found[f"{title}/{name}"] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    return found


def serve(problem: Problem, *, autocast: bool) -> None:
    """Answers every number of updates on standard input with the seconds they took.

    Args:
      problem: fitted by Adam.
      autocast: products and convolutions in bfloat16, by `torch.autocast`.
    """
    device = next(iter(problem.params.values())).device.type
    torch.backends.cudnn.benchmark = True  # the fastest algorithm, tried in the first update
    optimizer = torch.optim.Adam(problem.params.values(), lr=0.01)
    print(0, flush=True)  # ready
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=autocast):
                total = problem.losses()["total"]
            total.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        print(time.perf_counter() - began, flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    fit_command = commands.add_parser("fit")
    serve_command = commands.add_parser("serve")
    for command in (fit_command, serve_command):
        command.add_argument("update", metavar="UPDATE.npz")
        command.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    fit_command.add_argument("output", metavar="OUTPUT.npz")
    fit_command.add_argument("--updates", type=int, default=0)
    serve_command.add_argument("--published", action="store_true")
    serve_command.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    serve_command.add_argument("--autocast", action="store_true", help="convolve in bfloat16")
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype)
    if options.command == "serve":
        problem = Problem.read(
            options.update, dtype=dtype, published=options.published, device=options.device
        )
        serve(problem, autocast=options.autocast)
    else:
        problem = Problem.read(options.update, dtype=dtype, published=False)
        np.savez(options.output, **fit(problem, options.updates))


if __name__ == "__main__":
    main()
