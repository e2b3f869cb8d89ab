"""A small DIP-Vid-Flow for `make demo`: a few minutes on two CPU cores.

    python -m vidprior.main --config=configs/demo.py \
        --video=out/demo_clip/frames --mask=out/demo_clip/masks --workdir=out/demo

Nothing to download: flow by OpenCV's DIS, no perceptual loss. Not the paper's: a new window
at every update, and propagated pixels, which make few updates enough.
"""

from vidprior.configuration import load


def get_config():
    """A small network, few updates, propagated pixels, no perceptual loss."""
    config = load("flow")
    config.video.height = 96
    config.video.width = 160
    config.flow.estimator = "dis"
    config.model.channels = (16, 32, 64, 128)
    config.schedule.num_passes = 3
    config.schedule.windows_per_pass = 200
    config.schedule.updates_per_window = 1
    config.propagation.holdout = True
    config.loss.perceptual = 0.0
    config.loss.propagated = 1.0
    config.render.propagated_pixels = "blend"
    config.checkpoint.every = 200
    config.log.every = 20
    return config
