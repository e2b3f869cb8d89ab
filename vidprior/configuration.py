"""Finding, loading and storing configurations. No other module takes a whole one apart."""

import importlib.util
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections

from vidprior.errors import InputError

_PACKAGE = pathlib.Path(__file__).resolve().parent
# Fields that earlier versions called otherwise: their name today, and the values that changed.
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

# Beside the package in a checkout, inside it once installed from a wheel.
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


def find(name: str) -> pathlib.Path:
    """The file of a configuration, given by path or by the name of a shipped one.

    Raises:
      InputError: when there is neither.
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

    Overlays begin with `config = load("base")` and change fields.
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
    except Exception as error:  # whatever a person's file may do
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        old = [name for name in RENAMED if f"config.{name} " in path.read_text()]
        if old and isinstance(error, AttributeError):
            raise InputError(
                f"{path} sets config.{old[0]}, which is now config.{RENAMED[old[0]]}"
            ) from error
        raise InputError(f"{path} does not run: {type(error).__name__}: {reason}") from error


def from_stored(fields: Mapping[str, Any], *, where: pathlib.Path) -> ml_collections.ConfigDict:
    """The configuration that `to_dict` gave, in this version or an earlier one.

    Fields that are newer than it stand at the defaults of `base`, which mean "as before".

    Args:
      fields: as read from JSON.
      where: the file it was read from, for messages.

    Raises:
      InputError: when it has a field that this version does not know.
    """
    base = dict(flatten(to_dict(load("base"))))
    today = dict(renamed(field, value) for field, value in flatten(fields))
    unknown = sorted(today.keys() - base.keys())
    if unknown:
        raise InputError(f"{where}: this version has no fields {', '.join(unknown[:3])}")
    return ml_collections.ConfigDict(_nest({**base, **today}))


def renamed(field: str, value: Any) -> tuple[str, Any]:
    """A field and its value by their names of today; see `RENAMED`."""
    try:
        return _RENAMED_VALUES[field, value]
    except (KeyError, TypeError):  # no such pair, or a list, which has no new meaning
        return RENAMED.get(field, field), value


def is_renamed(field: str, value: Any) -> bool:
    """Whether a field or its value has another name today."""
    return (field, value) in _RENAMED_VALUES or field in RENAMED


def describe_fields() -> dict[str, str]:
    """Every field of `base` with its default and its comment, as written there."""
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
    """Refuses fields that the configuration does not have.

    Args:
      config: a whole configuration.
      fields: such as 'loss.flow'.

    Raises:
      InputError: with ml_collections' suggestion, and the fields that there are.
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
    """Whether a field, such as 'window.strides', holds several values."""
    value: Any = config
    for name in field.split("."):
        value = value[name]
    return isinstance(value, tuple)


def to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The configuration as JSON holds it: tuples become lists."""
    return json.loads(config.to_json())


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields ('section.field', value) of a nested dictionary."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
