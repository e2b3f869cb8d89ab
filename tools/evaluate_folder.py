r"""Measures the result of any method against the truth, with a named protocol.

  python tools/evaluate_folder.py --result=FRAMES --truth=FRAMES --mask=MASKS --output=FOLDER \
      [--protocol=paper] [--size=384x192]
  python tools/evaluate_folder.py --set=SET --results=FOLDER --output=FOLDER [...]

A result is a video or a folder of frames, composited with the known pixels. With `--set`, for
a set made by tools/compose.py, `--results` contains a folder (or work directory) for each clip,
with the clip's name. Prints a table, and writes evaluation.json, evaluation_clips.csv and
evaluation_frames.csv.
"""

import argparse
import pathlib
import sys
from typing import Any

import _command

from vidprior.errors import InputError
from vidprior.evaluation import compose, protocols, tables
from vidprior.io import footage, images
from vidprior.io.masks import read_mask_frames


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--result", type=pathlib.Path, help="a video or a folder of frames")
    parser.add_argument("--truth", type=pathlib.Path, help="a video or a folder of frames")
    parser.add_argument("--mask", type=pathlib.Path, help="a video, a folder, or one image")
    parser.add_argument("--set", type=pathlib.Path, help="a folder of composed clips, or one")
    parser.add_argument("--results", type=pathlib.Path, help="a folder with a result for each")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder to write to")
    parser.add_argument(
        "--protocol", default="paper", help=f"one of {', '.join(protocols.PROTOCOLS)} (paper)"
    )
    parser.add_argument("--size", type=_command.size, help="measure at another WIDTHxHEIGHT")
    flags = parser.parse_args(arguments)
    one, many = (flags.result, flags.truth, flags.mask), (flags.set, flags.results)
    if not (all(one) and not any(many)) and not (all(many) and not any(one)):
        parser.error("give --result, --truth and --mask, or --set and --results")
    return flags


def measure(
    protocol: protocols.Protocol, result: pathlib.Path, truth: pathlib.Path, mask: pathlib.Path
) -> dict[str, Any]:
    """Reads one clip and measures it.

    Raises:
      InputError: a file cannot be read, frames are missing, or the three do not fit.
    """
    for path in (result, truth, mask):
        if path.is_dir():
            images.require_consecutive(path)
    truths, results = footage.read_frames(truth).frames, footage.read_frames(result).frames
    if len(truths) != len(results):
        raise InputError(f"{result} has {len(results)} frames, {truth} has {len(truths)}")
    # A mask of the protocol's size goes with a truth of another.
    size = footage.read_frames(mask, stop=1).frames.shape[1:3]
    masks = read_mask_frames(mask, size=size, num_frames=len(truths))
    try:
        return protocols.measure(protocol, truths, results, masks)
    except InputError as error:
        raise InputError(f"{result}: {error}") from error


def evaluate(flags: argparse.Namespace) -> None:
    """Measures one clip or a set, prints and writes."""
    protocol = protocols.find(flags.protocol, size=flags.size)
    if flags.set is None:
        clips = {flags.result.stem: measure(protocol, flags.result, flags.truth, flags.mask)}
    else:
        clips = {}
        for folder in compose.list_clips(flags.set):
            compose.read_manifest(folder)
            result = compose.find_result(flags.results, folder.name)
            clips[folder.name] = measure(protocol, result, folder / "truth", folder / "masks")
    evaluation = tables.summarise(protocol, clips)
    paths = tables.write(flags.output, evaluation)
    print(f"protocol {protocol}")
    print(tables.table(evaluation, protocol.shown))
    print("measures:", *paths)


def main(arguments: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    flags = parse(arguments)
    return _command.run(lambda: evaluate(flags))


if __name__ == "__main__":
    sys.exit(main())
