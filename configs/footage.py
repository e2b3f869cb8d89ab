"""For your own footage: configs/best.py on a crop around the hole, with a soft seam.

    python -m vidprior.main --config=configs/footage.py \
        --video=VIDEO --mask=MASK --workdir=out/footage

Nothing to download. The mask grows by 8 source pixels, so that no rim of the object stays,
and the result is crossfaded with the source over that ring.
"""

from vidprior.configuration import load


def get_config():
    """`best` with a crop around the hole, a grown mask and a soft seam."""
    config = load("best")
    config.video.crop = "hole"
    config.mask.dilate = 8
    config.render.feather = 8.0
    return config
