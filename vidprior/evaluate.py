"""A result against the truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vidprior import inputs, metrics, video_io
from vidprior.errors import InputError
from vidprior.workdir import Workdir, write_json

SHOWN = (
    "psnr_full",
    "psnr_hole",
    "ssim_uniform7",
    "ssim_hole",
    "consistency_psnr",
    "consistency_ssim",
)


def evaluate(workdir: Workdir, truth_path: str, *, config: ConfigDict) -> dict[str, Any]:
    """Measures the work directory's result and stores the measures beside it.

    Returns:
      The measures of `metrics.evaluate_clip`.

    Raises:
      InputError: when there is no result yet, or it does not fit the truth.
    """
    clip = workdir.read_clip()
    folder = workdir.path / "result"
    if not folder.is_dir():
        raise InputError(f"{workdir.path} has no result yet: train or render first")
    result = video_io.read_frames(folder).frames
    truth = inputs.read_truth(truth_path, config=config, like=clip)
    if result.shape != truth.shape:
        raise InputError(
            f"{folder} has {len(result)} frames of {result.shape[2]}x{result.shape[1]}, the truth "
            f"{len(truth)} of {truth.shape[2]}x{truth.shape[1]}: render all frames first"
        )
    measures = metrics.evaluate_clip(truth, result, clip.hole)
    write_json(workdir.evaluation_file, _plain(measures))
    return measures


def table(measures: Mapping[str, Any]) -> str:
    """The main measures as lines of text."""
    rows = [(name, float(np.float64(measures[name]))) for name in SHOWN if name in measures]
    return "\n".join(f"  {name:<18} {value:8.3f}" for name, value in rows)


def _plain(value: Any) -> Any:
    """The same value with infinities as text: JSON has no number for them."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return "inf" if value == float("inf") else value
