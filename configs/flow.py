"""DIP-Vid-Flow, the paper's full method (Section 3): colour and flow together.

    python -m vidprior.main --config=configs/flow.py \
        --video=VIDEO --mask=MASK --workdir=out/flow

Needs the weights of PWC-Net for flow and of VGG16 for the perceptual loss. A run without them
stops and prints how to get them, and how to do without.
"""

from vidprior.configuration import load


def get_config():
    """The published schedule: 20 passes of 50 windows, each followed by the median window."""
    config = load("base")
    config.flow.estimator = "pwcnet"
    config.window.strides = (1, 3, 5)
    config.window.directions = ("forward", "backward")
    config.schedule.windows_per_pass = 50
    config.schedule.median_window = "extra"
    config.loss.flow = 0.1
    config.loss.consistency = 1.0
    config.loss.perceptual = 0.01
    return config
