"""Running the real command, and reading what it leaves in a work directory."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import imageio.v3
import jax
import numpy as np
from fork_server import Forked

from vidprior.training.checkpoints import Checkpoints

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "vidprior.main")
Process = Forked | subprocess.Popen

# Becomes another program that may not write files beyond a number of bytes: a full disk.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv[1]),))
os.execv(sys.argv[2], sys.argv[2:])
"""

# Becomes another program that may not write where permissions forbid it, even as root: it gives
# up the capability to pass over them (CAP_DAC_OVERRIDE, by PR_CAPBSET_DROP).
OBEDIENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""

# Becomes another program that Ctrl-C reaches, also where the tests are a background job.
FOREGROUND = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""

NUM_FRAMES, HEIGHT, WIDTH = 12, 32, 48
RATE = (30000, 1001)

# The full method but for the files that must be fetched: 30 updates, a pass after every 10.
# Checkpoints (every 8), rows of metrics.jsonl (every 3) and passes do not fall together.
TINY = (
    "--config=flow",
    "--config.flow.estimator=dis",
    "--config.loss.perceptual=0",
    f"--config.video.height={HEIGHT}",
    f"--config.video.width={WIDTH}",
    "--config.model.channels=(8,8)",
    "--config.window.length=3",
    "--config.schedule.num_passes=3",
    "--config.schedule.windows_per_pass=4",
    "--config.schedule.updates_per_window=2",
    "--config.checkpoint.every=8",
    "--config.checkpoint.keep=2",
    "--config.log.every=3",
    "--config.log.preview_frames=2",
)
TOTAL = 30
CHECKPOINTS = (8, 10, 16, 20, 24, 30)
ROWS = (3, 6, 9, 10, 12, 15, 18, 20, 21, 24, 27, 30)

# One scale, image loss alone, one pass: with seven frames, five updates.
SMALLEST = (
    f"--config.video.height={HEIGHT}",
    f"--config.video.width={WIDTH}",
    "--config.model.channels=(8,)",
    "--config.window.length=3",
    "--config.schedule.num_passes=1",
    "--config.schedule.updates_per_window=1",
)
SEVEN = "--config.video.stop=7"


class Command:
    """`python -m vidprior.main` on a CPU, away from the checkout.

    Python commands are forked from `server`; without one, or where a start of its own is asked
    for, an interpreter is started for them.
    """

    def __init__(self, cwd: pathlib.Path, server: pathlib.Path | None):
        self.cwd, self.server = cwd, server
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}

    def __call__(self, *arguments, max_file=None, **options) -> subprocess.CompletedProcess:
        """Runs the command to its end, whatever that is; `max_file` bytes fit on its disk."""
        if max_file is not None:
            # A compilation that is kept in part would stay so for the other tests.
            read_only = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}
            options = {"env": self.environment | read_only} | options
        return self.execute([*COMMAND, *arguments], max_file=max_file, **options)

    def obediently(self, *arguments) -> subprocess.CompletedProcess:
        """Runs the command where file permissions hold, also for root."""
        return self.execute([sys.executable, "-c", OBEDIENT, *COMMAND, *arguments], own_start=True)

    def execute(self, words, *, timeout=300, **options) -> subprocess.CompletedProcess:
        """Runs any words in the command's environment, to their end."""
        process = self._start(words, **options)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def succeed(self, *arguments, **options) -> subprocess.CompletedProcess:
        """Runs the command, which must end with 0."""
        finished = self(*arguments, **options)
        assert finished.returncode == 0, finished.stderr
        return finished

    def start(self, *arguments, compiled: pathlib.Path | None = None) -> Process:
        """Starts the command and leaves it running; `compiled` is another cache for it."""
        environment = dict(self.environment)
        if compiled is not None:
            environment["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
        return self._start([*COMMAND, *arguments], env=environment, foreground=True)

    def _start(
        self, words, *, cwd=None, env=None, max_file=None, foreground=False, own_start=False
    ) -> Process:
        words = list(map(str, words))
        where = {"cwd": self.cwd if cwd is None else cwd, "env": env or self.environment}
        if self.server is not None and words[0] == sys.executable and not own_start:
            return Forked(self.server, words, max_file=max_file, **where)
        if max_file is not None:
            words = [sys.executable, "-c", LIMITED, str(max_file), *words]
        if foreground:
            words = [sys.executable, "-c", FOREGROUND, *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, **where)


def wait_for(condition, process: Process, *, seconds: float = 240) -> None:
    """Waits until `condition()`; the process must not end before."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            _, told = process.communicate()
            raise AssertionError(f"ended early with {process.returncode}: {told}")
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"nothing happened within {seconds} s")
        time.sleep(0.005)


def checkpoint_steps(workdir: pathlib.Path) -> list[int]:
    """Numbers of the complete checkpoints."""
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def parameters(workdir: pathlib.Path, step: int | None = None) -> dict[str, np.ndarray]:
    """The network's arrays by name, from the newest checkpoint."""
    saved = Checkpoints(workdir / "checkpoints")
    params, _ = saved.restore_params(saved.steps()[-1] if step is None else step)
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def pictures(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The PNG files of a folder by name."""
    return {path.name: imageio.v3.imread(path) for path in sorted(folder.glob("*.png"))}


def metrics(workdir: pathlib.Path) -> list[dict[str, float]]:
    """The rows of metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def contents(folder: pathlib.Path) -> dict[str, str]:
    """A hash of every file below a folder, by its path within."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_same_arrays(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """Bit for bit, under the same names; and there are some."""
    assert first
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def assert_same_run(first: pathlib.Path, second: pathlib.Path) -> None:
    """Two work directories ended in the same state, measures and frames."""
    assert checkpoint_steps(first) == checkpoint_steps(second)
    assert_same_arrays(parameters(first), parameters(second))
    assert_same_arrays(pictures(first / "result"), pictures(second / "result"))
    assert metrics(first) == metrics(second)


def assert_one_error(finished: subprocess.CompletedProcess, *fragments: str, code: int = 2) -> str:
    """The command stopped with a single line, which holds every fragment; returns it."""
    assert finished.returncode == code, finished.stderr
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, finished.stderr
    assert lines[0].startswith("error: ")
    for fragment in fragments:
        assert fragment in lines[0]
    return lines[0]


def assert_last_error(finished: subprocess.CompletedProcess, *fragments: str, code: int = 2) -> str:
    """As `assert_one_error`, after lines that tell of work already done."""
    assert finished.returncode == code, finished.stderr
    assert "Traceback" not in finished.stderr
    errors = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    assert errors == finished.stderr.splitlines()[-1:]
    for fragment in fragments:
        assert fragment in errors[0]
    return errors[0]
