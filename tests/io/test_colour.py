"""Colours of a video from its coded numbers to RGB and back."""

from fractions import Fraction

import av
import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.io import footage, video_scan, video_writer
from vidprior.io.colour import BT709, Colour, from_array

UNKNOWN = 2
# Red and blue in luma, by matrix.
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
COLOURS = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50], [255] * 3, [0] * 3, [12, 200, 130]]
)


def patches(lines):
    """[lines, W, 3] uint8: columns of one colour each."""
    return np.repeat(np.repeat(COLOURS[None], 16, axis=1), lines, axis=0).astype(np.uint8)


def middles(picture):
    return picture[len(picture) // 2, 8::16].astype(int)


def to_yuv(rgb, matrix, full):
    """[H, W, 3] uint8 by the definition of the standards."""
    red, blue = LUMA[matrix]
    r, g, b = np.moveaxis(rgb / 255, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    scales = ((255, 0), (255, 128)) if full else ((219, 16), (224, 128))
    planes = [y * scales[0][0] + scales[0][1], *(c * scales[1][0] + scales[1][1] for c in (u, v))]
    return np.rint(np.clip(np.stack(planes, -1), 0, 255)).astype(np.uint8)


def to_rgb(yuv, matrix, full):
    red, blue = LUMA[matrix]
    scales = ((255, 0), (255, 128)) if full else ((219, 16), (224, 128))
    y = (yuv[..., 0] - scales[0][1]) / scales[0][0]
    u, v = ((yuv[..., i] - scales[1][1]) / scales[1][0] for i in (1, 2))
    r, b = y + (2 - 2 * red) * v, y + (2 - 2 * blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.rint(255 * np.stack([r, g, b], -1)), 0, 255)


def write_yuv(path, yuv, *, tags=(UNKNOWN, UNKNOWN, UNKNOWN, 0), codec="libx264", count=3):
    with av.open(str(path), "w") as container:
        options = {"qp": "0"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *yuv.shape[:2], "yuv444p"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = tags[:3]
        context.color_range = tags[3]
        for number in range(count):
            planes = np.ascontiguousarray(np.moveaxis(yuv, -1, 0))
            frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
            frame.colorspace, frame.color_range, frame.pts = tags[0], tags[3], number
            frame.time_base = Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def coded(path):
    """The first frame's planes [H, W, 3], and (matrix, primaries, transfer, range) as tagged."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        full = frame.reformat(format="yuv444p", src_colorspace=None).to_ndarray()
        tags = frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range
        return np.moveaxis(full, 0, -1), tags


@pytest.mark.parametrize(
    ("lines", "matrix", "others"),
    [(720, 1, (1, 1)), (1080, 1, (1, 1)), (576, 5, (5, 6)), (480, 6, (6, 6)), (64, 6, (6, 6))],
)
def test_without_tags_lines_decide(tmp_path, lines, matrix, others):
    path = write_yuv(tmp_path / "a.mp4", to_yuv(patches(lines), matrix, False))
    opened = footage.open_footage(path)
    assert np.abs(middles(next(opened.frames())) - COLOURS).max() <= 2
    assert opened.colour == Colour(matrix, *others, False)
    (note,) = [note for note in opened.notes() if "matrix" in note]
    assert ("BT.709" if lines >= 720 else "BT.601") in note


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("lines", [64, 720])
def test_tags_are_followed_and_kept(tmp_path, matrix, full, lines):
    """Through the encoder that loses something, read by the standard's own formula."""
    tags = (matrix, matrix, 16 if matrix == 9 else 6, 2 if full else 1)
    path = write_yuv(tmp_path / "a.mp4", to_yuv(patches(lines), matrix, full), tags=tags)
    opened = footage.open_footage(path)
    assert not [note for note in opened.notes() if "matrix" in note]
    frames = list(opened.frames())
    assert np.abs(middles(frames[0]) - COLOURS).max() <= 2
    out = tmp_path / "b.mp4"
    video_writer.write_video(out, frames, rate=Fraction(25), colour=opened.colour)
    yuv, said = coded(out)
    assert said == tags
    assert np.abs(middles(to_rgb(yuv.astype(float), matrix, full)) - COLOURS).max() <= 6
    again = footage.open_footage(out)
    assert np.abs(middles(next(again.frames())) - COLOURS).max() <= 6


@pytest.mark.parametrize("primaries", [1, 9, 6])
def test_primaries_tell_the_matrix(tmp_path, primaries):
    path = write_yuv(
        tmp_path / "a.mp4",
        to_yuv(patches(64), primaries, False),
        tags=(UNKNOWN, primaries, UNKNOWN, 1),
    )
    opened = footage.open_footage(path)
    assert np.abs(middles(next(opened.frames())) - COLOURS).max() <= 2
    assert opened.colour.matrix == primaries
    assert any("by its primaries" in note for note in opened.notes())


def test_a_lossless_result_holds_what_was_read_and_says_that_it_is_rgb(tmp_path):
    frames = [patches(64)] * 2
    out = tmp_path / "a.mkv"
    colour = Colour(9, 9, 16, False)
    video_writer.write_video(out, frames, rate=Fraction(25), lossless=True, colour=colour)
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (0, 9, 16)
    opened = footage.open_footage(out)
    assert np.array_equal(next(opened.frames()), frames[0])
    assert opened.colour == colour  # for a result of it that is coded as YUV


def test_a_matrix_that_cannot_be_read_is_refused(tmp_path):
    path = write_yuv(tmp_path / "a.mkv", to_yuv(patches(64), 9, False), tags=(10, 9, 14, 1))
    with pytest.raises(InputError, match=r"a\.mkv: .*constant luminance"):
        footage.open_footage(path)


def test_images_and_rgb_are_taken_for_bt709(tmp_path):
    path = tmp_path / "a.mkv"
    video_writer.write_video(path, [patches(64)], rate=Fraction(25), lossless=True)
    assert video_scan.probe(path).colour == BT709


def test_grey_of_limited_range(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 256, "gray"
        stream.codec_context.color_range = 1
        ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
        container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp, format="gray")))
        container.mux(stream.encode(None))
    grey = next(footage.open_footage(path).frames())[0, :, 0]
    expected = np.clip(np.rint((np.arange(256) - 16) * 255 / 219), 0, 255)
    assert np.array_equal(grey, expected)


def test_the_padding_of_rows_is_cleared():
    """Otherwise a file would depend on what lay in memory: x264 reads it."""
    random = np.random.default_rng(0)
    for width in (118, 854):
        for _ in range(4):
            pixels = random.integers(1, 256, (96, width, 3), np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = from_array(picture, BT709, layout="yuv420p")
            for plane in frame.planes:
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                assert rows[: plane.height, : plane.width].any()
                assert plane.line_size > plane.width
                assert not rows[:, plane.width :].any()
