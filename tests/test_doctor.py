"""What a machine has and lacks. Faults are made, and must be found with their remedy."""

import importlib.metadata
import logging
import os
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest

import vidprior
from vidprior import doctor
from vidprior.configuration import load
from vidprior.io import video_reader, video_writer
from vidprior.model.vgg import parameter_shapes
from vidprior.run import flows


def found(subject, config=None):
    (finding,) = [f for f in doctor.examine(config) if f.subject.split(" (")[0] == subject]
    return finding


def test_versions():
    assert found("vidprior").state == vidprior.__version__
    assert found("av").state == importlib.metadata.version("av")
    assert not any(found(name).advice for name in doctor.LIBRARIES)


def test_every_library_that_is_needed_is_looked_for():
    text = (pathlib.Path(__file__).parents[1] / "setup.py").read_text()
    needed = text[text.index("install_requires") : text.index("extras_require")]
    names = set(re.findall(r'"([A-Za-z-]+)>=', needed))
    assert {"jax", "av"} < names
    assert set(doctor.LIBRARIES) - {"jaxlib"} == names


def test_an_extra_that_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "EXTRAS", {"no-such-library": "figures"})
    finding = found("no-such-library")
    assert finding.state == "not installed by pip"
    assert finding.advice == "python -m pip install 'vidprior[figures]'"


def test_extras_that_are_there():
    for name in doctor.EXTRAS:
        assert found(name) == doctor.Finding(name, importlib.metadata.version(name))


def test_a_library_that_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "LIBRARIES", ("no-such-library",))
    assert found("no-such-library").advice == "python -m pip install no-such-library"


def test_codecs_of_the_wheels():
    assert not found("video, reads").advice
    assert not found("video, writes").advice
    assert "libx264" in found("video, writes").state


def test_codecs_that_are_missing(monkeypatch):
    monkeypatch.setattr(video_writer, "ENCODERS", ("ffv1", "no_such_codec"))
    monkeypatch.setattr(video_reader, "DECODERS", ("h264", "no_such_codec"))
    for what, rest in (("writes", "ffv1"), ("reads", "h264")):
        finding = found(f"video, {what}")
        assert finding.state == rest
        assert "lacks no_such_codec" in finding.advice


PLUGIN = ["jax-cuda12-plugin 1.2.3"]


@pytest.mark.parametrize(
    ("platform", "nvidia", "plugins", "wanted", "advice"),
    [
        ("gpu", True, PLUGIN, None, []),
        ("cpu", False, [], None, []),
        ("cpu", True, [], None, ["plugin is not: python -m pip install 'vidprior[cuda]'"]),
        ("cpu", True, PLUGIN, None, ["jax-cuda12-plugin 1.2.3 too", "update the driver"]),
        ("cpu", False, PLUGIN, None, ["no NVIDIA GPU is visible", "driver", "--gpus all"]),
        ("cpu", True, PLUGIN, "cpu", ["JAX_PLATFORMS is cpu: unset it"]),
    ],
)
def test_a_gpu_that_is_not_used(monkeypatch, platform, nvidia, plugins, wanted, advice):
    device = types.SimpleNamespace(device_kind="kind", platform=platform)
    monkeypatch.setattr(doctor.jax, "devices", lambda: [device, device])
    monkeypatch.setattr(doctor, "_has_nvidia", lambda: nvidia)
    monkeypatch.setattr(doctor, "_cuda_plugins", lambda: plugins)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    if wanted:
        monkeypatch.setenv("JAX_PLATFORMS", wanted)
    finding = found("devices")
    assert finding.state == f"2 x kind ({platform})"
    assert bool(finding.advice) == bool(advice)
    for words in advice:
        assert words in finding.advice
    if plugins:
        assert "pip install" not in finding.advice  # it is installed


def test_jax_says_why_a_plugin_does_not_start(monkeypatch, capfd):
    device = types.SimpleNamespace(device_kind="kind", platform="cpu")

    def devices():
        try:
            raise RuntimeError("cuInit:\n no driver")
        except RuntimeError:
            logging.getLogger("jax._src.xla_bridge").exception("plugin configuration error")
        return [device]

    monkeypatch.setattr(doctor.jax, "devices", devices)
    monkeypatch.setattr(doctor, "_cuda_plugins", lambda: PLUGIN)
    assert found("devices").advice.startswith("plugin configuration error: cuInit: no driver; ")
    assert "Traceback" not in capfd.readouterr().err


def test_a_platform_that_does_not_start(monkeypatch):
    def devices():
        raise RuntimeError("Unable to initialize backend 'cuda':\n no device")

    monkeypatch.setattr(doctor.jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    finding = found("devices")
    assert finding.state == "none"
    assert finding.advice.startswith(
        "Unable to initialize backend 'cuda': no device; JAX_PLATFORMS is cuda: unset it"
    )


def test_cuda_is_asked_for_where_there_is_none():
    """JAX only fails an assertion then."""
    if doctor._has_nvidia():
        pytest.skip("a GPU is here")
    told = subprocess.run(
        [sys.executable, "-m", "vidprior.main", "--mode=doctor"],
        env=os.environ | {"JAX_PLATFORMS": "cuda"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "devices: none" in told.stdout
    assert "JAX_PLATFORMS is cuda: unset it" in told.stdout
    assert "Traceback" not in told.stderr


@pytest.fixture
def config(tmp_path):
    config = load("footage")  # wants neither: the doctor looks for them all the same
    config.vgg.weights = str(tmp_path / "vgg16.npz")
    config.flow.pwcnet_weights = str(tmp_path / "pwcnet")
    config.flow.pwcnet_python = str(tmp_path / "python")
    return config


def test_weights_that_are_missing(config):
    assert "make vgg16-weights" in found("VGG16", config).advice
    assert "make pwcnet-env" in found("PWC-Net", config).advice
    assert config.loss.perceptual == 0
    assert config.flow.estimator == "dis"


def test_weights_that_are_there(config, tmp_path):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes().items()}
    np.savez(tmp_path / "vgg16.npz", **arrays)
    (tmp_path / "pwcnet").touch()
    (tmp_path / "python").touch()
    assert found("VGG16", config) == doctor.Finding(
        "VGG16 (perceptual loss)", f"found at {tmp_path / 'vgg16.npz'}"
    )
    assert found("PWC-Net", config).advice == ""


def test_weights_that_are_damaged(config, tmp_path):
    (tmp_path / "vgg16.npz").write_bytes(b"no archive")
    assert "damaged" in found("VGG16", config).advice


def test_an_installation_without_the_estimator(config, monkeypatch, tmp_path):
    monkeypatch.setattr(flows, "PWCNET", tmp_path / "nowhere")
    assert "from a checkout" in found("PWC-Net", config).advice


def test_advice_stands_in_one_line_below():
    findings = [doctor.Finding("a", "well"), doctor.Finding("b", "ill", "do this")]
    assert list(doctor.report(iter(findings))) == ["ok  a: well", "--  b: ill", "      do this"]
