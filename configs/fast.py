"""A preview: configs/footage.py with at most 500 updates, and the masks as they are.

python -m vidprior.main --config=configs/fast.py \
        --video=VIDEO --mask=MASK --workdir=out/fast
"""

from vidprior.configuration import load


def get_config():
    """500 updates. To continue, raise --config.schedule.num_passes in the same workdir."""
    config = load("footage")
    config.mask.dilate = 0
    config.render.feather = 0.0
    config.schedule.num_passes = 5
    config.schedule.windows_per_pass = 100
    return config
