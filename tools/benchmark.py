"""Benchmarks an update on this machine: updates per second, compiling, memory, arithmetic.

    .venv/bin/python tools/benchmark.py
    .venv/bin/python tools/benchmark.py --sizes=96x192 --losses=image --dtypes=float32 --rounds=9

Each row is one kind of update on windows of five frames of noise, with the network of
configs/flow.py: six scales, or as many as the size allows. If the environment of
`make pwcnet-env` exists, the same update in PyTorch (`tools/torch_update.py`) runs alternately
with it, with the same savings and in the published form (all of VGG16, its gradients, and the
targets in every update). A ratio is the time of PyTorch's update divided by ours in the same
round: above 1, ours is faster.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

import jax
import jax.extend
import jax.numpy as jnp
import ml_collections
import numpy as np

import vidprior
from vidprior import configuration, runtime
from vidprior.io.files import replacing
from vidprior.model import generator
from vidprior.run import build
from vidprior.training import train_step, windows
from vidprior.training.clip import make_clip, make_noise
from vidprior.training.train_step import TrainState
from vidprior.types import OFFSETS, DeviceClip, Flows, Window

ROOT = pathlib.Path(__file__).parents[1]
LOSSES = {
    "image": {"image": 1.0, "flow": 0.0, "consistency": 0.0, "perceptual": 0.0},
    "flow": {"image": 1.0, "flow": 0.1, "consistency": 1.0, "perceptual": 0.0},
    "full": {"image": 1.0, "flow": 0.1, "consistency": 1.0, "perceptual": 0.01},
}
# All thirteen convolutions of VGG16, for the published form.
VGG_WIDTHS = (64, 128, 256, 512, 512)
VGG_DEPTHS = (2, 2, 3, 3, 3)


@dataclasses.dataclass
class Problem:
    """One window of noise, and the update that fits it."""

    config: ml_collections.ConfigDict
    clip: DeviceClip
    window: Window
    vgg: dict[str, np.ndarray]
    features: object

    def torch_arrays(self) -> dict[str, np.ndarray]:
        """The same in the form that `tools/torch_update.py` reads."""
        batch = windows.gather(self.clip, self.window)._asdict()
        holes = batch.pop("feature_hole") or ()
        batch.pop("features")
        batch |= {f"feature_hole/{k}": hole for k, hole in enumerate(holes)}
        params = build.initial_params(self.config)
        groups = {
            "params": {
                f"{m}/{leaf}": x for m, leaves in params.items() for leaf, x in leaves.items()
            },
            # Ours flips the channels of the first kernel.
            "vgg": {
                name.replace(".", "/"): x[:, :, ::-1] if name == "conv1_1.kernel" else x
                for name, x in self.vgg.items()
            },
            "batch": {name: x for name, x in batch.items() if x is not None},
            "weights": self.config.loss.to_dict(),
        }
        return {
            f"{group}/{name}": np.asarray(x)
            for group, xs in groups.items()
            for name, x in xs.items()
        }


def make_problem(
    size: tuple[int, int], *, loss: str, dtype: str, length: int, precision: str = "default"
) -> Problem:
    """A window of noise with a hole in its middle, and flow of a few pixels."""
    config = configuration.load("flow")
    config.update(
        {
            "model": {"dtype": dtype, "precision": precision},
            "loss": LOSSES[loss],
            "window": {"length": length},
        }
    )
    while generator.smallest_side(len(config.model.channels)) > min(size):
        config.model.channels = config.model.channels[:-1]
    random = np.random.default_rng(0)
    height, width = size
    frames = random.integers(0, 256, (length, *size, 3), np.uint8)
    hole = np.zeros((length, *size), bool)
    hole[:, height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = True
    flows = None
    if build.needs_flow(config):
        flow = random.normal(0, 2, (len(OFFSETS), length, *size, 2)).astype(np.float32)
        shape = flow.shape[:-1]
        flows = Flows(
            np.array(OFFSETS, np.int32),
            flow,
            np.ones(shape, bool),
            np.ones(shape[:2], bool),
            "",
            "",
        )
    arrays = vgg_arrays()
    features = None
    if config.loss.perceptual:
        features = build.bound_features(config, arrays)

    noise = make_noise(0, length, size, high=config.model.noise_high)
    clip = make_clip(frames, hole, noise, flows=flows, features=features)
    listed = windows.list_windows(length, length=length, strides=(1,), directions=("forward",))
    return Problem(config, clip, windows.select(listed, 0), arrays, features)


def vgg_arrays() -> dict[str, np.ndarray]:
    """VGG16 with random weights of the right sizes."""
    random = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {}
    channels = 3
    for stage, (width, depth) in enumerate(zip(VGG_WIDTHS, VGG_DEPTHS, strict=True)):
        for i in range(depth):
            kernel = random.normal(0, math.sqrt(2 / (9 * channels)), (3, 3, channels, width))
            arrays[f"conv{stage + 1}_{i + 1}.kernel"] = kernel.astype(np.float32)
            # Not zero, or XLA would drop the additions.
            bias = random.normal(0, 0.1, width)
            arrays[f"conv{stage + 1}_{i + 1}.bias"] = bias.astype(np.float32)
            channels = width
    return arrays


def count_flop(function, *arguments) -> float:
    """Multiplications and additions of a function's convolutions and matrix products."""

    def count(jaxpr) -> float:
        total = 0.0
        for equation in jaxpr.eqns:
            for inner in jax.extend.core.jaxprs_in_params(equation.params):
                total += count(inner)
            name = equation.primitive.name
            if name not in ("dot_general", "conv_general_dilated"):
                continue
            shapes = [x.aval.shape for x in equation.invars]
            out = math.prod(equation.outvars[0].aval.shape)
            if name == "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                total += 2 * out * math.prod(shapes[0][axis] for axis in contracted)
            else:
                features = equation.params["dimension_numbers"].rhs_spec[0]
                per_output = math.prod(shapes[1]) / shapes[1][features]
                # Zeros that a dilation puts between pixels are not multiplied.
                total += 2 * out * per_output / math.prod(equation.params["lhs_dilation"])
        return total

    return count(jax.make_jaxpr(function)(*arguments).jaxpr)


def matmul_ceiling(dtype: str) -> float:
    """Floating-point operations per second of a large matrix product, the best of five."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    x = jnp.ones((size, size), jnp.dtype(dtype))
    product = jax.jit(jnp.matmul)
    product(x, x).block_until_ready()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        product(x, x).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


class Ours:
    """The package's update, compiled."""

    def __init__(self, problem: Problem):
        config = problem.config
        one = build.train_step(config, problem.features)
        on_cpu = jax.default_backend() == "cpu"
        self._fit = train_step.Fit(one, length=1 if on_cpu else train_step.STEPS_PER_DISPATCH)
        self._clip, self._window = problem.clip, problem.window
        state = train_step.init_state(
            build.initial_params(config), optimizer=build.optimizer(config)
        )
        self.flop = count_flop(one, state, self._clip, self._window)
        compiled = jax.jit(one, donate_argnums=0).lower(state, self._clip, self._window)
        began = time.perf_counter()
        memory = compiled.compile().memory_analysis()
        self.compile_seconds = time.perf_counter() - began
        self.memory = memory.argument_size_in_bytes + memory.temp_size_in_bytes
        self._state: TrainState = state
        self(1)

    def __call__(self, updates: int) -> float:
        """Seconds that so many updates take."""
        count = self._fit.length * -(-updates // self._fit.length)  # full dispatches alone
        repeated = Window(*(np.repeat(x[None], count, axis=0) for x in self._window))
        began = time.perf_counter()
        self._state, _ = self._fit(self._state, self._clip, repeated)
        jax.block_until_ready(self._state)
        return (time.perf_counter() - began) * updates / count


class InPytorch:
    """`tools/torch_update.py serve` on the same problem."""

    def __init__(self, python: pathlib.Path, path: pathlib.Path, *options: str):
        command = [python, ROOT / "tools/torch_update.py", "serve", path, *options]
        self._process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._read() != "0":
            raise SystemExit("error: tools/torch_update.py did not start")
        self(1)

    def _read(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def __call__(self, updates: int) -> float:
        """Seconds that so many updates take."""
        assert self._process.stdin
        print(updates, file=self._process.stdin, flush=True)
        return float(self._read())

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


def measure(
    problem: Problem, *, python: pathlib.Path | None, rounds: int, seconds: float
) -> dict[str, object]:
    """One row of the table: all contestants in turn, `rounds` times."""
    ours = Ours(problem)
    contestants: dict[str, Ours | InPytorch] = {"ours": ours}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if python is not None:
            path = pathlib.Path(folder) / "update.npz"
            np.savez(path, **problem.torch_arrays())
            for name, published in {"pytorch": False, "published": True}.items():
                if published and not problem.config.loss.perceptual:
                    continue  # the same as without
                options = ("--published",) if published else ()
                contestants[name] = InPytorch(python, path, *options)
                stack.callback(contestants[name].close)
        counts = {name: max(1, round(seconds / run(1))) for name, run in contestants.items()}
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, run in contestants.items():
                times[name].append(run(counts[name]) / counts[name])
    median = float(np.median(times["ours"]))
    row: dict[str, object] = {
        "updates_per_second": 1 / median,
        "seconds": {name: spread(values) for name, values in times.items()},
        "compile_seconds": ours.compile_seconds,
        "memory_bytes": ours.memory,
        "flop": ours.flop,
        "flop_per_second": ours.flop / median,
    }
    for name in times.keys() - {"ours"}:
        row[f"ratio_{name}"] = spread(np.divide(times[name], times["ours"]))
    return row


def spread(values: Sequence[float]) -> list[float]:
    """Minimum, median and maximum."""
    return [float(f(values)) for f in (np.min, np.median, np.max)]


def parse_sizes(text: str) -> Iterator[tuple[int, int]]:
    """'96x192,192x384' as height and width."""
    for size in text.split(","):
        height, width = size.split("x")
        yield int(height), int(width)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="96x192,192x384", help="HEIGHTxWIDTH,...")
    parser.add_argument("--losses", default=",".join(LOSSES), help=f"of {', '.join(LOSSES)}")
    parser.add_argument("--dtypes", default="float32", help="of float32, bfloat16")
    parser.add_argument("--length", type=int, default=5, help="frames of a window")
    parser.add_argument("--rounds", type=int, default=5, help="times that all run in turn")
    parser.add_argument("--seconds", type=float, default=2, help="that each runs in a round")
    parser.add_argument("--python", default=ROOT / ".venv-pwcnet/bin/python", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for all numbers")
    options = parser.parse_args()
    runtime.keep_memory()  # as training does
    python = options.python if options.python.exists() else None
    if python is None:
        print(f"note: no {options.python}, so no PyTorch to compare with", file=sys.stderr)
    device = jax.devices()[0]
    print(f"vidprior {vidprior.__version__}, jax {jax.__version__}, {device.device_kind}")
    rows = []
    head = "size loss dtype updates/s ms compile_s GiB GFLOP GFLOP/s of_matmul"
    print("".join(f"{name:>10}" for name in head.split()), "  PyTorch/ours min..median..max")
    for dtype in options.dtypes.split(","):
        ceiling = matmul_ceiling(dtype)
        for height, width in parse_sizes(options.sizes):
            for loss in options.losses.split(","):
                problem = make_problem(
                    (height, width), loss=loss, dtype=dtype, length=options.length
                )
                row = measure(
                    problem, python=python, rounds=options.rounds, seconds=options.seconds
                )
                row |= {"size": f"{height}x{width}", "loss": loss, "dtype": dtype}
                row["share_of_matmul"] = row["flop_per_second"] / ceiling
                rows.append(row)
                print(describe(row), flush=True)
    if options.output:
        about = {"device": device.device_kind, "jax": jax.__version__, "rows": rows}
        with replacing(options.output) as path:
            path.write_text(json.dumps(about, indent=1))


def describe(row: dict) -> str:
    """The row as a line of the table."""
    values = (
        row["size"],
        row["loss"],
        row["dtype"],
        f"{row['updates_per_second']:.3g}",
        f"{1e3 / row['updates_per_second']:.4g}",
        f"{row['compile_seconds']:.3g}",
        f"{row['memory_bytes'] / 2**30:.2f}",
        f"{row['flop'] / 1e9:.4g}",
        f"{row['flop_per_second'] / 1e9:.4g}",
        f"{row['share_of_matmul']:.0%}",
    )
    ratios = [
        f"{name.removeprefix('ratio_')} {low:.2f}..{middle:.2f}..{high:.2f}"
        for name, (low, middle, high) in sorted(
            (name, value) for name, value in row.items() if name.startswith("ratio_")
        )
    ]
    return "".join(f"{value:>10}" for value in values) + "   " + "; ".join(ratios)


if __name__ == "__main__":
    main()
