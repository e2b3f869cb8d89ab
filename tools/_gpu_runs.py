"""Starts programs and real commands, each in a process of its own, and reads their results."""

import json
import os
import pathlib
import queue
import re
import subprocess
import sys
import threading
import time
from typing import Any

import benchmark
import numpy as np

from vidprior.model import vgg

ROOT = pathlib.Path(__file__).resolve().parents[1]


def environment(platform: str = "") -> dict[str, str]:
    """Of a process: it finds the package, and shares the device's memory with others."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    here = {"PYTHONPATH": path, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return os.environ | here | ({"JAX_PLATFORMS": platform} if platform else {})


class Served:
    """A program that answers lines of standard input."""

    def __init__(self, log: pathlib.Path, *words: object):
        """Starts it.

        Args:
          log: for what it prints on standard error.
          words: its command.
        """
        self._log = log
        self._lines: queue.Queue[str] = queue.Queue()
        with log.open("w") as file:
            self._process = subprocess.Popen(
                list(map(str, words)), env=environment(), cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file,
            )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def answer(self, *, until: float) -> Any:
        """The next line, as JSON.

        Raises:
          RuntimeError: it failed, or there was not enough time. It is ended then.
        """
        try:
            line = self._lines.get(timeout=max(0.1, until - time.monotonic()))
        except queue.Empty:
            line = None
        if not line:
            self.close()
            told = " | ".join(self._log.read_text().splitlines()[-25:])
            raise RuntimeError(f"{'no time left' if line is None else 'it ended'}: {told[-1500:]}")
        return json.loads(line)

    def ask(self, words: object, *, until: float) -> Any:
        """Its answer to a line."""
        assert self._process.stdin
        print(words, file=self._process.stdin, flush=True)
        return self.answer(until=until)

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()


class Command:
    """A command that runs in the background, with its output in a file."""

    def __init__(self, log: pathlib.Path, *words: object, platform: str = ""):
        """Starts it.

        Args:
          log: for what it prints.
          words: its arguments, after Python.
          platform: for JAX; empty: as here.
        """
        self._log, self._began = log, time.monotonic()
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, *map(str, words)],
                env=environment(platform), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def wait(self, *, until: float) -> str:
        """What it printed.

        Args:
          until: monotonic seconds after which it is killed.

        Raises:
          RuntimeError: it failed, or there was not enough time.
        """
        try:
            code = self._process.wait(timeout=max(1.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.close()
            raise RuntimeError(f"no time left; see {self._log}") from None
        self.seconds = time.monotonic() - self._began
        text = self._log.read_text()
        if code:
            raise RuntimeError(f"exit code {code}: {text[-1500:]}")
        return text

    def close(self) -> None:
        """Ends it, if it still runs."""
        self._process.kill()
        self._process.wait()


def make_clip(folder: pathlib.Path, *, frames: int, height: int, width: int) -> pathlib.Path:
    """Writes the demo's clip: `frames/`, `masks/`, `truth/`."""
    numbers = (f"--frames={frames}", f"--height={height}", f"--width={width}")
    subprocess.run(
        [sys.executable, ROOT / "tools/make_demo_clip.py", f"--output={folder}", *numbers],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def train(
    clip: pathlib.Path, workdir: pathlib.Path, *fields: str, config: str, platform: str = ""
) -> Command:
    """Starts a run of the command line on a clip."""
    return Command(
        workdir.with_suffix(".log"),
        "-m", "vidprior.main", f"--config=configs/{config}.py", f"--video={clip / 'frames'}",
        f"--mask={clip / 'masks'}", f"--workdir={workdir}", *fields, platform=platform,
    )  # fmt: skip


def evaluate(clip: pathlib.Path, workdir: pathlib.Path, *, until: float) -> dict[str, float]:
    """PSNR and SSIM in the hole of a finished run."""
    command = Command(
        workdir.with_suffix(".evaluation.log"),
        "-m", "vidprior.main", "--mode=evaluate", f"--workdir={workdir}",
        f"--truth={clip / 'truth'}", platform="cpu",
    )  # fmt: skip
    command.wait(until=until)
    means = json.loads((workdir / "evaluation.json").read_text())["mean"]
    return {name: means[name] for name in ("psnr_hole", "ssim_hole", "psnr_full")}


def told(text: str) -> dict[str, object]:
    """Numbers of a run's log: updates per second, seconds of compiling, and its lines."""
    rate = re.search(r"at ([\d.e+]+) updates/s", text)
    lines = [line for line in text.splitlines() if re.match(r"(device|memory|plan|warning)", line)]
    return {"updates_per_second_told": float(rate[1]) if rate else None, "lines": lines}


def write_vgg(path: pathlib.Path) -> pathlib.Path:
    """A weights file with VGG16's shapes and random numbers, to time the full loss."""
    arrays = benchmark.vgg_arrays()
    np.savez(path, **{name: arrays[name] for name in vgg.parameter_shapes()})
    return path


def rate_between_previews(workdir: pathlib.Path) -> float | None:
    """Updates per second from the first preview of a run to the last: saves and previews too."""
    previews = sorted((workdir / "previews").glob("*.png"))
    if len(previews) < 2:
        return None
    first, last = previews[0], previews[-1]
    seconds = last.stat().st_mtime - first.stat().st_mtime
    return (int(last.stem) - int(first.stem)) / seconds
