"""Brings rendered frames to source size, with detail sampled from source frames."""

import itertools
import os
import zlib
from collections.abc import Iterator

import numpy as np
from ml_collections import ConfigDict

from vidprior.imaging.compositing import composite_into_source
from vidprior.imaging.geometry import MASK_THRESHOLD, paste_back
from vidprior.imaging.grain import add_grain, measure_grain
from vidprior.io.frame_spool import FrameSpool
from vidprior.propagation.source_colours import add_detail
from vidprior.run.render import CompositeFrame
from vidprior.run.source import Source, verify_source

# Source frames up to this far before and after a frame are sampled.
_REACH = 60
# The random numbers of grain; each frame has its own.
_GRAIN_STREAM = zlib.crc32(b"grain")


def to_source_resolution(
    config: ConfigDict,
    source: Source,
    shown: Iterator[CompositeFrame],
    *,
    first: int,
    folder: str | os.PathLike[str],
) -> Iterator[CompositeFrame]:
    """Yields frames at source size, with propagated pixels sampled from the source.

    The source is read once, in order.

    Args:
      config: fields `render.*`.
      source: of the run, from its first frame on.
      shown: consecutive rendered frames.
      first: number of the first of them.
      folder: for a temporary file of uncompressed source frames: 60 before and after the
        current one.

    Raises:
      InputError: the source has changed since the run began.
    """
    lends = config.method == "propagate" or config.render.propagated_pixels != "none"
    reach = _REACH if lends else 0
    begin = max(0, first - reach)
    rest = source.part(range(begin, source.footage.count))
    read = ((frame[0], mask[0]) for frame, mask in rest.frames())
    size = source.footage.size
    with FrameSpool(read, first=begin, size=size, reach=reach, folder=folder) as spool:
        for one, known, hole in verify_source(source, shown, _in_order(spool, first)):
            generated = paste_back(one.view, one.image[None], known[None])[0]
            if one.detail is not None:

                def lookup(
                    number: int, at: int = one.number
                ) -> tuple[np.ndarray, np.ndarray] | None:
                    found = spool.read(number, at=at)
                    return None if found is None else (found[0], found[1] > MASK_THRESHOLD)

                generated = add_detail(
                    generated, one.image, known, hole, one.detail, view=one.view, lookup=lookup
                )
            if config.render.grain:
                grain = measure_grain(known, ~hole)
                if grain is not None:
                    random = np.random.default_rng([config.seed, _GRAIN_STREAM, one.number])
                    generated = add_grain(generated, hole, grain, random=random)
            image = composite_into_source(
                generated,
                known,
                hole,
                crop=one.view.crop,
                feather=config.render.feather,
                gradient=config.render.seam == "gradient",
            )
            yield one._replace(at_source=image)


def _in_order(spool: FrameSpool, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields frames [1, h, w, 3] and masks [1, h, w] from a number on."""
    for number in itertools.count(first):
        found = spool.read(number, at=number)
        if found is None:
            return
        frame, mask = found
        yield frame[None], mask[None]
