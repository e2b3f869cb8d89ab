"""DIP (Section 4.1, appendix C.1): a fresh network for each frame.

    python -m vidprior.main --config=configs/dip.py \
        --video=VIDEO --mask=MASK --workdir=out/dip

5,000 updates for each frame; the parameters with the lowest loss on known pixels render.
"""

from vidprior.configuration import load


def get_config():
    """Windows of one frame, each with its own network."""
    config = load("base")
    config.window.length = 1
    config.schedule.num_passes = 1
    config.schedule.updates_per_window = 5000
    config.schedule.median_window = "none"
    config.schedule.reset_per_window = True
    return config
