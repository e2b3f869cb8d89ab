"""The forked commands of the tests behave as started ones do."""

import os
import pathlib
import signal
import subprocess
import sys

import fork_server
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks with frameworks loaded")

ROOT = pathlib.Path(__file__).parents[1]

STATE = """
import os, sys
print(sys.argv, os.getcwd(), sys.path[0], os.environ.get("COLOUR"), __name__, sys.stdin.read())
print("told", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with fork_server.started(tmp_path_factory.mktemp("server") / "socket") as path:
        yield path


@pytest.fixture
def fork(server, tmp_path):
    def start(*words, env=None, **options):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | (env or {})
        words = [sys.executable, *map(str, words)]
        return fork_server.Forked(server, words, env=environment, cwd=tmp_path, **options)

    return start


def test_words_folder_environment_and_streams(fork, tmp_path):
    """Of every kind of command, what a started one has."""
    (tmp_path / "file.py").write_text(STATE)
    for words in (["file.py", "a", "b c"], ["-m", "file", "a"], ["-c", STATE, "a"]):
        forked = fork(*words, env={"COLOUR": "red"})
        started = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path, env={**os.environ, "COLOUR": "red"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert forked.communicate(timeout=60) == (started.stdout, started.stderr)
        assert "red __main__" in started.stdout
        assert forked.returncode == started.returncode == 0


@pytest.mark.parametrize(
    ("code", "expected", "told"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import os; os._exit(4)", 4, ""),
        ("import sys; sys.exit('a reason')", 1, "a reason"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import atexit, sys; atexit.register(print, 'bye', file=sys.stderr)", 0, "bye"),
        ("import subprocess; subprocess.run(['false'], check=True)", 1, "exit status 1"),
    ],
)
def test_the_end(fork, code, expected, told):
    forked = fork("-c", code)
    _, stderr = forked.communicate(timeout=60)
    assert forked.returncode == expected
    assert told in stderr


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, ""), (signal.SIGKILL, "")],
)
def test_signals_reach_it(fork, tmp_path, number, told):
    process = fork("-c", "import time; open('begun', 'w'); time.sleep(60)")
    while not (tmp_path / "begun").exists():
        assert process.poll(timeout=0.01) is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == -number
    assert told in stderr
    process.kill()  # nothing more happens to one that has ended


def test_a_small_disk(fork, tmp_path):
    process = fork(
        "-c", "import pathlib; pathlib.Path('large').write_bytes(bytes(1000))", max_file=100
    )
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "File too large" in stderr
    assert (tmp_path / "large").stat().st_size == 100


def test_what_jax_reads_at_its_import(fork, tmp_path):
    code = (
        "import jax, os; c = jax.config; assert jax.device_count() == 3\n"
        "print(c.jax_compilation_cache_dir, c.jax_persistent_cache_min_compile_time_secs,"
        " c.jax_enable_x64)"
    )
    process = fork(
        "-c", code,
        env={
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "7.5",
            "JAX_ENABLE_X64": "1",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=3",
        },
    )  # fmt: skip
    told, errors = process.communicate(timeout=60)
    assert (told, errors) == (f"{tmp_path} 7.5 True\n", "")


def test_what_only_an_interpreter_s_start_can_do_is_refused(fork):
    _, stderr = fork("-c", "pass", env={"PYTHONHASHSEED": "1"}).communicate(timeout=60)
    assert "PYTHONHASHSEED=1 asks for a start of its own" in stderr
