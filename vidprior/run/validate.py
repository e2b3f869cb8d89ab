"""What the fields of a configuration may be, alone and together."""

import math
from typing import Any

from ml_collections import ConfigDict

from vidprior.errors import InputError
from vidprior.flow.dis import MIN_SIDE, PRESETS
from vidprior.model.generator import smallest_side
from vidprior.run.build import needs_flow, needs_propagated, trains
from vidprior.training.optimizers import OPTIMIZERS


def validate(config: ConfigDict) -> None:
    """Refuses values that no run can use, before anything is read.

    Raises:
      InputError: naming the field, its value and what it may be.
    """
    choices: dict[str, tuple[Any, ...]] = {
        "video.region": ("frame", "hole"),
        "video.shots": ("whole", "split"),
        "mask.missing": ("refuse", "empty"),
        "flow.estimator": ("dis", "pwcnet"),
        "flow.dis_preset": tuple(PRESETS),
        "schedule.median_window": ("last", "extra", "none"),
        "model.conv_ndim": (2, 3),
        "model.refine_kernel": (1, 3),
        "model.initializer": ("pytorch", "lecun"),
        "model.dtype": ("float32", "bfloat16"),
        "model.precision": ("default", "highest"),
        "optimizer.kind": OPTIMIZERS,
        "optimizer.decay": ("none", "cosine"),
        "vgg.input": ("published", "imagenet"),
        "vgg.features": ("auto", "keep", "recompute"),
        "render.rounding": ("nearest", "down"),
        "render.size": ("source", "training"),
        "render.format": ("mp4", "mkv", "mov", "lossless", "png"),
        "render.propagated": ("none", "blend", "alone"),
        "render.blend": ("plain", "gradient"),
    }
    for field, allowed in choices.items():
        if _value(config, field) not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise InputError(f"--config.{field} is {_value(config, field)!r}; it may be {listed}")
    for field, allowed in {
        "window.strides": (1, 3, 5),
        "window.directions": ("forward", "backward"),
    }.items():
        values = tuple(_value(config, field))
        if not values or not set(values) <= set(allowed):
            raise InputError(f"--config.{field} is {values}; it may hold {allowed}")
    for field in ("mask.labels", "mask.ignore"):
        values = _value(config, field)
        if not all(isinstance(value, int) and value >= 0 for value in values):
            raise InputError(f"--config.{field} is {values}; it may hold numbers of labels")
    at_least_one = (
        "window.length", "schedule.num_passes", "schedule.updates_per_window",
        "checkpoint.every", "checkpoint.keep", "log.every",
    )  # fmt: skip
    for field in at_least_one:
        if _value(config, field) < 1:
            raise InputError(f"--config.{field} is {_value(config, field)}; it must be at least 1")
    if not (math.isfinite(config.video.rate) and config.video.rate > 0):
        raise InputError(f"--config.video.rate is {config.video.rate}; it must be above 0")
    if not 0 <= config.video.context <= 10:
        raise InputError(f"--config.video.context is {config.video.context}; it may be 0 to 10")
    at_least_nothing = (
        "schedule.windows_per_pass", "log.preview_frames", "video.dilate", "video.segment",
    )  # fmt: skip
    for field in at_least_nothing:
        if _value(config, field) < 0:
            raise InputError(f"--config.{field} is {_value(config, field)}; it must be at least 0")
    shared, longest = config.video.overlap, config.video.segment
    if longest and not 0 <= shared <= longest // 3:
        raise InputError(
            f"--config.video.overlap is {shared}; it may be from 0 to a third of "
            f"--config.video.segment, which is {longest}"
        )
    if not 0 <= config.optimizer.average < 1:
        raise InputError(
            f"--config.optimizer.average is {config.optimizer.average}; it may be from 0 to below 1"
        )
    if not 0 <= config.render.feather <= config.video.dilate:
        raise InputError(
            f"--config.render.feather is {config.render.feather}; the seam lies in the ring by "
            f"which the mask grows: it may be from 0 to --config.video.dilate, which is "
            f"{config.video.dilate}"
        )
    if config.schedule.windows_at_once is not None and config.schedule.windows_at_once < 1:
        raise InputError("--config.schedule.windows_at_once must be at least 1")
    if config.schedule.reset_per_window:
        if len(config.window.strides) > 1 or len(config.window.directions) > 1:
            raise InputError(
                "a network for every window (--config.schedule.reset_per_window) takes one "
                "--config.window.strides and one --config.window.directions"
            )
        if config.optimizer.average:
            raise InputError(
                "a network for every window keeps its best update, not the average of many: set "
                "--config.optimizer.average=0"
            )
        if config.schedule.keep_best:
            raise InputError(
                "a network for every window keeps its best update without being told: set "
                "--config.schedule.keep_best=False"
            )
        if not config.loss.image:
            raise InputError("the best update is told by the image loss: give --config.loss.image")
    if config.schedule.keep_best and not config.schedule.rehearse:
        raise InputError(
            "what is best is told by pixels that are known and not learnt from: "
            "--config.schedule.keep_best needs --config.schedule.rehearse=True, from the beginning "
            "of the run"
        )
    if config.render.propagated == "blend" and not config.schedule.rehearse:
        raise InputError(
            "how much of the carried pixels is to be laid over the network's is measured: "
            "--config.render.propagated=blend needs --config.schedule.rehearse=True, from the "
            "beginning of the run"
        )
    if needs_flow(config) and config.model.conv_ndim == 3:
        raise InputError(
            "the 3D network predicts no flow: set --config.loss.flow=0 and consistency=0"
        )
    if needs_flow(config) and config.window.length < 2:
        raise InputError("the flow terms need --config.window.length of at least 2")
    if config.schedule.median_window != "none" and 1 not in config.window.strides:
        raise InputError("the median window has stride 1: add it to --config.window.strides")
    if trains(config) and not any(config.loss.values()):
        raise InputError("every loss has weight 0: there is nothing to train for")
    scales = len(config.model.channels)
    smallest = smallest_side(scales)
    if trains(config) and min(config.video.height, config.video.width) < smallest:
        raise InputError(
            f"{config.video.width}x{config.video.height} is too small for {scales} scales: "
            f"each side needs at least {smallest}; enlarge --config.video.width and height, or "
            f"give fewer --config.model.channels"
        )
    smaller = min(config.video.height, config.video.width)
    estimates = needs_flow(config) and config.flow.estimator == "dis"
    if (estimates or needs_propagated(config)) and smaller < MIN_SIDE:
        raise InputError(f"a side of {smaller} pixels is too small for flow: it needs {MIN_SIDE}")


def _value(config: ConfigDict, field: str) -> Any:
    section, name = field.split(".")
    return config[section][name]
