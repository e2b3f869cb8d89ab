"""Own footage with nothing to fetch: the full method on OpenCV's flow, without the VGG term.

    python -m vidprior.main --config=configs/footage.py \
        --video=VIDEO --mask=MASK --workdir=out/footage

The mask grows by 8 pixels of the source, so that no rim of the object stays, and the
result fades into the source over that ring.
"""

from vidprior.configuration import load


def get_config():
    """DIP-Vid-Flow, made easy to begin with."""
    config = load("flow")
    config.flow.estimator = "dis"
    config.loss.perceptual = 0.0
    config.video.dilate = 8
    config.video.shots = "split"
    config.video.segment = 100
    config.render.feather = 8.0
    return config
