r"""Measures tracked masks against true ones, frame by frame: J (region) and F (boundary).

  python tools/score_tracking.py --output=FOLDER CLIP ...

Each clip is a folder with `frames/` and `masks/`. It is tracked twice: with the true mask of frame
0, and with those of the first, the middle and the last frame that contains the object. The folder
receives `scores.json` and `curves.png`. Painted frames are not counted. Clips that `scores.json`
contains already are not tracked again.
"""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import _command
import numpy as np
from matplotlib.figure import Figure

from vidprior.evaluation.overlap import boundary, region
from vidprior.io.files import replacing
from vidprior.io.footage import open_footage
from vidprior.io.masks import read_mask_frames
from vidprior.tracking.track import track
from vidprior.tracking.tracked import CONFIDENT

PAINTED = ("one", "three")


def painted_frames(truth: np.ndarray, how: str) -> dict[int, np.ndarray]:
    """The true masks to start from, of [T, H, W] bool."""
    numbers = {0} if how == "one" else {0, len(truth) // 2, len(truth) - 1}
    return {number: truth[number] for number in sorted(numbers) if truth[number].any()}


def score(clip: pathlib.Path, how: str, frames: int) -> dict[str, Any]:
    """J, F and confidence of every frame, and the seconds it took."""
    footage = open_footage(clip / "frames")
    footage = footage.part(0, min(frames, footage.count))
    truth = read_mask_frames(clip / "masks", size=footage.size, num_frames=footage.count) > 127
    painted = painted_frames(truth, how)
    begun = time.monotonic()
    tracked = track(footage.frames(), painted)
    seconds = time.monotonic() - begun
    measured = {
        "J": region(tracked.masks, truth), "F": boundary(tracked.masks, truth),
        "confidence": tracked.confidence,
    }  # fmt: skip
    rounded = {name: [round(float(v), 4) for v in values] for name, values in measured.items()}
    return {**rounded, "painted": sorted(painted), "seconds": round(seconds, 1)}


def counted(scored: Mapping[str, Any], name: str) -> np.ndarray:
    """A measure in the frames that were not painted."""
    return np.delete(np.array(scored[name]), scored["painted"])


def describe(scores: Mapping[str, Any]) -> str:
    """A table of all clips, and how well the confidence tells bad frames."""
    lines = []
    for how in PAINTED:
        clips = {name: scored[how] for name, scored in scores.items() if how in scored}
        if not clips:
            continue
        rows = {name: [counted(one, key).mean() for key in "JF"] for name, one in clips.items()}
        for name, (j, f) in rows.items():
            over = (counted(clips[name], "J") > 0.5).mean()
            lines.append(f"{how:6}{name:16} J {j:.3f}  F {f:.3f}  above 0.5: {over:.0%}")
        j, f = np.mean(list(rows.values()), axis=0)
        bad = np.concatenate([counted(one, "J") < 0.5 for one in clips.values()])
        low = np.concatenate([counted(one, "confidence") < CONFIDENT for one in clips.values()])
        right = (bad & low).sum()
        frames = sum(len(one["J"]) for one in clips.values())
        seconds = sum(one["seconds"] for one in clips.values()) / frames
        lines.append(
            f"{how:6}{'mean':16} J {j:.3f}  F {f:.3f}  above 0.5: {1 - bad.mean():.0%}  "
            f"confidence: precision {right / max(low.sum(), 1):.2f}, recall "
            f"{right / max(bad.sum(), 1):.2f}  {seconds:.2f} s a frame"
        )
    return "\n".join(lines)


def curves(scores: Mapping[str, Any]) -> Figure:
    """J and F of every frame, a row for each clip; painted frames are gaps."""
    figure = Figure(figsize=(9, 1.3 * len(scores) + 0.6), layout="constrained")
    axes = figure.subplots(len(scores), 2, squeeze=False, sharex="row", sharey=True)
    for (name, scored), row in zip(scores.items(), axes, strict=True):
        for ax, key in zip(row, "JF", strict=True):
            for how in (how for how in PAINTED if how in scored):
                values = np.array(scored[how][key])
                values[scored[how]["painted"]] = np.nan
                ax.plot(values, label=f"{how} painted")
            ax.set_ylim(0, 1)
            ax.grid(alpha=0.3)
        row[0].set_ylabel(name, fontsize="small")
    axes[0, 0].set_title("J, region")
    axes[0, 1].set_title("F, boundary")
    axes[0, 0].legend(fontsize="small", loc="lower left")
    return figure


def write(output: pathlib.Path, scores: Mapping[str, Any]) -> None:
    """Writes scores and curves."""
    with replacing(output / "scores.json") as temporary:
        temporary.write_text(json.dumps(scores) + "\n")
    with replacing(output / "curves.png") as temporary:
        curves(scores).savefig(temporary, dpi=80)


def main(arguments: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", metavar="CLIP", type=pathlib.Path, nargs="+")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder to write to")
    parser.add_argument("--frames", type=_command.positive, default=60, help="of each clip (60)")
    flags = parser.parse_args(arguments)

    def command() -> None:
        kept = flags.output / "scores.json"
        scores = json.loads(kept.read_text()) if kept.exists() else {}
        for clip in flags.clips:
            for how in PAINTED:
                if how not in scores.setdefault(clip.name, {}):
                    scores[clip.name][how] = score(clip, how, flags.frames)
                    write(flags.output, scores)
        print(describe(scores))

    return _command.run(command)


if __name__ == "__main__":
    sys.exit(main())
