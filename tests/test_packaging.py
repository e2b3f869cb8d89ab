"""What is installed runs outside the checkout."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The packages as `pip install` lays them out, and the metadata beside them."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    for name in ("vidprior", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", folder / "lib"]
    subprocess.run([*command, "egg_info", "--egg-base", folder], cwd=source, check=True)
    shutil.rmtree(source)
    return folder


def run(installed, *arguments):
    code = "import sys; from vidprior.main import run; run()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed / "lib"), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_console_command(installed):
    text = (installed / "vidprior.egg-info/entry_points.txt").read_text()
    assert "vidprior = vidprior.main:run" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", [p.stem for p in (ROOT / "configs").glob("[a-z]*.py")])
def test_shipped_configurations_are_found_by_name(installed, name):
    finished = run(installed, f"--config={name}", "--workdir=nowhere")
    assert finished.stderr == "error: --video is missing\n"


@pytest.mark.slow
def test_the_doctor_needs_nothing_but_the_installation(installed):
    finished = run(installed, "--mode=doctor")
    assert finished.returncode == 0, finished.stderr
    assert "from a checkout" in finished.stdout  # PWC-Net stays apart
    assert "VGG16" in finished.stdout
    assert finished.stderr == ""
