"""Finds, loads and stores configurations."""

import importlib.util
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections

from vidprior.errors import InputError

_PACKAGE = pathlib.Path(__file__).resolve().parent
# Old names of fields and their new names, and values that changed.
RENAMED: Mapping[str, str] = {
    "video.dilate": "mask.dilate",
    "video.rate": "video.image_fps",
    "video.region": "video.crop",
    "video.context": "video.crop_margin",
    "video.shots": "video.split_at_cuts",
    "video.segment": "video.max_segment_frames",
    "video.overlap": "video.segment_overlap",
    "schedule.rehearse": "propagation.holdout",
    "schedule.keep_best": "checkpoint.keep_best",
    "optimizer.kind": "optimizer.name",
    "optimizer.decay": "optimizer.lr_schedule",
    "optimizer.average": "optimizer.ema_decay",
    "vgg.features": "vgg.cache",
    "vgg.input": "vgg.preprocessing",
    "render.propagated": "render.propagated_pixels",
    "render.blend": "render.seam",
    "render.size": "render.resolution",
}
_RENAMED_VALUES: Mapping[tuple[str, Any], tuple[str, Any]] = {
    ("video.shots", "split"): ("video.split_at_cuts", True),
    ("video.shots", "whole"): ("video.split_at_cuts", False),
    ("render.propagated", "alone"): ("method", "propagate"),
    ("render.format", "lossless"): ("render.format", "ffv1"),
}

# Next to the package in a checkout; inside it if installed from a wheel.
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


def find(name: str) -> pathlib.Path:
    """The file of a configuration, given by path or by the name of a shipped configuration.

    Raises:
      InputError: there is no such file.
    """
    path = pathlib.Path(name)
    if path.suffix == ".py" and path.is_file():
        return path
    for folder in _FOLDERS:
        if (folder / f"{name}.py").is_file() and name != "__init__":
            return folder / f"{name}.py"
    if path.stem == "best":
        raise InputError(
            "configuration 'best' is now --config=footage --config.video.crop=frame "
            "--config.mask.dilate=0 --config.render.feather=0"
        )
    shipped = sorted({p.stem for folder in _FOLDERS for p in folder.glob("[a-z]*.py")})
    raise InputError(f"no configuration '{name}': give a .py file or one of {', '.join(shipped)}")


def load(name: str) -> ml_collections.ConfigDict:
    """Runs `get_config()` of the configuration `name` (see `find`).

    Raises:
      InputError: there is no such file, or it fails.
    """
    path = find(name)
    spec = importlib.util.spec_from_file_location(f"vidprior_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return module.get_config()
    except InputError:
        raise
    except Exception as error:  # a user's file may raise anything
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        old = [name for name in RENAMED if f"config.{name} " in path.read_text()]
        if old and isinstance(error, AttributeError):
            raise InputError(
                f"{path} sets config.{old[0]}, which is now config.{RENAMED[old[0]]}"
            ) from error
        raise InputError(f"{path} does not run: {type(error).__name__}: {reason}") from error


def from_stored(fields: Mapping[str, Any], *, where: pathlib.Path) -> ml_collections.ConfigDict:
    """The inverse of `to_dict`, also for configurations of earlier versions.

    Missing fields take the defaults of `base`.

    Args:
      fields: as read from JSON.
      where: the file it was read from, for messages.

    Raises:
      InputError: a field is unknown to this version.
    """
    base = dict(flatten(to_dict(load("base"))))
    today = dict(renamed(field, value) for field, value in flatten(fields))
    unknown = sorted(today.keys() - base.keys())
    if unknown:
        raise InputError(f"{where}: this version has no fields {', '.join(unknown[:3])}")
    return ml_collections.ConfigDict(_nest({**base, **today}))


def renamed(field: str, value: Any) -> tuple[str, Any]:
    """The new name of a field, and its new value; see `RENAMED`."""
    try:
        return _RENAMED_VALUES[field, value]
    except (KeyError, TypeError):  # no such pair, or a list, which has no new meaning
        return RENAMED.get(field, field), value


def is_renamed(field: str, value: Any) -> bool:
    """Whether a field or its value has been renamed."""
    return (field, value) in _RENAMED_VALUES or field in RENAMED


def describe_fields() -> dict[str, str]:
    """Every field of `base` with its default and its comment."""
    pattern = r"^    config\.([\w.]+) = (?!ConfigDict)(?:placeholder\(\w+\)|(.*?))(?:  # (.*))?$"
    lines = re.finditer(pattern, find("base").read_text(), re.MULTILINE)
    return {line[1]: f"{line[2]}: {line[3] or ''}".rstrip(": ") for line in lines}


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    nested: dict[str, Any] = {}
    for field, value in flat.items():
        *sections, name = field.split(".")
        section = nested
        for key in sections:
            section = section.setdefault(key, {})
        section[name] = value
    return nested


def check_overrides(config: ml_collections.ConfigDict, fields: Sequence[str]) -> None:
    """Refuses unknown fields.

    Args:
      config: a whole configuration.
      fields: such as 'loss.flow'.

    Raises:
      InputError: a field is unknown; with ml_collections' suggestion and the known fields.
    """
    for field in fields:
        section: Any = config
        known: list[str] = []
        for name in field.split("."):
            where = ".".join(["config", *known])
            if not isinstance(section, ml_collections.ConfigDict):
                raise InputError(f"unknown field config.{field}: {where} has no fields")
            try:
                section = section[name]
            except KeyError as error:
                suggestion = str(error.args[0]).partition("\n")[2]
                fields_at_hand = ", ".join(sorted(section))
                raise InputError(
                    f"unknown field config.{field}. {suggestion}{' ' if suggestion else ''}"
                    f"{where} has: {fields_at_hand}"
                ) from error
            known.append(name)


def holds_tuple(config: ml_collections.ConfigDict, field: str) -> bool:
    """Whether a field, such as 'window.strides', holds a tuple."""
    value: Any = config
    for name in field.split("."):
        value = value[name]
    return isinstance(value, tuple)


def may_be_none(field: str) -> bool:
    """Whether a field, such as 'video.stop', may be None: its comment in `base` says so."""
    return "None:" in describe_fields().get(field, "")


def to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The configuration as JSON: tuples become lists."""
    return json.loads(config.to_json())


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields ('section.field', value) of a nested dictionary."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
