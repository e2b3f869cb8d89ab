"""Makes masks for a clip: by tracking an object, or from boxes.

  vidprior track --video clip.mp4 --output masks --painted 12:frame12.png
  vidprior track --video clip.mp4 --output masks --painted painted/
  vidprior track --video clip.mp4 --output masks --object 0:40,20,64,48
  vidprior track --video clip.mp4 --output masks --point 0:70,40 --background 30:10,20,64,48
  vidprior track --video clip.mp4 --output masks --box 0:40,20,64,48

writes a mask for every frame, `masks.mp4` (the clip with the mask outlined) and `masks.json`
(a confidence for every frame); an interrupted command goes on when it is given again. Frames count
from 0; a box is FRAME:LEFT,TOP,WIDTH,HEIGHT.

A painted mask (white on black, of the video's size) is tracked forwards and backwards through
the clip. If the confidence is low, the object is hidden, has turned, or is lost: check the
preview, paint that frame too, and give both. A folder may hold any number of painted masks,
named by frame number. --absent says that the object is not in a frame: nothing is followed into it,
and behind it there is none until the next painted frame. --object finds the object in a box of one
frame, and tracks it; --point finds what moves by itself at a point, FRAME:X,Y. --box makes masks of
the boxes themselves, interpolated linearly.

--soft writes masks as alpha mattes: grey along the border, by the colours of the frame.

Points also correct: --point marks what is missing in a frame's mask, --background what does not
belong to it, a point or a box. The corrected mask is tracked as a painted one.
"""

import argparse
import functools
import json
import pathlib
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
from tqdm import tqdm

from vidprior.errors import InputError
from vidprior.imaging.visualize import outline_hole
from vidprior.io import images, numbering, video_writer
from vidprior.io.files import replacing
from vidprior.io.footage import Footage, open_footage
from vidprior.io.masks import read_mask_frames
from vidprior.subcommand import Parser
from vidprior.tracking.boxes import Box, box_masks, object_in_box
from vidprior.tracking.edges import soften
from vidprior.tracking.marks import BACKGROUND, OBJECT, Place, draw_marks
from vidprior.tracking.track import track
from vidprior.tracking.tracked import CONFIDENT, Tracked


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    made = Parser(
        prog="vidprior track",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--video", required=True, help="a video file or a folder of frames")
    add("--output", type=pathlib.Path, required=True, help="folder of the masks")
    add("--painted", action="append", default=[], help="FRAME:IMAGE, or a folder; repeatable")
    add("--absent", action="append", default=[], type=int, help="FRAME; repeatable")
    add("--object", action="append", default=[], help="FRAME:LEFT,TOP,WIDTH,HEIGHT; repeatable")
    add("--point", action="append", default=[], help="FRAME:X,Y of the object; repeatable")
    add("--background", action="append", default=[],
        help="FRAME:X,Y or FRAME:LEFT,TOP,WIDTH,HEIGHT without the object; repeatable")  # fmt: skip
    add("--box", action="append", default=[], help="FRAME:LEFT,TOP,WIDTH,HEIGHT; repeatable")
    add("--soft", action="store_true", help="masks with soft edges, not with --box")
    return made


def main(arguments: Sequence[str]) -> int:
    """Makes masks as the flags say.

    Args:
      arguments: the words after `track`.

    Raises:
      InputError: a flag or a file is invalid.
    """
    flags = parser().parse_args(list(arguments))
    if bool(flags.box) == bool(flags.painted or flags.object or flags.point):
        raise InputError("give --box, or --painted, --object or --point, one or more of them")
    for name in ("background", "absent"):
        if flags.box and getattr(flags, name):
            raise InputError(f"--{name} corrects what is tracked, not --box: leave one out")
    if flags.box and flags.soft:
        raise InputError("--soft follows the border of an object, not of --box: leave one out")
    footage = open_footage(flags.video)
    if flags.box:
        masks = box_masks(_read_boxes(flags.box, footage, "--box"), footage.count, footage.size)
        _write(flags.output, footage, Tracked(masks, np.ones(footage.count, np.float32), {}))
        return 0
    painted = _read_painted(flags.painted, footage)
    boxes = _read_boxes(flags.object, footage, "--object")
    for number in sorted(boxes.keys() & painted.keys()):
        raise InputError(f"--object: frame {number} is painted too: give one of both")
    marks = _read_marks(flags.point, flags.background, footage)
    for number, box in boxes.items():
        painted[number] = object_in_box(footage, number, box, marks.pop(number, None))
    for number in flags.absent:
        if number in painted:
            raise InputError(f"--absent={number}: this frame is painted too: give one of both")
    painted |= {number: np.zeros(footage.size, bool) for number in flags.absent}
    with tqdm(unit="step", desc="track", disable=None) as bar:
        tracked = track(
            footage.frames(),
            painted,
            marks=marks,
            keep=flags.output.with_name(f"{flags.output.name}.state"),
            on_progress=functools.partial(_show, bar),
        )
    _write(flags.output, footage, tracked, soft=flags.soft)
    return 0


def describe(tracked: Tracked) -> str:
    """The confidence of the masks, and which frame to paint next."""
    confidence = tracked.confidence
    told = f"confidence: mean {confidence.mean():.2f}, minimum {confidence.min():.2f}"
    if tracked.weakest is None:
        return told
    named = numbering.spell(np.flatnonzero(confidence < CONFIDENT).tolist())
    return f"{told}; low in {named}: paint frame {tracked.weakest} too"


def _show(bar: "tqdm[None]", done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


def _read_painted(given: Iterable[str], footage: Footage) -> dict[int, np.ndarray]:
    """Painted masks [H, W] bool, by frame number; masks of a folder that are empty are left out."""
    painted: dict[int, np.ndarray] = {}
    for text in given:
        folder = pathlib.Path(text)
        if folder.is_dir():
            files = images.list_images(folder)
            numbers = numbering.numbers_in(files)
            if numbers is None:
                raise InputError(f"{folder}: name each image by the number of its frame")
            found = list(zip(numbers, map(str, files), strict=True))
        else:
            found = [_parse(text, footage.count, "--painted")]
        for number, path in found:
            if not 0 <= number < footage.count:
                raise InputError(f"{path}: the clip has frames 0 to {footage.count - 1}")
            if number in painted:
                raise InputError(f"{path}: frame {number} is painted twice")
            (mask,) = read_mask_frames(path, size=footage.size, num_frames=1)
            if (mask > 127).all():
                raise InputError(f"{path}: everything is painted")
            if (mask > 127).any():
                painted[number] = mask > 127
            elif not folder.is_dir():
                raise InputError(f"{path}: nothing is painted: if it is absent, --absent={number}")
        if folder.is_dir() and not painted:
            raise InputError(f"{folder}: nothing is painted in any image")
    return painted


def _read_boxes(given: Iterable[str], footage: Footage, flag: str) -> dict[int, Box]:
    boxes: dict[int, Box] = {}
    for text in given:
        number, box = _parse_box(text, footage.count, flag)
        if number in boxes:
            raise InputError(f"{flag} {text}: frame {number} has a box already: give one")
        boxes[number] = box
    return boxes


def _read_marks(
    points: Iterable[str], background: Iterable[str], footage: Footage
) -> dict[int, np.ndarray]:
    """Marks [H, W] int8, by frame number, in the order given."""
    places: dict[int, list[tuple[int, Place]]] = {}
    height, width = footage.size
    for flag, kind, given in (
        ("--point", OBJECT, points),
        ("--background", BACKGROUND, background),
    ):
        for text in given:
            number, value = _parse(text, footage.count, flag)
            place: Place
            if value.count(",") == 1:
                x, y = place = _parse_point(text, value, flag)
                if not (0 <= x < width and 0 <= y < height):
                    raise InputError(f"{flag} {text}: the clip has {width}x{height} pixels")
            elif kind == BACKGROUND:
                _, place = _parse_box(text, footage.count, flag)
            else:
                raise InputError(f"{flag} {text}: give FRAME:X,Y")
            places.setdefault(number, []).append((kind, place))
    return {number: draw_marks(found, footage.size) for number, found in places.items()}


def _write(output: pathlib.Path, footage: Footage, tracked: Tracked, *, soft: bool = False) -> None:
    if soft:
        pairs = zip(tracked.masks, footage.frames(), strict=True)
        images.write_frames(output, (soften(mask, frame) for mask, frame in pairs))
    else:
        images.write_frames(output, (mask.astype(np.uint8) * 255 for mask in tracked.masks))
    preview, values = output.with_suffix(".mp4"), output.with_suffix(".json")
    shown = (outline_hole(f, m) for f, m in zip(footage.frames(), tracked.masks, strict=True))
    video_writer.write_video(preview, shown, rate=footage.rate or Fraction(25))
    confidence = [round(float(value), 4) for value in tracked.confidence]
    with replacing(values) as temporary:
        temporary.write_text(json.dumps({"confidence": confidence}) + "\n")
    print(f"masks:   {output}/*.png\npreview: {preview}\nvalues:  {values}")
    print(describe(tracked))
    if tracked.doubtful:
        print(
            f"warning: what is painted in {numbering.spell(tracked.doubtful)} looks and moves as "
            f"what is around it: if it is the object, check the preview, otherwise paint again"
        )


def _parse(text: str, count: int, flag: str) -> tuple[int, str]:
    number, colon, value = text.partition(":")
    if not (colon and number.isdecimal() and int(number) < count):
        raise InputError(f"{flag} {text}: begin with a frame from 0 to {count - 1} and a colon")
    return int(number), value


def _parse_point(text: str, value: str, flag: str) -> tuple[float, float]:
    try:
        x, y = map(float, value.split(","))
    except ValueError as error:
        raise InputError(f"{flag} {text}: give FRAME:X,Y") from error
    return x, y


def _parse_box(text: str, count: int, flag: str) -> tuple[int, Box]:
    number, value = _parse(text, count, flag)
    try:
        left, top, width, height = map(float, value.split(","))
    except ValueError as error:
        raise InputError(f"{flag} {text}: give FRAME:LEFT,TOP,WIDTH,HEIGHT") from error
    if not (np.isfinite([left, top]).all() and 0 < width < np.inf and 0 < height < np.inf):
        raise InputError(f"{flag} {text}: width and height must be above 0")
    return number, (left, top, width, height)
