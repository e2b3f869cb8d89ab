"""DIP-Vid (Section 4.1, appendix C.2): one network for the clip, image loss alone.

python -m vidprior.main --config=configs/dip_vid.py \
        --video=VIDEO --mask=MASK --workdir=out/dip_vid
"""

from vidprior.configuration import load


def get_config():
    """The defaults."""
    return load("base")
