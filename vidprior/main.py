"""The command line: flags and dispatch only.

python -m vidprior.main --config=configs/flow.py --video=V --mask=M --workdir=DIR
python -m vidprior.main --mode=render --workdir=DIR [--checkpoint=STEP] [--frames=10:40]
python -m vidprior.main --mode=evaluate --workdir=DIR --truth=PATH [--protocol=paper]
python -m vidprior.main --mode=import --published=F --config=configs/flow.py --video=V ...
python -m vidprior.main --mode=export --published=F --workdir=DIR
python -m vidprior.main --mode=doctor
"""

import collections
import itertools
import os
import pathlib
import shlex
import sys
from collections.abc import Sequence
from fractions import Fraction

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from vidprior import configuration, doctor, runtime
from vidprior.errors import InputError
from vidprior.run import build, exchange, outputs, pipeline, segments, validate
from vidprior.run.segments import Segment
from vidprior.run.source import (
    Source,
    input_warnings,
    open_source,
    reopen_source,
    require_estimator,
)
from vidprior.run.workdir import Workdir
from vidprior.training import checkpoints, tensorboard
from vidprior.training.interrupts import Interrupted, NonFiniteLoss

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file such as configs/flow.py.")
_MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "render", "evaluate", "import", "export", "doctor"],
    "What to do with the work directory; 'doctor' looks at the machine.",
)
_VIDEO = flags.DEFINE_string("video", None, "A video file or a folder of frames.")
_MASK = flags.DEFINE_string("mask", None, "A video, a folder, or one image for all frames.")
_FIT_MASK = flags.DEFINE_boolean(
    "fit_mask", None, "Fit masks of another number, rate or size to the video."
)
_FLOWS = flags.DEFINE_string("flows", None, "A flow file; without it, flow is estimated.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; made if it is missing.")
_CHECKPOINT = flags.DEFINE_integer("checkpoint", None, "Update to render; the newest by default.")
_FRAMES = flags.DEFINE_string("frames", None, "Frames to render, FIRST:STOP; all by default.")
_PUBLISHED = flags.DEFINE_string("published", None, "A network in the published layout, .npz.")
_PROTOCOL = flags.DEFINE_string("protocol", "hole", "How to measure; see docs/evaluation.md.")
_TRUTH = flags.DEFINE_string("truth", None, "True frames to evaluate against.")


def train_and_render(config: ConfigDict, workdir: Workdir) -> None:
    """Mode 'train': from the inputs to the result."""
    video, mask = _asked_inputs()
    validate.validate(config)
    tensorboard.require(config.log.tensorboard)
    features = build.features(config)
    if build.needs_flow(config) and not _FLOWS.value and not workdir.flows_file.exists():
        require_estimator(config)
    source = open_source(video, mask, config=config, fit_mask=_fits_mask(workdir))
    divided = segments.split(source, config=config, workdir=workdir)
    with workdir.lock():
        if config.render.size == "source":
            rate = Fraction(config.video.rate).limit_denominator(1001)
            for note in outputs.check_result(
                workdir.path, source.footage, rate=rate, video_format=config.render.format,
                with_audio=config.render.audio,
            ):  # fmt: skip
                print(note, file=sys.stderr)
        if segments.open_run(workdir, source, divided, config=config, asked=_asked_beside()):
            print("resuming the run of this work directory", file=sys.stderr)
        for note in input_warnings(source):
            print(note, file=sys.stderr)
        fitted = pipeline.fit_segments(divided, features=features, flow_file=_FLOWS.value)
        collections.deque(fitted, maxlen=0)  # nothing of them is kept
        at_size = source if config.render.size == "source" else None
        every = range(divided[-1].frames.stop)
        _render(config, divided, every, step=None, folder=workdir, source=at_size)


def _asked_inputs() -> tuple[str, str]:
    video, mask = _VIDEO.value, _MASK.value
    if not video or not mask:
        raise InputError(f"--{'mask' if video else 'video'} is missing")
    return video, mask


def _fits_mask(workdir: Workdir) -> bool:
    """Whether masks are fitted: as asked now, or else as when the run began."""
    if _FIT_MASK.value is None and workdir.config_file.exists():
        return bool(workdir.read_config()[1].get("fit_mask"))
    return bool(_FIT_MASK.value)


def _asked_beside() -> dict[str, str | bool | None]:
    """The inputs that a work directory remembers."""
    asked = {"video": _VIDEO.value, "mask": _MASK.value, "flows": _FLOWS.value}
    absolute = {name: path and os.path.abspath(path) for name, path in asked.items()}
    return {**absolute, "fit_mask": _FIT_MASK.value}


def import_network(config: ConfigDict, workdir: Workdir) -> None:
    """Mode 'import': a network of the published code as the state of a new work directory."""
    video, mask = _asked_inputs()
    if not _PUBLISHED.value:
        raise InputError("--published is missing: an .npz made by tools/convert_official.py")
    validate.validate(config)
    if workdir.config_file.exists():
        raise InputError(f"{workdir.path} holds a run already: choose another --workdir")
    source = open_source(video, mask, config=config, fit_mask=_fits_mask(workdir))
    divided = segments.split(source, config=config, workdir=workdir)
    if len(divided) > 1:
        raise InputError(
            f"{_PUBLISHED.value}: a network belongs to a clip that is fitted as a whole, but this "
            f"one has {len(divided)} parts; --config.video.shots=whole --config.video.segment=0"
        )
    config = divided[0].config
    (clip,) = segments.read_clips(source, divided)
    published = exchange.read_published(_PUBLISHED.value, clip, config=config)
    with workdir.lock():
        workdir.open_run(configuration.to_dict(config), _asked_beside(), clip)
        exchange.import_published(published, workdir, config=config)
    print(f"imported: {workdir.path}; render it with --mode=render --workdir={workdir.path}")


def export_network(workdir: Workdir) -> None:
    """Mode 'export': a saved state in the published layout."""
    if not _PUBLISHED.value:
        raise InputError("--published is missing: the .npz to write")
    config = configuration.from_stored(workdir.read_config()[0], where=workdir.config_file)
    clip = workdir.read_clip()
    step = exchange.export_published(
        _PUBLISHED.value, workdir, clip, config=config, step=_CHECKPOINT.value
    )
    print(f"exported: update {step} to {_PUBLISHED.value}")


def render_saved(workdir: Workdir) -> None:
    """Mode 'render': frames of a saved state, without training and without flow."""
    config, stored_inputs, divided = segments.stored_run(workdir)
    for fields in (config, *(part.config for part in divided)):
        _override_rendering(fields)
    if _CHECKPOINT.value is not None and config.schedule.reset_per_window:
        raise InputError(
            "--checkpoint chooses one network, but this run has one for every window "
            "(schedule.reset_per_window): leave it out"
        )
    frames = _parse_frames(_FRAMES.value, divided[-1].frames.stop)
    folder = workdir
    if _CHECKPOINT.value is not None or _FRAMES.value:
        step = _rendered_step(divided)
        folder = Workdir(workdir.path / f"render_{step}_{frames.start}-{frames.stop}")
    source = None
    if config.render.size == "source":
        video, mask = _VIDEO.value or stored_inputs["video"], _MASK.value or stored_inputs["mask"]
        if not video or not mask:
            raise InputError(
                f"{workdir.path} was begun from arrays: give their --video and --mask, or render "
                f"at training size by --config.render.size=training"
            )
        size = divided[0].workdir.read_clip().view.source_size
        source = reopen_source(video, mask, size, config=config, fit_mask=_fits_mask(workdir))
    with folder.lock():
        _render(config, divided, frames, step=_CHECKPOINT.value, folder=folder, source=source)


def _rendered_step(divided: Sequence[Segment]) -> str:
    """What a folder of rendered frames is called by: the update, if all parts have the same."""
    if _CHECKPOINT.value is not None:
        return f"{_CHECKPOINT.value:06d}"
    if len(divided) > 1:
        return "newest"
    saved = checkpoints.Checkpoints(divided[0].workdir.checkpoints)
    return f"{max(saved.steps(), default=0):06d}"


def _override_rendering(config: ConfigDict) -> None:
    """Takes over the fields that the command line gives; a saved state allows but one section."""
    if _CONFIG.value is None:
        return
    for field in config_flags.get_override_values(flags.FLAGS["config"]):
        if not field.startswith("render."):
            raise InputError(
                f"--config.{field} cannot be changed after training: --mode=render takes "
                f"--config.render.* alone"
            )
        name = field.removeprefix("render.")
        config.render[name] = _CONFIG.value.render[name]
    validate.validate(config)


def evaluate_result(workdir: Workdir) -> None:
    """Mode 'evaluate': measures against the truth."""
    # Here, since SciPy and scikit-image would take half a second of every start.
    from vidprior.evaluation import evaluate, protocols, tables

    protocol = protocols.find(_PROTOCOL.value)
    if not _TRUTH.value:
        raise InputError("--truth is missing: the true frames, as a video or a folder")
    measured = evaluate.evaluate(workdir, _TRUTH.value, protocol=protocol)
    print(f"protocol {protocol}")
    print(tables.table(measured, protocol.shown))
    print(f"measures: {workdir.evaluation_file}")


def _render(
    config: ConfigDict,
    divided: Sequence[Segment],
    frames: range,
    *,
    step: int | None,
    folder: Workdir,
    source: Source | None,
) -> None:
    """Renders a saved state: a training run too ends with what it has saved.

    The result has the size of `source`, or that of training without it.
    """
    shown = pipeline.render_segments(divided, frames, step=step)
    footage = None
    if source is not None:
        source = source.part(frames)
        shown, footage = pipeline.to_source_resolution(config, source, shown), source.footage
    clip = divided[0].workdir.read_clip()
    paths = outputs.write_results(
        folder.path,
        shown,
        rate=Fraction(*clip.rate),
        pixel_aspect=Fraction(*clip.pixel_aspect),
        footage=footage,
        with_audio=config.render.audio,
        video_format=config.render.format,
    )
    print(f"result:     {paths['result']}")
    print(f"frames:     {paths['frames']}/*.png, at training size")
    print(f"comparison: {paths['comparison']}")


def _parse_frames(text: str | None, count: int) -> range:
    if text is None:
        return range(count)
    first, colon, stop = text.partition(":")
    try:
        if not text.strip():
            raise ValueError
        begin = int(first or 0)
        end = int(stop or count) if colon else begin + 1
    except ValueError as error:
        raise InputError(f"--frames={text}: give FIRST:STOP, for example 10:40") from error
    if not 0 <= begin < end <= count:
        raise InputError(f"--frames={text} is not within the clip's {count} frames")
    return range(begin, end)


def keep_compiled() -> None:
    """Keeps compiled updates between runs, unless the environment says where already.

    Without a home there is nowhere to keep them.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:
        return
    jax.config.update("jax_compilation_cache_dir", str(cache / "vidprior" / "xla"))


def main(arguments: Sequence[str]) -> int:
    """Runs one mode; every problem of the input is one line and exit code 2."""
    logging.set_verbosity(logging.FATAL)  # libraries tell of every step they take
    try:
        if len(arguments) > 1:
            raise InputError(f"unexpected argument '{arguments[1]}': flags begin with --")
        if _MODE.value == "doctor":
            print("\n".join(doctor.report(doctor.examine(_CONFIG.value))))
            return 0
        if not _WORKDIR.value:
            raise InputError("--workdir is missing")
        keep_compiled()
        workdir = Workdir(_WORKDIR.value)
        if _MODE.value == "render":
            render_saved(workdir)
        elif _MODE.value == "evaluate":
            evaluate_result(workdir)
        elif _MODE.value == "export":
            export_network(workdir)
        elif _CONFIG.value is None:
            raise InputError("--config is missing, for example --config=configs/flow.py")
        elif _MODE.value == "import":
            import_network(_CONFIG.value, workdir)
        else:
            train_and_render(_CONFIG.value, workdir)
    except (InputError, NonFiniteLoss) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except (Interrupted, KeyboardInterrupt) as stopped:
        command = shlex.join([sys.executable, "-m", "vidprior.main", *sys.argv[1:]])
        print(
            f"{stopped or 'stopped'}. To go on, run the same command again:\n  {command}",
            file=sys.stderr,
        )
        return 130
    return 0


def _parse_flags(arguments: Sequence[str]) -> list[str]:
    """Absl's parsing; every complaint becomes one line and exit code 2."""
    try:
        return flags.FLAGS(_with_config_file([_with_home(word) for word in arguments]))
    except (InputError, flags.Error) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _with_home(argument: str) -> str:
    """`~` where a path begins after `=`, which shells leave as it is."""
    flag, equals, value = argument.partition("=")
    if flag.startswith("-") and value.startswith("~"):
        return f"{flag}{equals}{os.path.expanduser(value)}"
    return argument


def _with_config_file(arguments: Sequence[str]) -> list[str]:
    """The arguments with the configuration's path for its name, and its fields checked."""
    completed, path = list(arguments), None
    given: list[tuple[str, range]] = []  # fields, and the places of flag and value
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        flag = flag.removeprefix("-").removeprefix("-")
        if flag == "config":
            at = i if equals else i + 1
            if at < len(arguments):
                path = str(configuration.find(value if equals else arguments[at]))
                completed[at] = f"--config={path}" if equals else path
        elif flag.startswith("config."):
            given.append((flag.removeprefix("config."), range(i, i + (1 if equals else 2))))
    only_carries_fields = path is None and bool(given) and _is_rendering(arguments)
    if only_carries_fields:
        path = str(configuration.find("base"))
    if path:
        config = configuration.load(path)
        fields = [field for field, _ in given]
        configuration.check_overrides(config, fields)
        # A tuple that is given twice would be both, one after the other.
        outdone = {
            place
            for number, (field, places) in enumerate(given)
            if field in fields[number + 1 :] and configuration.holds_tuple(config, field)
            for place in places
        }
        completed = [word for place, word in enumerate(completed) if place not in outdone]
    if only_carries_fields:
        completed.insert(1, f"--config={path}")
    return completed


def _is_rendering(arguments: Sequence[str]) -> bool:
    words = " ".join(argument.lstrip("-").replace("=", " ") for argument in arguments).split()
    return ("mode", "render") in itertools.pairwise(words)


def run() -> None:
    """The console entry."""
    runtime.keep_memory()
    try:
        app.run(main, flags_parser=_parse_flags)
    except SystemExit as finished:
        sys.stdout.flush()
        sys.stderr.flush()
        if isinstance(finished.code, int) and finished.code:
            # Threads of a failed save would still print tracebacks after our one line.
            os._exit(finished.code)
        raise


if __name__ == "__main__":
    run()
