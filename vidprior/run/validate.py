"""Checks the values of a configuration's fields, alone and in combination."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from vidprior.errors import InputError
from vidprior.flow.dis import MIN_SIDE, PRESETS
from vidprior.model.generator import smallest_side
from vidprior.run.build import needs_flow, needs_propagated, trains
from vidprior.run.source import LEAST_GROWTH, outpaints
from vidprior.training.optimizers import OPTIMIZERS

CHOICES: dict[str, tuple[Any, ...]] = {
    "method": ("train", "propagate"),
    "video.crop": ("frame", "hole"),
    "mask.missing": ("refuse", "empty"),
    "flow.estimator": ("dis", "pwcnet"),
    "flow.dis_preset": tuple(PRESETS),
    "propagation.guess": ("copies", "smooth"),
    "schedule.median_window": ("last", "extra", "none"),
    "model.conv_ndim": (2, 3),
    "model.refine_kernel": (1, 3),
    "mask.grow": ("none", "auto"),
    "model.initializer": ("pytorch", "lecun"),
    "model.dtype": ("float32", "bfloat16"),
    "model.precision": ("default", "highest"),
    "optimizer.name": OPTIMIZERS,
    "optimizer.lr_schedule": ("none", "cosine"),
    "vgg.preprocessing": ("published", "imagenet"),
    "vgg.cache": ("auto", "keep", "recompute"),
    "render.rounding": ("nearest", "down"),
    "render.resolution": ("source", "training"),
    "render.format": ("mp4", "mkv", "mov", "ffv1", "png"),
    "render.propagated_pixels": ("none", "blend", "only"),
    "render.seam": ("plain", "gradient"),
}

SUBSETS: dict[str, tuple[Any, ...]] = {
    "window.strides": (1, 3, 5),
    "window.directions": ("forward", "backward"),
}


class Bounds(NamedTuple):
    """The allowed range of a number; None is allowed too."""

    least: float = -math.inf
    most: float = math.inf
    open_below: bool = False
    open_above: bool = False

    def __contains__(self, value: Any) -> bool:
        if value is None:
            return True
        above = value > self.least if self.open_below else value >= self.least
        below = value < self.most if self.open_above else value <= self.most
        return bool(math.isfinite(value) and above and below)

    def __str__(self) -> str:
        limits = []
        if self.least > -math.inf:
            limits.append(f"{'above' if self.open_below else 'at least'} {self.least:g}")
        if self.most < math.inf:
            limits.append(f"{'below' if self.open_above else 'at most'} {self.most:g}")
        return " and ".join(limits)


BOUNDS: dict[str, Bounds] = {
    "video.image_fps": Bounds(0, open_below=True),
    "video.crop_margin": Bounds(0, 10),
    "video.max_segment_frames": Bounds(0),
    "mask.dilate": Bounds(0),
    "window.length": Bounds(1),
    "schedule.num_passes": Bounds(1),
    "schedule.windows_per_pass": Bounds(0),
    "schedule.updates_per_window": Bounds(1),
    "schedule.windows_at_once": Bounds(1),
    "optimizer.ema_decay": Bounds(0, 1, open_above=True),
    "checkpoint.every": Bounds(1),
    "checkpoint.keep": Bounds(1),
    "log.every": Bounds(1),
    "log.preview_frames": Bounds(0),
}


class Rule(NamedTuple):
    """A condition on several fields.

    Attributes:
      broken: whether a configuration violates it.
      message: one line, with fields in braces, such as {mask.dilate}.
    """

    broken: Callable[[ConfigDict], bool]
    message: str


def _smaller_side(config: ConfigDict) -> int:
    return int(min(config.video.height, config.video.width))


def _estimates_motion(config: ConfigDict) -> bool:
    uses_dis = needs_flow(config) and config.flow.estimator == "dis"
    return uses_dis or needs_propagated(config)


def _numbers_labels(config: ConfigDict) -> bool:
    labels = (*config.mask.labels, *config.mask.ignore)
    return all(isinstance(label, int) and label >= 0 for label in labels)


def _enlarges(config: ConfigDict) -> bool:
    factors = config.video.outpaint
    return 1 <= len(factors) <= 2 and all(1 <= factor <= 3 for factor in factors)


RULES = (
    Rule(
        lambda c: not _enlarges(c),
        "--config.video.outpaint is {video.outpaint}; it holds one factor from 1 to 3, or one for "
        "width and one for height",
    ),
    Rule(
        lambda c: outpaints(c) and c.mask.grow == "auto",
        "--config.mask.grow=auto needs frames of their own size: set --config.video.outpaint=1 "
        "or --config.mask.grow=none",
    ),
    Rule(
        lambda c: not _numbers_labels(c),
        "--config.mask.labels is {mask.labels} and --config.mask.ignore is {mask.ignore}; they may "
        "hold numbers of labels, such as 1,3",
    ),
    Rule(
        lambda c: (
            c.video.max_segment_frames > 0
            and not 0 <= c.video.segment_overlap <= c.video.max_segment_frames // 3
        ),
        "--config.video.segment_overlap is {video.segment_overlap}; it may be 0 to a third of "
        "--config.video.max_segment_frames, which is {video.max_segment_frames}",
    ),
    Rule(
        lambda c: c.mask.dilate is not None and not 0 <= c.render.feather <= c.mask.dilate,
        "--config.render.feather is {render.feather}; the seam lies in the ring by which the mask "
        "grows: it may be 0 to --config.mask.dilate, which is {mask.dilate}",
    ),
    Rule(
        lambda c: c.mask.dilate is None and not 0 <= c.render.feather <= LEAST_GROWTH,
        f"--config.render.feather is {{render.feather}}; a mask that grows by the frame's height "
        f"grows by {LEAST_GROWTH} pixels or more: it may be 0 to {LEAST_GROWTH}; for a wider seam "
        f"set --config.mask.dilate",
    ),
    Rule(
        lambda c: (
            c.schedule.reset_per_window
            and (len(c.window.strides) > 1 or len(c.window.directions) > 1)
        ),
        "a network for every window (--config.schedule.reset_per_window) takes one "
        "--config.window.strides and one --config.window.directions",
    ),
    Rule(
        lambda c: c.schedule.reset_per_window and c.optimizer.ema_decay > 0,
        "a network for every window keeps its best update, not an average: set "
        "--config.optimizer.ema_decay=0",
    ),
    Rule(
        lambda c: c.schedule.reset_per_window and c.checkpoint.keep_best,
        "a network for every window always keeps its best update: set "
        "--config.checkpoint.keep_best=False",
    ),
    Rule(
        lambda c: c.schedule.reset_per_window and not c.loss.image,
        "a network for every window selects its best update by the image loss: set "
        "--config.loss.image above 0",
    ),
    Rule(
        lambda c: c.checkpoint.keep_best and not c.propagation.holdout,
        "--config.checkpoint.keep_best selects by held-out pixels: it needs "
        "--config.propagation.holdout=True from the start of the run",
    ),
    Rule(
        lambda c: c.render.propagated_pixels == "blend" and not c.propagation.holdout,
        "--config.render.propagated_pixels=blend fits its weights on held-out pixels: it needs "
        "--config.propagation.holdout=True from the start of the run",
    ),
    Rule(
        lambda c: needs_flow(c) and c.model.conv_ndim == 3,
        "the 3D network predicts no flow: set --config.loss.flow=0 and --config.loss.consistency=0",
    ),
    Rule(
        lambda c: needs_flow(c) and c.window.length < 2,
        "the flow terms need --config.window.length of at least 2",
    ),
    Rule(
        lambda c: c.schedule.median_window != "none" and 1 not in c.window.strides,
        "the median window has stride 1: add it to --config.window.strides",
    ),
    Rule(
        lambda c: trains(c) and not any(c.loss.values()),
        "all losses have weight 0: set one of --config.loss.* above 0",
    ),
    Rule(
        lambda c: trains(c) and _smaller_side(c) < smallest_side(len(c.model.channels)),
        "{video.width}x{video.height} is too small for {scales} scales: each side needs at least "
        "{smallest}; enlarge --config.video.width and height, or give fewer "
        "--config.model.channels",
    ),
    Rule(
        lambda c: _estimates_motion(c) and _smaller_side(c) < MIN_SIDE,
        f"{{video.width}}x{{video.height}} is too small for optical flow: each side needs "
        f"{MIN_SIDE} pixels",
    ),
)


def validate(config: ConfigDict) -> None:
    """Refuses an invalid configuration, before anything is read.

    Raises:
      InputError: one line with the field, its value and the allowed values.
    """
    for problem in problems(config):
        raise InputError(problem)


def problems(config: ConfigDict) -> Iterator[str]:
    """Yields one line for each invalid value or combination."""
    for field, allowed in CHOICES.items():
        value = _value(config, field)
        if value not in allowed:
            listed = ", ".join(map(repr, allowed))
            yield f"--config.{field} is {value!r}; it may be {listed}"
    for field, allowed in SUBSETS.items():
        values = tuple(_value(config, field))
        if not values or not set(values) <= set(allowed):
            yield f"--config.{field} is {values}; it may hold {allowed}"
    for field, bounds in BOUNDS.items():
        value = _value(config, field)
        if value not in bounds:
            yield f"--config.{field} is {value}; it must be {bounds}"
    for rule in RULES:
        if rule.broken(config):
            yield _filled(rule.message, config)


def _filled(message: str, config: ConfigDict) -> str:
    """A message with the values of the fields in braces."""
    scales = len(config.model.channels)
    named = {"scales": scales, "smallest": smallest_side(scales)}
    for section in ("video", "mask", "render"):
        named |= {f"{section}.{name}": value for name, value in config[section].items()}
    for name, value in named.items():
        message = message.replace(f"{{{name}}}", str(value))
    return message


def _value(config: ConfigDict, field: str) -> Any:
    *sections, name = field.split(".")
    for section in sections:
        config = config[section]
    return config[name]
