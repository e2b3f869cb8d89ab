"""Makes masks for a clip: from boxes, or by tracking a painted frame.

  python tools/make_mask.py --video clip.mp4 --output masks --painted 12:frame12.png
  python tools/make_mask.py --video clip.mp4 --output masks --box 0:40,20,64,48

writes a mask for every frame, `masks.mp4` (the clip with the mask outlined) and `masks.json`
(a confidence for every frame). Frames count from 0; a box is FRAME:LEFT,TOP,WIDTH,HEIGHT.

A painted mask (white on black, of the video's size) is tracked forwards and backwards through
the clip. If the confidence is low, the object is hidden, has turned, or is lost: check the
preview, paint that frame too, and give both. Each frame takes the painted mask that fits it
best. Boxes are interpolated linearly; before the first and after the last they are constant.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping
from fractions import Fraction

import cv2
import numpy as np

from vidprior.errors import InputError
from vidprior.flow import dis
from vidprior.imaging.visualize import outline_hole
from vidprior.io import images, video_writer
from vidprior.io.footage import Footage, open_footage
from vidprior.io.masks import read_mask_frames
from vidprior.propagation import mask_tracking


def box_masks(boxes: Mapping[int, tuple[float, ...]], count: int, size: tuple[int, int]):
    """[T, H, W] bool of boxes (left, top, width, height) by frame, interpolated linearly."""
    numbers = sorted(boxes)
    sides = [[boxes[number][i] for number in numbers] for i in range(4)]
    masks = np.zeros((count, *size), bool)
    for frame, mask in enumerate(masks):
        left, top, width, height = (float(np.interp(frame, numbers, side)) for side in sides)
        rows = slice(max(0, round(top)), max(0, round(top + height)))
        columns = slice(max(0, round(left)), max(0, round(left + width)))
        mask[rows, columns] = True
    return masks


def tracked_masks(
    footage: Footage, painted: Mapping[int, np.ndarray], *, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """[T, H, W] bool and confidence [T] of masks [H, W] bool painted in some frames."""
    h, w = footage.size
    small = (min(width, w), max(dis.MIN_SIDE, round(h * min(width, w) / w)))
    frames = np.stack(
        [cv2.resize(frame, small, interpolation=cv2.INTER_AREA) for frame in footage.frames()]
    )
    flow = dis.estimate_dis(frames, offsets=(1, -1), source_sha256="", preset="fine").flow.astype(
        np.float32
    )
    found = {}
    for number, mask in painted.items():
        reduced = cv2.resize(mask.astype(np.float32), small, interpolation=cv2.INTER_AREA) > 0.5
        found[number] = mask_tracking.track_mask(reduced, number, frames, *flow)
    numbers = list(found)
    confidence = np.stack([found[number].confidence for number in numbers])
    best = confidence.argmax(axis=0)
    masks = np.zeros((len(frames), h, w), bool)
    for frame in np.flatnonzero(confidence.max(axis=0)):
        number = numbers[best[frame]]
        motion = found[number].motion[frame]
        masks[frame] = mask_tracking.move_mask(
            painted[number], motion, scale=(w / small[0], h / small[1])
        )
    return masks, confidence.max(axis=0)


def describe(confidence: np.ndarray) -> str:
    """The confidence of the masks, and which frame to paint next."""
    doubtful = np.flatnonzero(confidence < mask_tracking.CONFIDENT)
    told = f"confidence: mean {confidence.mean():.2f}, minimum {confidence.min():.2f}"
    if not len(doubtful):
        return told
    runs = np.split(doubtful, np.flatnonzero(np.diff(doubtful) > 1) + 1)
    named = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    longest = max(runs, key=len)
    return f"{told}; low in frames {named}: paint frame {longest[len(longest) // 2]} too"


def _write(output: pathlib.Path, footage, masks: np.ndarray, confidence: np.ndarray) -> None:
    images.write_frames(output, (mask.astype(np.uint8) * 255 for mask in masks))
    preview, values = output.with_suffix(".mp4"), output.with_suffix(".json")
    shown = (outline_hole(f, m) for f, m in zip(footage.frames(), masks, strict=True))
    video_writer.write_video(preview, shown, rate=footage.rate or Fraction(25))
    values.write_text(json.dumps({"confidence": [round(float(c), 4) for c in confidence]}) + "\n")
    print(f"masks:   {output}/*.png\npreview: {preview}\nvalues:  {values}")
    print(describe(confidence))


def _parse(text: str, count: int, flag: str) -> tuple[int, str]:
    number, colon, value = text.partition(":")
    if not (colon and number.isdecimal() and int(number) < count):
        raise InputError(f"{flag} {text}: begin with a frame from 0 to {count - 1} and a colon")
    return int(number), value


def _parse_box(text: str, count: int) -> tuple[int, tuple[float, ...]]:
    number, value = _parse(text, count, "--box")
    try:
        left, top, width, height = map(float, value.split(","))
    except ValueError as error:
        raise InputError(f"--box {text}: give FRAME:LEFT,TOP,WIDTH,HEIGHT") from error
    if not (np.isfinite([left, top]).all() and 0 < width < np.inf and 0 < height < np.inf):
        raise InputError(f"--box {text}: width and height must be above 0")
    return number, (left, top, width, height)


def make(flags: argparse.Namespace) -> None:
    """Makes masks as the flags say.

    Raises:
      InputError: a flag or a file is invalid.
    """
    if bool(flags.box) == bool(flags.painted):
        raise InputError("give --box or --painted, one or more of them")
    footage = open_footage(flags.video)
    if flags.box:
        boxes = dict(_parse_box(text, footage.count) for text in flags.box)
        masks = box_masks(boxes, footage.count, footage.size)
        _write(flags.output, footage, masks, np.ones(footage.count))
        return
    painted = {}
    for text in flags.painted:
        number, path = _parse(text, footage.count, "--painted")
        (mask,) = read_mask_frames(path, size=footage.size, num_frames=1)
        painted[number] = mask > 127
        if not painted[number].any():
            raise InputError(f"{path}: nothing is painted")
    masks, confidence = tracked_masks(footage, painted, width=flags.width)
    _write(flags.output, footage, masks, confidence)


def main() -> None:
    """Parses the flags; invalid input gives one line and exit code 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", required=True, help="a video file or a folder of frames")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder of the masks")
    parser.add_argument("--box", action="append", help="FRAME:LEFT,TOP,WIDTH,HEIGHT; repeatable")
    parser.add_argument("--painted", action="append", help="FRAME:IMAGE; repeatable")
    parser.add_argument("--width", type=int, default=480, help="columns for the flow (480)")
    flags = parser.parse_args()
    if flags.width < 32:
        parser.error("--width is at least 32")
    try:
        make(flags)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
