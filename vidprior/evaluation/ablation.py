"""Systems over a set of composed clips: the rows of the paper's Tables 1 and 2.

A row is one system on one clip. It is stored in a small JSON file with everything that it
depends on, so that a table that was interrupted, or that gets another system or clip, runs
only what is missing. `systems` are configurations with overrides:

    {"overrides": {"schedule.num_passes": 2},
     "systems": [{"name": "full", "config": "flow"},
                 {"name": "small", "config": "flow", "overrides": {"model.channels": [16, 32]}}]}
"""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.evaluation import complexity, compose, protocols, tables
from vidprior.io import footage
from vidprior.io.masks import read_mask_frames
from vidprior.run.workdir import write_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,63}")


class System(NamedTuple):
    """A row of a table.

    Attributes:
      name: of the system and its folder.
      config: a shipped configuration, or a file.
      overrides: fields such as 'loss.flow' with their values.
      window: k of Figure 10: the clip is divided into pieces of k frames, each inpainted by
        itself; None: the whole clip.
    """

    name: str
    config: str
    overrides: Mapping[str, Any] = {}
    window: int | None = None


# Table 1.
SYSTEMS = (
    System("DIP", "dip"),
    System("DIP-Vid", "dip_vid"),
    System("DIP-Vid-3DCN", "dip_vid_3dcn"),
    System("DIP-Vid-Flow", "flow"),
)


class BenchmarkClip(NamedTuple):
    """What a table needs of a composed clip.

    Attributes:
      folder: see `compose`.
      manifest: its manifest.
      truth: [T, H, W, 3] uint8 RGB.
      masks: [T, H, W] uint8, 255 where content is missing.
      complexity: of the truth.
    """

    folder: pathlib.Path
    manifest: Mapping[str, Any]
    truth: np.ndarray
    masks: np.ndarray
    complexity: complexity.Complexity


def read_systems(path: pathlib.Path) -> list[System]:
    """The systems that a JSON file describes.

    Raises:
      InputError: the file cannot be read or is not as described above.
    """
    try:
        described = json.loads(path.read_text())
        shared = dict(described.get("overrides", {}))
        systems = [
            System(
                entry["name"],
                entry["config"],
                {**shared, **entry.get("overrides", {})},
                entry.get("window"),
            )
            for entry in described["systems"]
        ]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f'{path}: expected {{"systems": [{{"name": ..., "config": ..., "overrides": {{}}}}]}}'
        ) from error
    return systems


def choose_systems(path: pathlib.Path | None, overrides: Mapping[str, Any]) -> list[System]:
    """The systems of a file, or those of Table 1, with fields that apply to all of them.

    Raises:
      InputError: as `read_systems` and `check_systems`.
    """
    systems = list(SYSTEMS) if path is None else read_systems(path)
    systems = [system._replace(overrides={**system.overrides, **overrides}) for system in systems]
    check_systems(systems)
    return systems


def check_systems(systems: Sequence[System]) -> None:
    """Refuses systems that cannot run, before any does.

    Raises:
      InputError: no system, a name that is no folder's or comes twice, an unknown
        configuration or field.
    """
    if not systems:
        raise InputError("no system to run")
    for system in systems:
        if not isinstance(system.name, str) or not _NAME.fullmatch(system.name):
            raise InputError(
                f"a system is called {system.name!r}: give up to 64 letters, digits and ' ._+-'"
            )
        if not isinstance(system.config, str):
            raise InputError(f"system {system.name}: its configuration is {system.config!r}")
        if system.window is not None and not (type(system.window) is int and system.window > 0):
            raise InputError(f"system {system.name}: its window is {system.window!r}")
        configuration.check_overrides(configuration.load(system.config), list(system.overrides))
    names = [system.name for system in systems]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"there are several systems called {min(twice)}")


def read_clip(folder: pathlib.Path) -> BenchmarkClip:
    """Reads a composed clip.

    Raises:
      InputError: it cannot be read, or is not what its manifest says.
    """
    manifest = compose.read_manifest(folder)
    truth = footage.read_frames(folder / "truth").frames
    wanted = (manifest["frames"], manifest["height"], manifest["width"])
    if truth.shape[:3] != wanted:
        raise InputError(f"{folder}/truth is {truth.shape[:3]}, its manifest says {wanted}")
    masks = read_mask_frames(folder / "masks", size=truth.shape[1:3], num_frames=len(truth))
    return BenchmarkClip(folder, manifest, truth, masks, complexity.complexity(truth))


class Run(NamedTuple):
    """An ordinary run, of a system on a clip or a piece of it.

    Attributes:
      name: for people, and of its log.
      workdir: its work directory.
      flags: its configuration, as on the command line.
      frames: of the clip.
    """

    name: str
    workdir: pathlib.Path
    flags: tuple[str, ...]
    frames: range


def runs(system: System, clip: BenchmarkClip, *, output: pathlib.Path) -> list[Run]:
    """What must be run for a row: the clip, or every piece of it that has a hole."""
    clip_name = clip.folder.absolute().name
    name, workdir = f"{system.name} on {clip_name}", output / "runs" / system.name / clip_name
    count = len(clip.truth)
    if system.window is None:
        return [Run(name, workdir, _flags(system, clip), range(count))]
    found = []
    for start in range(0, count, system.window):
        frames = range(start, min(start + system.window, count))
        if clip.masks[frames.start : frames.stop].any():  # otherwise there is nothing to do
            flags = _flags(system, clip, frames)
            found.append(Run(f"{name}, {start:05d}", workdir / f"{start:05d}", flags, frames))
    return found


def _flags(system: System, clip: BenchmarkClip, frames: range | None = None) -> tuple[str, ...]:
    """The flags that train and render a system on a clip or a piece, at the clip's size."""
    overrides = {
        "video.height": clip.manifest["height"],
        "video.width": clip.manifest["width"],
        **system.overrides,
    }
    if frames is not None:
        length = overrides.get("window.length", configuration.load(system.config).window.length)
        # An update's window is not longer than the clip.
        overrides |= {"video.start": frames.start, "video.stop": frames.stop}
        overrides["window.length"] = min(int(length), len(frames))
    fields = (f"--config.{field}={_typed(value)}" for field, value in overrides.items())
    return (f"--config={configuration.find(system.config)}", *fields)


def row(
    system: System, clip: BenchmarkClip, *, output: pathlib.Path, protocol: protocols.Protocol
) -> dict[str, Any]:
    """Measures the finished runs of a system on a clip, and stores the row.

    Raises:
      InputError: a result cannot be read, or the row cannot be written.
    """
    if system.window is None:
        (whole,) = runs(system, clip, output=output)
        result = footage.read_frames(whole.workdir / "result").frames
    else:
        result = footage.read_frames(clip.folder / "frames").frames
        for piece in runs(system, clip, output=output):
            painted = footage.read_frames(piece.workdir / "result").frames
            result[piece.frames.start : piece.frames.stop] = painted
    measures = protocols.measure(protocol, clip.truth, result, clip.masks)
    identity, name = identity_of(system, clip, protocol), clip.folder.absolute().name
    made = {"system": system.name, "clip": name, "identity": identity, "measures": measures}
    write_json(_file(system, clip, output), tables.to_json(made))
    return measures


def finished_row(
    system: System, clip: BenchmarkClip, *, output: pathlib.Path, protocol: protocols.Protocol
) -> dict[str, Any] | None:
    """The stored measures of the same system, clip and protocol, if any.

    Raises:
      InputError: its file cannot be read.
    """
    path = _file(system, clip, output)
    try:
        made = json.loads(path.read_text())
        if made["identity"] != identity_of(system, clip, protocol):
            return None
        return _infinite(dict(made["measures"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a row of a table; remove it to make it again") from error


def measure(
    result: pathlib.Path, clip: BenchmarkClip, *, protocol: protocols.Protocol
) -> dict[str, Any]:
    """Measures a result against the truth of a clip, see `protocols.measure`.

    Raises:
      InputError: it cannot be read, or does not fit the clip.
    """
    frames = footage.read_frames(result).frames
    try:
        return protocols.measure(protocol, clip.truth, frames, clip.masks)
    except InputError as error:
        raise InputError(f"{result}: {error}") from error


def summarise(
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]],
    complexities: Mapping[str, float],
    protocol: protocols.Protocol,
) -> dict[str, Any]:
    """The table of all rows so far.

    Args:
      rows: {system: {clip: measures}}.
      complexities: the total of every clip; half of them are the complex ones.
      protocol: how means are taken.

    Returns:
      protocol, clips ({clip: {complexity, complex}}), and systems: {name: {part: {clips,
      mean}}} with the parts all, complex and simple. Systems and parts without a clip are
      left out.
    """
    half = complexity.split_by_complexity(list(complexities.values()))
    is_complex = dict(zip(complexities, half.tolist(), strict=True))
    parts = {"all": {True, False}, "complex": {True}, "simple": {False}}
    systems: dict[str, Any] = {}
    for name, measured in rows.items():
        if not measured:
            continue
        systems[name] = {}
        for part, wanted in parts.items():
            chosen = [measures for clip, measures in measured.items() if is_complex[clip] in wanted]
            if chosen:
                mean = protocols.mean(protocol, chosen)
                systems[name][part] = {"clips": len(chosen), "mean": mean}
    return {
        "protocol": {"name": protocol.name, "parameters": protocol.parameters()},
        "clips": {
            clip: {"complexity": total, "complex": is_complex[clip]}
            for clip, total in complexities.items()
        },
        "systems": systems,
    }


def _file(system: System, clip: BenchmarkClip, output: pathlib.Path) -> pathlib.Path:
    return output / "rows" / system.name / f"{clip.folder.absolute().name}.json"


def identity_of(
    system: System, clip: BenchmarkClip, protocol: protocols.Protocol
) -> dict[str, Any]:
    """What the measures of a system on a clip depend on, after a round trip through JSON."""
    identity = {
        "config": system.config,
        "overrides": dict(system.overrides),
        "window": system.window,
        "truth_sha256": clip.manifest.get("truth_sha256"),
        "hole_sha256": clip.manifest.get("hole_sha256"),
        "protocol": {"name": protocol.name, "parameters": protocol.parameters()},
    }
    return json.loads(json.dumps(identity))


def _infinite(value: Any) -> Any:
    """What `tables.to_json` wrote, with its infinities."""
    if isinstance(value, dict):
        return {name: _infinite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_infinite(inner) for inner in value]
    return float("inf") if value == "inf" else value


def _typed(value: Any) -> str:
    """A value for the command line; JSON's lists are tuples there."""
    return str(tuple(value) if isinstance(value, list) else value)
