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
from helpers import examples

from vidprior.errors import InputError
from vidprior.io import images, video_scan, video_writer
from vidprior.io.footage import open_footage, read_frames

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
    video_writer.write_video(file, moving_picture(24), rate=rate, lossless=lossless)
    assert read_frames(file).rate == rate


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".MP4"])
def test_h264(tmp_path, suffix):
    frames = moving_picture(10)
    file = tmp_path / "new" / f"a{suffix}"
    assert video_writer.write_video(file, frames, rate=Fraction(25)) == 10
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert [frame.pts * stream.time_base for frame in container.decode(stream)] == [
            Fraction(number, 25) for number in range(10)
        ]
    read = read_frames(file).frames
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).mean() < 5


def test_colours_survive(tmp_path):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50], [255] * 3, [0] * 3])
    picture = np.repeat(np.repeat(colours[None], 32, 0), 32, 1).astype(np.uint8)
    file = tmp_path / "a.mp4"
    video_writer.write_video(file, [picture] * 3, rate=Fraction(25))
    read = read_frames(file).frames[1, 16, 16::32]
    assert np.abs(read.astype(int) - colours).max() <= 4


def test_odd_sides_are_padded_with_the_edge(tmp_path):
    frames = np.zeros((3, 33, 47, 3), np.uint8)
    frames[:, -1] = frames[:, :, -1] = 255
    frames[:, :, :20] = 90
    file = tmp_path / "a.mp4"
    video_writer.write_video(file, frames, rate=Fraction(25))
    read = read_frames(file).frames
    assert read.shape == (3, 34, 48, 3)
    expected = np.pad(frames, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    assert np.abs(read.astype(int) - expected)[:, -2:].max() < 40
    assert np.abs(read.astype(int) - expected)[:, :, -2:].max() < 40


@examples(25)
@hypothesis.given(
    frames=hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 4), st.integers(2, 20), st.integers(2, 20), st.just(3))
    )
)
def test_lossless_round_trip(tmp_path_factory, frames):
    file = tmp_path_factory.mktemp("lossless") / "a.mkv"
    video_writer.write_video(file, frames, rate=Fraction(25), lossless=True)
    assert np.array_equal(read_frames(file).frames, frames)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pixel_aspect(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    aspect = Fraction(128, 117)
    video_writer.write_video(file, moving_picture(2), rate=Fraction(25), pixel_aspect=aspect)
    assert read_frames(file).pixel_aspect == aspect


def test_frames_are_taken_one_at_a_time(tmp_path):
    alive = []

    def frames():
        for frame in moving_picture(60):
            single = frame.copy()
            alive.append(weakref.ref(single))
            yield single
            assert sum(reference() is not None for reference in alive) <= 3

    assert video_writer.write_video(tmp_path / "a.mp4", frames(), rate=Fraction(25)) == 60
    assert len(alive) == 60


def test_frames_may_lie_in_memory_in_any_order(tmp_path):
    frames = moving_picture(2)[:, ::-1, ::-1, ::-1]
    file = tmp_path / "a.mkv"
    video_writer.write_video(file, frames, rate=Fraction(25), lossless=True)
    assert np.array_equal(read_frames(file).frames, frames)


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_text("old")

    def frames():
        yield from moving_picture(3)
        assert file.read_text() == "old"
        raise RuntimeError("the source failed")

    with pytest.raises(RuntimeError, match="the source failed"):
        video_writer.write_video(file, frames(), rate=Fraction(25))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert file.read_text() == "old"
    video_writer.write_video(file, moving_picture(3), rate=Fraction(25))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert read_frames(file).total == 3


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").touch()
    video_writer.write_video(tmp_path / "a.mp4", moving_picture(1), rate=Fraction(25))
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
        video_writer.write_video(
            tmp_path / name, moving_picture(1), rate=Fraction(25), lossless=lossless
        )
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        video_writer.write_video(tmp_path / "file" / "a.mp4", moving_picture(1), rate=Fraction(25))


def test_wrong_frames_are_refused(tmp_path):
    file = tmp_path / "a.mp4"
    two_sizes = itertools.chain(moving_picture(2), moving_picture(1, 32, 64))
    with pytest.raises(ValueError, match=r"frame 2 is \(32, 64, 3\)"):
        video_writer.write_video(file, two_sizes, rate=Fraction(25))
    with pytest.raises(ValueError, match="no frames"):
        video_writer.write_video(file, [], rate=Fraction(25))
    with pytest.raises(ValueError, match="float32"):
        video_writer.write_video(file, moving_picture(1).astype(np.float32), rate=Fraction(25))
    with pytest.raises(ValueError, match=r"\(48, 64\)"):
        video_writer.write_video(file, moving_picture(1)[..., 0], rate=Fraction(25))
    assert not list(tmp_path.iterdir())


# Times and audio

VARIABLE = [Fraction(n, 100) for n in (0, 4, 8, 30, 32, 34, 36, 40, 70, 74)]


def test_times_of_a_variable_rate_are_kept(tmp_path):
    file = tmp_path / "a.mp4"
    video_writer.write_video(file, moving_picture(10), rate=Fraction(13), shown_at=VARIABLE)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert [f.pts * stream.time_base for f in container.decode(stream)] == VARIABLE
    footage = open_footage(file)
    assert footage.shown_at() == tuple(VARIABLE)
    assert footage.part(3, 7).shown_at() == (0, *(Fraction(n, 100) for n in (2, 4, 6)))


def test_times_of_odd_fractions_are_kept(tmp_path):
    times = [Fraction(1001 * n, 30000) for n in (0, 1, 2, 5, 6, 9)]
    file = tmp_path / "a.mp4"
    video_writer.write_video(file, moving_picture(6), rate=Fraction(20), shown_at=times)
    assert open_footage(file).shown_at() == tuple(times)


@pytest.mark.parametrize("rate", RATES)
def test_a_constant_rate_has_no_times_of_its_own(tmp_path, rate):
    file = tmp_path / "a.mp4"
    video_writer.write_video(file, moving_picture(9), rate=rate)
    assert open_footage(file).shown_at() is None


def copy_with_audio(source, target, part=None, **options):
    footage = open_footage(source)
    footage = footage if part is None else footage.part(*part)
    with footage.open_streams() as copied:
        video_writer.write_video(
            target, footage.frames(), rate=footage.rate, copied=copied, **options
        )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_audio_is_copied_bit_for_bit(tmp_path, write_clip, heard, suffix):
    source = write_clip(tmp_path / "s.mp4", moving_picture(30), tones=2)
    copy_with_audio(source, tmp_path / f"a{suffix}")
    before, after = heard(source), heard(tmp_path / f"a{suffix}")
    assert len(before) == 2
    assert len(before[0]) > 50
    assert [[data for _, data in stream] for stream in after] == [
        [data for _, data in stream] for stream in before
    ]
    # Matroska has no time below 0: there the picture begins after the codec's lead-in.
    start = float(video_scan.probe(tmp_path / f"a{suffix}").times[0])
    for old, new in zip(before, after, strict=True):
        assert np.allclose(
            [float(t) - start for t, _ in new], [float(t) for t, _ in old], atol=2e-3
        )


def test_audio_of_a_part_begins_with_its_picture(tmp_path, write_clip, heard):
    source = write_clip(tmp_path / "s.mp4", moving_picture(30), tones=1)
    copy_with_audio(source, tmp_path / "a.mkv", (10, 20))  # 0.4 s to 0.8 s
    expected = [
        data
        for time, data in heard(source)[0]
        if time + Fraction(1024, 48000) > Fraction(4, 10) and time < Fraction(8, 10)
    ]
    (copied,) = heard(tmp_path / "a.mkv")
    assert [data for _, data in copied] == expected
    assert 0.4 / (1024 / 48000) <= len(copied) <= 0.4 / (1024 / 48000) + 2


@pytest.mark.parametrize("seconds", [0, 0.5, 3])
def test_audio_may_be_shorter_or_longer_than_the_video(tmp_path, write_clip, heard, seconds):
    source = write_clip(tmp_path / "s.mkv", moving_picture(30), tones=1, seconds=seconds)
    copy_with_audio(source, tmp_path / "a.mkv")
    count = [[data for _, data in stream] for stream in heard(source)]
    assert [[data for _, data in stream] for stream in heard(tmp_path / "a.mkv")] == count
    assert len(read_frames(tmp_path / "a.mkv").frames) == 30


def test_audio_that_a_container_does_not_hold_is_refused(tmp_path, write_clip, heard):
    source = write_clip(tmp_path / "s.avi", moving_picture(5), tones=1, audio_codec="pcm_mulaw")
    with pytest.raises(InputError, match=r"pcm_mulaw.*cannot be copied into \.mp4"):
        copy_with_audio(source, tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()
    copy_with_audio(source, tmp_path / "a.mov")
    assert heard(tmp_path / "a.mov")[0]


def test_a_folder_has_no_audio(tmp_path):
    images.write_frames(tmp_path / "f", moving_picture(2))
    with open_footage(tmp_path / "f").open_streams() as copied:
        assert copied is None


@pytest.mark.parametrize("aspect", [None, Fraction(1), Fraction(128, 117)])
def test_pixel_aspect_and_every_bit_of_a_lossless_video(tmp_path, aspect):
    frames = np.random.default_rng(0).integers(0, 256, (3, 33, 47, 3), np.uint8)
    file = tmp_path / "a.mkv"
    video_writer.write_video(file, frames, rate=RATES[1], pixel_aspect=aspect, lossless=True)
    video = read_frames(file)
    assert np.array_equal(video.frames, frames)
    assert (video.pixel_aspect or 1, video.rate) == (aspect or 1, RATES[1])
