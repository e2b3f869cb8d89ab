"""Starts Python commands without importing JAX anew: forks of a process that has imported it.

`python fork_server.py SOCKET` imports the package, creates no JAX backend, and listens. A client
sends the words of a command, its environment and folder, and its three standard streams; it is
told the id of the process, then its exit code. The command runs as `__main__` and ends as any
Python does. What only the start of an interpreter does is missing: PYTHON* variables and the
hash seed are those of the server, and nothing shows whether a module imports all that it needs.
"""

import concurrent.futures
import contextlib
import gc
import importlib
import json
import os
import pathlib
import pkgutil
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 1 << 17  # bytes of a request


def serve(path: str) -> dict[str, Any]:
    """Serves until stdin ends. Returns in every command that is forked, with its request."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(f"{path}.new")
    server.listen(64)
    os.rename(f"{path}.new", path)  # it is there when it answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal of the tests
    while server in select.select([server, sys.stdin], [], [])[0]:
        client, _ = server.accept()
        request, streams, _, _ = socket.recv_fds(client, LONGEST, 3)
        if os.fork() == 0:
            server.close()
            command = os.fork()
            if command == 0:
                client.close()
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                    os.close(stream)
                return json.loads(request)
            wait_for(command, client, streams)
        client.close()
        for stream in streams:
            os.close(stream)
        reap(os.WNOHANG)
    reap(0)
    os._exit(0)


def reap(how: int) -> None:
    """Takes in processes that have ended, so that their processor time counts as the server's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, how)[0]:
            pass


def wait_for(command: int, client: socket.socket, streams: Sequence[int]) -> None:
    """Tells the client the command's id and, when it has ended, its exit code; then exits."""
    try:
        for stream in (*streams, 0, 1, 2):
            os.close(stream)
        client.send(str(command).encode())
        _, status = os.waitpid(command, 0)
        client.send(str(os.waitstatus_to_exitcode(status)).encode())
    finally:
        os._exit(0)


def become(words: Sequence[str], env: Mapping[str, str], cwd: str, max_file: int | None) -> None:
    """Runs `python -m MODULE ...`, `python -c CODE ...` or `python FILE ...` in this process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    if max_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file, max_file))
    changed = {name: value for name, value in env.items() if os.environ.get(name) != value}
    os.environ.clear()
    os.environ.update(env)
    for name, value in changed.items():
        if name.startswith("PYTHON"):
            raise ValueError(f"{name}={value} asks for a start of its own")
        if name.startswith("JAX_"):
            update_jax(name.lower(), value)
    _, kind, *rest = words
    if kind == "-m":
        sys.argv, sys.path[0] = rest, os.getcwd()
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv, sys.path[0] = [kind, *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv, sys.path[0] = [kind, *rest], os.path.dirname(os.path.abspath(kind))
        runpy.run_path(kind, run_name="__main__")


def update_jax(name: str, value: str) -> None:
    """Sets what JAX has read from an environment variable when it was imported."""
    import jax

    kind = type(getattr(jax.config, name))
    if kind in (bool, int, float):
        jax.config.update(name, kind(float(value)))
    else:
        jax.config.update(name, value)


def main(path: str) -> None:
    """Imports all but the command line itself, which is to run as `__main__`; then serves."""
    import vidprior

    for module in pkgutil.walk_packages(vidprior.__path__, "vidprior."):
        # The page needs Gradio, which has an environment of its own.
        if module.name != "vidprior.main" and not module.name.startswith("vidprior.app."):
            importlib.import_module(module.name)
    from jax._src import xla_bridge

    # Neither a backend nor another thread would survive a fork.
    assert not xla_bridge.backends_are_initialized()
    assert len(os.listdir("/proc/self/task")) == 1
    gc.collect()
    gc.freeze()  # a collection would copy the pages that forks share
    become(**serve(path))


@contextlib.contextmanager
def started(path: pathlib.Path):
    """Within it, a server listens at `path`."""
    root = pathlib.Path(__file__).parents[1]
    # One thread, since a fork would lose the others.
    env = {**os.environ, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, __file__, str(path)]
    pipe = subprocess.PIPE  # whose end ends the server
    with subprocess.Popen(words, env=env, stdin=pipe, stdout=subprocess.DEVNULL) as server:
        while not path.exists():
            if server.poll() is not None:
                raise RuntimeError(f"the fork server ended with {server.returncode}")
            time.sleep(0.01)
        yield path


def read(pipe):
    with open(pipe) as text:
        return text.read()


class Forked:
    """A command that runs, with the methods of `subprocess.Popen`; its output is text."""

    def __init__(self, server, words, *, env, cwd, max_file=None, streams=None):
        self.args, self.returncode = words, None
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.connect(str(server))
        request = {"words": words, "env": dict(env), "cwd": str(cwd), "max_file": max_file}
        pipes = [os.pipe(), os.pipe()] if streams is None else []
        with open(os.devnull) as nothing:
            given = streams or [nothing.fileno(), *(to for _, to in pipes)]
            socket.send_fds(self._channel, [json.dumps(request).encode()], given)
        for _, to in pipes:
            os.close(to)
        self.pid = int(self._channel.recv(32))
        readers = concurrent.futures.ThreadPoolExecutor(2)
        self._texts = [readers.submit(read, pipe) for pipe, _ in pipes]
        readers.shutdown(wait=False)

    def poll(self, timeout=0.0):
        """The exit code, or None while it runs."""
        if self.returncode is None and select.select([self._channel], [], [], timeout)[0]:
            self.returncode = int(self._channel.recv(32))
            self._channel.close()
        return self.returncode

    def wait(self, timeout=None):
        """Waits for the end; returns the exit code, -N after signal N."""
        if self.poll(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """Waits for the end; returns what it has written to stdout and stderr."""
        self.wait(timeout)
        return tuple(text.result(timeout) for text in self._texts)

    def send_signal(self, number):
        """Nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
