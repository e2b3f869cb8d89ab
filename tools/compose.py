r"""Composes clips with known truth: masks of one clip over frames of another.

  python tools/compose.py clip --background=CLIP --masks=MASKS --output=FOLDER \
      [--start=N] [--mask-start=N] [--frames=60] [--offset=X,Y] [--scale=1] [--size=384x192]
  python tools/compose.py set --background CLIP CLIP ... --masks MASKS MASKS ... \
      --output=FOLDER [--masks-per-background=5] [--frames=60] [--seed=0] [--size=384x192]

`clip` composes one clip; starts that are not given are drawn with the seed. `set` draws, for
each background, one range of frames and different masks (the paper: 50 backgrounds, 60 frames,
5 masks each), and makes a folder for each clip. No range crosses a cut.
"""

import argparse
import pathlib
import sys

import _command
import numpy as np

from vidprior.errors import InputError
from vidprior.evaluation import compose


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    one, many = kinds.add_parser("clip", help="one clip"), kinds.add_parser("set", help="a set")
    one.add_argument("--background", required=True, help="a video or a folder of frames")
    one.add_argument("--masks", required=True, help="a video, a folder of masks, or one image")
    one.add_argument("--start", type=int, help="first frame of the background (drawn)")
    one.add_argument("--mask-start", type=int, help="first mask (drawn)")
    one.add_argument("--offset", type=_offset, default=(0, 0), help="X,Y in pixels (0,0)")
    one.add_argument("--scale", type=float, default=1.0, help="of the masks, about the centre (1)")
    many.add_argument("--background", required=True, nargs="+", help="videos or folders of frames")
    many.add_argument("--masks", required=True, nargs="+", help="videos or folders of masks")
    many.add_argument(
        "--masks-per-background", type=_command.positive, default=5, help="drawn for each (5)"
    )
    for kind in (one, many):
        kind.add_argument("--output", type=pathlib.Path, required=True, help="folder to write to")
        kind.add_argument("--frames", type=_command.positive, default=60, help="of a clip (60)")
        kind.add_argument("--seed", type=int, default=0, help="of everything that is drawn (0)")
        kind.add_argument(
            "--size", type=_command.size, default=(192, 384), help="WIDTHxHEIGHT (384x192)"
        )
    flags = parser.parse_args(arguments)
    if flags.seed < 0:
        parser.error("--seed is at least 0")
    return flags


def compose_clip(flags: argparse.Namespace) -> None:
    """Subcommand `clip`."""
    random = np.random.default_rng(flags.seed)
    background = compose.read_background(flags.background, size=flags.size)
    masks = compose.read_mask_clip(flags.masks)
    drawn = flags.start is None or flags.mask_start is None
    start, mask_start = flags.start, flags.mask_start
    if start is None:
        start = compose.draw_start(random, background, flags.frames)
    if mask_start is None:
        mask_start = compose.draw_mask_start(random, len(masks), flags.frames)
    clip = compose.compose(
        background,
        masks,
        masks_path=flags.masks,
        start=start,
        mask_start=mask_start,
        num_frames=flags.frames,
        offset=flags.offset,
        scale=flags.scale,
        seed=flags.seed if drawn else None,
    )
    _write(flags.output, clip)


def compose_set(flags: argparse.Namespace) -> None:
    """Subcommand `set`. Random choices for a background do not depend on the others."""
    count = flags.masks_per_background
    if count > len(flags.masks):
        raise InputError(
            f"{count} different masks for each background, but --masks names {len(flags.masks)}: "
            "give more, or a smaller --masks-per-background"
        )
    if flags.output.exists() and (not flags.output.is_dir() or any(flags.output.iterdir())):
        raise InputError(f"{flags.output} exists and is not empty: choose another --output")
    for number, path in enumerate(flags.background):
        random = np.random.default_rng([flags.seed, number])
        background = compose.read_background(path, size=flags.size)
        start = compose.draw_start(random, background, flags.frames)
        for chosen in random.choice(len(flags.masks), count, replace=False).tolist():
            masks_path = flags.masks[chosen]
            masks = compose.read_mask_clip(masks_path)
            clip = compose.compose(
                background,
                masks,
                masks_path=masks_path,
                start=start,
                mask_start=compose.draw_mask_start(random, len(masks), flags.frames),
                num_frames=flags.frames,
                seed=flags.seed,
            )
            name = f"{number:03d}_{compose.label(path)}_{chosen:03d}_{compose.label(masks_path)}"
            _write(flags.output / name, clip)


def _write(folder: pathlib.Path, clip: compose.Composed) -> None:
    compose.write_clip(folder, clip)
    about = clip.manifest
    source = about["background"]
    print(
        f"{folder}: {about['frames']} frames of {about['width']}x{about['height']}, "
        f"{source['start']} to {source['stop']} of {source['path']}, "
        f"hole {about['hole_fraction']:.1%}",
        flush=True,
    )


def _offset(text: str) -> tuple[int, int]:
    try:
        x, y = map(int, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no offset such as 40,-10") from error
    return x, y


def main(arguments: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    flags = parse(arguments)
    command = {"clip": compose_clip, "set": compose_set}[flags.kind]
    return _command.run(lambda: command(flags))


if __name__ == "__main__":
    sys.exit(main())
