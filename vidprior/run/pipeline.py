"""Fits and renders the segments of a run; shared by the command line and the Python entry."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from vidprior.errors import InputError
from vidprior.io import images
from vidprior.propagation.blending import fit_blend_weights
from vidprior.propagation.holdout import holdout_frames
from vidprior.propagation.source_colours import trace_frame
from vidprior.run import build, segment_ranges
from vidprior.run.clip_file import PreparedClip
from vidprior.run.fit import fit_clip, fit_windows
from vidprior.run.flows import describe_visibility, obtain_flows
from vidprior.run.outputs import attach_input
from vidprior.run.propagated import (
    describe_case,
    describe_propagation,
    guessed_share,
    keeps_guess,
    network_pays,
    obtain_propagated,
    picture_origins,
)
from vidprior.run.render import (
    CompositeFrame,
    RenderedFrame,
    blend_propagated,
    composite,
    crossfade,
    holdout_pixels,
)
from vidprior.run.segments import Segment
from vidprior.run.workdir import Workdir
from vidprior.training import checkpoints
from vidprior.training.progress import ProgressCallback
from vidprior.training.train_step import TrainState
from vidprior.training.windows import strides_that_fit
from vidprior.types import OFFSETS, Features, Flows, Params, Propagated

log = logging.getLogger("vidprior")

# Frames, spread over the clip, on whose held-out pixels blend weights are fitted.
BLEND_FIT_FRAMES = 24
# If this share of the hole is guessed, reference frames are suggested.
_MUCH_GUESSED = 0.02


class Fitted(NamedTuple):
    """A fitted segment.

    Attributes:
      segment: its frames, configuration and work directory.
      state: after the last update; None if every window has its own network, or nothing is
        trained.
      flows: None if no loss needs them.
    """

    segment: Segment
    state: TrainState | None
    flows: Flows | None


def fit_segments(
    segments: Sequence[Segment],
    *,
    features: Features | None,
    flow_file: str | None = None,
    listener: ProgressCallback | None = None,
) -> Iterator[Fitted]:
    """Fits the segments one after the other; arguments and errors as in `fit`.

    A segment without a hole is not fitted. The listener counts the updates of all segments.
    """
    holes = [segment.workdir.read_header().has_hole for segment in segments]
    updates = [
        build.num_updates(segment.config, len(segment.frames)) if has_hole else 0
        for segment, has_hole in zip(segments, holes, strict=True)
    ]
    for number, segment in enumerate(segments):
        clip = segment.workdir.read_clip()
        name = f"segment {number + 1} of {len(segments)}" if len(segments) > 1 else "clip"
        for line in describe_segment(segment, clip, name=name):
            log.info(line)
        if not holes[number]:
            yield Fitted(segment, None, None)
            continue
        # A single segment uses the run's work directory, which is locked already.
        with segment.workdir.lock() if len(segments) > 1 else contextlib.nullcontext():
            state, flows = fit(
                segment.config,
                segment.workdir,
                clip,
                features=features,
                flow_file=flow_file,
                listener=listener
                and _offset_progress(listener, sum(updates[:number]), sum(updates)),
                updates_after=sum(updates[number + 1 :]),
            )
        yield Fitted(segment, state, flows)
        del state, flows  # the next segment needs the memory


def _offset_progress(listener: ProgressCallback, before: int, total: int) -> ProgressCallback:
    """A listener for one segment that reports progress of the whole run."""
    return lambda done, _, values: listener(before + done, total, values)


def describe_segment(segment: Segment, clip: PreparedClip, *, name: str) -> Iterator[str]:
    """Describes frames, hole and crop of a segment, a line each."""
    count, height, width = clip.hole.shape
    frames = (
        f"{name}: {count} frames at {width}x{height} ({segment.frames[0]} to {segment.frames[-1]})"
    )
    if not clip.hole.any():
        yield f"{frames}, no hole: not changed"
        return
    yield f"{frames}, hole {clip.hole.mean():.1%}"
    view, (h, w) = clip.view, clip.view.source_size
    scale = min(height / view.height, width / view.width)
    yield (
        f"{name}: trained on {view.width}x{view.height} at {view.left},{view.top} of {w}x{h}: "
        f"{scale:.0%} of the source's resolution"
    )
    strides = tuple(segment.config.window.strides)
    fitting = strides_that_fit(count, length=segment.config.window.length, strides=strides)
    left_out = [str(stride) for stride in strides if stride not in fitting]
    if left_out:
        yield (
            f"note: windows of stride {', '.join(left_out)} do not fit into {count} frames and are "
            f"left out"
        )


def fit(
    config: ConfigDict,
    workdir: Workdir,
    clip: PreparedClip,
    *,
    features: Features | None,
    flow_file: str | None = None,
    listener: ProgressCallback | None = None,
    updates_after: int = 0,
) -> tuple[TrainState | None, Flows | None]:
    """Obtains flow and propagated pixels as needed, and trains, if the method trains.

    Resumes from the state of the work directory.

    Args:
      config: checked by `validate.validate`.
      workdir: locked by the caller.
      clip: frames and hole at training size.
      features: of `build.features`.
      flow_file: a flow file to use instead of estimating flow.
      listener: called with the training's progress instead of a progress bar.
      updates_after: updates of later segments.

    Returns:
      The state after the last update, None if every window has its own network or nothing
      is trained, also because it would hardly gain; and the flow, None if no loss needs it.

    Raises:
      InputError: flow is needed and cannot be obtained.
      NonFiniteLoss, Interrupted: as `fit_clip`.
    """
    flows = propagated = None
    if build.trains(config) and build.needs_flow(config):
        flows = obtain_flows(workdir, clip, config=config, given=flow_file)
        log.info(describe_visibility(clip, flows))
    if build.needs_propagated(config):
        case = describe_case(clip)
        if case is not None:
            log.info(case)
        propagated = obtain_propagated(workdir, clip, config=config)
        log.info(describe_propagation(clip, propagated))
        images.write_image(workdir.origins_picture, picture_origins(clip, propagated))
        if guessed_share(clip, propagated) >= _MUCH_GUESSED:
            log.info(
                f"note: you may clean a frame yourself, and all others follow it: "
                f"--mode=reference --workdir={workdir.path} writes the best frames for that"
            )
    if not build.trains(config):
        return None, None
    if propagated is not None and not network_pays(workdir, clip, propagated, config=config):
        log.info(
            "not trained: a network could hardly improve these pixels, so they are the result; "
            "to train one anyway: --config.checkpoint.keep_best=False"
        )
        return None, None
    if config.schedule.reset_per_window:
        fit_windows(
            config,
            workdir,
            clip,
            flows=flows,
            features=features,
            propagated=propagated,
            listener=listener,
        )
        return None, flows
    state = fit_clip(
        config,
        workdir,
        clip,
        flows=flows,
        features=features,
        propagated=propagated,
        listener=listener,
        updates_after=updates_after,
    )
    return state, flows


def render_segments(
    segments: Sequence[Segment], frames: range, *, step: int | None = None
) -> Iterator[CompositeFrame]:
    """Renders frames of a run in order; a frame of two segments is crossfaded.

    Args:
      segments: the segments of the run.
      frames: numbers of the frames to render.
      step: the checkpoint of each segment; the newest by default.

    Raises:
      InputError: a segment has no such checkpoint, or none.
    """
    with_flow = any(build.needs_flow(segment.config) for segment in segments)
    open_ends: dict[int, tuple[Segment, CompositeFrame]] = {}
    for number, segment in enumerate(segments):
        later = segments[number + 1].frames if number + 1 < len(segments) else range(0)
        first = segment.frames.start
        begin, stop = max(frames.start, first), min(frames.stop, segment.frames.stop)
        if begin >= stop:
            continue
        clip = segment.workdir.read_clip()
        wanted = range(begin - first, stop - first)
        rendered = render(segment.config, segment.workdir, clip, wanted, step=step)
        for shown in attach_input(rendered, clip, first=first):
            if with_flow and shown.flow is None:  # other frames have flow
                still = np.zeros((*shown.hole.shape, len(OFFSETS), 2), np.float32)
                shown = shown._replace(flow=still)
            if shown.number in open_ends:
                before, same = open_ends.pop(shown.number)
                shown = crossfade(
                    same,
                    shown,
                    segment_ranges.crossfade_weight(before.frames, segment.frames, shown.number),
                )
            if shown.number in later:
                open_ends[shown.number] = segment, shown
            else:
                yield shown


def render(
    config: ConfigDict,
    workdir: Workdir,
    clip: PreparedClip,
    frames: range,
    *,
    step: int | None = None,
) -> Iterator[RenderedFrame]:
    """Renders frames from a checkpoint, the newest by default.

    Propagated pixels are blended with them or shown alone, as `config.render` says. A clip
    without a hole shows its own frames.

    Raises:
      InputError: there is no such checkpoint.
    """
    if not clip.hole.any():
        return (RenderedFrame(number, clip.frames[number], None) for number in frames)
    propagated = None
    if not build.trains(config) or config.render.propagated_pixels != "none":
        propagated = obtain_propagated(workdir, clip, config=config)
        _tell_if_small(propagated)
    alone = not build.trains(config) or config.render.propagated_pixels == "only"
    if propagated is not None and (
        alone or not network_pays(workdir, clip, propagated, config=config)
    ):
        return show_propagated(propagated, clip, frames)
    params_for = saved_params(config, workdir, step=step)
    noise = build.noise(config, workdir, clip.hole)
    rendered = build.render_frames(config, params_for, noise, frames)
    if propagated is None:
        return rendered
    # Always the same frames, so that a frame does not depend on which others are rendered.
    some = holdout_frames(propagated.held_out, count=BLEND_FIT_FRAMES)
    sample = build.render_frames(config, params_for, noise, some)
    shares = fit_blend_weights(*holdout_pixels(sample, propagated, clip.frames))
    keep = keeps_guess(config)
    return blend_propagated(rendered, propagated, shares, clip.hole, keep_guess=keep)


def saved_params(
    config: ConfigDict, workdir: Workdir, *, step: int | None = None
) -> Callable[[int], Params]:
    """The parameters that render each frame, from a saved state, the newest by default.

    Raises:
      InputError: there is no such state.
    """
    saved = checkpoints.Checkpoints(workdir.checkpoints)
    if not saved.steps():
        raise InputError(f"{workdir.path} has no checkpoint: nothing was trained yet")
    if config.schedule.reset_per_window:
        return saved.restore_by_window()
    params, _ = saved.restore_params(saved.steps()[-1] if step is None else step)
    params = jax.device_put(params)
    return lambda _: params


def _tell_if_small(propagated: Propagated) -> None:
    if propagated.origins is None:
        log.info(
            "note: an earlier version propagated the pixels of this run, and did not keep where "
            "they come from: they are shown at training size"
        )


def show_propagated(
    propagated: Propagated, clip: PreparedClip, frames: Iterable[int]
) -> Iterator[RenderedFrame]:
    """Frames of a clip with propagated pixels in the hole; held-out pixels are shown as known."""
    everywhere = np.ones(clip.hole.shape[1:], np.float32)
    for number in frames:
        hole = clip.hole[number]
        image = composite(propagated.frames[number], clip.frames[number], hole)
        detail = trace_frame(propagated, clip.hole, number, everywhere)
        yield RenderedFrame(number, image, None, detail)
