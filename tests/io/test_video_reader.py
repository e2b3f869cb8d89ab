"""Frames of a video file and their times. Pictures: test_footage.py."""

import gc
from fractions import Fraction

import av
import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.io import video_reader, video_scan

NTSC = Fraction(30000, 1001)
# A pause, a doubled rate, a pause again.
VARIABLE = [Fraction(n, 100) for n in (0, 4, 8, 30, 32, 34, 36, 40, 70, 74)]


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (10, 32, 48, 3), np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(25, 2)])
def test_a_constant_rate(write_clip, frames, tmp_path, suffix, rate):
    """Matroska rounds times to milliseconds; its rate is exact all the same."""
    video = video_scan.probe(write_clip(tmp_path / f"a{suffix}", frames, rate=rate))
    assert not video.variable
    assert len(video.times) == 10
    for i, time in enumerate(video.times):
        assert time - video.times[0] == pytest.approx(i / rate, abs=1e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_variable_rate(write_clip, frames, tmp_path, suffix):
    video = video_scan.probe(write_clip(tmp_path / f"a{suffix}", frames, shown_at=VARIABLE))
    assert video.variable
    assert [time - video.times[0] for time in video.times] == VARIABLE


def drop_packets(source, path, number):
    """A copy without the first packets of its video."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as rest:
        stream = whole.streams.video[0]
        copied = rest.add_stream_from_template(stream)
        for place, packet in enumerate(whole.demux(stream)):
            if packet.size and place >= number:
                packet.stream = copied
                rest.mux(packet)
    return path


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("libx264", ".mp4"), ("libx264", ".mkv"), ("libx264", ".ts"), ("mpeg2video", ".ts")],
)
def test_a_video_without_a_key_frame_at_its_start(tmp_path, codec, suffix):
    """Two of 20 packets are lost, of which every sixth is a key frame: it begins with the next."""
    y, x = np.mgrid[:48, :64]
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    options = {"g": "6", "bf": "2", "sc_threshold": "0"}
    with av.open(str(whole), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for t in range(20):
            picture = np.stack([3 * x + 2 * t, 4 * y + t, x + y + 5 * t], -1).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    drop_packets(whole, cut, 2)
    complete, video = video_scan.probe(whole), video_scan.probe(cut)
    assert (complete.total, complete.unseen) == (20, 0)
    # Of the 18 packets left, four are shown before the next key frame.
    assert (video.total, video.unseen, video.variable) == (14, 4, False)
    frames = [frame for _, frame in video.frames(0, 14)]
    expected = [frame for _, frame in complete.frames(6, 20)]
    assert len(frames) == 14
    for number in range(14):
        np.testing.assert_array_equal(frames[number], expected[number])
        assert video.times[number] - video.times[0] == complete.times[number] - complete.times[0]


def test_what_is_no_video_is_named(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video" * 100)
    with pytest.raises(InputError, match=r"a\.mp4"), video_reader.open_video(path):
        pass


def test_frames_do_not_wait_for_the_garbage_collector(write_clip, tmp_path):
    """Decoded frames in reference cycles would fill the memory with large footage."""
    path = write_clip(tmp_path / "a.mp4", np.zeros((120, 32, 48, 3), np.uint8))
    gc.collect()
    gc.freeze()  # looked at are what comes after: all there is would take a second to count
    gc.disable()
    try:
        for _ in video_scan.probe(path).frames(0, 120):
            alive = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
            assert alive < 60  # a decoder gives its last ones, a few for each thread, at once
    finally:
        gc.enable()
        gc.unfreeze()
