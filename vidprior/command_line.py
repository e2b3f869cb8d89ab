"""Parses the command line: first mode and configuration, then all other flags.

The fields that can be overridden depend on the configuration, and the configuration depends
on the mode. So these two are parsed first.
"""

import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from vidprior import configuration
from vidprior.errors import InputError

MODES = ("train", "render", "reference", "evaluate", "import", "export", "doctor")

_HELP = """Remove an object from a video.

usage:
  vidprior --config=footage --video=VIDEO --mask=MASK --workdir=DIR
  vidprior --mode=render    --workdir=DIR [--frames=10:40] [--checkpoint=STEP]
  vidprior --mode=reference --workdir=DIR    (frames to clean by hand, for --reference)
  vidprior --mode=evaluate  --workdir=DIR --truth=VIDEO [--protocol=paper]
  vidprior --mode=doctor

configurations (--config, a name or a .py file):
  footage     your own clip; trains on a crop around the hole. Start here
  propagate   no training: known pixels of other frames only; about a second a frame
  fast        500 updates: a preview of footage
  flow        DIP-Vid-Flow, the full method of the paper
  dip_vid, dip_vid_3dcn, dip    the paper's baselines

fields worth knowing (--config.FIELD=VALUE; --helpfull lists all of them):
{fields}

flags:
{flags}
"""

# Fields that `--help` shows.
_COMMON = (
    "mask.dilate", "video.crop", "video.split_at_cuts", "video.height", "video.width",
    "render.format", "render.resolution", "render.feather", "schedule.num_passes", "seed",
)  # fmt: skip


class Request(NamedTuple):
    """What the command line asks for.

    Attributes:
      mode: one of `MODES`.
      config: the configuration with its overrides; None if none was given.
      overridden: names of the overridden fields, such as 'render.format'.
      video, mask, flows, workdir, published, truth: paths, or None.
      reference: the text of --reference, or None.
      checkpoint: the number of an update, or None.
      frames: the text of --frames, or None.
      protocol: name of the evaluation protocol.
    """

    mode: str
    config: ConfigDict | None
    overridden: tuple[str, ...]
    video: str | None
    mask: str | None
    flows: str | None
    workdir: str | None
    checkpoint: int | None
    frames: str | None
    published: str | None
    protocol: str
    truth: str | None
    reference: str | None


def parse(arguments: Sequence[str]) -> Request:
    """Parses the arguments of a command line, the program's name first.

    Old names of fields are accepted with a note on stderr; see `configuration.RENAMED`.

    Raises:
      InputError: an argument is invalid; one line that names it.
      SystemExit: after printing the help.
    """
    words = [arguments[0], *_renamed([_with_home(word) for word in arguments[1:]])]
    if any(re.fullmatch(r"--?(help|helpfull|helpshort|h)", word) for word in words[1:]):
        print(help_text(full="--helpfull" in words or "-helpfull" in words))
        raise SystemExit(0)
    try:
        first = define_first()
        rest = first(words, known_only=True)
        fields = _overrides(rest)
        name = first["config"].value
        if name is None and first["mode"].value == "render" and fields:
            name = "base"  # only the overridden fields are used; the work directory has the rest
        others = define_others()
        if name is not None:
            config = configuration.load(name)
            configuration.check_overrides(config, [field for field, _ in fields])
            rest = _last_of_each_tuple(rest, fields, config)
            rest = _set_none(rest, config)
            config_flags.DEFINE_config_dict("config", config, flag_values=others, sys_argv=rest)
        elif fields:
            raise InputError("--config is missing, for example --config=footage")
        positional = others(rest)
    except flags.Error as error:
        raise InputError(" ".join(str(error).split())) from error
    if len(positional) > 1:
        raise InputError(f"unexpected argument '{positional[1]}': flags begin with --")
    asked: dict[str, Any] = {flag: others[flag].value for flag in Request._fields[3:]}
    return Request(
        mode=str(first["mode"].value),
        config=others["config"].value if name is not None else None,
        overridden=tuple(dict.fromkeys(field for field, _ in fields)),
        **asked,
    )


def define_first() -> flags.FlagValues:
    """The flags that decide how the others are parsed."""
    values = flags.FlagValues()
    flags.DEFINE_enum("mode", "train", MODES, "What to do.", flag_values=values)
    flags.DEFINE_string("config", None, "A name or a .py file.", flag_values=values)
    return values


def define_others() -> flags.FlagValues:
    """All flags except those of `define_first` and the fields of a configuration."""
    values = flags.FlagValues()

    def text(name: str, description: str, default: str | None = None) -> None:
        flags.DEFINE_string(name, default, description, flag_values=values)

    text("video", "A video file or a folder of frames.")
    text("mask", "What to remove: a video, a folder, or one image for all frames.")
    text("reference", "Cleaned frames: a folder, or 40:clean40.png,60:clean60.png.")
    text("flows", "A flow file; by default, flow is estimated.")
    text("workdir", "Folder of the run; created if missing. Rerun to resume.")
    text("frames", "Frames to render, FIRST:STOP; all by default.")
    text("published", "A network in the published layout, .npz.")
    text("truth", "True frames for --mode=evaluate.")
    text("protocol", "Evaluation protocol; see docs/research/evaluation.md.", "hole")
    flags.DEFINE_integer(
        "checkpoint", None, "Update to render; the newest by default.", flag_values=values
    )
    return values


def help_text(*, full: bool = False) -> str:
    """The text of `--help`, or of `--helpfull`, with all fields."""
    described = configuration.describe_fields()
    shown = described if full else {field: described[field] for field in _COMMON}
    named = [values[name] for values in (define_first(), define_others()) for name in values]
    return _HELP.format(
        fields="\n".join(f"  {field:<26} {text}" for field, text in shown.items()),
        flags="\n".join(f"  --{flag.name:<12} {flag.help}" for flag in named),
    ).rstrip()


def _with_home(word: str) -> str:
    """`~` where a path begins after `=`, which shells leave as it is."""
    flag, _, value = word.partition("=")
    if word.startswith("-") and value.startswith("~"):
        return f"{flag}={os.path.expanduser(value)}"
    return word


def _renamed(words: Sequence[str]) -> list[str]:
    """The arguments with new names of fields."""
    renamed: list[str] = []
    pending: str | None = None  # an old field whose value is the next word
    for word in words:
        if pending is not None:
            field, value = configuration.renamed(pending, word)
            renamed.append(f"--config.{field}={value}")
            pending = None
            continue
        fit = re.fullmatch(r"--?(no)?fit_mask(=.*)?", word)
        if fit:
            off = fit[1] or (fit[2] or "=true").lower() in ("=false", "=0")
            renamed.append(f"--config.mask.fit={not off}")
            _note("--fit_mask", "--config.mask.fit=True")
            continue
        found = re.fullmatch(r"--?config\.([\w.]+)(=(.*))?", word, re.DOTALL)
        if not found or not configuration.is_renamed(found[1], found[3]):
            renamed.append(word)
            continue
        if found[2] is None:
            pending = found[1]
            _note(f"--config.{pending}", f"--config.{configuration.renamed(pending, None)[0]}")
            continue
        field, value = configuration.renamed(found[1], found[3])
        renamed.append(f"--config.{field}={value}")
        _note(word, renamed[-1])
    if pending is not None:
        renamed.append(f"--config.{configuration.renamed(pending, None)[0]}")
    return renamed


def _note(old: str, new: str) -> None:
    print(f"note: {old} is now {new}", file=sys.stderr)


def _overrides(words: Sequence[str]) -> list[tuple[str, range]]:
    """Overridden fields, and the positions of flag and value."""
    found = []
    for place, word in enumerate(words):
        match = re.match(r"--?(?:no)?config\.([^=]+)(=?)", word)
        if match:
            found.append((match[1], range(place, place + (1 if match[2] else 2))))
    return found


def _last_of_each_tuple(
    words: Sequence[str], fields: Sequence[tuple[str, range]], config: ConfigDict
) -> list[str]:
    """The arguments without tuples that are given again later; absl would concatenate them."""
    outdone = {
        place
        for number, (field, places) in enumerate(fields)
        if field in [later for later, _ in fields[number + 1 :]]
        and configuration.holds_tuple(config, field)
        for place in places
    }
    return [word for place, word in enumerate(words) if place not in outdone]


def _set_none(words: Sequence[str], config: ConfigDict) -> list[str]:
    """Sets fields whose last value is None, which ml_collections cannot parse.

    Returns:
      The arguments without any None, and without earlier values of those fields.
    """
    given = [
        (field, "=".join(words[places.start : places.stop]).split("=", 1)[-1], places)
        for field, places in _overrides(words)
    ]
    last = {field: text for field, text, _ in given}
    asked = {field for field, text, _ in given if text == "None"}
    optional = set(filter(configuration.may_be_none, asked))
    unset = {field for field in optional if last[field] == "None"}
    config.update_from_flattened_dict(dict.fromkeys(unset))
    dropped = {
        place
        for field, text, places in given
        if field in unset or (field in optional and text == "None")
        for place in places
    }
    return [word for place, word in enumerate(words) if place not in dropped]


def frame_range(text: str | None, count: int) -> range:
    """The frames that --frames selects from a clip of `count` frames.

    Raises:
      InputError: it is no range, or outside the clip.
    """
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


def render_overrides(request: Request) -> dict[str, Any]:
    """The fields of `render` that the command line overrides for a saved run, by name.

    Raises:
      InputError: a field of another section is overridden.
    """
    changed: dict[str, Any] = {}
    for field in request.overridden:
        section, _, name = field.partition(".")
        if section != "render" or request.config is None:
            raise InputError(
                f"--config.{field} cannot be changed after training: --mode=render takes only "
                f"--config.render.* fields"
            )
        changed[name] = request.config.render[name]
    return changed
