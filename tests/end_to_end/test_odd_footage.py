"""Footage as it comes: odd sizes, 10 bits, grey, turned, cut out; through the real command."""

import struct
import types
from fractions import Fraction

import av
import numpy as np
import pytest
from harness import SMALLEST, assert_one_error, pictures

from vidprior.io import footage, images

pytestmark = pytest.mark.slow

COUNT, SIZE = 9, (64, 96)
PLAIN = ("--config=propagate", *SMALLEST, "--config.video.crop=frame")


def moving_picture(size=SIZE, count=COUNT):
    """[T, H, W, 3]: unlike in every frame, without any symmetry; `boxes` are white."""
    y, x = np.mgrid[: size[0], : size[1]]
    frames = np.stack(
        [np.stack([x + 2 * t, 2 * y + t, x + y + 3 * t], axis=-1) % 200 for t in range(count)]
    ).astype(np.uint8)
    frames[boxes(size, count) > 0] = 255
    return frames


def boxes(size=SIZE, count=COUNT):
    """[T, H, W] uint8: a box that moves, 255."""
    masks = np.zeros((count, *size), np.uint8)
    for t in range(count):
        masks[t, size[0] // 3 : size[0] // 2, 10 + 2 * t : 30 + 2 * t] = 255
    return masks


def encode(path, frames, *, codec="libx264", pix_fmt="yuv420p", **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "8"} | options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def turn_clockwise(path):
    """Writes a quarter turn into the track's header, as a telephone held upright does."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", data, place, 0, 2**16, 0, -(2**16), 0, 0, 0, 0, 2**30)
    path.write_bytes(data)


def facts(path):
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        size = video.height, video.width
        frames = list(container.decode(video))
        turned = any(frame.side_data.get("DISPLAYMATRIX") is not None for frame in frames)
        return types.SimpleNamespace(
            size=size, count=len(frames), turned=turned, rate=video.average_rate
        )


@pytest.fixture
def inpaint(command, tmp_path):
    """Inpaints a video whose upright frames have a size; returns the lossless result."""

    def run(video, *options, size=SIZE, count=COUNT, masks=None):
        workdir = tmp_path / "run"
        if masks is None:
            masks = tmp_path / "masks"
            images.write_frames(masks, boxes(size, count))
        inputs = (f"--video={video}", f"--mask={masks}", f"--workdir={workdir}")
        lossless = "--config.render.format=ffv1"
        finished = command.succeed(*PLAIN, *inputs, lossless, *options)
        return types.SimpleNamespace(
            workdir=workdir,
            frames=footage.read_frames(workdir / "result.mkv").frames,
            told=finished.stderr,
        )

    return run


@pytest.fixture
def as_mp4(command):
    """Renders a run again, as people will look at it."""

    def render(workdir):
        command.succeed("--mode=render", f"--workdir={workdir}", "--config.render.format=mp4")
        return workdir / "result.mp4"

    return render


def assert_only_the_hole_differs(result, source, hole):
    np.testing.assert_array_equal(result[~hole], source[~hole])
    assert (result != source).any(axis=-1)[hole].mean() > 0.9


def test_odd_sizes(inpaint, as_mp4, tmp_path):
    frames = moving_picture((51, 77))
    made = inpaint(
        encode(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0"), size=frames.shape[1:3]
    )
    assert_only_the_hole_differs(made.frames, frames, boxes((51, 77)) > 0)
    assert facts(as_mp4(made.workdir)).size == (52, 78)  # H.264 has no odd sides


@pytest.mark.parametrize(("codec", "suffix"), [("libx265", ".mp4"), ("ffv1", ".mkv")])
def test_10_bits_are_decoded_to_8_and_those_are_kept(inpaint, tmp_path, codec, suffix):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = encode(
        tmp_path / f"a{suffix}", moving_picture(), codec=codec, pix_fmt="yuv420p10le", **options
    )
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
        assert {frame.format.name for frame in decoded} == {"yuv420p10le"}
        eight = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    made = inpaint(path)
    assert_only_the_hole_differs(made.frames, eight, boxes() > 0)


def test_grey_footage(inpaint, tmp_path):
    path = encode(tmp_path / "a.mp4", moving_picture(), pix_fmt="gray")
    made = inpaint(path)
    grey = footage.read_frames(path).frames
    assert (grey == grey[..., :1]).all()
    assert grey.std() > 20
    assert_only_the_hole_differs(made.frames, grey, boxes() > 0)


def test_turned_footage_comes_out_upright(inpaint, as_mp4, tmp_path):
    """The file lies on its side and says so; mask and result are as a person sees it."""
    path = encode(tmp_path / "a.mp4", moving_picture())
    lying = footage.read_frames(path).frames
    turn_clockwise(path)
    upright = np.rot90(lying, -1, axes=(1, 2))
    size = upright.shape[1:3]
    assert size == (96, 64)
    made = inpaint(path, "--config.video.height=48", "--config.video.width=32", size=size)
    assert_only_the_hole_differs(made.frames, upright, boxes(size) > 0)
    video = as_mp4(made.workdir)
    shown = facts(video)
    assert (shown.size, shown.count, shown.turned) == (size, COUNT, False)
    coded = footage.read_frames(video).frames
    assert np.abs(coded.astype(int) - made.frames).mean() < 4
    assert next(iter(pictures(made.workdir / "result").values())).shape == (48, 32, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_audio_of_no_length(inpaint, as_mp4, write_clip, heard, tmp_path, suffix):
    path = write_clip(tmp_path / f"a{suffix}", moving_picture(), tones=1, seconds=0)
    made = inpaint(path)
    video = as_mp4(made.workdir)
    assert facts(video).count == COUNT
    assert all(packets == [] for packets in heard(video))


def test_a_video_that_does_not_begin_with_a_key_frame(inpaint, tmp_path):
    """Cut behind its first packet: the frames up to the next key frame cannot be shown."""
    whole = encode(
        tmp_path / "whole.mp4", moving_picture(count=14), g="5", sc_threshold="0", bf="0"
    )
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as rest:
        stream = source.streams.video[0]
        copied = rest.add_stream_from_template(stream)
        for number, packet in enumerate(source.demux(stream)):
            if packet.size and number > 0:
                packet.stream = copied
                rest.mux(packet)
    masks = tmp_path / "masks"
    images.write_frames(masks, boxes(count=14)[5:])
    made = inpaint(cut, masks=masks)
    assert "the 4 frames before it cannot be decoded, and are left out" in made.told
    frames = footage.read_frames(whole).frames[5:]
    assert_only_the_hole_differs(made.frames, frames, boxes(count=14)[5:] > 0)


# Masks of another number, rate or size


@pytest.fixture
def mask_video(tmp_path):
    """Masks at half the size and half the rate of the video."""
    masks = np.repeat(boxes()[::2, ::2, ::2, None], 3, axis=-1)
    path = tmp_path / "masks.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(25, 2))
        stream.height, stream.width, stream.pix_fmt = *masks.shape[1:3], "bgr0"
        for mask in masks:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(mask, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_masks_that_do_not_fit_name_both(command, mask_video, tmp_path):
    video = encode(tmp_path / "a.mp4", moving_picture())
    inputs = (f"--video={video}", f"--mask={mask_video}", f"--workdir={tmp_path / 'run'}")
    assert_one_error(
        command(*PLAIN, *inputs),
        f"{mask_video} has 5 masks of 48x32 at 12.5 frames/s",
        f"{video} has 9 frames of 96x64 at 25 frames/s",
        "--config.mask.fit=True",
    )
    assert not (tmp_path / "run").exists()


def test_masks_are_fitted_when_asked_and_stay_so(inpaint, command, mask_video, tmp_path):
    video = encode(tmp_path / "a.mp4", moving_picture())
    made = inpaint(video, "--config.mask.fit=True", masks=mask_video)
    (line,) = [line for line in made.told.splitlines() if line.startswith("mask: ")]
    assert line.startswith(
        "mask: 5 masks of 48x32 at 12.5 frames/s are fitted to 9 frames of 96x64"
    )
    assert line.endswith("nearest in time, resized")
    hole = boxes()[[0, 0, 2, 2, 4, 4, 6, 6, 8]] > 0
    assert_only_the_hole_differs(made.frames, footage.read_frames(video).frames, hole)
    command.succeed("--mode=render", f"--workdir={made.workdir}")
    inputs = (f"--video={video}", f"--mask={mask_video}", f"--workdir={made.workdir}")
    lossless = "--config.render.format=ffv1"
    fit = "--config.mask.fit=True"
    resumed = command.succeed(*PLAIN, *inputs, lossless, fit)
    assert "resuming" in resumed.stderr
    refused = command(*PLAIN, *inputs, lossless, "--config.mask.fit=False")
    assert_one_error(refused, "5 masks", "--config.mask.fit=True")
