"""The segments of a run: each an ordinary run of some of its frames.

A run is split at cuts and into segments, as `config.video` says. A single segment is the run
itself. Several segments have their own work directories with everything that is made for
their frames, so no window, flow or propagated pixel crosses from one segment to another.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.flow import flow_file
from vidprior.imaging import geometry
from vidprior.imaging.shots import find_shots
from vidprior.io.files import replacing_folder
from vidprior.run import build, segment_ranges, validate
from vidprior.run.clip_file import PreparedClip
from vidprior.run.flows import check_flows
from vidprior.run.source import Source, training_crop
from vidprior.run.workdir import PARTS, Workdir, write_json


class Segment(NamedTuple):
    """A segment of a run, or all of it.

    Attributes:
      frames: its frames, counted from the first of the run.
      config: its own configuration, by which the segment is an ordinary run.
      workdir: its work directory.
    """

    frames: range
    config: ConfigDict
    workdir: Workdir


def split(source: Source, *, config: ConfigDict, workdir: Workdir) -> list[Segment]:
    """Splits a run into segments; reads the footage if needed to find cuts or its end.

    Raises:
      InputError: a frame cannot be read.
    """
    fields, footage = config.video, source.footage
    if fields.split_at_cuts:
        shots = find_shots(footage.frames())
    elif fields.allow_truncated:
        shots = [(0, sum(1 for _ in footage.frames()))]
    else:
        shots = [(0, footage.count)]
    found = segment_ranges.split_ranges(
        shots, longest=fields.max_segment_frames, overlap=fields.segment_overlap
    )
    may_be_short = fields.split_at_cuts or bool(fields.max_segment_frames)
    adapted = [_shortened(config, len(frames)) if may_be_short else config for frames in found]
    if len(found) == 1:
        return [Segment(found[0], adapted[0], workdir)]
    return [
        Segment(frames, _alone(own, footage.start, frames), workdir.segment(frames))
        for frames, own in zip(found, adapted, strict=True)
    ]


def _shortened(config: ConfigDict, count: int) -> ConfigDict:
    """A configuration with windows that fit `count` frames; a single frame has no flow."""
    fits = (count - 1) // min(config.window.strides) + 1
    if config.window.length <= fits:
        return config
    own = config.copy_and_resolve_references()
    own.window.length = fits
    if fits == 1:
        own.loss.flow = own.loss.consistency = 0.0
    validate.validate(own)  # some loss must be left
    return own


def _alone(config: ConfigDict, start: int, frames: range) -> ConfigDict:
    """The configuration that makes frames of a run an ordinary run."""
    own = config.copy_and_resolve_references()
    own.video.start, own.video.stop = start + frames.start, start + frames.stop
    own.video.max_frames = None
    own.video.split_at_cuts, own.video.max_segment_frames = False, 0
    return own


def with_stored_growth(config: ConfigDict, workdir: Workdir) -> ConfigDict:
    """A configuration by which a run that resumes grows its masks as it began.

    Args:
      config: as asked for; a number in `mask.dilate` is kept.
      workdir: of the run, which may not have begun.
    """
    if config.mask.dilate is None and workdir.config_file.exists():
        fields, _ = workdir.read_config()
        stored = configuration.from_stored(fields, where=workdir.config_file)
        config = config.copy_and_resolve_references()
        config.mask.dilate = stored.mask.dilate
    return config


def stored_run(workdir: Workdir) -> tuple[ConfigDict, Mapping[str, Any], list[Segment]]:
    """Reads a run: its configuration, the paths of its inputs, and its segments.

    Raises:
      InputError: it is no work directory, or damaged.
    """
    fields, asked = workdir.read_config()
    config = configuration.from_stored(fields, where=workdir.config_file)
    found = workdir.segment_ranges()
    if not found:
        count = workdir.read_header().shape[0]
        return config, asked, [Segment(range(count), config, workdir)]
    segments = []
    for frames in found:
        own = workdir.segment(frames)
        fields, _ = own.read_config()
        segments.append(
            Segment(frames, configuration.from_stored(fields, where=own.config_file), own)
        )
    return config, asked, segments


def open_run(
    workdir: Workdir,
    source: Source,
    segments: Sequence[Segment],
    *,
    config: ConfigDict,
    asked: Mapping[str, Any],
) -> bool:
    """Creates the work directories of a run and its segments, or verifies existing ones.

    Args:
      workdir: of the run.
      source: of the run.
      segments: of `split`.
      config: of the run, before it was split.
      asked: the paths of video, mask and flows.

    Returns:
      Whether the run was begun earlier.

    Raises:
      InputError: as `read_clips` and `Workdir.open_run`; windows or a flow file do not fit.
    """
    clips = read_clips(source, segments)
    if len(segments) == 1:
        (segment,), (clip,) = segments, clips
        build.list_windows(segment.config, len(clip.frames))
        if asked["flows"] and build.needs_flow(segment.config):
            check_flows(workdir, clip, asked["flows"])
        return workdir.open_run(configuration.to_dict(segment.config), asked, clip)
    if asked["flows"]:
        raise InputError(
            f"{asked['flows']}: a flow file belongs to one segment, but this clip has "
            f"{len(segments)} segments; set --config.video.split_at_cuts=False "
            f"--config.video.max_segment_frames=0"
        )
    fields, divided = configuration.to_dict(config), workdir.segment_ranges()
    if divided:
        workdir.open_run(fields, asked, None)
        if divided != [segment.frames for segment in segments]:
            raise InputError(f"{workdir.path} belongs to another video: choose another --workdir")
        for segment, clip in zip(segments, clips, strict=True):
            segment.workdir.open_run(configuration.to_dict(segment.config), asked, clip)
        return True
    with replacing_folder(workdir.parts) as unfinished:
        for segment, clip in zip(segments, clips, strict=True):
            own = Workdir(unfinished / segment.workdir.path.name)
            own.open_run(configuration.to_dict(segment.config), asked, clip)
        ranges = [(segment.frames.start, segment.frames.stop) for segment in segments]
        write_json(unfinished / PARTS, ranges)
        workdir.open_run(fields, asked, None)
    return False


def read_clips(source: Source, segments: Sequence[Segment]) -> Iterator[PreparedClip]:
    """Yields the prepared clip of each segment; reads the footage once.

    Holds in memory the segment that is being read and, where they overlap, the next one.

    Args:
      source: of the run.
      segments: in order, without a gap.

    Raises:
      InputError: a frame cannot be read, no segment has a hole, or a segment is all hole.
    """
    waiting, under_way = deque(segments), deque[_Reading]()
    any_hole = False
    for number, (frame, mask) in enumerate(source.frames()):
        if waiting and number == waiting[0].frames.start:
            under_way.append(_Reading(source, waiting.popleft()))
        for reading in under_way:
            reading.add(frame, mask)
        if number + 1 < under_way[0].segment.frames.stop:
            continue
        reading = under_way.popleft()
        frames = reading.segment.frames
        if len(segments) > 1 and reading.masked and not reading.hole.any():
            raise InputError(
                f"{source.mask}: the hole of frames {frames[0]} to {frames[-1]} is too fine for "
                f"the training size: grow it with --config.mask.dilate, or set "
                f"--config.video.crop=hole"
            )
        if reading.hole.all():
            which = "frame" if len(segments) == 1 else f"frame from {frames[0]} to {frames[-1]}"
            raise InputError(
                f"{source.mask}: the hole covers every {which} in full: nothing to learn from"
            )
        any_hole |= bool(reading.hole.any())
        yield reading.clip()
    if not any_hole:
        raise InputError(
            f"{source.mask}: no frame has a hole (after crop and resize): nothing to fill"
        )


class _Reading:
    """The clip of a segment while it is read."""

    def __init__(self, source: Source, segment: Segment):
        self.segment, self._footage = segment, source.footage
        masks = source.part(segment.frames).masks
        self._view = training_crop(source.footage.size, masks, config=segment.config)
        shape = (len(segment.frames), *self._view.size)
        self._frames, self.hole = np.empty((*shape, 3), np.uint8), np.empty(shape, bool)
        self._count, self.masked = 0, False

    def add(self, frame: np.ndarray, mask: np.ndarray) -> None:
        """Adds the next frame [1, h, w, 3] and its grown mask [1, h, w]."""
        self._frames[self._count] = geometry.crop_and_resize(self._view, frame)[0]
        self.hole[self._count] = geometry.crop_and_resize_masks(self._view, mask)[0]
        self.masked |= bool((mask[0][self._view.crop] > geometry.MASK_THRESHOLD).any())
        self._count += 1

    def clip(self) -> PreparedClip:
        """The clip, once all frames were added."""
        aspect = self._footage.pixel_aspect or Fraction(1)
        fallback = Fraction(self.segment.config.video.image_fps).limit_denominator(1001)
        rate = self._footage.rate or fallback
        return PreparedClip(
            frames=self._frames,
            hole=self.hole,
            source_sha256=flow_file.frames_sha256(self._frames),
            rate=(rate.numerator, rate.denominator),
            pixel_aspect=(aspect.numerator, aspect.denominator),
            transform=json.dumps(self._view.to_dict()),
        )
