"""A report as it grows: its results, its time, and the programs and processes it uses."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import _gpu_runs as runs
from _gpu_programs import OPTIONS, Spec

from vidprior.io.files import replacing

PROGRAMS = pathlib.Path(__file__).with_name("_gpu_programs.py")
DTYPES = ("bfloat16", "float32")
# The systems of the paper, but for the full loss.
SYSTEMS: dict[str, dict[str, Any]] = {
    "DIP-Vid-Flow": {"loss": "flow"},
    "DIP-Vid": {"loss": "image"},
    "DIP-Vid-3DCN": {"loss": "image", "conv_ndim": 3},
    "DIP": {"loss": "image", "length": 1},
}
# What `--small` fits.
SMALL = {"height": 24, "width": 24, "channels": (4, 4), "updates": 2}


@dataclasses.dataclass
class Report:
    """Results so far, and how much time is left for more.

    Attributes:
      folder: for the report and everything that runs leave.
      until: monotonic seconds by which all is done.
      small: tries the report itself.
      python: of the PyTorch environment, or None.
      results: one entry for each section.
      compiled: programs that are ready, and what is known of those, or an error.
      torch: PyTorch's programs.
      stack: ends processes.
    """

    folder: pathlib.Path
    until: float
    small: bool
    python: pathlib.Path | None
    results: dict[str, Any] = dataclasses.field(default_factory=dict)
    compiled: dict[Spec, tuple[runs.Served | None, dict[str, Any]]] = dataclasses.field(
        default_factory=dict
    )
    torch: dict[str, runs.Served] = dataclasses.field(default_factory=dict)
    stack: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()

    def within(self, seconds: float) -> float:
        """Monotonic seconds so far from now, at most `until`."""
        return min(self.until, time.monotonic() + seconds)

    def write(self) -> None:
        """Writes what is known."""
        with replacing(self.folder / "report.json") as path:
            path.write_text(json.dumps(self.results, indent=1))

    def run(self, name: str, section: "Section", needs: float) -> None:
        """Runs a section, whatever it does."""
        found: dict[str, Any] = self.results.setdefault(name, {})
        began = time.monotonic()
        if self.left < needs:
            found["skipped"] = f"needs about {needs:.0f} s, and {self.left:.0f} s are left"
        else:
            print(f"== {name}, {self.left:.0f} s are left", flush=True)
            try:
                section(self, found)
            except Exception as error:
                traceback.print_exc()
                self.note(found, "error", f"{type(error).__name__}: {error}"[:2000])
            found["section_seconds"] = round(time.monotonic() - began, 1)
        self.write()

    def note(self, found: dict[str, Any], name: str, value: object) -> None:
        """Adds a result to a section, and writes it at once."""
        found[name] = value
        self.write()
        print(f"   {name}: {json.dumps(brief(value))}", flush=True)

    def spec(self, **fields: Any) -> Spec:
        """A program; small, if the report is."""
        return Spec(**(fields | SMALL if self.small else fields))

    def specs(self, section: str) -> dict[str, Spec]:
        """The programs of a section by name."""
        full = {f"full {dtype}": self.spec(dtype=dtype) for dtype in DTYPES}
        flow = {f"flow {dtype}": self.spec(loss="flow", dtype=dtype) for dtype in DTYPES}
        image = {"loss": "image", "dtype": "float32", "length": 1}
        several = {"updates": 2 if self.small else 25}
        large = {"height": 480, "width": 854, "updates": 20}
        each: dict[str, dict[str, Spec]] = {
            "updates": full | flow,
            "pytorch": full,
            "profiles": full | flow,
            "graphs": {
                name: self.spec(options=name)
                for name in ("default", *(x for x in OPTIONS if "graph" in x))
            },
            "compiling": {
                name: self.spec(options=name)
                for name in ("default", "no Triton", "no autotuning", "deterministic")
            },
            "dip": {
                "1": self.spec(**image),
                "8, vmap": self.spec(**image | several, networks=8, form="vmap"),
                "8, unrolled": self.spec(**image | several, networks=8),
            },
            "many": {"1 network": self.spec(loss="flow")} | {
                f"4 networks, {options}": self.spec(
                    loss="flow", **several, networks=4, options=options
                )
                for options in ("default", "one graph, concurrent")
            },
            "larger": {
                f"full {dtype}": self.spec(dtype=dtype, **large) for dtype in DTYPES
            },
            "systems": {
                f"{name} {dtype}": self.spec(dtype=dtype, **system)
                for name, system in SYSTEMS.items() if name != "DIP-Vid-Flow"  # in "updates"
                for dtype in DTYPES
            },
            "larger systems": {
                f"{name} {dtype}": self.spec(dtype=dtype, **system, **large)
                for name, system in SYSTEMS.items()
                for dtype in DTYPES
            },
        }  # fmt: skip
        return each.get(section, {})

    def compile(self, specs: Sequence[Spec], *, seconds: float) -> None:
        """Compiles programs at the same time, each in a process of its own that stays.

        Args:
          specs: what, in order of value.
          seconds: after which those that are not ready are given up.
        """
        until = self.within(seconds)

        def start(numbered: tuple[int, Spec]) -> None:
            number, spec = numbered
            words = sys.executable, PROGRAMS, "serve", json.dumps(dataclasses.asdict(spec))
            served = runs.Served(self.folder / f"program_{number}.log", *words)
            self.stack.callback(served.close)
            try:
                facts = served.answer(until=until)
                served.ask(1, until=until)
                self.compiled[spec] = served, facts
            except RuntimeError as error:
                self.compiled[spec] = None, {"error": str(error)[-1500:]}

        with concurrent.futures.ThreadPoolExecutor(max(2, (os.cpu_count() or 2) * 3 // 4)) as pool:
            list(pool.map(start, enumerate(specs)))
        ready = sum(served is not None for served, _ in self.compiled.values())
        print(f"{ready} of {len(specs)} programs are ready, {self.left:.0f} s are left", flush=True)

    def serve_pytorch(self, path: pathlib.Path, name: str, *options: str) -> runs.Served:
        """Starts a program of PyTorch's."""
        log = self.folder / f"{name.replace(' ', '_')}.log"
        script = PROGRAMS.with_name("torch_update.py")
        served = runs.Served(log, self.python, script, "serve", path, *options)
        self.stack.callback(served.close)
        return served

    def train(self, name: str, clip: pathlib.Path, *fields: str, config: str) -> runs.Command:
        """Starts a run of the command line."""
        command = runs.train(clip, self.folder / name, *fields, config=config)
        self.stack.callback(command.close)
        return command


Section = Callable[[Report, dict[str, Any]], None]
Served = dict[str, runs.Served]


def brief(value: Any) -> Any:
    """Numbers with four digits, and only the beginning of long lists."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: brief(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return [brief(x) for x in value[:16]]
    return value
