"""Examines the machine: versions, devices, codecs, weights, extras; with remedies."""

import contextlib
import importlib.metadata
import logging
import os
import pathlib
import platform
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

import vidprior
from vidprior import configuration, runtime
from vidprior.errors import InputError
from vidprior.io import video_reader, video_writer
from vidprior.run import build, flows

LIBRARIES = (
    "jax", "jaxlib", "filelock", "flax", "optax", "orbax-checkpoint", "numpy", "scipy",
    "scikit-image", "opencv-python-headless", "av", "pillow", "ml-collections", "absl-py",
    "pooch", "pyyaml", "tqdm",
)  # fmt: skip
# Optional libraries, and the extra that installs them.
EXTRAS = {"tensorboard": "tensorboard", "matplotlib": "figures", "jinja2": "figures"}


class Finding(NamedTuple):
    """One result of the examination.

    Attributes:
      subject: what was examined.
      state: what was found.
      advice: what to do, one line; empty if all is well.
    """

    subject: str
    state: str
    advice: str = ""


def examine(config: ConfigDict | None = None) -> Iterator[Finding]:
    """Examines everything, the most important first.

    Args:
      config: names the weights; 'flow' by default, which needs all of them.
    """
    fields = configuration.load("flow") if config is None else config
    yield Finding("vidprior", vidprior.__version__)
    yield Finding("Python", f"{platform.python_version()} on {platform.platform()}")
    for name in LIBRARIES:
        yield _library(name, name)
    for name, extra in EXTRAS.items():
        yield _library(name, f"'vidprior[{extra}]'")
    yield _machine()
    yield from _devices()
    yield from _codecs()
    yield _wanted("VGG16 (perceptual loss)", lambda: _vgg(fields))
    yield _wanted("PWC-Net (optical flow)", lambda: _pwcnet(fields))


def report(findings: Iterator[Finding]) -> Iterator[str]:
    """The findings as lines of text, each with its advice below."""
    for subject, state, advice in findings:
        yield f"{'--' if advice else 'ok'}  {subject}: {state}"
        if advice:
            yield f"      {advice}"


def _library(name: str, install: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed by pip", f"python -m pip install {install}")


def _devices() -> Iterator[Finding]:
    with _reasons() as reasons:
        try:
            devices = jax.devices()
        except (RuntimeError, AssertionError) as error:  # JAX asserts that a platform started
            devices = []
            reasons.append(str(error))
    wanted = os.environ.get("JAX_PLATFORMS")
    plugins = _cuda_plugins()
    advice = ""
    if not devices or (devices[0].platform == "cpu" and (plugins or _has_nvidia())):
        # What JAX said, the platform that was asked for, what is missing.
        told = [" ".join(reason.split()) for reason in reasons if reason]
        if wanted:
            told.append(f"JAX_PLATFORMS is {wanted}: unset it, and JAX takes what it finds")
        if not _has_nvidia():
            told.append(
                "no NVIDIA GPU is visible here: install NVIDIA's driver, or give the container "
                "the GPU (docker run --gpus all)"
            )
        elif not plugins:
            told.append(
                "an NVIDIA GPU is here, but JAX's plugin is not: "
                "python -m pip install 'vidprior[cuda]'"
            )
        elif not wanted:
            told.append(
                f"an NVIDIA GPU is here and {' and '.join(plugins)} too, but JAX does not use "
                "it: update the driver, or install the plugin of its CUDA version, "
                "'vidprior[cuda12]' or 'vidprior[cuda13]'"
            )
        advice = "; ".join(told)
    kinds = ", ".join(sorted({f"{device.device_kind} ({device.platform})" for device in devices}))
    yield Finding("devices", f"{len(devices)} x {kinds}" if devices else "none", advice)


@contextlib.contextmanager
def _reasons() -> Iterator[list[str]]:
    """Collects what JAX logs while its platforms start: there it says why one does not."""
    reasons: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            reasons.append(f"{record.getMessage()}{f': {error}' if error else ''}")

    logger, handler = logging.getLogger("jax"), Collector(logging.WARNING)
    propagates, logger.propagate = logger.propagate, False
    others, logger.handlers = logger.handlers, [handler]
    try:
        yield reasons
    finally:
        logger.propagate, logger.handlers = propagates, others


def _cuda_plugins() -> list[str]:
    """The installed plugins that let JAX use an NVIDIA GPU, with their versions."""
    found = []
    for name in ("jax-cuda12-plugin", "jax-cuda13-plugin"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return found


def _machine() -> Finding:
    memory = runtime.machine_memory()
    told = f", {memory / 2**30:.0f} GiB of memory" if memory else ""
    return Finding("machine", f"{os.cpu_count()} cores{told}")


def _has_nvidia() -> bool:
    """Whether the driver shows a GPU, whether or not JAX can use it."""
    return shutil.which("nvidia-smi") is not None or any(pathlib.Path("/dev").glob("nvidia[0-9]*"))


def _codecs() -> Iterator[Finding]:
    for what, names, known in (
        ("reads", video_reader.DECODERS, video_reader.decodes),
        ("writes", video_writer.ENCODERS, video_writer.encodes),
    ):
        missing = [name for name in names if not known(name)]
        advice = (
            f"PyAV lacks {', '.join(missing)}: python -m pip install --force-reinstall av; its "
            f"wheels contain FFmpeg"
        )
        yield Finding(
            f"video, {what}",
            ", ".join(name for name in names if name not in missing) or "nothing",
            advice if missing else "",
        )


def _wanted(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, f"found at {look()}")
    except InputError as error:
        return Finding(subject, "missing or unusable", str(error))


def _vgg(config: Any) -> str:
    with config.copy_and_resolve_references().unlocked() as wanted:
        wanted.loss.perceptual = 1.0
        build.features(wanted)
    return config.vgg.weights


def _pwcnet(config: Any) -> str:
    with config.copy_and_resolve_references().unlocked() as wanted:
        wanted.flow.estimator = "pwcnet"
        flows.require_estimator(wanted)
    return config.flow.pwcnet_weights
