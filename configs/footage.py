"""For your own footage: training on a crop around the hole, and a soft seam.

    python -m vidprior.main --config=configs/footage.py \
        --video=VIDEO --mask=MASK --workdir=out/footage

Beyond the paper: a new window at every update, Muon, EMA, propagated pixels. At most 2,000
updates, where the paper has 100,000, and nothing to download. After each of ten passes, the
held-out error is measured, and the best parameters render. Training stops early when the best
score is older than half of the steps. docs/research/quality.md lists what each switch gains.
"""

from vidprior.configuration import load


def get_config():
    """Image loss on known pixels, and on propagated pixels in the hole."""
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
    config.propagation.guess = "copies"
    config.checkpoint.keep_best = True
    config.loss.propagated = 1.0
    config.render.propagated_pixels = "blend"
    config.render.grain = True
    config.video.crop = "hole"
    config.mask.suggest = True
    config.mask.dilate = None  # 8 pixels or 1/60 of the height, so that no rim of the object stays
    config.render.feather = 8.0  # the result is crossfaded with the source over that ring
    return config
