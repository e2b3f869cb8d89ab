"""Fixtures of the end-to-end tests. Parallel workers share the clip and the run of `trained`."""

import fcntl
import os
import shutil
import sys
import types
from contextlib import nullcontext
from fractions import Fraction

import fork_server
import imageio.v3
import numpy as np
import pytest
from helpers import EVERYTHING

from vidprior.io.video_writer import write_video

pytest.register_assert_rewrite("harness")
from harness import HEIGHT, NUM_FRAMES, RATE, ROOT, TINY, WIDTH, Command  # noqa: E402


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder of this test session, the same for all its workers."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def once(shared):
    """Makes a folder below `shared` once in a session: the first worker does, others wait."""

    def make_once(name, make):
        folder = shared / name
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                unfinished = shared / f"{name}.unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return make_once


@pytest.fixture(scope="session")
def command(tmp_path_factory):
    """Runs `python -m vidprior.main`."""
    folder = tmp_path_factory.mktemp("elsewhere")
    forks = sys.platform == "linux" and not EVERYTHING
    with fork_server.started(folder / "server") if forks else nullcontext() as server:
        yield Command(folder, server)


@pytest.fixture(scope="session")
def real_command(tmp_path_factory):
    """The same, each by a start of its own."""
    return Command(tmp_path_factory.mktemp("elsewhere"), None)


@pytest.fixture(scope="session")
def clip(once, command):
    """A clip with a known answer: folders of images, and the frames as a lossless video."""

    def make(folder):
        tool = [sys.executable, ROOT / "tools/make_demo_clip.py", f"--output={folder}"]
        size = [f"--frames={NUM_FRAMES}", f"--height={HEIGHT}", f"--width={WIDTH}"]
        made = command.execute([*map(str, tool), *size])
        assert made.returncode == 0, made.stderr
        frames = [imageio.v3.imread(path) for path in sorted((folder / "frames").iterdir())]
        write_video(folder / "video.mkv", frames, rate=Fraction(*RATE), lossless=True)

    folder = once("clip", make)
    masks = [imageio.v3.imread(path) for path in sorted((folder / "masks").iterdir())]
    frames = [imageio.v3.imread(path) for path in sorted((folder / "frames").iterdir())]
    return types.SimpleNamespace(
        folder=folder,
        frames_folder=folder / "frames",
        masks_folder=folder / "masks",
        truth_folder=folder / "truth",
        video=folder / "video.mkv",
        frames=np.stack(frames),
        hole=np.stack(masks) > 127,
        inputs=(f"--video={folder / 'video.mkv'}", f"--mask={folder / 'masks'}"),
    )


@pytest.fixture
def compose(command, clip, tmp_path):
    """Composes from the clip with known answer at 48x32; returns the folder."""

    def run(kind, name, *words):
        given = [kind, "--background", clip.truth_folder, "--masks", clip.masks_folder, *words,
                 "--size=48x32", f"--output={tmp_path / name}"]  # fmt: skip
        tool = [sys.executable, str(ROOT / "tools/compose.py")]
        made = command.execute([*tool, *map(str, given)])
        assert made.returncode == 0, made.stderr
        return tmp_path / name

    return run


@pytest.fixture(scope="session")
def trained(once, command, clip):
    """The work directory of an uninterrupted run of `TINY`. Not to be changed."""

    def make(folder):
        finished = command.succeed(*TINY, *clip.inputs, f"--workdir={folder / 'run'}")
        (folder / "stdout").write_text(finished.stdout)
        (folder / "stderr").write_text(finished.stderr)

    return once("trained", make) / "run"


@pytest.fixture
def copy_of_trained(trained, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(trained, tmp_path / "run")
