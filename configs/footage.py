"""Own footage, with nothing to fetch: configs/best.py where the hole is, and a soft seam.

    python -m vidprior.main --config=configs/footage.py \
        --video=VIDEO --mask=MASK --workdir=out/footage

The mask grows by 8 pixels of the source, so that no rim of the object stays, and the
result fades into the source over that ring.
"""

from vidprior.configuration import load


def get_config():
    """What gives the best picture of a person's own video."""
    config = load("best")
    config.video.crop = "hole"
    config.mask.dilate = 8
    config.render.feather = 8.0
    return config
