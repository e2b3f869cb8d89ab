"""What a person gets to see: final frames, videos and previews."""

import contextlib
import itertools
import pathlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from vidprior import image_io, video_out
from vidprior.finish import finish
from vidprior.geometry import Transform
from vidprior.render import Frame, composite
from vidprior.types import OFFSETS
from vidprior.video_io import Footage
from vidprior.visualize import flow_colours, outline_hole, side_by_side
from vidprior.workdir import Prepared

# The flow that is shown: from each frame to the next.
SHOWN_OFFSET = OFFSETS.index(1)


# By the format of the result, its name in a work directory.
RESULTS = {
    "mp4": "result.mp4",
    "mkv": "result.mkv",
    "mov": "result.mov",
    "lossless": "result.mkv",
    "png": "result_png",
}


class Finishing(NamedTuple):
    """What brings generated frames to source size.

    Attributes:
      footage: the range of the source that is rendered; gives times and audio.
      frames: its frames [h, w, 3] uint8 with their holes [h, w] bool.
      transform: from the source to training size.
      with_audio: copy the audio of the footage.
      feather: width of the seam, pixels of the source.
      gradient: blend gradients, see `finish.finish`.
    """

    footage: Footage
    frames: Iterator[tuple[np.ndarray, np.ndarray]]
    transform: Transform
    with_audio: bool
    feather: float
    gradient: bool

    def finish(self, frame: Frame) -> np.ndarray:
        """[h, w, 3] uint8: the next frame of the source, its hole filled from `frame`."""
        source, hole = next(self.frames)
        return finish(
            frame.image,
            source,
            hole,
            transform=self.transform,
            feather=self.feather,
            gradient=self.gradient,
        )


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
    folder: pathlib.Path,
    rendered: Iterable[Frame],
    clip: Prepared,
    *,
    finishing: Finishing | None = None,
    video_format: str = "mp4",
) -> dict[str, pathlib.Path]:
    """Writes the result, result/ and comparison.mp4 into a folder, in one pass.

    result/ holds PNG files at training size, for measuring; their names are the frames'
    numbers in the clip.

    Args:
      folder: made if it is missing.
      rendered: frames in order, at least one; taken one at a time.
      clip: the clip that they belong to.
      finishing: brings the result to source size; without it, it has training size and
        no audio.
      video_format: of the result: 'mp4', 'mkv', 'mov' (H.264), 'lossless' (.mkv), or
        'png' (a folder of images).

    Returns:
      What was written, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "frames": folder / "result",
        "result": folder / RESULTS[video_format],
        "comparison": folder / "comparison.mp4",
    }
    of_clip: dict[str, Any] = {
        "rate": Fraction(*clip.rate),
        "pixel_aspect": Fraction(*clip.pixel_aspect),
    }
    rendered = iter(rendered)
    first = next(rendered)
    with contextlib.ExitStack() as stack:
        keep = stack.enter_context(image_io.open_frames(paths["frames"], start=first.number))
        show = stack.enter_context(video_out.open_writer(paths["comparison"], **of_clip))
        if video_format == "png":
            opened = image_io.open_frames(paths["result"], start=first.number)
        else:
            options = dict(of_clip)
            if finishing is not None:
                options["shown_at"] = finishing.footage.shown_at()
                if finishing.with_audio:
                    options["audio"] = stack.enter_context(finishing.footage.audio())
            lossless = video_format == "lossless"
            opened = video_out.open_writer(paths["result"], lossless=lossless, **options)
        write = stack.enter_context(opened)
        for frame in itertools.chain([first], rendered):
            composed = composite(frame.image, clip.frames[frame.number], clip.hole[frame.number])
            keep(composed)
            show(side_by_side(*panels(frame, clip)))
            write(composed if finishing is None else finishing.finish(frame))
    return paths


def write_preview(path: pathlib.Path, rendered: Iterable[Frame], clip: Prepared) -> np.ndarray:
    """Writes one picture, and returns it, [H, W, 3] uint8: a row of panels for each frame."""
    path.parent.mkdir(exist_ok=True)
    rows = [side_by_side(*panels(frame, clip)) for frame in rendered]
    picture = np.concatenate(rows)
    image_io.write_image(path, picture)
    return picture
