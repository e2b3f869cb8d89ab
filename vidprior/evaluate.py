"""A work directory's result against the truth."""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vidprior import inputs, protocols, scores, video_io
from vidprior.errors import InputError
from vidprior.workdir import Workdir


def evaluate(
    workdir: Workdir, truth_path: str, *, config: ConfigDict, protocol: protocols.Protocol
) -> dict[str, Any]:
    """Measures the work directory's result and stores the measures beside it.

    Returns:
      An evaluation as `scores` describes it, of one clip with the work directory's name.

    Raises:
      InputError: when there is no result yet, it does not fit the truth, or either does
        not fit the protocol.
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
    measures = protocols.measure(protocol, truth, result, 255 * clip.hole.astype(np.uint8))
    evaluation = scores.summarise(protocol, {workdir.path.absolute().name: measures})
    scores.write(workdir.path, evaluation)
    return evaluation
