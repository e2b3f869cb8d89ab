"""One run from its parts: what the command line and the Python entry share."""

import sys
from collections.abc import Iterator

import jax
import numpy as np
from ml_collections import ConfigDict

from vidprior import build, checkpoints, inputs, train, train_each
from vidprior.progress import Listener
from vidprior.render import Frame, blended, rehearsed
from vidprior.results import Finishing
from vidprior.shares import fit_shares
from vidprior.types import Features, Flows
from vidprior.update import TrainState
from vidprior.workdir import Prepared, Workdir

# Frames, spread over the clip, whose rehearsal tells how much of carried pixels is shown.
REHEARSED = 24


def fit(
    config: ConfigDict,
    workdir: Workdir,
    clip: Prepared,
    *,
    features: Features | None,
    flow_file: str | None = None,
    listener: Listener | None = None,
) -> tuple[TrainState | None, Flows | None]:
    """Obtains flow and carried pixels as needed, and trains, unless these alone are shown.

    Goes on where the work directory stands.

    Args:
      config: checked by `build.check`.
      workdir: already claimed by this run.
      clip: frames and hole at training size.
      features: of `build.features`.
      flow_file: a flow file to take instead of estimating flow.
      listener: told of the training's progress instead of a bar.

    Returns:
      The state after the last update, None where every window has a network of its own
      or nothing is trained; and the flow, None where no term needs it.

    Raises:
      InputError: the flow cannot be had.
      NonFiniteLoss, Interrupted: as `train.train`.
    """
    flows = propagated = None
    if build.needs_propagated(config):
        propagated = inputs.obtain_propagated(workdir, clip, config=config)
        print(inputs.trusted(clip, propagated), file=sys.stderr)
    if not build.trains(config):
        return None, None
    if build.needs_flow(config):
        flows = inputs.obtain_flows(workdir, clip, config=config, given=flow_file)
        print(inputs.sight(clip, flows), file=sys.stderr)
    if config.schedule.reset_per_window:
        train_each.train_each(
            config,
            workdir,
            clip,
            flows=flows,
            features=features,
            propagated=propagated,
            listener=listener,
        )
        return None, flows
    state = train.train(
        config,
        workdir,
        clip,
        flows=flows,
        features=features,
        propagated=propagated,
        listener=listener,
    )
    return state, flows


def render(
    config: ConfigDict, workdir: Workdir, clip: Prepared, frames: range, *, step: int | None = None
) -> Iterator[Frame]:
    """Generates frames from a saved state, the newest by default: training too ends so.

    Carried pixels are laid over them, or shown alone, as `config.render` says.
    """
    if not build.trains(config):
        carried = inputs.obtain_propagated(workdir, clip, config=config).frames
        return (Frame(number, carried[number], None) for number in frames)
    saved = checkpoints.Checkpoints(workdir.checkpoints)
    if config.schedule.reset_per_window:
        params_for = train_each.saved_params(saved)
    else:
        params, _ = saved.restore_params(saved.steps()[-1] if step is None else step)
        params = jax.device_put(params)
        params_for = lambda _: params  # noqa: E731
    noise = build.noise(config, workdir, clip.hole)
    rendered = build.rendered(config, params_for, noise, frames)
    if config.render.propagated == "none":
        return rendered
    propagated = inputs.obtain_propagated(workdir, clip, config=config)
    # Always of the same frames, so that a frame does not depend on which others are wanted.
    some = np.unique(np.linspace(0, len(clip.frames) - 1, REHEARSED).astype(int)).tolist()
    sample = build.rendered(config, params_for, noise, some)
    shares = fit_shares(*rehearsed(sample, propagated, clip.frames))
    return blended(rendered, propagated, shares)


def finishing(
    config: ConfigDict, source: inputs.Source, clip: Prepared, frames: range
) -> Finishing:
    """What brings rendered frames to the size of their source."""
    return Finishing(
        footage=source.footage.part(frames.start, frames.stop),
        frames=inputs.same_frames(source, clip, frames),
        transform=source.transform,
        with_audio=config.render.audio,
        feather=config.render.feather,
        gradient=config.render.blend == "gradient",
    )
