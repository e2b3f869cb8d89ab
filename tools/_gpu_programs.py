"""One update, compiled as training does on an accelerator, in a process of its own.

    python tools/_gpu_programs.py serve '{"loss": "full", "dtype": "bfloat16"}'
    python tools/_gpu_programs.py gradient '{"height": 96, "width": 192}' OUTPUT.npz

`serve` compiles, prints what it knows of the program as a line of JSON, and then answers each
line of standard input with one of JSON: a number of dispatches with the seconds they took,
`profile` with where the time goes, `in_flight 4` with the rate of four threads. `gradient` writes
losses and gradient of the initial parameters, `arrays` what `torch_update.py` reads. A process of
its own has a memory of its own, and can be ended when it hangs.
"""

import argparse
import collections
import dataclasses
import faulthandler
import json
import pathlib
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import benchmark
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vidprior import runtime
from vidprior.run import build
from vidprior.training import train_step
from vidprior.training.side_by_side import side_by_side
from vidprior.types import Window

OPTIONS: dict[str, dict[str, str | bool]] = {
    "default": {},
    "no graphs": {"xla_gpu_enable_command_buffer": ""},
    "one graph": {
        name: value
        for name, value in runtime.one_graph_options().items()
        if name != "xla_gpu_command_buffer_scheduling_mode"
    },
    "one graph, concurrent": runtime.one_graph_options(),
    "no Triton": {"xla_gpu_enable_triton_gemm": False},
    "no autotuning": {"xla_gpu_autotune_level": "0"},
    "deterministic": {"xla_gpu_deterministic_ops": True},
}


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is compiled.

    Attributes:
      loss: of `benchmark.LOSSES`.
      dtype: of the convolutions.
      precision: of products in float32.
      height, width: of the window, in pixels.
      length: of the window, in frames.
      conv_ndim: 2 or 3.
      channels: of the scales; empty: those of configs/flow.py.
      optimizer: 'adam' or 'muon'.
      updates: in one dispatch.
      networks: that are fitted at once.
      form: of several networks: 'unrolled' (`side_by_side`) or 'vmap'.
      options: of `OPTIONS`.
    """

    loss: str = "full"
    dtype: str = "bfloat16"
    precision: str = "default"
    height: int = 192
    width: int = 384
    length: int = 5
    conv_ndim: int = 2
    channels: tuple[int, ...] = ()
    optimizer: str = "adam"
    updates: int = 100
    networks: int = 1
    form: str = "unrolled"
    options: str = "default"

    def problem(self) -> benchmark.Problem:
        """A window of noise."""
        size = self.height, self.width
        made = benchmark.make_problem(
            size, loss=self.loss, dtype=self.dtype, length=self.length, precision=self.precision
        )
        with made.config.unlocked():
            made.config.model.conv_ndim = self.conv_ndim
            made.config.optimizer.name = self.optimizer
            if self.channels:
                made.config.model.channels = self.channels
        return made


def of_networks(
    spec: Spec, step: train_step.TrainStep, state: train_step.TrainState, window: Window
) -> tuple[train_step.TrainStep, train_step.TrainState, Window]:
    """The update, state and window of all networks of a specification, given those of one."""
    if spec.networks == 1:
        return step, state, window
    several = side_by_side(step) if spec.form == "unrolled" else jax.vmap(step, (0, None, 0))
    states = jax.tree.map(lambda x: jnp.stack([x] * spec.networks), state)
    return several, states, Window(*(np.stack([x] * spec.networks) for x in window))


class Program:
    """Many updates of one window, scanned in one dispatch."""

    def __init__(self, spec: Spec):
        """Compiles it."""
        began = time.perf_counter()
        problem = spec.problem()
        config = problem.config
        step = build.train_step(config, problem.features, updates=spec.updates)
        state = build.initial_state(config, build.initial_params(config))
        self.spec, self._clip = spec, problem.clip
        flop = benchmark.count_flop(step, state, problem.clip, problem.window)
        step, state, window = of_networks(spec, step, state, problem.window)
        self._state = jax.device_put(state)
        self._windows = Window(*(jnp.repeat(x[None], spec.updates, axis=0) for x in window))

        jitted = jax.jit(train_step.scanned(step), donate_argnums=0)
        lowered = jitted.lower(self._state, self._clip, self._windows)
        prepared = time.perf_counter()
        print("compiling", file=sys.stderr, flush=True)
        options = runtime.compiler_options() | OPTIONS[spec.options]
        self._compiled = lowered.compile(compiler_options=options)
        compiled = time.perf_counter()
        text, memory = self._compiled.as_text(), self._compiled.memory_analysis()
        self.facts = {
            "trace_seconds": prepared - began,
            "compile_seconds": compiled - prepared,
            "temporaries_bytes": memory.temp_size_in_bytes,
            "arguments_bytes": memory.argument_size_in_bytes,
            "gflop": flop / 1e9,
            "convolutions": len(re.findall(r'custom_call_target="__cudnn\$conv', text)),
            "grouped": len(re.findall(r"feature_group_count=(?!1\b)\d", text)),
            "triton": len(re.findall(r"__triton", text)),
        }

    def __call__(self, times: int = 1) -> dict[str, float]:
        """Seconds of so many dispatches, and the largest use of memory so far."""
        began = time.perf_counter()
        for _ in range(times):
            self._state, losses = self._compiled(self._state, self._clip, self._windows)
        total = np.asarray(losses["total"])
        jax.block_until_ready(self._state)
        seconds = time.perf_counter() - began
        if not np.isfinite(total).all():
            raise ArithmeticError("a loss is not finite")
        used = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
        return {"seconds": seconds, "peak_bytes": used, "loss": float(total.ravel()[-1])}


def in_flight(program: Program, states: int, *, times: int) -> float:
    """Updates per second when several threads dispatch one program, each with a network."""
    copies = [jax.tree.map(jnp.copy, program._state) for _ in range(states)]
    jax.block_until_ready(copies)

    def work(state) -> None:
        for _ in range(times):
            state, _ = program._compiled(state, program._clip, program._windows)
        jax.block_until_ready(state)

    threads = [threading.Thread(target=work, args=(state,)) for state in copies]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return states * times * program.spec.updates / (time.perf_counter() - began)


def ceilings(*, small: bool) -> dict[str, float]:
    """What the device reaches: products, a copy, and a kernel that does nothing."""
    found = {}
    for dtype in ("float32", "bfloat16"):
        size = 256 if small else 8192
        x = jax.random.normal(jax.random.key(0), (size, size), jnp.dtype(dtype))
        product = jax.jit(jnp.matmul)
        found[f"{dtype}_flop_per_second"] = 2 * size**3 / _least(product, x, x)
    x = jnp.arange(2**20 if small else 2**29, dtype=jnp.float32)
    found["copy_bytes_per_second"] = 2 * x.nbytes / _least(jax.jit(lambda x: x + 1), x)
    return found


def _least(function, *arguments, rounds: int = 8) -> float:
    function(*arguments).block_until_ready()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        function(*arguments).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def profile(program: Program) -> dict[str, object]:
    """Where the device's time goes in one dispatch: kernels by name, and gaps between them."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            wall = program()["seconds"]
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        events = list(_device_events(jax.profiler.ProfileData.from_file(str(path))))
    if not events:
        return {"wall_seconds": wall, "kernels": 0}
    spent: dict[str, list[float]] = collections.defaultdict(list)
    for name, _, length in events:
        spent[_kind(name)].append(length)
    table = sorted(
        (
            (sum(x) / 1e3 / program.spec.updates, len(x) / program.spec.updates, name)
            for name, x in spent.items()
        ),
        reverse=True,
    )
    busy = _union((start, start + length) for _, start, length in events)
    lengths = np.array([length for _, _, length in events])
    span = max(s + x for _, s, x in events) - min(s for _, s, _ in events)
    return {
        "wall_ms_per_update": 1e3 * wall / program.spec.updates,
        "span_ms_per_update": span / 1e6 / program.spec.updates,
        "busy_ms_per_update": busy / 1e6 / program.spec.updates,
        "kernels_per_update": len(events) / program.spec.updates,
        "share_below_3us": float((lengths < 3e3).mean()),
        "ms_below_3us": float(lengths[lengths < 3e3].sum() / 1e6 / program.spec.updates),
        "us_calls_name": [[round(us, 2), round(n, 2), name] for us, n, name in table[:100]],
    }


def _device_events(data) -> Iterator[tuple[str, float, float]]:
    """Name, start and length in nanoseconds of what ran on the device's streams."""
    for plane in data.planes:
        if not plane.name.startswith("/device:GPU"):
            continue
        for line in plane.lines:
            if line.name.startswith("Stream"):
                for event in line.events:
                    yield event.name, event.start_ns, event.duration_ns


def _kind(name: str) -> str:
    """A kernel's name without its number."""
    return re.sub(r"(_\d+)+$", "", name)[:90]


def _union(intervals) -> float:
    total, end = 0.0, -np.inf
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def losses_and_gradient(problem: benchmark.Problem) -> dict[str, np.ndarray]:
    """Losses of the initial parameters, and the gradient as one array."""
    config = problem.config
    step = train_step.make_train_step(
        generator=build.generator(config),
        optimizer=optax.trace(decay=0.0),  # keeps the gradient, as it is
        weights=config.loss.to_dict(),
        features=problem.features,
    )

    def precise(state, clip, window):
        with jax.default_matmul_precision(config.model.precision):
            return step(state, clip, window)

    state = train_step.init_state(build.initial_params(config), optimizer=optax.trace(0.0))
    state, losses = jax.jit(precise)(state, problem.clip, problem.window)
    leaves = [np.asarray(x, np.float32).ravel() for x in jax.tree.leaves(state.opt_state.trace)]
    return {name: np.asarray(x) for name, x in losses.items()} | {
        "gradient": np.concatenate(leaves)
    }


def serve(spec: Spec) -> None:
    """Answers standard input."""
    program = Program(spec)
    print(json.dumps(program.facts), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "profile":
            answer: object = profile(program)
        elif words[0] == "in_flight":
            answer = in_flight(program, int(words[1]), times=3)
        else:
            answer = program(int(words[0]))
        print(json.dumps(answer), flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["serve", "gradient", "arrays", "ceilings"])
    parser.add_argument("spec", help="JSON of a Spec")
    parser.add_argument("output", nargs="?", type=pathlib.Path)
    options = parser.parse_args()
    faulthandler.dump_traceback_later(75, repeat=True)  # tells where it hangs
    fields = json.loads(options.spec)
    spec = Spec(**fields | {"channels": tuple(fields.get("channels", ()))})
    if options.command == "serve":
        serve(spec)
    elif options.command == "gradient":
        np.savez(options.output, **losses_and_gradient(spec.problem()))
    elif options.command == "arrays":
        np.savez(options.output, **spec.problem().torch_arrays())
    else:
        print(json.dumps(ceilings(small=spec.height < 100)))


if __name__ == "__main__":
    main()
