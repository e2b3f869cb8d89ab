"""What a person gets to see: final frames, videos and previews."""

import functools
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from vidprior import image_io, video_out
from vidprior.render import Frame, composite
from vidprior.types import OFFSETS
from vidprior.visualize import flow_colours, outline_hole, side_by_side
from vidprior.workdir import Prepared

# The flow that is shown: from each frame to the next.
SHOWN_OFFSET = OFFSETS.index(1)


def panels(frame: Frame, clip: Prepared) -> list[np.ndarray]:
    """Input with the hole outlined, result, and the generated flow if there is one."""
    known, hole = clip.frames[frame.number], clip.hole[frame.number]
    shown = [outline_hole(known, hole), composite(frame.image, known, hole)]
    if frame.flow is not None:
        flow = frame.flow[:, :, SHOWN_OFFSET]
        fastest = float(np.percentile(np.linalg.norm(flow, axis=-1), 99))
        shown.append(flow_colours(flow, full=max(fastest, 1e-6)))
    return shown


def write_results(
    folder: pathlib.Path, rendered: Sequence[Frame], clip: Prepared
) -> dict[str, pathlib.Path]:
    """Writes result/, result.mp4 and comparison.mp4 into a folder.

    PNG names are the frames' numbers in the clip.

    Returns:
      What was written, by name.
    """
    write_video = functools.partial(
        video_out.write_video,
        rate=Fraction(*clip.rate),
        pixel_aspect=Fraction(*clip.pixel_aspect),
    )
    paths = {
        "frames": folder / "result",
        "video": folder / "result.mp4",
        "comparison": folder / "comparison.mp4",
    }
    folder.mkdir(parents=True, exist_ok=True)
    image_io.write_frames(paths["frames"], _results(rendered, clip), start=rendered[0].number)
    write_video(paths["video"], _results(rendered, clip))
    rows = (side_by_side(*panels(frame, clip)) for frame in rendered)
    write_video(paths["comparison"], rows)
    return paths


def write_preview(path: pathlib.Path, rendered: Iterable[Frame], clip: Prepared) -> None:
    """Writes one picture: a row of panels for each frame."""
    path.parent.mkdir(exist_ok=True)
    rows = [side_by_side(*panels(frame, clip)) for frame in rendered]
    image_io.write_image(path, np.concatenate(rows))


def _results(rendered: Iterable[Frame], clip: Prepared) -> Iterator[np.ndarray]:
    for frame in rendered:
        yield composite(frame.image, clip.frames[frame.number], clip.hole[frame.number])
