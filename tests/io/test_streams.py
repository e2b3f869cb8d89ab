"""Sound and other streams of a video file, as coded."""

from fractions import Fraction

import numpy as np
import pytest

from vidprior.io import streams


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (10, 32, 48, 3), np.uint8)


def read_audio(path, **limits):
    given = {"origin": 0, "begin": None, "end": None, **limits}
    with streams.open_copied(path, **given) as copied:
        return [(bytes(packet), t, packet.stream.index) for packet, t in copied.packets]


def test_all_audio_of_all_streams(write_clip, heard, frames, tmp_path):
    path = write_clip(tmp_path / "a.mp4", frames, tones=2, seconds=1)
    expected = heard(path)
    packets = read_audio(path)
    for index, stream in enumerate(expected, start=1):
        assert [(t, data) for data, t, i in packets if i == index] == stream
    assert len(expected[0]) > 40


def test_a_part_of_the_audio(write_clip, heard, frames, tmp_path):
    """Packets that sound within [0.1 s, 0.2 s), counted from 0.1 s."""
    path = write_clip(tmp_path / "a.mp4", frames, tones=1)
    begin, end = Fraction(1, 10), Fraction(2, 10)
    length = Fraction(1024, 48000)
    expected = [
        (data, t - begin, 1) for t, data in heard(path)[0] if t + length > begin and t < end
    ]
    assert read_audio(path, origin=begin, begin=begin, end=end) == expected
    assert 5 <= len(expected) <= 6


def test_without_audio(write_clip, frames, tmp_path):
    assert read_audio(write_clip(tmp_path / "a.mp4", frames)) == []


def test_audio_of_no_length(write_clip, frames, tmp_path):
    assert read_audio(write_clip(tmp_path / "a.mkv", frames, tones=1, seconds=0)) == []


def test_a_stream_that_pyav_cannot_name():
    class Stream:
        type, index, codec_context, metadata = "audio", 3, None, {}

        @property
        def name(self):
            raise AttributeError("'AudioStream' object has no attribute 'name'")

    assert streams.name_of(Stream()) == "audio stream 3 (unknown codec)"
