"""Clips from video files and folders, and the masks that belong to them."""

import itertools
import pathlib
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.io import footage

ROOT = pathlib.Path(__file__).parents[2]
CLIPS = ROOT / "../shared/clips"
NTSC = Fraction(30000, 1001)


def moving_picture(count, height=48, width=64):
    """[T, H, W, 3]: smooth, unlike in every frame, and without any symmetry."""
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [np.stack([3 * x + 2 * t, 4 * y + t, x + y + 5 * t], axis=-1) % 200 for t in range(count)]
    ).astype(np.uint8)


def encode(
    path, frames, *, codec="ffv1", pix_fmt="bgr0", rate=NTSC, source="rgb24", muxer=None, **options
):
    """A video by PyAV alone, so that reading is not tested against our own writing."""
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=source)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def write_folder(folder, images, suffix=".png"):
    folder.mkdir()
    for number, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{number}{suffix}"), image[..., ::-1])
    return folder


def largest_difference(a, b):
    return np.abs(a.astype(int) - b).max()


# ---- what is read ----


def test_lossless_video_reads_back_bit_for_bit(tmp_path):
    frames = moving_picture(7)
    video = footage.read_frames(encode(tmp_path / "a.mkv", frames))
    assert video.frames.dtype == np.uint8
    assert np.array_equal(video.frames, frames)
    assert (video.rate, video.start, video.total) == (NTSC, 0, 7)
    assert video.path == tmp_path / "a.mkv"


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(24000, 1001), Fraction(25, 2)])
def test_h264_and_its_rate(tmp_path, rate):
    frames = moving_picture(9)
    file = encode(
        tmp_path / "a.mp4", frames, codec="libx264", pix_fmt="yuv420p", rate=rate, crf="8"
    )
    video = footage.read_frames(file)
    assert video.frames.shape == frames.shape
    assert np.abs(video.frames.astype(int) - frames).mean() < 4
    assert video.rate == rate
    assert video.total == 9


def test_odd_sides(tmp_path):
    frames = moving_picture(2, 33, 47)
    assert np.array_equal(footage.read_frames(encode(tmp_path / "a.mkv", frames)).frames, frames)


def test_folder_has_natural_order_and_no_rate(tmp_path):
    frames = moving_picture(12)
    video = footage.read_frames(write_folder(tmp_path / "frames", frames))
    assert np.array_equal(video.frames, frames)
    assert video.rate is None
    assert video.pixel_aspect is None


def test_one_image_is_a_clip_of_one_frame(tmp_path):
    frames = moving_picture(1)
    folder = write_folder(tmp_path / "frames", frames)
    video = footage.read_frames(folder / "0.png")
    assert np.array_equal(video.frames, frames)
    assert (video.rate, video.total) == (None, 1)


@pytest.mark.parametrize("kind", ["folder", "video"])
@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({}, range(10)),
        ({"start": 4}, range(4, 10)),
        ({"stop": 3}, range(3)),
        ({"start": 2, "stop": 10}, range(2, 10)),
        ({"start": 9, "stop": 10}, range(9, 10)),
        ({"start": 3, "max_frames": 2}, range(3, 5)),
        ({"start": 3, "stop": 5, "max_frames": 100}, range(3, 5)),
    ],
)
def test_ranges(tmp_path, kind, options, numbers):
    frames = moving_picture(10, 8, 12)
    if kind == "folder":
        path = write_folder(tmp_path / "frames", frames)
    else:
        path = encode(tmp_path / "a.mkv", frames)
    video = footage.read_frames(path, **options)
    assert np.array_equal(video.frames, frames[list(numbers)])
    assert (video.start, video.total) == (numbers[0], 10)


def test_range_of_a_video_with_frames_that_refer_to_each_other(tmp_path):
    file = encode(
        tmp_path / "a.mp4", moving_picture(30), codec="libx264", pix_fmt="yuv420p", g="12", bf="3"
    )
    whole = footage.read_frames(file).frames
    assert np.array_equal(footage.read_frames(file, start=17, stop=22).frames, whole[17:22])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop": 6}, "no frames from 0 to 6 in a clip of 5 frames"),
        ({"start": 5}, "no frames from 5 to the end in a clip of 5 frames"),
        ({"start": -1}, "no frames from -1 to the end in a clip of 5 frames"),
        ({"start": 3, "stop": 3}, "no frames from 3 to 3 in a clip of 5 frames"),
        ({"max_frames": 0}, "0 frames"),
    ],
)
def test_range_outside_the_clip(tmp_path, options, message):
    path = write_folder(tmp_path / "frames", moving_picture(5, 4, 4))
    with pytest.raises(InputError, match=message):
        footage.read_frames(path, **options)


def test_what_is_not_there_or_no_video(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.mp4: no such file or folder"):
        footage.read_frames(tmp_path / "nothing.mp4")
    (tmp_path / "text.mp4").write_text("no video " * 100)
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "empty.mp4"):
        with pytest.raises(InputError, match=f"{name}: cannot be read as a video"):
            footage.read_frames(tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        footage.read_frames(tmp_path / "folder")


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video stream"):
        footage.read_frames(tmp_path / "a.wav")


def test_folder_of_two_sizes_names_the_file_and_both(tmp_path):
    frames = [*moving_picture(2, 8, 12), moving_picture(1, 6, 10)[0]]
    folder = write_folder(tmp_path / "frames", frames)
    with pytest.raises(InputError, match=r"2\.png is 10x6, but .*0\.png is 12x8"):
        footage.read_frames(folder)


def test_video_that_changes_its_size_is_refused(tmp_path):
    parts = []
    for number, size in enumerate([(48, 64), (32, 48)]):
        file = tmp_path / f"{number}.h264"
        encode(file, moving_picture(3, *size), codec="libx264", pix_fmt="yuv420p")
        parts.append(file.read_bytes())
    (tmp_path / "a.h264").write_bytes(b"".join(parts))
    with pytest.raises(InputError, match=r"frame 3 of .* is 48x32, but frame 0 of .* is 64x48"):
        footage.read_frames(tmp_path / "a.h264")


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_memory_is_limited_before_decoding(tmp_path, monkeypatch, kind):
    frames = moving_picture(5, 8, 12)
    if kind == "folder":
        path = write_folder(tmp_path / "frames", frames)
    else:
        path = encode(tmp_path / "a.mkv", frames)
    monkeypatch.setattr(footage, "MAX_BYTES", 4 * frames[0].nbytes)
    assert len(footage.read_frames(path, stop=4).frames) == 4
    monkeypatch.setattr(footage.Footage, "frames", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(InputError, match=r"5 frames of 12x8 .*MAX_BYTES"):
        footage.read_frames(path)


# ---- how pictures look ----


def test_grey_video(tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    file = encode(tmp_path / "a.mkv", [ramp], pix_fmt="gray", source="gray")
    frames = footage.read_frames(file).frames
    assert np.array_equal(frames[0], np.repeat(ramp[..., None], 3, axis=-1))


def test_10_and_16_bit_grey_video(tmp_path):
    ramp = np.tile(np.arange(256), (16, 1))
    expected = np.repeat(ramp[..., None], 3, axis=-1)
    for bits in (10, 16):
        deep = np.rint(ramp * ((2**bits - 1) / 255)).astype(np.uint16)
        name = f"gray{bits}le"
        file = encode(tmp_path / f"{bits}.mkv", [deep], pix_fmt=name, source=name)
        assert largest_difference(footage.read_frames(file).frames[0], expected) <= 1


@pytest.mark.parametrize(("codec", "suffix"), [("ffv1", ".mkv"), ("libx265", ".mp4")])
def test_10_bit_colour_video(tmp_path, codec, suffix):
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[:, :32] = (200, 100, 50)
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    file = encode(tmp_path / f"a{suffix}", frames, codec=codec, pix_fmt="yuv420p10le", **options)
    read = footage.read_frames(file).frames
    assert largest_difference(read[:, 8:24], frames[:, 8:24]) <= 4
    assert largest_difference(read[:, 40:56], frames[:, 40:56]) <= 4


def test_alpha_of_a_frame_is_left_out(tmp_path):
    rgba = np.dstack([moving_picture(1)[0], np.tile(np.arange(64, dtype=np.uint8), (48, 1))])
    file = encode(tmp_path / "a.mkv", [rgba], pix_fmt="bgra", source="rgba")
    assert np.array_equal(footage.read_frames(file).frames[0], rgba[..., :3])


@pytest.mark.parametrize(("name", "code"), [("ITU709", 1), ("ITU601", 6)])
@pytest.mark.parametrize(("colour_range", "range_code"), [("MPEG", 1), ("JPEG", 2)])
def test_colours_are_those_of_the_matrix_and_range_that_the_file_names(
    tmp_path, name, code, colour_range, range_code
):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50], [255] * 3, [0] * 3])
    picture = np.repeat(np.repeat(colours[None], 16, 0), 16, 1).astype(np.uint8)
    file = tmp_path / "a.mkv"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv444p"
        stream.codec_context.colorspace = code
        stream.codec_context.color_range = range_code
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = frame.reformat(format="yuv444p", dst_colorspace=name, dst_color_range=colour_range)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert largest_difference(footage.read_frames(file).frames[0], picture) <= 3


IDENTITY = (1, 0, 0, 1)
TURNS = {
    # (a, b, c, d) of the display matrix, and what it does to a picture.
    "none": (IDENTITY, lambda image: image),
    "clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "upside down": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "counterclockwise": ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "flipped": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    "transverse": ((0, -1, -1, 0), lambda image: np.rot90(image, 2).swapaxes(0, 1)),
}


def set_display_matrix(file, matrix):
    """Overwrites the matrix of the track header, 40 bytes behind its name."""
    data = bytearray(file.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 2**16 for value in matrix)
    before = struct.unpack_from(">9i", data, place)
    assert before == (2**16, 0, 0, 0, 2**16, 0, 0, 0, 2**30)
    struct.pack_into(">9i", data, place, a, b, 0, c, d, 0, 0, 0, 2**30)
    file.write_bytes(data)


@pytest.mark.parametrize("name", TURNS)
def test_rotated_video_comes_upright(tmp_path, name):
    frames = moving_picture(2, 32, 48)
    file = encode(tmp_path / "a.mov", frames, codec="png", pix_fmt="rgb24")
    matrix, turn = TURNS[name]
    set_display_matrix(file, matrix)
    expected = np.stack([turn(frame) for frame in frames])
    assert np.array_equal(footage.read_frames(file).frames, expected)


def test_pixel_aspect_turns_with_the_picture(tmp_path):
    file = tmp_path / "a.mov"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "rgb24"
        stream.codec_context.sample_aspect_ratio = Fraction(128, 117)
        frame = av.VideoFrame.from_ndarray(moving_picture(1, 32, 48)[0], format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert footage.read_frames(file).pixel_aspect == Fraction(128, 117)
    data = bytearray(file.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", data, place, 0, 2**16, 0, -(2**16), 0, 0, 0, 0, 2**30)
    file.write_bytes(data)
    video = footage.read_frames(file)
    assert video.frames.shape == (1, 48, 32, 3)
    assert video.pixel_aspect == Fraction(117, 128)


# ---- damage ----


def cut_video(tmp_path, kind, frames):
    """A video without references between frames, cut at two thirds of its bytes."""
    if kind == "mkv":
        whole = encode(tmp_path / "whole.mkv", frames)
    elif kind == "avi":
        whole = encode(tmp_path / "whole.avi", frames, codec="mjpeg", pix_fmt="yuvj420p")
    else:
        whole = encode(
            tmp_path / "whole.mp4",
            frames,
            codec="mjpeg",
            pix_fmt="yuvj420p",
            muxer={"movflags": "faststart"},
        )
    cut = tmp_path / f"cut{whole.suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    return whole, cut


@pytest.mark.parametrize("kind", ["mkv", "avi", "mp4"])
def test_cut_video(tmp_path, kind):
    whole, cut = cut_video(tmp_path, kind, moving_picture(20))
    frames = footage.read_frames(whole).frames
    assert len(frames) == 20
    with pytest.raises(InputError) as caught:
        footage.read_frames(cut)
    salvaged = footage.read_frames(cut, allow_truncated=True)
    count = len(salvaged.frames)
    assert 8 <= count < 20
    assert f"only {count} of 20 frames could be decoded" in str(caught.value)
    assert "--config.video.allow_truncated=True" in str(caught.value)
    assert np.array_equal(salvaged.frames, frames[:count])
    assert salvaged.total == 20
    # A range before the damage is whole; one behind it cannot be had at all.
    assert np.array_equal(footage.read_frames(cut, start=2, stop=8).frames, frames[2:8])
    with pytest.raises(InputError, match=r"could be decoded$"):
        footage.read_frames(cut, start=19, allow_truncated=True)
    with pytest.raises(InputError, match="no frames from 20 to the end in a clip of 20"):
        footage.read_frames(cut, start=20, allow_truncated=True)


@pytest.mark.parametrize("loss", ["all of it", "its end"])
def test_cut_video_that_lost_its_index(tmp_path, loss):
    file = encode(tmp_path / "a.mp4", moving_picture(5), codec="mpeg4", pix_fmt="yuv420p")
    data = file.read_bytes()
    file.write_bytes(data[: data.index(b"moov") - 4] if loss == "all of it" else data[:-500])
    message = "cannot be read as a video" if loss == "all of it" else "is damaged"
    with pytest.raises(InputError, match=message):
        footage.read_frames(file, allow_truncated=True)


def test_one_lost_frame_at_the_end_is_noticed(tmp_path):
    file = encode(tmp_path / "a.mkv", moving_picture(20))
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match="only 19 of 20"):
        footage.read_frames(file)


def test_damage_in_the_middle(tmp_path):
    """One frame of a whole file cannot be decoded: it is left out, and told."""
    frames = moving_picture(12)
    file = encode(tmp_path / "a.mov", frames, codec="png", pix_fmt="rgb24")
    with av.open(str(file)) as container:
        packet = next(itertools.islice(container.demux(video=0), 5, None))
        place, size = packet.pos, packet.size
    data = bytearray(file.read_bytes())
    data[place + 20 : place + size] = b"\xff" * (size - 20)
    file.write_bytes(data)
    opened = footage.open_footage(file)
    assert np.array_equal(list(opened.frames()), np.delete(frames, 5, axis=0))
    assert opened.numbers() == (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11)
    assert opened.shown_at()[5] == 6 / NTSC
    assert any("1 frame within" in note for note in opened.notes())


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path):
    frames = moving_picture(12)
    file = encode(tmp_path / "a.mov", frames, codec="mpeg4", pix_fmt="yuv420p", rate=25)
    whole = footage.read_frames(file).frames
    with av.open(str(file)) as container:
        per_frame = int(Fraction(1, 25) / container.streams.video[0].time_base)
    data = bytearray(file.read_bytes())
    place = data.index(b"elst") + 12  # version and flags, count, then the first entry
    duration, media_time = struct.unpack_from(">2i", data, place)
    assert media_time == 0
    struct.pack_into(">2i", data, place, duration * 8 // 12, 4 * per_frame)
    file.write_bytes(data)
    shown = footage.read_frames(file)
    assert shown.total == len(shown.frames) == 8
    assert np.array_equal(shown.frames, whole[4:])


def video_with_longer_sound(file, count):
    with av.open(str(file), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.height, video.width, video.pix_fmt = 16, 16, "bgr0"
        audio = container.add_stream("pcm_s16le", rate=8000)
        for frame in moving_picture(count, 16, 16):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 640), np.int16), layout="mono")
            sound.sample_rate = 8000
            container.mux(audio.encode(sound))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    with av.open(str(file)) as container:
        assert container.duration > 1.9 * count / 25 * av.time_base
    return file


def test_longer_sound_does_not_make_a_video_look_cut(tmp_path):
    assert footage.read_frames(video_with_longer_sound(tmp_path / "a.mkv", 20)).total == 20


def test_cut_video_with_longer_sound(tmp_path):
    file = video_with_longer_sound(tmp_path / "a.mkv", 20)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(InputError, match="of 20 frames could be decoded"):
        footage.read_frames(file)


def test_frames_before_a_cut_packet_are_not_lost_with_it(tmp_path):
    file = encode(
        tmp_path / "a.mp4",
        moving_picture(20),
        codec="libx264",
        pix_fmt="yuv420p",
        muxer={"movflags": "faststart"},
        bf="3",
    )
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(InputError, match="only 19 of 20"):
        footage.read_frames(file)


def test_frames_that_the_decoder_mended_are_refused(tmp_path):
    # A transport stream announces nothing and marks no packet: only the decoder knows.
    file = encode(
        tmp_path / "a.ts",
        moving_picture(10, 240, 320),
        codec="libx264",
        pix_fmt="yuv420p",
        g="1",
        crf="1",
    )
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 3 // 4 // 188 * 188])
    with pytest.raises(InputError, match="cut or damaged"):
        footage.read_frames(file)


def test_a_container_that_breaks_in_the_middle(tmp_path):
    frames = [b"FRAME\n" + bytes([40 * t]) * (16 * 16 * 3) for t in range(6)]
    header = b"YUV4MPEG2 W16 H16 F25:1 Ip C444\n"
    file = tmp_path / "a.y4m"
    file.write_bytes(header + b"".join(frames))
    assert footage.read_frames(file).total == 6
    file.write_bytes(header + b"".join(frames[:4]) + b"BROKEN" + frames[4] + frames[5])
    with pytest.raises(InputError, match="only 4 of"):
        footage.read_frames(file)
    assert len(footage.read_frames(file, allow_truncated=True).frames) == 4


# ---- real clips ----


@pytest.mark.parametrize(
    ("name", "shape", "rate", "aspect"),
    [
        ("carphone.mp4", (120, 144, 176, 3), NTSC, Fraction(128, 117)),
        ("bikes.mp4", (250, 272, 640, 3), Fraction(25), Fraction(1)),
        ("tennis/frames", (70, 240, 432, 3), None, None),
        ("bmx-trees/frames", (80, 480, 854, 3), None, None),
    ],
)
def test_real_clip(name, shape, rate, aspect):
    if not (CLIPS / name).exists():
        pytest.skip(f"no {CLIPS / name}")
    video = footage.read_frames(CLIPS / name, start=5, stop=9)
    assert video.frames.shape == (4, *shape[1:])
    assert video.frames.std() > 20
    assert (video.total, video.rate, video.pixel_aspect) == (shape[0], rate, aspect)


def test_a_larger_canvas_repeats_the_edges():
    frames = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)
    wide = footage.wrap_frames(frames).widen(1, 2)
    assert wide.size == (4, 7)
    first, second = wide.frames()
    np.testing.assert_array_equal(second[1:3, 2:5], frames[1])
    np.testing.assert_array_equal(first[0, :3], frames[0, [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(first[3, 4:], frames[0, [1, 1, 1], [2, 2, 2]])
    assert [frame.shape for frame in wide.part(1, 2).frames()] == [(4, 7, 3)]
