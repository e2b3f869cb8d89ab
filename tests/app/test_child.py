"""Commands of the page are stopped as Ctrl-C does, and end with the server."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from vidprior.app import jobs as queue

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}

# In place of `vidprior.main`: says when it has begun, saves its state on Ctrl-C.
COMMAND = """
    import os, pathlib, sys, time
    target = pathlib.Path(sys.argv[-1])
    def run():
        target.with_suffix(".pid").write_text(str(os.getpid()))
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            target.with_suffix(".saved").touch()
            os._exit(130)
"""

SERVER = """
    import pathlib, sys, time
    from vidprior.app.jobs import Jobs
    target = pathlib.Path(sys.argv[1])
    Jobs().submit([str(target)], target)
    time.sleep(60)
"""


def wait_for(condition):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it took too long")


def alive(process):
    """Whether a process runs; one that ended and that nobody asked for does not."""
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def path(tmp_path):
    """A search path on which `vidprior.main` only waits."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\n"
        "fake = types.ModuleType('vidprior.main')\n"
        f"exec({textwrap.dedent(COMMAND)!r}, fake.__dict__)\n"
        "import vidprior\n"
        "vidprior.main = sys.modules['vidprior.main'] = fake\n"
    )
    return os.pathsep.join([str(tmp_path), str(ROOT)])


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_killed_server_leaves_no_command_running(tmp_path, path):
    (tmp_path / "server.py").write_text(textwrap.dedent(SERVER))
    target = tmp_path / "run"
    server = subprocess.Popen(
        [sys.executable, tmp_path / "server.py", target], env={**ENVIRONMENT, "PYTHONPATH": path}
    )
    note = target.with_suffix(".pid")
    try:
        wait_for(lambda: note.exists() and note.read_text())
        command = int(note.read_text())
        assert alive(command)
    finally:
        server.kill()
        server.wait()
    wait_for(lambda: not alive(command))
    assert target.with_suffix(".saved").exists()


def test_a_server_in_the_background_stops_its_command_too(tmp_path, path, monkeypatch):
    """A shell starts it with SIGINT ignored, which its children inherit."""
    monkeypatch.setenv("PYTHONPATH", path)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs, target = queue.Jobs(), tmp_path / "run"
    try:
        jobs.submit([str(target)], target)
        wait_for(target.with_suffix(".pid").exists)
        time.sleep(0.2)
        jobs.stop(target)
        wait_for(lambda: jobs.status(target)["state"] == "stopped")
    finally:
        signal.signal(signal.SIGINT, before)
        jobs.close()
    assert target.with_suffix(".saved").exists()
