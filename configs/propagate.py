"""No training: known pixels propagated into the hole, about a second a frame.

    python -m vidprior.main --config=configs/propagate.py \
        --video=VIDEO --mask=MASK --workdir=out/propagate

Content that no frame shows is guessed once, by copies of its surroundings. Not a system of the
paper.
"""

from vidprior.configuration import load


def get_config():
    """Propagated pixels alone."""
    config = load("base")
    config.video.crop = "hole"
    config.video.split_at_cuts = True
    config.video.max_segment_frames = 100
    config.mask.suggest = True
    config.method = "propagate"
    config.propagation.guess = "copies"
    config.window.length = 1
    return config
