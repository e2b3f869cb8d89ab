"""A result is tested before anything is computed, and keeps sound and other streams."""

import itertools
import os
import pathlib
import shutil
from fractions import Fraction

import av
import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.io import output_check, video_writer
from vidprior.io.footage import open_footage

SIZE = (48, 64)
ROOT_IS_ALL_POWERFUL = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def pictures(count=10):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([np.stack([x + t, y, x + y], -1) % 200 for t in range(count)]).astype(np.uint8)


@pytest.fixture
def check(tmp_path):
    def call(source, *, video_format="mp4", with_audio=True, folder="run"):
        footage = open_footage(source)
        return output_check.check_output(
            tmp_path / folder / f"result.{video_format}", footage, size=footage.size,
            video_format=video_format, rate=Fraction(25), pixel_aspect=None, with_audio=with_audio,
        )  # fmt: skip

    return call


def write_result(source, path, with_audio=True):
    footage = open_footage(source)
    chosen = output_check.check_output(
        path, footage, size=footage.size, video_format=path.suffix[1:], rate=Fraction(25),
        pixel_aspect=None, with_audio=with_audio,
    )  # fmt: skip
    with output_check.open_fitting(footage, chosen, with_audio=with_audio) as copied:
        video_writer.write_video(
            path, footage.frames(), rate=footage.rate, shown_at=footage.shown_at(), copied=copied,
            colour=footage.colour, fields=footage.fields,
        )  # fmt: skip
    return chosen


def read_streams(path):
    """(type, codec, language, title) of every stream, and the container's tags."""
    with av.open(str(path)) as container:
        found = [
            (s.type, s.codec_context.name, s.metadata.get("language"), s.metadata.get("title"))
            for s in container.streams
            if s.codec_context is not None
        ]
        return found, dict(container.metadata)


@pytest.mark.parametrize("video_format", ["mp4", "mov", "mkv"])
def test_nothing_is_left_behind(check, write_clip, tmp_path, video_format):
    source = write_clip(tmp_path / "a.mp4", pictures(), tones=2)
    assert check(source, video_format=video_format).indices == (1, 2)
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("codec", "suffix", "fits"),
    [
        ("pcm_u8", ".avi", ["mkv", "mov"]),
        ("pcm_mulaw", ".avi", ["mov"]),
        ("libopus", ".mkv", ["mkv", "mp4"]),
        ("ac3", ".mkv", ["mkv", "mp4", "mov"]),
    ],
)
def test_sound_that_does_not_fit_is_told_with_what_holds_it(
    check, write_clip, tmp_path, codec, suffix, fits
):
    source = write_clip(tmp_path / f"a{suffix}", pictures(), tones=1, audio_codec=codec)
    for video_format in ("mp4", "mov", "mkv"):
        if video_format in fits:
            check(source, video_format=video_format)
            continue
        with pytest.raises(InputError, match=codec.removeprefix("lib")) as caught:
            check(source, video_format=video_format)
        assert f"--config.render.format={fits[0]}" in str(caught.value)
        assert "--config.render.audio=False" in str(caught.value)
        check(source, video_format=video_format, with_audio=False)


def write_all_kinds(path):
    """Sound in two languages, subtitles, titles and chapters."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Holiday"
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        sounds = []
        for language in ("fra", "deu"):
            sound = container.add_stream("aac", rate=48000, layout="mono")
            sound.metadata.update({"language": language, "title": f"in {language}"})
            sounds.append(sound)
        text = container.add_mux_stream("subrip")
        text.metadata["language"] = "eng"
        container.set_chapters(
            [{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000),
              "metadata": {"title": "first"}}]
        )  # fmt: skip
        for picture in pictures():
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for sound in sounds:
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 19200), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
        packet = av.Packet(b"Hello")
        packet.stream, packet.pts, packet.dts = text, 100, 100
        packet.duration, packet.time_base = 200, Fraction(1, 1000)
        container.mux(packet)
    return path


def test_matroska_keeps_it_all(tmp_path):
    source = write_all_kinds(tmp_path / "a.mkv")
    chosen = write_result(source, tmp_path / "result.mkv")
    assert chosen.left_out == ()
    before, after = read_streams(source), read_streams(tmp_path / "result.mkv")
    assert after[0] == before[0]
    assert after[1]["title"] == "Holiday"
    with av.open(str(tmp_path / "result.mkv")) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["first"]
        texts = [bytes(p) for p in container.demux(subtitles=0) if p.size]
    assert texts == [b"Hello"]


def test_mp4_keeps_what_it_holds_and_names_the_rest(tmp_path):
    source = write_all_kinds(tmp_path / "a.mkv")
    chosen = write_result(source, tmp_path / "result.mp4")
    (left_out,) = chosen.left_out
    assert "subtitle stream 3" in left_out
    assert "eng" in left_out
    streams, tags = read_streams(tmp_path / "result.mp4")
    assert [(kind, language) for kind, _, language, _ in streams[1:]] == [
        ("audio", "fra"), ("audio", "deu"),
    ]  # fmt: skip
    assert tags["title"] == "Holiday"


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_index_stands_in_front(tmp_path, write_clip, suffix):
    source = write_clip(tmp_path / "a.mp4", pictures(), tones=1)
    write_result(source, tmp_path / f"result{suffix}")
    data = (tmp_path / f"result{suffix}").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_before_the_first_picture_is_kept(tmp_path, write_clip, heard, suffix):
    source = write_clip(
        tmp_path / "a.mp4", pictures(), tones=1, seconds=0.8,
        shown_at=[Fraction(3, 10) + Fraction(t, 25) for t in range(10)],
    )  # fmt: skip
    write_result(source, tmp_path / f"result{suffix}")
    before, after = heard(source)[0], heard(tmp_path / f"result{suffix}")[0]
    assert [data for _, data in after] == [data for _, data in before]
    shown = open_footage(tmp_path / f"result{suffix}").clip.times
    first = next(time for time, _ in after if time >= 0)
    assert float(shown[0] - first) == pytest.approx(0.3, abs=0.03)
    assert [float(b - a) for a, b in itertools.pairwise(shown)] == pytest.approx(
        [0.04] * 9, abs=2e-3
    )


@pytest.mark.skipif(not video_writer.TELLS_FIELDS, reason="this PyAV cannot say it")
@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_order_of_fields_is_kept(tmp_path, first, name):
    video_writer.write_video(tmp_path / name, pictures(), rate=Fraction(25), fields=first)
    assert open_footage(tmp_path / name).fields == first


def test_a_pause_before_the_last_frame_lasts(tmp_path):
    times = [Fraction(n, 100) for n in (0, 4, 8, 12, 16, 40, 60, 80, 100, 120)]
    video_writer.write_video(tmp_path / "a.mp4", pictures(), rate=Fraction(25, 3), shown_at=times)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) >= 1.2


def test_too_little_space(check, write_clip, tmp_path, monkeypatch):
    source = write_clip(tmp_path / "a.mp4", pictures())
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"at least .* MiB, but .* has 0 MiB left"):
        check(source, video_format="mkv", folder="not/there/yet")


@ROOT_IS_ALL_POWERFUL
def test_a_folder_that_cannot_be_written(check, write_clip, tmp_path):
    source = write_clip(tmp_path / "a.mp4", pictures())
    (tmp_path / "run").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        check(source)


def test_a_file_where_the_folder_should_be(check, write_clip, tmp_path):
    source = write_clip(tmp_path / "a.mp4", pictures())
    (tmp_path / "run").touch()
    with pytest.raises(InputError, match="cannot be written"):
        check(source)


@pytest.mark.parametrize("folder", ["12:30", "file:x", "a%d b"])
def test_any_name_that_the_file_system_takes(tmp_path, write_clip, monkeypatch, folder):
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    source = write_clip(tmp_path / "a.mp4", pictures(), tones=1)
    os.replace(source, f"{folder}/a.mp4")
    write_result(pathlib.Path(folder) / "a.mp4", pathlib.Path(folder) / "result.mp4")
    assert len(list(open_footage(f"{folder}/result.mp4").frames())) == 10
