"""DIP-Vid-Flow in small: a few minutes on two CPU cores. `make demo` runs it.

    python -m vidprior.main --config=configs/demo.py \
        --video=out/demo_clip/frames --mask=out/demo_clip/masks --workdir=out/demo

No weights to fetch: flow from OpenCV's DIS, no perceptual loss. A new window at
every update makes the most of few updates, and known pixels are carried into the hole.
"""

from vidprior.configuration import load


def get_config():
    """The full method but for the perceptual loss, and what gains beyond it, in small."""
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
