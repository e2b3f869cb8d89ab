"""No training: known pixels carried into the hole, in seconds.

    python -m vidprior.main --config=configs/propagate.py \
        --video=VIDEO --mask=MASK --workdir=out/propagate

What no frame shows is filled from its rim. Not a system of the paper: a baseline, and a
preview.
"""

from vidprior.configuration import load


def get_config():
    """Propagated pixels alone."""
    config = load("base")
    config.video.split_at_cuts = True
    config.video.max_segment_frames = 100
    config.method = "propagate"
    config.window.length = 1
    return config
