"""Frames into video files."""

import itertools
import os
import stat
import weakref
from fractions import Fraction

import av
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest

from vidprior import video_io, video_out
from vidprior.errors import InputError

RATES = [Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25, 2)]


def moving_picture(count, height=48, width=64):
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [np.stack([3 * x + 2 * t, 4 * y + t, x + y + 5 * t], axis=-1) % 200 for t in range(count)]
    ).astype(np.uint8)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("rate", RATES)
def test_rate_is_kept_exactly(tmp_path, rate, lossless):
    file = tmp_path / ("a.mkv" if lossless else "a.mp4")
    video_out.write_video(file, moving_picture(24), rate=rate, lossless=lossless)
    assert video_io.read_frames(file).rate == rate


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".MP4"])
def test_h264(tmp_path, suffix):
    frames = moving_picture(10)
    file = tmp_path / "new" / f"a{suffix}"
    assert video_out.write_video(file, frames, rate=Fraction(25)) == 10
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert [frame.pts * stream.time_base for frame in container.decode(stream)] == [
            Fraction(number, 25) for number in range(10)
        ]
    read = video_io.read_frames(file).frames
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).mean() < 5


def test_colours_survive(tmp_path):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50], [255] * 3, [0] * 3])
    picture = np.repeat(np.repeat(colours[None], 32, 0), 32, 1).astype(np.uint8)
    file = tmp_path / "a.mp4"
    video_out.write_video(file, [picture] * 3, rate=Fraction(25))
    read = video_io.read_frames(file).frames[1, 16, 16::32]
    assert np.abs(read.astype(int) - colours).max() <= 4


def test_odd_sides_are_padded_with_the_edge(tmp_path):
    frames = np.zeros((3, 33, 47, 3), np.uint8)
    frames[:, -1] = frames[:, :, -1] = 255
    frames[:, :, :20] = 90
    file = tmp_path / "a.mp4"
    video_out.write_video(file, frames, rate=Fraction(25))
    read = video_io.read_frames(file).frames
    assert read.shape == (3, 34, 48, 3)
    expected = np.pad(frames, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    assert np.abs(read.astype(int) - expected)[:, -2:].max() < 40
    assert np.abs(read.astype(int) - expected)[:, :, -2:].max() < 40


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    frames=hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 4), st.integers(2, 20), st.integers(2, 20), st.just(3))
    )
)
def test_lossless_round_trip(tmp_path_factory, frames):
    file = tmp_path_factory.mktemp("lossless") / "a.mkv"
    video_out.write_video(file, frames, rate=Fraction(25), lossless=True)
    assert np.array_equal(video_io.read_frames(file).frames, frames)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pixel_aspect(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    aspect = Fraction(128, 117)
    video_out.write_video(file, moving_picture(2), rate=Fraction(25), pixel_aspect=aspect)
    assert video_io.read_frames(file).pixel_aspect == aspect


def test_frames_are_taken_one_at_a_time(tmp_path):
    alive = []

    def frames():
        for frame in moving_picture(60):
            single = frame.copy()
            alive.append(weakref.ref(single))
            yield single
            assert sum(reference() is not None for reference in alive) <= 3

    assert video_out.write_video(tmp_path / "a.mp4", frames(), rate=Fraction(25)) == 60
    assert len(alive) == 60


def test_frames_may_lie_in_memory_in_any_order(tmp_path):
    frames = moving_picture(2)[:, ::-1, ::-1, ::-1]
    file = tmp_path / "a.mkv"
    video_out.write_video(file, frames, rate=Fraction(25), lossless=True)
    assert np.array_equal(video_io.read_frames(file).frames, frames)


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_text("old")

    def frames():
        yield from moving_picture(3)
        assert file.read_text() == "old"
        raise RuntimeError("the source failed")

    with pytest.raises(RuntimeError, match="the source failed"):
        video_out.write_video(file, frames(), rate=Fraction(25))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert file.read_text() == "old"
    video_out.write_video(file, moving_picture(3), rate=Fraction(25))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert video_io.read_frames(file).total == 3


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").touch()
    video_out.write_video(tmp_path / "a.mp4", moving_picture(1), rate=Fraction(25))
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("plain", "a.mp4")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize(
    ("name", "lossless", "message"),
    [
        ("a.avi", False, r"a\.avi: a video is written as \.mp4 or \.mov or \.mkv"),
        ("a", False, "is written as"),
        ("a.mp4", True, r"a\.mp4: a lossless video is written as \.mkv"),
    ],
)
def test_unknown_suffix(tmp_path, name, lossless, message):
    with pytest.raises(InputError, match=message):
        video_out.write_video(
            tmp_path / name, moving_picture(1), rate=Fraction(25), lossless=lossless
        )
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        video_out.write_video(tmp_path / "file" / "a.mp4", moving_picture(1), rate=Fraction(25))


def test_wrong_frames_are_refused(tmp_path):
    file = tmp_path / "a.mp4"
    two_sizes = itertools.chain(moving_picture(2), moving_picture(1, 32, 64))
    with pytest.raises(ValueError, match=r"frame 2 is \(32, 64, 3\)"):
        video_out.write_video(file, two_sizes, rate=Fraction(25))
    with pytest.raises(ValueError, match="no frames"):
        video_out.write_video(file, [], rate=Fraction(25))
    with pytest.raises(ValueError, match="float32"):
        video_out.write_video(file, moving_picture(1).astype(np.float32), rate=Fraction(25))
    with pytest.raises(ValueError, match=r"\(48, 64\)"):
        video_out.write_video(file, moving_picture(1)[..., 0], rate=Fraction(25))
    assert not list(tmp_path.iterdir())
