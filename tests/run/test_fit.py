"""From the configuration to the training loop."""

import pytest

from vidprior.run.fit import preview_frames


@pytest.mark.parametrize(
    ("wanted", "expected"), [(1, [4]), (2, [3, 6]), (3, [2, 4, 6]), (30, [*range(9)])]
)
def test_previews_are_spread_over_the_clip(wanted, expected):
    """Ten frames, numbered 0 to 9: their ends are left out, and none is shown twice."""
    assert preview_frames(10, wanted) == expected
