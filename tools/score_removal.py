r"""Measures what tracked masks cost a removal, against true ones.

  python tools/score_removal.py --output=FOLDER PAIR ... [--frames=40] [--size=432x240]

A pair is OBJECT:BACKGROUND, two folders with `frames/`; OBJECT has `masks/` too. The object is
pasted over the background, so what it hides is known. It is tracked from its mask in frame 0, and
removed by `configs/propagate.py` with the true masks and with the tracked ones, both grown as
`configs/footage.py` grows them. PSNR is that of the pixels the object covers, and of all pixels
that either removal may change.

For each pair the folder receives `frames/`, `masks/` (true), `truth/`, `tracked/`, and the two
results `by_true/` and `by_tracked/`; `scores.json` contains the figures. Pairs that it contains
already are not repeated.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import _command
import numpy as np

import vidprior
from vidprior.configuration import load
from vidprior.errors import InputError
from vidprior.evaluation.compose import read_mask_clip
from vidprior.evaluation.overlap import region
from vidprior.imaging import geometry
from vidprior.imaging.dilation import dilate
from vidprior.io import images
from vidprior.io.files import replacing
from vidprior.io.footage import read_frames
from vidprior.run.source import growth


class Pasted(NamedTuple):
    """An object over a background that is known.

    Attributes:
      frames: [T, H, W, 3] uint8 RGB.
      masks: [T, H, W] bool, at least half of the pixel is the object's.
      truth: [T, H, W, 3] uint8 RGB, the background alone.
    """

    frames: np.ndarray
    masks: np.ndarray
    truth: np.ndarray


def paste(
    subject: pathlib.Path, background: pathlib.Path, *, frames: int, size: tuple[int, int]
) -> Pasted:
    """Pastes an object over another clip, at (H, W); the shorter clip ends it.

    Raises:
      InputError: frames or masks cannot be read, or nothing is masked in the first frame.
    """
    own = read_frames(subject / "frames").frames
    truth = read_frames(background / "frames").frames
    masks = read_mask_clip(str(subject / "masks"))
    count = min(frames, len(own), len(truth), len(masks))
    own, masks, truth = (
        geometry.crop_and_resize(geometry.centre_crop(clip.shape[1:3], size), clip[:count])
        for clip in (own, masks, truth)
    )
    if not (masks[0] > geometry.MASK_THRESHOLD).any():
        raise InputError(f"{subject}: the first frame does not show the object")
    share = masks[..., None] / np.float32(255)
    mixed = np.rint(share * own + (1 - share) * truth).astype(np.uint8)
    return Pasted(mixed, masks > geometry.MASK_THRESHOLD, truth)


def psnr(truth: np.ndarray, result: np.ndarray, where: np.ndarray) -> float:
    """Of frames [T, H, W, 3] uint8 at pixels [T, H, W] bool, in dB."""
    error = result[where].astype(np.float64) - truth[where]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def score(pasted: Pasted, folder: pathlib.Path) -> dict[str, float]:
    """Tracks, removes twice, writes the pictures, and measures."""
    tracked = vidprior.track(pasted.frames, {0: pasted.masks[0]}).masks
    config = load("propagate")
    config.mask.dilate = None  # by the height of the frame, as for footage
    config.mask.suggest = False
    pixels = growth(pasted.masks.shape[1:3], config=config)
    by_true, by_tracked = (
        vidprior.inpaint(pasted.frames, masks, config).frames for masks in (pasted.masks, tracked)
    )
    pictures = {
        "frames": pasted.frames, "truth": pasted.truth, "by_true": by_true,
        "by_tracked": by_tracked, "masks": pasted.masks, "tracked": tracked,
    }  # fmt: skip
    for name, clip in pictures.items():
        shown = clip if clip.dtype == np.uint8 else 255 * clip.astype(np.uint8)
        images.write_frames(folder / name, shown)
    hidden = pasted.masks
    either = np.stack([dilate(mask, pixels) for mask in hidden | tracked])
    overlap = region(tracked, hidden)[1:]
    return {
        "J": float(overlap.mean()),
        "J above 0.5": float((overlap > 0.5).mean()),
        "not covered": float(
            (hidden & ~np.stack([dilate(mask, pixels) for mask in tracked])).sum() / hidden.sum()
        ),
        "true": psnr(pasted.truth, by_true, hidden),
        "tracked": psnr(pasted.truth, by_tracked, hidden),
        "true, either": psnr(pasted.truth, by_true, either),
        "tracked, either": psnr(pasted.truth, by_tracked, either),
    }


def describe(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of all pairs, and their mean."""
    lines = []
    mean = {
        key: np.mean([one[key] for one in scores.values()]) for key in next(iter(scores.values()))
    }
    for name, one in {**scores, "mean": mean}.items():
        lines.append(
            f"{name:24} J {one['J']:.2f} ({one['J above 0.5']:.0%} above 0.5)  "
            f"not covered {one['not covered']:.1%}  object: {one['true']:.2f} by true, "
            f"{one['tracked']:.2f} by tracked ({one['tracked'] - one['true']:+.2f})  either hole: "
            f"{one['true, either']:.2f}, {one['tracked, either']:.2f} "
            f"({one['tracked, either'] - one['true, either']:+.2f})"
        )
    return "\n".join(lines)


def _pair(text: str) -> tuple[pathlib.Path, pathlib.Path]:
    subject, colon, background = text.partition(":")
    if not (subject and colon and background):
        raise argparse.ArgumentTypeError(f"'{text}' is no pair such as camel:goat")
    return pathlib.Path(subject), pathlib.Path(background)


def main(arguments: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", metavar="PAIR", type=_pair, nargs="+")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder to write to")
    parser.add_argument("--frames", type=_command.positive, default=40, help="of each pair (40)")
    parser.add_argument(
        "--size", type=_command.size, default=(240, 432), help="WIDTHxHEIGHT (432x240)"
    )
    flags = parser.parse_args(arguments)

    def command() -> None:
        kept = flags.output / "scores.json"
        scores = json.loads(kept.read_text()) if kept.exists() else {}
        for subject, background in flags.pairs:
            name = f"{subject.name}-over-{background.name}"
            if name in scores:
                continue
            pasted = paste(subject, background, frames=flags.frames, size=flags.size)
            scores[name] = score(pasted, flags.output / name)
            with replacing(kept) as temporary:
                temporary.write_text(json.dumps(scores) + "\n")
        print(describe(scores))

    return _command.run(command)


if __name__ == "__main__":
    sys.exit(main())
