r"""Draws the paper's figures from runs and tables; needs the extra `figures`.

  python tools/figures.py slice --clip truth=CLIP ours=CLIP ... [--row=N] --output=slice.png
  python tools/figures.py complexity --table=FOLDER [--measures psnr_full ...] --output=FILE
  python tools/figures.py progress --workdir=DIR [--columns=5] --output=FILE
  python tools/figures.py similarity --workdir=DIR [--reference=ROW,COLUMN] [--step=2] \
      [--vgg=FILE] --output=FILE
  python tools/figures.py length --table=FOLDER [--measures psnr_full ...] --output=FILE

`slice` (Figure 5) shows a row of pixels through all frames. `complexity` (Figure 7) and `length`
(Figure 10) draw the table of tools/ablation.py: quality against a threshold of complexity, and
against the window length k of the systems that have one. `progress` (Figure 8) shows generated
frames and flow, pass by pass, from the previews of a work directory. `similarity` (Figure 9)
compares the 32x32 patch at a pixel of the middle frame with the other patches, by the encoder's
features and by VGG16's (tools/vgg_pool5.py). The suffix of --output
chooses the format: png, svg or pdf.
"""

import argparse
import csv
import pathlib
import sys
from typing import TYPE_CHECKING, Any

import _command
import numpy as np

from vidprior.errors import InputError
from vidprior.io import footage, images
from vidprior.io.files import replacing
from vidprior.io.npz import load_npz
from vidprior.run.workdir import Workdir

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Pixels covered by one position of the encoder's scale and of VGG's pool5.
PATCH = 32
FORMATS = (".png", ".svg", ".pdf")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    slices = kinds.add_parser("slice", help="Figure 5")
    slices.add_argument("--clip", nargs="+", required=True, metavar="NAME=CLIP")
    slices.add_argument("--row", type=int, help="of pixels (the middle one)")
    for kind, figure in (("complexity", 7), ("length", 10)):
        table = kinds.add_parser(kind, help=f"Figure {figure}")
        table.add_argument("--table", type=pathlib.Path, required=True, help="folder of a table")
        table.add_argument("--measures", nargs="+", default=["psnr_full", "ssim_uniform7"])
    progress = kinds.add_parser("progress", help="Figure 8")
    progress.add_argument("--workdir", type=pathlib.Path, required=True)
    progress.add_argument("--columns", type=_command.positive, default=5, help="at most (5)")
    alike = kinds.add_parser("similarity", help="Figure 9")
    alike.add_argument("--workdir", type=pathlib.Path, required=True)
    alike.add_argument("--reference", type=_place, help="ROW,COLUMN, a pixel (the centre)")
    alike.add_argument("--step", type=_command.positive, default=2, help="between frames (2)")
    alike.add_argument("--vgg", type=pathlib.Path, help="pool5 features of the clip")
    for kind in kinds.choices.values():
        kind.add_argument("--output", type=pathlib.Path, required=True, help="png, svg or pdf")
    return parser.parse_args(arguments)


def draw_slice(flags: argparse.Namespace) -> "Figure":
    """Figure 5."""
    from vidprior.evaluation import figures

    clips: dict[str, np.ndarray] = {}
    for text in flags.clip:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise InputError(f"--clip {text}: give NAME=CLIP")
        clips[name] = footage.read_frames(path).frames
        first = next(iter(clips.values()))
        if clips[name].shape != first.shape:
            raise InputError(f"{path} is {clips[name].shape[:3]}, the first {first.shape[:3]}")
    height = first.shape[1]
    row = height // 2 if flags.row is None else flags.row
    if not 0 <= row < height:
        raise InputError(f"--row={row} is not within the {height} rows")
    return figures.temporal_slice(clips, row)


def draw_complexity(flags: argparse.Namespace) -> "Figure":
    """Figure 7."""
    from vidprior.evaluation import figures

    complexities: dict[str, float] = {}
    systems: dict[str, dict[str, dict[str, float | None]]] = {}
    for row in _read_csv(flags.table / "clips.csv", ["system", "clip", "complexity"], flags):
        complexities[row["clip"]] = _number(row["complexity"]) or 0.0
        measures = {name: _number(row[name]) for name in flags.measures}
        systems.setdefault(row["system"], {})[row["clip"]] = measures
    return figures.quality_against_complexity(complexities, systems, flags.measures)


def draw_length(flags: argparse.Namespace) -> "Figure":
    """Figure 10."""
    from vidprior.evaluation import figures

    lengths: dict[int, dict[str, float | None]] = {}
    for row in _read_csv(flags.table / "table.csv", ["system", "part", "window"], flags):
        if row["part"] == "all" and row["window"]:
            means = {name: _number(row[name]) for name in flags.measures}
            lengths[int(row["window"])] = means
    if not lengths:
        raise InputError(
            f"{flags.table}: no system has a window length; see docs/research/evaluation.md"
        )
    return figures.quality_against_length(lengths, flags.measures)


def draw_progress(flags: argparse.Namespace) -> "Figure":
    """Figure 8."""
    from vidprior.evaluation import figures

    workdir = Workdir(flags.workdir)
    size = workdir.read_clip().hole.shape[1:]
    if not workdir.previews.is_dir():
        raise InputError(
            f"{workdir.previews}: no previews; give a run that trained, "
            "with --config.log.preview_frames above 0"
        )
    files = images.list_images(workdir.previews)
    chosen = np.unique(np.linspace(0, len(files) - 1, flags.columns).round().astype(int))
    previews = [
        (f"pass {i + 1}, update {int(files[i].stem)}", images.read_image(files[i]))
        for i in chosen.tolist()
    ]
    return figures.training_progress(previews, size)


def draw_similarity(flags: argparse.Namespace) -> "Figure":
    """Figure 9."""
    from vidprior import configuration
    from vidprior.evaluation import encoder, figures
    from vidprior.run import build, pipeline

    workdir = Workdir(flags.workdir)
    config = configuration.from_stored(workdir.read_config()[0], where=workdir.config_file)
    clip = workdir.read_clip()
    count, height, width = clip.hole.shape
    row, column = flags.reference or (height // 2, width // 2)
    if not (0 <= row < height and 0 <= column < width):
        raise InputError(f"--reference={row},{column} is not within {width}x{height}")
    numbers = [count // 2 + flags.step * i for i in (-2, -1, 0, 1, 2)]
    numbers = [number for number in numbers if 0 <= number < count]
    features = {
        "encoder": encoder.encoder_features(
            pipeline.saved_params(config, workdir),
            build.noise(config, workdir, clip.hole),
            numbers,
            generator=build.generator(config),
            length=config.window.length,
            patch=PATCH,
        )
    }
    if flags.vgg:
        fields = {"features": ("f", 4)}
        features["VGG pool5"] = load_npz(flags.vgg, fields=fields, max_bytes=2**31)["features"]
        wanted, found = (count, height // PATCH, width // PATCH), features["VGG pool5"].shape[:3]
        if found != wanted:
            raise InputError(f"{flags.vgg} has features of {found}, the clip's are {wanted}")
        features["VGG pool5"] = features["VGG pool5"][numbers]
    reference = numbers.index(count // 2), row // PATCH, column // PATCH
    for name, array in features.items():
        if reference[1] >= array.shape[1] or reference[2] >= array.shape[2]:
            raise InputError(f"--reference={row},{column}: {name} has no whole patch there")
    maps = {name: encoder.similarity(array, reference) for name, array in features.items()}
    return figures.feature_similarity(clip.frames[numbers], maps, reference=reference, patch=PATCH)


DRAW = {
    "similarity": draw_similarity,
    "slice": draw_slice,
    "complexity": draw_complexity,
    "length": draw_length,
    "progress": draw_progress,
}


def draw(flags: argparse.Namespace) -> None:
    """Draws one figure into a file."""
    _command.require("matplotlib")
    if flags.output.suffix.lower() not in FORMATS:
        raise InputError(f"{flags.output}: figures are written as {', '.join(FORMATS)}")
    figure = DRAW[flags.kind](flags)
    with replacing(flags.output) as temporary:
        figure.savefig(temporary, dpi=150)
    print(flags.output)


def _read_csv(
    path: pathlib.Path, needed: list[str], flags: argparse.Namespace
) -> list[dict[str, Any]]:
    """The rows of a table that tools/ablation.py wrote, its columns checked."""
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    missing = [name for name in [*needed, *flags.measures] if name not in columns]
    if missing or not rows:
        raise InputError(f"{path}: {f'no column {missing[0]}' if missing else 'no rows'}")
    return rows


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError as error:
        raise InputError(f"the table has '{text}' in place of a number") from error


def _place(text: str) -> tuple[int, int]:
    try:
        row, column = map(int, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no pixel such as 96,200") from error
    return row, column


def main(arguments: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    flags = parse(arguments)
    return _command.run(lambda: draw(flags))


if __name__ == "__main__":
    sys.exit(main())
