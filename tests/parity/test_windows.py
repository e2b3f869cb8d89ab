"""Which windows exist."""

from parity import goldens
from vidprior.training import windows
from vidprior.types import OFFSETS


def test_window_list():
    golden = goldens.load("losses.json")
    num_frames = int(goldens.load("clip.npz")["hole_shape"][0])
    length = len(goldens.load("after_10_updates.npz")["image_bgr_sub"])
    listed = windows.list_windows(
        num_frames, length=length, strides=(1, 3, 5), directions=("forward", "backward")
    )
    offsets = [OFFSETS[k] for k in listed.offset[:, 0]]
    ours = [
        [int(start), abs(offset), goldens.direction_name(offset)]
        for start, offset in zip(listed.frames[:, 0], offsets, strict=True)
    ]
    assert sorted(ours) == golden["batch_list_sorted"]
    assert len(ours) == golden["num_batches"]
