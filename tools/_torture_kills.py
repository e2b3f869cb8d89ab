"""Runs that are killed at random moments, again and again, and then left to end.

Each must end as a run that nobody disturbed: the same parameters and frames bit for bit,
no half-written files, and no lock that is still held.
"""

import json
import os
import pathlib
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vidprior.io import images

# The full method at its smallest, but for the files that must be fetched.
SIZE = ("--config.video.height=32", "--config.video.width=48")
JOBS: dict[str, tuple[str, ...]] = {
    "train": (
        "--config=flow", *SIZE, "--config.flow.estimator=dis", "--config.loss.perceptual=0",
        "--config.loss.propagated=0.5", "--config.propagation.holdout=True",
        "--config.render.propagated_pixels=blend", "--config.checkpoint.keep_best=True",
        "--config.model.channels=(8,8)", "--config.window.length=3",
        "--config.schedule.num_passes=3", "--config.schedule.windows_per_pass=4",
        "--config.schedule.updates_per_window=2", "--config.checkpoint.every=4",
        "--config.log.every=3", "--config.log.preview_frames=2",
    ),
    "windows": (
        "--config=dip_vid", *SIZE, "--config.model.channels=(8,)", "--config.window.length=3",
        "--config.schedule.reset_per_window=True", "--config.schedule.num_passes=1",
        "--config.schedule.updates_per_window=6", "--config.schedule.windows_at_once=2",
        "--config.log.preview_frames=0",
    ),
    "segments": (
        "--config=dip_vid", *SIZE, "--config.model.channels=(8,)", "--config.window.length=3",
        "--config.schedule.num_passes=1", "--config.schedule.updates_per_window=1",
        "--config.video.max_segment_frames=6", "--config.video.segment_overlap=2",
        "--config.render.format=png",
    ),
    "propagate": ("--config=propagate", *SIZE, "--config.render.format=mkv"),
}  # fmt: skip
# Killed so often before it is left to end.
IN_A_CHAIN = 8


class Broken(NamedTuple):
    """A run that did not end as it should.

    Attributes:
      job: of `JOBS`.
      chain: its number.
      what: what differs.
    """

    job: str
    chain: int
    what: str


def torture(
    inputs: Sequence[str],
    *,
    kills: int,
    seed: int,
    folder: pathlib.Path,
    jobs: Sequence[str] = tuple(JOBS),
) -> tuple[Counter[str], int, list[Broken]]:
    """Kills runs of every job.

    Args:
      inputs: the flags of video and mask.
      kills: in all, at least.
      seed: of the moments.
      folder: for the work directories; that of an undisturbed run is `JOB-whole`.
      jobs: names of `JOBS`.

    Returns:
      How often a run was killed in which phase; how many chains ended well; what is broken.
    """
    rng = np.random.default_rng([seed, 1])
    folder.mkdir(parents=True, exist_ok=True)
    # Compiled once for all runs that are not to be killed while they compile.
    cache = folder / "compiled"
    references = {}
    for job in jobs:
        workdir = folder / f"{job}-whole"
        shutil.rmtree(workdir, ignore_errors=True)
        _run(job, inputs, workdir, cache)
        begin = time.monotonic()
        shutil.rmtree(workdir)
        if _run(job, inputs, workdir, cache) != 0:
            raise RuntimeError(f"{job}: {_told(workdir)}")
        references[job] = workdir, time.monotonic() - begin
    phases, broken, good, chain = Counter[str](), [], 0, 0
    while sum(phases.values()) < kills:
        job = jobs[chain % len(jobs)]
        whole, seconds = references[job]
        workdir = folder / f"{job}-{chain}"
        shutil.rmtree(workdir, ignore_errors=True)
        fresh = folder / f"compiled-{chain}" if chain % 3 == 2 else cache
        for _ in range(IN_A_CHAIN):
            delay = float(rng.uniform(0.02, 1.0 if fresh == cache else 2) * seconds)
            if _run(job, inputs, workdir, fresh, kill_after=delay) != -signal.SIGKILL:
                break
            phases[phase_of(workdir)] += 1
        wrong = "" if _run(job, inputs, workdir, cache) == 0 else _told(workdir)
        wrong = wrong or difference(whole, workdir) or leftovers(workdir)
        told = wrong or "ended like the run that nobody disturbed"
        print(f"{job}, chain {chain}: {sum(phases.values())} kills so far; {told}", file=sys.stderr)
        if wrong:
            broken.append(Broken(job, chain, wrong))
        else:
            good += 1
            shutil.rmtree(workdir)
        if fresh != cache:
            shutil.rmtree(fresh, ignore_errors=True)
        chain += 1
    return phases, good, broken


def phase_of(workdir: pathlib.Path) -> str:
    """What a run was about when it ended, by what it left."""
    told = _told(workdir, lines=99)
    files = {path.name for path in workdir.rglob("*")} if workdir.exists() else set()
    if "result" in files or any(name.startswith(".result") for name in files):
        return "rendering and writing"
    if "config.json" not in files:
        return "reading"
    if any(name.isdecimal() for name in files) or "training:" in told:
        return "training and saving"
    if "compil" in told:
        return "compiling"
    return "flow and propagation"


def difference(first: pathlib.Path, second: pathlib.Path) -> str:
    """What differs between two finished runs, in words; empty for nothing."""
    for path in sorted(first.rglob("checkpoints")):
        other = second / path.relative_to(first)
        if _parameters(path) != _parameters(other):
            return f"parameters of {path.relative_to(first)}"
    for path in sorted(first.rglob("metrics.jsonl")):
        other = second / path.relative_to(first)
        if _rows(path) != _rows(other):
            return str(path.relative_to(first))
    for path in sorted((*first.glob("result/*.png"), *first.glob("result_png/*.png"))):
        other = second / path.relative_to(first)
        if not other.exists():
            return f"{path.relative_to(first)} is missing"
        if not np.array_equal(images.read_image(path), images.read_image(other)):
            return str(path.relative_to(first))
    return ""


def leftovers(workdir: pathlib.Path) -> str:
    """Half-written files, or a lock that holds, in words; empty without."""
    hidden = [path.name for path in workdir.rglob(".*")]  # a lock too is a hidden file
    return f"left behind: {', '.join(sorted(hidden))}" if hidden else ""


def _run(
    job: str,
    inputs: Sequence[str],
    workdir: pathlib.Path,
    cache: pathlib.Path,
    *,
    kill_after: float | None = None,
) -> int:
    """Runs a job in a process of its own; its exit code, or the signal that ended it below 0."""
    child = os.fork()
    if not child:
        log = os.open(_log(workdir), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
        code = 3
        try:
            code = _command(["vidprior", *JOBS[job], *inputs, f"--workdir={workdir}"], cache)
        finally:
            os._exit(code)
    begin = time.monotonic()
    if kill_after is not None:
        while time.monotonic() < begin + kill_after:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _command(words: list[str], cache: pathlib.Path) -> int:
    import jax

    from vidprior import main

    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    return main.main(words)


def _parameters(folder: pathlib.Path) -> list[tuple[str, bytes]]:
    """The arrays of the newest checkpoint, read in a process of its own: JAX does not fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        from vidprior.training.checkpoints import Checkpoints

        saved = Checkpoints(folder)
        params, _ = saved.restore_params(saved.steps()[-1])
        leaves, _ = jax.tree_util.tree_flatten_with_path(params)
        with os.fdopen(writing, "w") as pipe:
            json.dump(
                [(jax.tree_util.keystr(p), np.asarray(leaf).tobytes().hex()) for p, leaf in leaves],
                pipe,
            )
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return [(name, bytes.fromhex(data)) for name, data in json.loads(told or "[]")]


def _rows(path: pathlib.Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _log(workdir: pathlib.Path) -> pathlib.Path:
    return workdir.with_name(f"{workdir.name}.log")


def _told(workdir: pathlib.Path, *, lines: int = 1) -> str:
    log = _log(workdir)
    told = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(told[-lines:]) or "nothing was told"
