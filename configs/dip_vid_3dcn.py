"""DIP-Vid-3DCN (Section 4.1, appendix A.2): DIP-Vid with convolutions in space and time.

python -m vidprior.main --config=configs/dip_vid_3dcn.py \
        --video=VIDEO --mask=MASK --workdir=out/dip_vid_3dcn
"""

from vidprior.configuration import load


def get_config():
    """DIP-Vid with the 3D network."""
    config = load("base")
    config.model.conv_ndim = 3
    return config
