"""Evaluates the result of a work directory against the truth."""

import logging
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vidprior.errors import InputError
from vidprior.evaluation import picture, protocols, tables
from vidprior.imaging import geometry
from vidprior.imaging.dilation import dilate_masks
from vidprior.imaging.geometry import Transform
from vidprior.io import footage
from vidprior.run import outputs, segment_ranges, segments, source
from vidprior.run.segments import Segment
from vidprior.run.suggested import with_stored_masks
from vidprior.run.workdir import Workdir

log = logging.getLogger("vidprior")


def evaluate(workdir: Workdir, truth_path: str, *, protocol: protocols.Protocol) -> dict[str, Any]:
    """Measures the result of a work directory and writes the measures there.

    Each scene counts as a clip: consecutive frames of a shot with the same crop.

    Returns:
      An evaluation as described in `tables`: of one clip with the work directory's name, or
      of several, named by their frames.

    Raises:
      InputError: there is no result yet, it does not fit the truth, or either does not fit
        the protocol.
    """
    config, _, divided = segments.stored_run(workdir)
    count = divided[-1].frames.stop
    folder = workdir.path / "result"
    if not folder.is_dir():
        raise InputError(f"{workdir.path} has no result yet: train or render first")
    result = footage.read_frames(folder).frames
    truth = source.read_truth(truth_path, config=config, count=count)
    if len(result) != count:
        raise InputError(f"{folder} has {len(result)} frames of {count}: render all frames first")
    name = workdir.path.absolute().name
    measured = {}
    for frames, view, hole in scenes(divided):
        here = slice(frames.start, frames.stop)
        label = name if len(frames) == count else f"{name} {frames.start}-{frames.stop}"
        measured[label] = protocols.measure(
            protocol,
            source.crop_truth(truth[here], view, config=config),
            result[here],
            255 * hole.astype(np.uint8),
        )
    evaluation = tables.summarise(protocol, measured)
    at_source = measure_at_source(workdir, truth, scenes(divided))
    if at_source is not None:
        evaluation["source"] = at_source
    tables.write(workdir.path, evaluation)
    return evaluation


def measure_at_source(
    workdir: Workdir, truth: np.ndarray, found: Sequence["Scene"]
) -> dict[str, Any] | None:
    """Measures the hole at source size; see `picture.measure`.

    Args:
      workdir: of the run.
      truth: [T, h, w, 3] uint8.
      found: the run's scenes.

    Returns:
      The measures and the name of the measured file; None if truth or result do not have
      source size, or video or mask are no longer there.

    Raises:
      InputError: the result cannot be read.
    """
    config, asked, _ = segments.stored_run(workdir)
    files = [workdir.path / name for name in outputs.RESULTS.values()]
    files = [file for file in files if file.exists()]
    size, mask = truth.shape[1:3], asked.get("mask")
    if not files or found[0].view.source_size != size or not asked["video"]:
        return None
    if mask and not os.path.exists(mask):
        return None
    newest = max(files, key=lambda file: file.stat().st_mtime)
    result = footage.read_frames(newest).frames
    if result.shape != truth.shape:
        return None
    try:
        again = source.reopen_source(asked["video"], mask, size, config=config)
        again = with_stored_masks(again, workdir, config=config)
    except InputError as error:
        log.info(f"no measures at source size: {error}")
        return None
    hole = np.zeros(truth.shape[:3], bool)
    for frames, view, _ in found:
        for number in frames:
            grown = dilate_masks(again.masks[number : number + 1], again.dilate)[0]
            hole[number, *view.crop] = grown[view.crop] > geometry.MASK_THRESHOLD
    return {"file": newest.name, **picture.measure(truth, result, hole)}


class Scene(NamedTuple):
    """Consecutive frames of one shot with the same crop.

    Attributes:
      frames: their numbers in the run.
      view: crop and resize from the source.
      hole: [T, H, W] bool.
    """

    frames: range
    view: Transform
    hole: np.ndarray


def scenes(divided: Sequence[Segment]) -> list[Scene]:
    """Joins segments that overlap and have the same crop; leaves out scenes without a hole."""
    found: list[Scene] = []
    reach = 0  # of the part before
    for part, own in zip(
        divided, segment_ranges.owned_ranges([part.frames for part in divided]), strict=True
    ):
        clip, first = part.workdir.read_clip(), part.frames.start
        scene = Scene(own, clip.view, clip.hole[own.start - first : own.stop - first])
        if first < reach and scene.view == found[-1].view:
            before = found.pop()
            frames = range(before.frames.start, own.stop)
            scene = Scene(frames, before.view, np.concatenate([before.hole, scene.hole]))
        found.append(scene)
        reach = part.frames.stop
    return [scene for scene in found if scene.hole.any()]
