"""Video files that are not as they should be, and what is made of them."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from vidprior.errors import InputError
from vidprior.io import footage, masks, video_scan
from vidprior.io.video_reader import turn_of


def moving_picture(count, height=48, width=64):
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [np.stack([3 * x + 2 * t, 4 * y + t, x + y + 5 * t], axis=-1) % 200 for t in range(count)]
    ).astype(np.uint8)


def encode(path, frames, codec="libx264", pix_fmt="yuv420p", layout="rgb24", **options):
    """Every option but the codec's own stands in `options`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pix_fmt
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=layout)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def remux(source, path, change):
    """A copy whose packets a function changes: it gets number and packet, and may drop it."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as copy:
        stream = whole.streams.video[0]
        copied = copy.add_stream_from_template(stream)
        for number, packet in enumerate(whole.demux(stream)):
            if packet.size and change(number, packet) is not False:
                packet.stream = copied
                copy.mux(packet)
    return path


# ---- side data ----


def write_jpegs(path, picture, orientation, count=3):
    """JPEG images with EXIF, copied into a video as `ffmpeg -c copy` does."""
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x112] = orientation
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95, subsampling=0, exif=exif)
    height, width = picture.shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_mux_stream("mjpeg", rate=25, width=width, height=height)
        for number in range(count):
            packet = av.Packet(data.getvalue())
            packet.stream, packet.is_keyframe = stream, True
            packet.pts = packet.dts = number * 512
            packet.duration, packet.time_base = 512, Fraction(1, 12800)
            container.mux(packet)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".mov", ".avi"])
def test_exif_of_motion_jpeg_turns_frames_as_it_turns_images(tmp_path, orientation, suffix):
    picture = moving_picture(1)[0]
    path = write_jpegs(tmp_path / f"a{suffix}", picture, orientation)
    with av.open(str(path)) as container:
        data = bytes(next(container.demux(video=0)))
    (tmp_path / "a.jpg").write_bytes(data)
    expected = footage.read_frames(tmp_path / "a.jpg").frames[0]
    read = footage.read_frames(path).frames
    assert read.shape == (3, *expected.shape)
    assert np.abs(read[0].astype(int) - expected).max() <= 6


def test_side_data_that_pyav_cannot_name_leaves_the_rotation():
    class Frame:
        rotation = -90

        @property
        def side_data(self):
            raise ValueError("31 is not a valid Type")

    turned = {0: (0, 0, 0), 90: (1, 1, 0), -90: (1, 0, 1), 180: (0, 1, 1), -180: (0, 1, 1)}
    for rotation, expected in turned.items():
        Frame.rotation = rotation
        assert tuple(map(int, turn_of(Frame()))) == expected


# ---- dropped and flawed frames ----


def test_dropped_frames_of_an_avi_repeat(tmp_path):
    frames = moving_picture(12)
    whole = encode(tmp_path / "whole.avi", frames, codec="mpeg4", bf="0", g="4")
    # The key frame is not dropped; a dropped frame leaves a chunk of no bytes.
    path = tmp_path / "a.avi"
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        places = [packets[number].pos for number in (6, 7)]
        sizes = [packets[number].size for number in (6, 7)]
    for place, size in zip(places, sizes, strict=True):
        data[place : place + size] = b"\0" * size
        data[place - 4 : place] = (0).to_bytes(4, "little")
        # What is left of the chunk becomes one that nobody reads.
        data[place : place + 8] = b"JUNK" + (size - 8 + size % 2).to_bytes(4, "little")
    index = data.index(b"idx1") + 8
    for number in (6, 7):
        data[index + 16 * number + 12 : index + 16 * number + 16] = (0).to_bytes(4, "little")
    path.write_bytes(data)
    opened = footage.open_footage(path)
    assert opened.count == opened.total == 10
    assert opened.numbers() == (0, 1, 2, 3, 4, 5, 8, 9, 10, 11)
    assert opened.shown_at()[6] == Fraction(8, 25)
    assert len(list(opened.frames())) == 10
    assert any("2 dropped frames" in note for note in opened.notes())


def test_masks_of_dropped_frames_are_left_out(tmp_path):
    whole = encode(tmp_path / "whole.mkv", moving_picture(8), codec="ffv1", pix_fmt="bgr0")
    path = remux(whole, tmp_path / "a.mkv", lambda number, _: number not in (3, 4))
    hole = np.zeros((8, 48, 64, 3), np.uint8)
    for t in range(8):
        hole[t, :, : 5 + t] = 255
    mask = encode(tmp_path / "m.mkv", hole, codec="ffv1", pix_fmt="bgr0")
    read = masks.read_masks(mask, footage.open_footage(path), rate=Fraction(25))
    assert np.array_equal(read.hole, hole[[0, 1, 2, 5, 6, 7], ..., 0])


def test_a_lost_packet_of_a_transport_stream_flaws_a_frame(tmp_path):
    path = encode(tmp_path / "a.ts", moving_picture(30, 120, 160), g="10", bf="0", crf="10")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    cut = packets[14].pos + 188
    path.write_bytes(data[:cut] + data[cut + 188 :])
    opened = footage.open_footage(path)
    assert opened.count == 30
    assert len(list(opened.frames())) == 30
    (note,) = [note for note in opened.notes() if " is damaged at " in note]
    assert "frame 14" in note


def test_a_transport_stream_that_is_cut_stays_refused(tmp_path):
    path = encode(tmp_path / "a.ts", moving_picture(10, 240, 320), g="1", crf="1")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4 // 188 * 188])
    with pytest.raises(InputError, match="allow_truncated"):
        footage.read_frames(path)
    assert 5 <= len(footage.read_frames(path, allow_truncated=True).frames) < 10


# ---- times ----


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".ts"])
def test_a_doubled_time_leaves_the_others(tmp_path, suffix):
    whole = encode(tmp_path / "whole.mkv", moving_picture(10), codec="mpeg2video", bf="0", g="1")

    def double(number, packet):
        if number == 4:
            packet.pts = packet.pts - 40
        packet.dts = None if suffix == ".mkv" else packet.dts

    try:
        path = remux(whole, tmp_path / f"a{suffix}", double)
    except av.error.FFmpegError:
        pytest.skip("this muxer refuses such times")
    video = video_scan.probe(path)
    steps = [float(b - a) for a, b in zip(video.times, video.times[1:], strict=False)]
    assert min(steps) > 0
    assert sum(steps) == pytest.approx(0.36, abs=0.021)


def test_the_rate_of_raw_dv(tmp_path):
    frames = moving_picture(3, 576, 720)
    path = encode(tmp_path / "a.dv", frames, codec="dvvideo")
    video = video_scan.probe(path)
    assert video.rate == 25
    assert video.fields == "bottom"


# ---- interlaced ----


def interlaced_frames(first, count=5):
    """Frames that say of themselves that they are interlaced."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=64, height=64, format="yuv420p", time_base=Fraction(1, 25))
    field = graph.add("setfield", "tff" if first == "top" else "bff")
    graph.link_nodes(source, field, graph.add("buffersink")).configure()
    for number, picture in enumerate(moving_picture(count, 64)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        graph.push(frame)
        yield graph.pull()


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_interlaced_frames_are_told(tmp_path, first):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        options = {"x264-params": "tff=1" if first == "top" else "bff=1"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        for frame in interlaced_frames(first):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    opened = footage.open_footage(path)
    assert opened.fields == first
    (note,) = [note for note in opened.notes() if "field first" in note]
    assert f"({first} field first)" in note
    assert "bwdif" in note


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_the_first_field_of_a_frame(first):
    assert video_scan._first_field(next(interlaced_frames(first))) == first


# ---- alpha ----


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "off"),
    [
        ("a.mov", "prores_ks", "yuva444p10le", 0),
        ("a.mov", "qtrle", "argb", 0),
        ("a.mov", "png", "rgba", 0),
        ("a.webm", "libvpx-vp9", "yuva420p", 60),
        ("a.webm", "libvpx", "yuva420p", 60),
        ("a.mkv", "ffv1", "yuva420p", 0),
    ],
)
def test_alpha_of_a_video_is_its_mask(tmp_path, name, codec, pix_fmt, off):
    hole = np.zeros((4, 48, 64), np.uint8)
    for t in range(4):
        hole[t, 8:24, 8 + 2 * t : 40 + 2 * t] = 255
    rgba = np.concatenate([moving_picture(4) + 40, hole[..., None]], axis=-1)
    options = {"auto-alt-ref": "0", "crf": "4", "b": "4M"} if "vpx" in codec else {}
    path = encode(tmp_path / name, rgba, codec, pix_fmt, "rgba", **options)
    read = masks.read_mask_frames(path, size=(48, 64), num_frames=4)
    assert ((read > 127) != (hole > 127)).sum() <= off


def test_alpha_that_does_not_vary_is_no_mask(tmp_path):
    hole = np.zeros((2, 48, 64), np.uint8)
    hole[:, 8:24, 8:40] = 255
    opaque = np.full((2, 48, 64, 1), 255, np.uint8)
    rgba = np.concatenate([np.repeat(hole[..., None], 3, -1), opaque], axis=-1)
    path = encode(tmp_path / "a.mov", rgba, "qtrle", "argb", "rgba")
    assert np.array_equal(masks.read_mask_frames(path, size=(48, 64), num_frames=2), hole)


# ---- found by torture ----


@pytest.mark.parametrize("claimed", [pytest.param(13_172_742, marks=pytest.mark.long), 2**31 - 1])
def test_a_header_that_announces_millions_of_frames(tmp_path, claimed):
    """It took half a minute, and memory for the times of all of them."""
    path = encode(tmp_path / "a.mp4", moving_picture(6))
    data = bytearray(path.read_bytes())
    place = data.index(b"stts") + 12
    assert int.from_bytes(data[place : place + 4], "big") == 6
    data[place : place + 4] = claimed.to_bytes(4, "big")
    path.write_bytes(data)
    video = video_scan.probe(path)
    assert (video.usable, len(video.times)) == (6, 6 + video_scan.MOST_MISSING)
    with pytest.raises(InputError, match="only 6 of"):
        list(footage.open_footage(path).frames())


def test_a_duration_that_no_clock_shows(tmp_path):
    class Stream:
        metadata = {"DURATION": f"{'9' * 400}:00:00.5"}  # noqa: RUF012

    class Container:
        streams, duration = (1, 2), None

        class format:
            name = "matroska,webm"

    assert video_scan._announced_end(Container(), Stream()) is None
