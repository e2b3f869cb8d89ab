"""The paper's figures, drawn with matplotlib from the output of runs and tables.

Clips are [T, H, W, 3] uint8 RGB. Plotting functions return a `matplotlib.figure.Figure`
and use neither display nor files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import ScalarFormatter

# Axis labels of measures.
LABELS = {
    "psnr_full": "PSNR, full frame (dB)",
    "psnr_hole": "PSNR, hole (dB)",
    "ssim_uniform7": "SSIM, full frame",
    "ssim_hole": "SSIM, hole",
    "consistency_psnr": "consistency, PSNR (dB)",
    "consistency_ssim": "consistency, SSIM",
    "warping_error": "warping error",
}


def slice_rows(clip: np.ndarray, row: int) -> np.ndarray:
    """One row of pixels of every frame, stacked: [T, W, 3]."""
    return clip[:, row]


def temporal_slice(clips: Mapping[str, np.ndarray], row: int) -> Figure:
    """Figure 5: one row of all frames, time downwards, for several results of one clip.

    Still content and steady motion give smooth lines; flicker gives noise.

    Args:
      clips: by name, all of one size. Above each slice is the clip's middle frame with the
        row marked.
      row: number of the row.
    """
    first = next(iter(clips.values()))
    count, height, width = first.shape[:3]
    columns = len(clips)
    tall = max(count, height / 2)  # the slice of a short clip is stretched
    figure = Figure(
        figsize=(3.2 * columns, 3.2 * (height + tall) / width + 0.6), layout="constrained"
    )
    axes = figure.subplots(2, columns, squeeze=False, gridspec_kw={"height_ratios": [height, tall]})
    for (name, clip), (above, below) in zip(clips.items(), axes.T, strict=True):
        above.imshow(clip[count // 2])
        above.axhline(row, color="red", linewidth=1)
        above.set_title(name)
        below.imshow(slice_rows(clip, row), interpolation="nearest", aspect=tall / count)
        above.axis("off")
        below.axis("off")
    figure.supxlabel(f"row {row}, time downwards, {count} frames", fontsize="small")
    return figure


def quality_against_complexity(
    complexities: Mapping[str, float],
    systems: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    measures: Sequence[str],
) -> Figure:
    """Figure 7: mean over clips of at least some complexity, against that complexity.

    Args:
      complexities: of every clip.
      systems: {system: {clip: {measure: value}}}; systems without results for some clip
        are left out, since their means would cover other clips.
      measures: one plot each.
    """
    figure = Figure(figsize=(4.5 * len(measures), 3.5), layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for measure, ax in zip(measures, axes, strict=True):
        for name, clips in systems.items():
            if clips.keys() == complexities.keys():
                ax.plot(*mean_above(complexities, clips, measure), marker=".", label=name)
        _label(ax, "clips of at least this complexity", measure)
    axes[0].legend()
    return figure


def quality_against_visits(
    curves: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], measures: Sequence[str]
) -> Figure:
    """How quality grows with training: thin lines for runs, a thick one for their mean.

    Args:
      curves: {system: {run: stages}}; a stage has `visits` and every measure.
      measures: one plot each.
    """
    figure = Figure(figsize=(4.5 * len(measures), 3.5), layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for measure, ax in zip(measures, axes, strict=True):
        for number, (name, runs) in enumerate(curves.items()):
            colour = f"C{number}"
            for stages in runs.values():
                values = [stage[measure] for stage in stages]
                ax.plot([stage["visits"] for stage in stages], values, color=colour, alpha=0.3)
            mean = mean_over_runs(runs, measure)
            ax.plot(list(mean), list(mean.values()), color=colour, linewidth=2, label=name)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(ScalarFormatter())
        _label(ax, "times that a frame was trained on", measure)
    axes[0].legend()
    return figure


def mean_over_runs(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], measure: str
) -> dict[int, float]:
    """The mean over runs at each number of visits that all of them reached.

    Args:
      runs: the stages of each clip and seed of a system: `visits` and measures, None for one that
        the clip does not have.
      measure: its name.

    Returns:
      {visits: mean}, ascending.
    """
    curves = [
        {int(stage["visits"]): stage[measure] for stage in stages if stage[measure] is not None}
        for stages in runs.values()
    ]
    shared = set.intersection(*(set(curve) for curve in curves)) if curves else set()
    return {at: sum(curve[at] for curve in curves) / len(curves) for at in sorted(shared)}


def mean_above(
    complexities: Mapping[str, float],
    clips: Mapping[str, Mapping[str, float | None]],
    measure: str,
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of a measure over clips of at least some complexity.

    Returns:
      thresholds: [n], the distinct complexities, ascending; clips of one background share
        theirs.
      means: [n], NaN if no such clip has the measure.
    """
    values = np.array([clips[clip][measure] for clip in complexities], np.float64)
    ranks = np.array(list(complexities.values()))
    thresholds = np.unique(ranks)
    means = np.full(len(thresholds), np.nan)
    for i, threshold in enumerate(thresholds):
        kept = values[(ranks >= threshold) & np.isfinite(values)]
        if kept.size:
            means[i] = kept.mean()
    return thresholds, means


def training_progress(previews: Sequence[tuple[str, np.ndarray]], size: tuple[int, int]) -> Figure:
    """Figure 8: generated frames and flow during training.

    Args:
      previews: (title, picture) each, as drawn by `outputs.write_preview`: a row of panels
        (input, result and perhaps flow) for each of some frames.
      size: (H, W) of a panel. The middle row is drawn.
    """
    height, width = size
    first = previews[0][1]
    panels, rows = first.shape[1] // width, first.shape[0] // height
    figure = Figure(
        figsize=(3 * len(previews), (panels - 1) * (3 * height / width + 0.3)), layout="constrained"
    )
    axes = figure.subplots(panels - 1, len(previews), squeeze=False)
    top = rows // 2 * height
    for (title, picture), column in zip(previews, axes.T, strict=True):
        column[0].set_title(title)
        for panel, ax in enumerate(column, start=1):
            ax.imshow(picture[top : top + height, panel * width : (panel + 1) * width])
            ax.axis("off")
    return figure


def feature_similarity(
    frames: np.ndarray,
    maps: Mapping[str, np.ndarray],
    *,
    reference: tuple[int, int, int],
    patch: int,
) -> Figure:
    """Figure 9: similarity of patches to a reference, as opacity, for several kinds of features.

    Args:
      frames: [F, H, W, 3] uint8.
      maps: {kind of features: [F, h, w] similarity}; the minimum of each map is drawn white,
        the maximum opaque.
      reference: frame, row and column of the reference patch, counted in patches.
      patch: side of a patch, pixels.
    """
    count, height, width = frames.shape[:3]
    figure = Figure(
        figsize=(2.6 * count, (2.6 * height / width + 0.2) * (len(maps) + 1)), layout="constrained"
    )
    axes = figure.subplots(len(maps) + 1, count, squeeze=False)
    shown = {"frames": frames, **{n: fade(frames, m, patch) for n, m in maps.items()}}
    for (name, pictures), row in zip(shown.items(), axes, strict=True):
        row[0].set_ylabel(name)
        for picture, ax in zip(pictures, row, strict=True):
            ax.imshow(picture)
            ax.set_xticks([])
            ax.set_yticks([])
    at, top, left = reference
    for row in axes:
        corner = (left * patch - 0.5, top * patch - 0.5)
        row[at].add_patch(Rectangle(corner, patch, patch, fill=False, edgecolor="red"))
    return figure


def fade(frames: np.ndarray, similarity: np.ndarray, patch: int) -> np.ndarray:
    """Frames [F, H, W, 3] uint8 whose patches fade to white with decreasing similarity."""
    height, width = frames.shape[1:3]
    least, most = similarity.min(), similarity.max()
    opacity = (similarity - least) / (most - least) if most > least else np.ones_like(similarity)
    opacity = opacity.repeat(patch, axis=1).repeat(patch, axis=2)
    missing = (
        (0, 0),
        (0, max(height - opacity.shape[1], 0)),
        (0, max(width - opacity.shape[2], 0)),
    )
    opacity = np.pad(opacity, missing)[:, :height, :width, None]  # pool5 omits a remainder
    return np.rint(opacity * frames + (1 - opacity) * 255).astype(np.uint8)


def quality_against_length(
    lengths: Mapping[int, Mapping[str, float | None]], measures: Sequence[str]
) -> Figure:
    """Figure 10: the mean of each measure against the window length k.

    Args:
      lengths: {k: {measure: mean}}.
      measures: one plot each.
    """
    figure = Figure(figsize=(4 * len(measures), 3.2), layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for measure, ax in zip(measures, axes, strict=True):
        points = sorted((length, means[measure]) for length, means in lengths.items())
        values = [np.nan if value is None else value for _, value in points]
        ax.plot([length for length, _ in points], values, marker="o")
        ax.set_xscale("log")
        ax.set_xticks([k for k, _ in points], [str(k) for k, _ in points], minor=False)
        ax.minorticks_off()
        _label(ax, "window length k (frames)", measure)
    return figure


def loss_curves(rows: Sequence[Mapping[str, float]]) -> Figure:
    """The losses of `metrics.jsonl` against the number of updates."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    ax = figure.subplots()
    names = [name for name in rows[0] if name not in ("update", "pass")]
    for name in names:
        ax.plot([row["update"] for row in rows], [row[name] for row in rows], label=name)
    if all(row[name] > 0 for row in rows for name in names):
        ax.set_yscale("log")
    ax.set_xlabel("updates")
    ax.set_ylabel("loss")
    ax.legend()
    return figure


def frame_curves(
    per_frame: Mapping[str, Sequence[float | None]], measures: Sequence[str]
) -> Figure:
    """Measures frame by frame, one plot each; gaps where a value is missing."""
    figure = Figure(figsize=(7, 1.6 * len(measures)), layout="constrained")
    axes = figure.subplots(len(measures), 1, squeeze=False, sharex=True)[:, 0]
    for measure, ax in zip(measures, axes, strict=True):
        values = np.array(per_frame[measure], np.float64)
        ax.plot(np.where(np.isfinite(values), values, np.nan), marker=".")
        ax.set_ylabel(LABELS.get(measure, measure), fontsize="small")
    axes[-1].set_xlabel("frame")
    return figure


def _label(ax: Axes, x: str, measure: str) -> None:
    ax.set_xlabel(x)
    ax.set_ylabel(LABELS.get(measure, measure))
    ax.grid(alpha=0.3)
