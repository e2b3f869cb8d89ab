"""One function for each operation on a work directory.

The command line and the Python entry both call these.
"""

import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from ml_collections import ConfigDict

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.imaging.geometry import MASK_THRESHOLD
from vidprior.io.reference_files import write_for_cleaning
from vidprior.propagation.worth import frames_worth_cleaning
from vidprior.run import build, exchange, flows, outputs, pipeline, segments, validate
from vidprior.run import source as sources
from vidprior.run.pipeline import Fitted
from vidprior.run.propagated import obtain_propagated
from vidprior.run.render import CompositeFrame
from vidprior.run.segments import Segment
from vidprior.run.source import Source
from vidprior.run.source_resolution import to_source_resolution
from vidprior.run.suggested import settle_masks, with_stored_masks
from vidprior.run.workdir import Workdir
from vidprior.training import checkpoints, tensorboard
from vidprior.training.progress import ProgressCallback
from vidprior.types import Features

log = logging.getLogger("vidprior")

# Frames of each segment that `write_references` writes, at most.
_REFERENCES = 3

Paths = Mapping[str, pathlib.Path]

# Paths of a run's inputs: 'video', 'mask', 'flows' and 'reference' (a folder or a list); None for
# arrays, or if not given.
Inputs = Mapping[str, str | None]

# Called with the segments of a run before any is fitted.
OnPrepared = Callable[[list[Segment]], None]


def require_parts(config: ConfigDict, *, has_flow: bool) -> Features | None:
    """Checks the configuration and what it needs, before any footage is read.

    Args:
      config: of the run.
      has_flow: whether its flow exists already.

    Returns:
      VGG16, or None without the perceptual loss.

    Raises:
      InputError: a field is invalid, or a file, program or package is missing.
    """
    validate.validate(config)
    tensorboard.require(config.log.tensorboard)
    if not build.trains(config):
        return None
    features = build.features(config)
    if build.needs_flow(config) and not has_flow:
        flows.require_estimator(config)
    return features


def fit(
    source: Source,
    *,
    config: ConfigDict,
    workdir: Workdir,
    inputs: Inputs,
    features: Features | None,
    on_progress: ProgressCallback | None = None,
    on_fitted: Callable[[Fitted], None] = lambda fitted: None,
    on_prepared: OnPrepared = lambda split: None,
) -> list[Segment]:
    """Fits the segments of a source, or resumes the run of the work directory.

    Args:
      source: the footage and its masks.
      config: checked by `require_parts`.
      workdir: locked by the caller.
      inputs: paths to store with the run; the flow file is read from here.
      features: of `require_parts`.
      on_progress: called with the training's progress, instead of a progress bar.
      on_fitted: called after each segment.
      on_prepared: called with the segments when all have their work directories.

    Raises:
      InputError: the footage, the mask or the work directory cannot be used.
      NonFiniteLoss, Interrupted: as `pipeline.fit`.
    """
    split = segments.split(source, config=config, workdir=workdir)
    if segments.open_run(workdir, source, split, config=config, asked=inputs):
        log.info("resuming the run of this work directory")
    for line in sources.input_warnings(source):
        if line.startswith("warning: "):
            log.warning(line.removeprefix("warning: "))
        else:
            log.info(line)
    on_prepared(split)
    for fitted in pipeline.fit_segments(
        split, features=features, flow_file=inputs["flows"], listener=on_progress
    ):
        on_fitted(fitted)
        del fitted  # the next segment needs the memory
    return split


def frames_of(
    split: Sequence[Segment],
    frames: range,
    *,
    config: ConfigDict,
    source: Source | None,
    folder: str | os.PathLike[str],
    step: int | None = None,
) -> Iterator[CompositeFrame]:
    """Renders frames of a fitted run, at the size that `render.resolution` says.

    Args:
      split: the segments of the run.
      frames: numbers of the frames to render.
      config: of the run.
      source: of the run; None for the size of training.
      folder: for a temporary file of source frames.
      step: the checkpoint; the newest, or the best that was kept, by default.
    """
    rendered = pipeline.render_segments(split, frames, step=step)
    if source is None or config.render.resolution != "source":
        return rendered
    return to_source_resolution(config, source, rendered, first=frames.start, folder=folder)


def train(
    config: ConfigDict,
    workdir: Workdir,
    inputs: Inputs,
    *,
    on_prepared: OnPrepared = lambda split: None,
) -> Paths:
    """Fits a video and writes the result; `on_prepared` as in `fit`.

    Returns:
      The paths of what was written, by name; see `outputs.write_results`.
    """
    video, mask = _require_inputs(inputs, config)
    has_flow = bool(inputs["flows"]) or workdir.flows_file.exists()
    features = require_parts(config, has_flow=has_flow)
    config = segments.with_stored_growth(config, workdir)
    source = sources.open_source(video, mask, config=config, reference=inputs["reference"])
    with workdir.lock():
        _check_result(workdir, source, config=config)
        source = settle_masks(source, workdir, config=config)
        split = fit(
            source,
            config=config,
            workdir=workdir,
            inputs=inputs,
            features=features,
            on_prepared=on_prepared,
        )
        every = range(split[-1].frames.stop)
        return _write(workdir, split, every, config=config, source=source)


def fit_segment(workdir: Workdir, frames: range) -> None:
    """Fits one segment of a divided run that was prepared; `train` does what is left.

    Only the segment is locked, so processes can fit the segments of a run side by side.

    Args:
      workdir: of the run.
      frames: of the segment.

    Raises:
      InputError: there is no such segment, or it is being fitted.
      NonFiniteLoss, Interrupted: as `pipeline.fit`.
    """
    own = workdir.segment(frames)
    fields, _ = own.read_config()
    config = configuration.from_stored(fields, where=own.config_file)
    with own.lock():
        features = require_parts(config, has_flow=own.flows_file.exists())
        for _ in pipeline.fit_segments([Segment(frames, config, own)], features=features):
            pass


def render(
    workdir: Workdir,
    *,
    overrides: Mapping[str, Any],
    choose: Callable[[int], range],
    step: int | None,
    inputs: Inputs,
) -> Paths:
    """Renders frames of a saved run again, without training and without flow.

    Args:
      workdir: of the run.
      overrides: fields of `render` to change, by name.
      choose: maps the number of frames of the run to the frames to render.
      step: the checkpoint; the newest, or the best that was kept, by default.
      inputs: paths that replace those of the run.

    Returns:
      As `train`.
    """
    config, stored, split = segments.stored_run(workdir)
    for own in (config, *(segment.config for segment in split)):
        own.render.update(overrides)
    validate.validate(config)
    if step is not None and config.schedule.reset_per_window:
        raise InputError(
            "--checkpoint selects one network, but this run has one for every window "
            "(schedule.reset_per_window): omit it"
        )
    count = split[-1].frames.stop
    frames = choose(count)
    folder = workdir
    if step is not None or len(frames) < count:
        name = f"render_{_step_name(split, step)}_{frames.start}-{frames.stop}"
        folder = Workdir(workdir.path / name)
    source = None
    if config.render.resolution == "source":
        source = _reopen(workdir, split, inputs, stored, config=config)
    with folder.lock():
        return _write(folder, split, frames, config=config, source=source, step=step)


def write_references(workdir: Workdir, *, inputs: Inputs) -> list[tuple[pathlib.Path, float]]:
    """Writes the frames of a run that are most worth cleaning by hand, for an image editor.

    Args:
      workdir: of a run with propagated pixels.
      inputs: paths that replace those of the run.

    Returns:
      For each frame its path, and the share of its segment's guessed pixels that it would show.

    Raises:
      InputError: the run has no propagated pixels, nothing is guessed, or the source is missing.
    """
    config, stored, split = segments.stored_run(workdir)
    if not build.needs_propagated(config):
        raise InputError(f"{workdir.path} does not propagate pixels: it has no use for references")
    source = _reopen(workdir, split, inputs, stored, config=config)
    best: dict[int, float] = {}
    for segment in split:
        clip = segment.workdir.read_clip()
        if clip.hole.any():
            with segment.workdir.lock():
                propagated = obtain_propagated(segment.workdir, clip, config=segment.config)
            if propagated.unseen is None:
                raise InputError(f"{workdir.path} was made by an earlier version: run it anew")
            for worth in frames_worth_cleaning(
                clip.frames, clip.hole, propagated.unseen, count=_REFERENCES
            ):
                best[segment.frames[worth.number]] = worth.share
    if not best:
        raise InputError(f"{workdir.path}: other frames show all of the hole: nothing is guessed")
    config.render.resolution = "source"
    written = []
    with workdir.lock():
        for number in sorted(best):
            only = range(number, number + 1)
            (shown,) = frames_of(split, only, config=config, source=source, folder=workdir.path)
            (_, mask) = next(source.part(only).frames())
            path = workdir.references / f"{number:05d}.png"
            write_for_cleaning(path, shown.result, mask[0] > MASK_THRESHOLD)
            written.append((path, best[number]))
    return written


def _reopen(
    workdir: Workdir,
    split: Sequence[Segment],
    inputs: Inputs,
    stored: Mapping[str, Any],
    *,
    config: ConfigDict,
) -> Source:
    """The source of a saved run, from the given paths or those stored with it."""
    video, mask = inputs["video"] or stored["video"], inputs["mask"] or stored["mask"]
    if not video or not (mask or sources.outpaints(config)):
        raise InputError(
            f"{workdir.path} was begun from arrays: give their --video and --mask, or render "
            f"at training size with --config.render.resolution=training"
        )
    size = split[0].workdir.read_header().view.source_size
    reference = inputs["reference"] or stored.get("reference")
    source = sources.reopen_source(video, mask, size, config=config, reference=reference)
    return with_stored_masks(source, workdir, config=config)


def _check_result(folder: Workdir, source: Source, *, config: ConfigDict) -> None:
    """Tests that the result can be written, and logs what it cannot keep of the source."""
    if config.render.resolution != "source":
        return
    fallback = Fraction(config.video.image_fps).limit_denominator(1001)
    for line in outputs.check_result(
        folder.path,
        source.footage,
        rate=source.footage.rate or fallback,
        video_format=config.render.format,
        with_audio=config.render.audio,
    ):
        log.info(line)


def _step_name(split: list[Segment], step: int | None) -> str:
    """The checkpoint in a folder's name: its update, if all segments render the same one."""
    if step is not None:
        return f"{step:06d}"
    if len(split) > 1:
        return "newest"
    saved = checkpoints.Checkpoints(split[0].workdir.checkpoints)
    return f"{max(saved.steps(), default=0):06d}"


def _write(
    folder: Workdir,
    split: Sequence[Segment],
    frames: range,
    *,
    config: ConfigDict,
    source: Source | None,
    step: int | None = None,
) -> Paths:
    """Writes frames of a fitted run into a folder."""
    shows_source = source is not None and config.render.resolution == "source"
    clip = split[0].workdir.read_header()
    return outputs.write_results(
        folder.path,
        frames_of(split, frames, config=config, source=source, folder=folder.path, step=step),
        rate=Fraction(*clip.rate),
        pixel_aspect=Fraction(*clip.pixel_aspect),
        footage=source.part(frames).footage if source is not None and shows_source else None,
        with_audio=config.render.audio,
        video_format=config.render.format,
    )


def import_network(
    config: ConfigDict, workdir: Workdir, inputs: Inputs, published: str | None
) -> None:
    """Imports a network of the published code into a new work directory."""
    video, mask = _require_inputs(inputs, config)
    if not published:
        raise InputError("--published is missing: an .npz made by tools/convert_official.py")
    validate.validate(config)
    if workdir.config_file.exists():
        raise InputError(f"{workdir.path} already contains a run: choose another --workdir")
    if config.mask.grow == "auto":
        raise InputError(
            "an imported network belongs to the masks it was trained with: leave out "
            "--config.mask.grow"
        )
    source = sources.open_source(video, mask, config=config, reference=inputs["reference"])
    split = segments.split(source, config=config, workdir=workdir)
    if len(split) > 1:
        raise InputError(
            f"{published}: a network belongs to one segment, but this clip has {len(split)} "
            f"segments; set --config.video.split_at_cuts=False --config.video.max_segment_frames=0"
        )
    config = split[0].config
    (clip,) = segments.read_clips(source, split)
    network = exchange.read_published(published, clip, config=config)
    with workdir.lock():
        workdir.open_run(configuration.to_dict(config), inputs, clip)
        exchange.import_published(network, workdir, config=config)


def export_network(workdir: Workdir, published: str | None, *, step: int | None) -> int:
    """Writes a checkpoint in the published layout; returns its number of updates."""
    if not published:
        raise InputError("--published is missing: the .npz to write")
    config = configuration.from_stored(workdir.read_config()[0], where=workdir.config_file)
    clip = workdir.read_clip()
    return exchange.export_published(published, workdir, clip, config=config, step=step)


def _require_inputs(inputs: Inputs, config: ConfigDict) -> tuple[str, str | None]:
    """The paths of video and mask; an enlarged frame has a hole without a mask."""
    video, mask = inputs["video"], inputs["mask"]
    if not video or not (mask or sources.outpaints(config)):
        raise InputError(f"--{'mask' if video else 'video'} is missing")
    return video, mask
