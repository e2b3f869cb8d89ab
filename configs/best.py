"""Beyond the paper: a new window at every update, Muon, averaged parameters, carried pixels.

    python -m vidprior.main --config=configs/best.py \
        --video=VIDEO --mask=MASK --workdir=out/best

At most 2,000 updates, where the paper spends 100,000, and nothing to fetch. Frames are those
of the best of ten moments, as the rehearsal tells, and half of the updates without a better one
are the end. What each switch gains: docs/research/quality.md.
"""

from vidprior.configuration import load


def get_config():
    """The image loss on known pixels, and on those that are carried along the flow."""
    config = load("dip_vid")
    config.video.split_at_cuts = True
    config.video.max_segment_frames = 100
    config.window.strides = (1, 3, 5)
    config.schedule.num_passes = 10
    config.schedule.windows_per_pass = 200
    config.schedule.updates_per_window = 1
    config.schedule.median_window = "none"
    config.optimizer.name = "muon"
    config.optimizer.ema_decay = 0.99
    config.propagation.holdout = True
    config.checkpoint.keep_best = True
    config.loss.propagated = 1.0
    config.render.propagated_pixels = "blend"
    return config
