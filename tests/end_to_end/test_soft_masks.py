"""Masks with soft edges, from `track --soft` to a removal, through the real command."""

import imageio.v3
import numpy as np
import pytest
from harness import pictures

from vidprior.io import images
from vidprior.run.workdir import Workdir

pytestmark = pytest.mark.slow

T, SIZE = 8, (48, 80)


@pytest.mark.parametrize("noise", [0, 6])
def test_soft_masks_are_cut_at_half_of_white(command, tmp_path, noise):
    """Without noise, few values of alpha occur, as in masks that number objects."""
    random = np.random.default_rng(0)
    frames, mask = np.full((T, *SIZE, 3), (90, 120, 80), np.uint8), np.zeros((T, *SIZE), bool)
    for number in range(T):
        mask[number, 14:34, 12 + 4 * number : 36 + 4 * number] = True
    frames[mask] = (200, 60, 40)
    frames += random.integers(0, noise + 1, frames.shape, np.uint8)
    images.write_frames(tmp_path / "frames", frames)
    imageio.v3.imwrite(tmp_path / "painted.png", 255 * mask[2].astype(np.uint8))
    video, masks = f"--video={tmp_path}/frames", tmp_path / "masks"
    painted = f"--painted=2:{tmp_path}/painted.png"
    command.succeed("track", video, painted, "--soft", f"--output={masks}")
    alpha = np.stack(list(pictures(masks).values()))
    assert 2 < len(np.unique(alpha)) <= (32 if noise == 0 else 256)
    told = command.succeed(
        "--config=propagate", "--config.video.height=48", "--config.video.width=80", video,
        f"--mask={masks}/", f"--workdir={tmp_path}/run",
    )  # fmt: skip
    assert "label" not in told.stderr
    np.testing.assert_array_equal(Workdir(tmp_path / "run").read_clip().hole, alpha > 127)
