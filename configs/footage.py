"""Your own footage, with nothing to fetch: a crop around the hole, a grown mask and a soft seam.

    python -m vidprior.main --config=configs/footage.py \
        --video=VIDEO --mask=MASK --workdir=out/footage

At most 2,000 updates, where the paper spends 100,000: a new window at every update, Muon,
averaged parameters, and propagated pixels as targets and in the result. The frames are those of
the best of ten passes by held-out error; training stops early when none gets better. What each
switch gains: docs/research/quality.md.
"""

from vidprior.configuration import load


def get_config():
    """The image loss on known pixels, and on those that are propagated along the flow."""
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
    config.video.crop = "hole"
    config.mask.dilate = 8  # so that no rim of the object stays
    config.render.feather = 8.0  # the result fades into the source over that ring
    return config
