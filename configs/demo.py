"""DIP-Vid-Flow in small: a few minutes on two CPU cores. `make demo` runs it.

    python -m vidprior.main --config=configs/demo.py \
        --video=out/demo_clip/frames --mask=out/demo_clip/masks --workdir=out/demo

No weights to fetch: flow from OpenCV's DIS, no perceptual loss. A new window at
every update makes the most of few updates.
"""

from vidprior.configuration import load


def get_config():
    """The full method but for the perceptual loss, at a quarter of the paper's size."""
    config = load("flow")
    config.video.height = 96
    config.video.width = 160
    config.flow.estimator = "dis"
    config.model.channels = (16, 32, 64, 128)
    config.schedule.num_passes = 3
    config.schedule.windows_per_pass = 200
    config.schedule.updates_per_window = 1
    config.loss.perceptual = 0.0
    config.checkpoint.every = 200
    config.log.every = 20
    return config
