"""A wheel, installed into a fresh environment, runs outside the checkout."""

import email
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from vidprior.io.images import write_frames, write_image

ROOT = pathlib.Path(__file__).parents[1]


SIZE = (32, 48)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A fresh environment with the wheel in it, which borrows what the wheel requires."""
    folder = tmp_path_factory.mktemp("installed")
    source, fresh = folder / "source", folder / "fresh"
    source.mkdir()
    for name in ("vidprior", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = ["wheel", "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run([*pip, *build, *offline], check=True)
    shutil.rmtree(source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True)
    (wheel,) = folder.glob("*.whl")
    python = fresh / "bin/python"
    subprocess.run([*pip, "--python", python, "install", *offline, wheel], check=True)
    # Behind its own packages; .pth files there, such as that of a checkout, are not followed.
    (own,) = fresh.glob("lib/python*/site-packages")
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return fresh


@pytest.fixture(scope="module")
def requirements(installed):
    """What the wheel requires, parsed: {name: requirement}, {extra: {name: requirement}}."""
    (metadata,) = installed.glob("lib/python*/site-packages/vidprior-*.dist-info/METADATA")
    message = email.message_from_string(metadata.read_text())
    always, extras = {}, {name: {} for name in message.get_all("Provides-Extra")}
    for line in message.get_all("Requires-Dist"):
        one = Requirement(line)
        wanted = re.search(r'extra == "(\w+)"', str(one.marker))
        (extras[wanted[1]] if wanted else always)[one.name] = one
    return always, extras


def run(installed, program, *arguments):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [installed / "bin" / program, *map(str, arguments)],
        cwd=installed,
        env=environment | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def footage(installed):
    """Flags of eight frames of noise that moves, of a mask, and of a network of one layer."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[0], SIZE[1] + 8, 3), np.uint8)
    write_frames(installed / "frames", (noise[:, t : t + SIZE[1]] for t in range(8)))
    mask = np.zeros(SIZE, np.uint8)
    mask[10:16, 20:26] = 255
    write_image(installed / "mask.png", mask)
    return (
        "--video=frames",
        "--mask=mask.png",
        f"--config.video.height={SIZE[0]}",
        f"--config.video.width={SIZE[1]}",
        "--config.model.channels=(8,)",
        "--config.window.length=3",
        "--config.schedule.num_passes=1",
        "--config.schedule.windows_per_pass=2",
        "--config.schedule.updates_per_window=1",
    )


@pytest.mark.slow
def test_the_lowest_versions_are_those_that_are_promised(requirements):
    """constraints-lowest.txt pins every package, at the lower bound of its range."""
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pinned = {one.name: one for one in map(Requirement, lines[1:])}
    always, _ = requirements
    assert pinned.keys() == always.keys()
    for name, requirement in always.items():
        (low,) = (one.version for one in requirement.specifier if one.operator == ">=")
        (version,) = (one.version for one in pinned[name].specifier)
        assert requirement.specifier.contains(version)
        assert Version(version).release[: len(Version(low).release)] == Version(low).release


@pytest.mark.slow
def test_both_versions_of_cuda_can_be_chosen(requirements):
    always, extras = requirements
    for extra, version in {"cuda": 12, "cuda12": 12, "cuda13": 13}.items():
        (jax,) = extras[extra].values()
        assert jax.extras == {f"cuda{version}"}
        assert jax.specifier == always["jax"].specifier


@pytest.mark.slow
def test_type_checkers_are_told_of_the_annotations(installed):
    (marker,) = installed.glob("lib/python*/site-packages/vidprior/py.typed")
    assert marker.read_text() == ""


@pytest.mark.slow
def test_python_imports_the_installed_package(installed):
    finished = run(installed, "python", "-c", "import vidprior; print(vidprior.inpaint.__code__)")
    assert finished.returncode == 0, finished.stderr
    assert str(installed / "lib") in finished.stdout


@pytest.mark.slow
def test_the_console_command_with_a_configuration_by_path(installed, footage):
    (installed / "mine.py").write_text(
        "from vidprior.configuration import load\n\n\n"
        "def get_config():\n"
        "    config = load('footage')\n"
        "    config.mask.dilate = 2\n"
        "    config.render.feather = 2.0\n"
        "    return config\n"
    )
    finished = run(installed, "vidprior", "--config=mine.py", *footage, "--workdir=out")
    assert finished.returncode == 0, finished.stderr
    assert (installed / "out/result.mp4").is_file()
    finished = run(
        installed, "vidprior", "--mode=render", "--workdir=out", "--config.render.format=png"
    )
    assert finished.returncode == 0, finished.stderr
    assert len(list((installed / "out/result_png").iterdir())) == 8


@pytest.mark.slow
def test_what_stays_apart_is_told(installed, footage):
    """PWC-Net is a program of the checkout; its message says so, and what to do instead."""
    flags = ("--config=flow", *footage, "--workdir=full")
    finished = run(installed, "vidprior", *flags, "--config.loss.perceptual=0")
    assert finished.returncode == 2
    assert "not part of an installed vidprior" in finished.stderr
    assert "--config.flow.estimator=dis" in finished.stderr
    finished = run(installed, "vidprior", *flags)
    assert finished.returncode == 2
    assert "`make vgg16-weights` in a checkout" in finished.stderr
    assert not (installed / "full").exists()


@pytest.mark.slow
def test_shipped_configurations_are_found_by_name(installed):
    names = sorted(path.stem for path in (ROOT / "configs").glob("[a-z]*.py"))
    code = (
        "import sys; from vidprior import main\n"
        "for name in sys.argv[1:]:\n"
        "    main.main(['vidprior', f'--config={name}', '--workdir=nowhere'])\n"
    )
    finished = run(installed, "python", "-c", code, *names)
    assert names
    assert finished.stderr == "error: --video is missing\n" * len(names)


@pytest.mark.slow
def test_the_doctor_needs_nothing_but_the_installation(installed):
    finished = run(installed, "vidprior", "--mode=doctor")
    assert finished.returncode == 0, finished.stderr
    assert "from a checkout" in finished.stdout  # PWC-Net stays apart
    assert "VGG16" in finished.stdout
    assert finished.stderr == ""
