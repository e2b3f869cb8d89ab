"""Writes results: final frames, videos and previews."""

import contextlib
import itertools
import pathlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from vidprior.imaging.visualize import flow_colours, outline_hole, side_by_side
from vidprior.io import images, video_writer
from vidprior.io.footage import Footage
from vidprior.io.output_check import check_output, open_fitting
from vidprior.run.clip_file import PreparedClip
from vidprior.run.render import CompositeFrame, RenderedFrame
from vidprior.types import OFFSETS

# The flow that is shown: from each frame to the next.
SHOWN_OFFSET = OFFSETS.index(1)


# Name of the result in a work directory, by format.
RESULTS = {
    "mp4": "result.mp4",
    "mkv": "result.mkv",
    "mov": "result.mov",
    "ffv1": "result.mkv",
    "png": "result_png",
}


def attach_input(
    rendered: Iterable[RenderedFrame], clip: PreparedClip, *, first: int = 0
) -> Iterator[CompositeFrame]:
    """Adds the input, hole and crop to rendered frames.

    Args:
      rendered: numbered in the clip.
      clip: of a segment of the run, or all of it.
      first: number of its first frame in the run.
    """
    view = clip.view
    for number, image, flow, detail in rendered:
        known, hole = clip.frames[number], clip.hole[number]
        if detail is not None:
            frame = np.where(detail.frame < 0, -1, detail.frame + first)
            detail = detail._replace(frame=frame)
        yield CompositeFrame(first + number, image, flow, known, hole, view, detail)


def panels(shown: CompositeFrame) -> list[np.ndarray]:
    """Input with the hole outlined, result, and the generated flow if there is one."""
    pictures = [outline_hole(shown.known, shown.hole), shown.composed]
    if shown.flow is not None:
        flow = shown.flow[:, :, SHOWN_OFFSET]
        fastest = float(np.percentile(np.linalg.norm(flow, axis=-1), 99))
        pictures.append(flow_colours(flow, full=max(fastest, 1e-6)))
    return pictures


def write_results(
    folder: pathlib.Path,
    shown: Iterable[CompositeFrame],
    *,
    rate: Fraction,
    pixel_aspect: Fraction,
    footage: Footage | None = None,
    with_audio: bool = False,
    video_format: str = "mp4",
) -> dict[str, pathlib.Path]:
    """Writes the result, result/ and comparison.mp4 into a folder, in one pass.

    result/ contains PNG files at training size, for evaluation, named by the frames' numbers
    in the run.

    Args:
      folder: created if missing.
      shown: frames in order, at least one; consumed one at a time. The result has source
        size if they have `at_source`, else training size.
      rate: frames per second.
      pixel_aspect: width of a pixel over its height.
      footage: the rendered range of the source; gives times, sound and tags.
      with_audio: copy the audio of the footage.
      video_format: of the result: 'mp4', 'mkv', 'mov' (H.264), 'ffv1' (.mkv), or
        'png' (a folder of images).

    Returns:
      The paths, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "frames": folder / "result",
        "result": folder / RESULTS[video_format],
        "comparison": folder / "comparison.mp4",
    }
    of_clip: dict[str, Any] = {"rate": rate, "pixel_aspect": pixel_aspect}
    shown = iter(shown)
    first = next(shown)
    size = first.result.shape[:2]
    with contextlib.ExitStack() as stack:
        keep = stack.enter_context(images.open_frames(paths["frames"], start=first.number))
        show = stack.enter_context(video_writer.open_writer(paths["comparison"], **of_clip))
        if video_format == "png":
            opened = images.open_frames(paths["result"], start=first.number)
        else:
            options = dict(of_clip)
            if footage is not None:
                streams = check_output(
                    paths["result"], footage, size=size, video_format=video_format,
                    with_audio=with_audio, **of_clip,
                )  # fmt: skip
                copied = open_fitting(footage, streams, with_audio=with_audio)
                options |= {
                    "shown_at": footage.shown_at(),
                    "copied": stack.enter_context(copied),
                    "colour": footage.colour,
                    "fields": footage.fields if size == footage.size else "",
                }
            lossless = video_format == "ffv1"
            opened = video_writer.open_writer(paths["result"], lossless=lossless, **options)
        write = stack.enter_context(opened)
        for frame in itertools.chain([first], shown):
            keep(frame.composed)
            show(side_by_side(*panels(frame)))
            write(frame.result)
    return paths


def check_result(
    folder: pathlib.Path,
    footage: Footage,
    *,
    rate: Fraction,
    video_format: str,
    with_audio: bool,
) -> Iterator[str]:
    """Tests, before anything is computed, that the result can be written.

    Args:
      folder: of the run.
      footage: the source.
      rate: frames per second.
      video_format, with_audio: as in `write_results`.

    Yields:
      A line with what the result cannot keep of the source.

    Raises:
      InputError: it cannot be written; with what to do.
    """
    streams = check_output(
        folder / RESULTS[video_format],
        footage,
        size=footage.size,
        video_format=video_format,
        rate=rate,
        pixel_aspect=footage.pixel_aspect,
        with_audio=with_audio,
    )
    if streams.left_out:
        other = "" if video_format in ("mkv", "ffv1") else "; mkv may (--config.render.format)"
        yield f"note: {RESULTS[video_format]} does not keep {', '.join(streams.left_out)}{other}"


def write_preview(
    path: pathlib.Path, rendered: Iterable[RenderedFrame], clip: PreparedClip
) -> np.ndarray:
    """Writes and returns one picture [H, W, 3] uint8 with a row of panels for each frame."""
    path.parent.mkdir(exist_ok=True)
    picture = np.concatenate(
        [side_by_side(*panels(shown)) for shown in attach_input(rendered, clip)]
    )
    images.write_image(path, picture)
    return picture
