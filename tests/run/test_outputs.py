"""Final frames, videos and previews, read back from disk."""

import json
import weakref
from fractions import Fraction

import numpy as np
import pytest

from vidprior.imaging.geometry import centre_crop
from vidprior.imaging.visualize import flow_colours, outline_hole
from vidprior.io import video_writer
from vidprior.io.footage import open_footage, read_frames
from vidprior.io.images import read_image
from vidprior.run import outputs
from vidprior.run.clip_file import PreparedClip
from vidprior.run.render import RenderedFrame, composite

SIZE = (16, 24)
SOURCE = (40, 60)  # a little wider than the crop
CLIP = {"rate": Fraction(30000, 1001), "pixel_aspect": Fraction(16, 15)}


@pytest.fixture(scope="module")
def clip():
    random = np.random.default_rng(0)
    hole = np.zeros((5, *SIZE), bool)
    hole[:, 4:10, 6:15] = True
    return PreparedClip(
        frames=random.integers(0, 256, (5, *SIZE, 3), np.uint8),
        hole=hole,
        source_sha256="",
        rate=(30000, 1001),
        pixel_aspect=(16, 15),
        transform=json.dumps(centre_crop(SOURCE, SIZE).to_dict()),
    )


@pytest.fixture(scope="module")
def rendered(clip):
    """Frames 1 to 4 of five, with flow."""
    random = np.random.default_rng(1)
    frames = [
        RenderedFrame(
            number=number,
            image=random.integers(0, 256, (*SIZE, 3), np.uint8),
            flow=random.normal(size=(*SIZE, 6, 2)).astype(np.float32),
        )
        for number in range(1, 5)
    ]
    return list(outputs.attach_input(frames, clip))


@pytest.fixture(scope="module")
def written(rendered, tmp_path_factory):
    return outputs.write_results(tmp_path_factory.mktemp("results") / "new", rendered, **CLIP)


def test_frames_are_shown_beside_their_clip(clip, rendered):
    assert [frame.number for frame in rendered] == [1, 2, 3, 4]
    assert all(frame.view == centre_crop(SOURCE, SIZE) for frame in rendered)
    image = rendered[2].image
    (frame,) = outputs.attach_input([RenderedFrame(3, image, None)], clip, first=100)
    assert (frame.number, frame.flow, frame.at_source) == (103, None, None)
    assert np.array_equal(frame.known, clip.frames[3])
    assert np.array_equal(frame.hole, clip.hole[3])
    assert np.array_equal(frame.composed, composite(image, clip.frames[3], clip.hole[3]))


def test_result_frames_are_composites_bit_for_bit(clip, rendered, written):
    names = ["00001.png", "00002.png", "00003.png", "00004.png"]
    assert sorted(path.name for path in written["frames"].iterdir()) == names
    for name, frame in zip(names, rendered, strict=True):
        stored = read_image(written["frames"] / name)
        known, hole = clip.frames[frame.number], clip.hole[frame.number]
        assert np.array_equal(stored, composite(frame.image, known, hole))
        assert np.array_equal(stored[~hole], known[~hole])


def test_videos_keep_number_rate_and_pixel_aspect(written):
    assert set(written) == {"frames", "result", "comparison"}
    for name, width in (("result", 24), ("comparison", 3 * 24)):
        video = read_frames(written[name])
        assert video.frames.shape == (4, 16, width, 3)
        assert video.rate == Fraction(30000, 1001)
        assert video.pixel_aspect == Fraction(16, 15)


# At the size of the source


@pytest.fixture(scope="module")
def finished(rendered):
    """The same frames at source size."""
    images = np.random.default_rng(2).integers(0, 256, (4, *SOURCE, 3), np.uint8)
    return [frame._replace(at_source=image) for frame, image in zip(rendered, images, strict=True)]


@pytest.fixture
def footage(finished, tmp_path):
    frames = [frame.at_source for frame in finished]
    video_writer.write_video(tmp_path / "s.mkv", frames, rate=Fraction(30000, 1001), lossless=True)
    return open_footage(tmp_path / "s.mkv")


@pytest.mark.parametrize("video_format", ["ffv1", "png"])
def test_finished_frames_are_kept_bit_for_bit(finished, footage, tmp_path, video_format):
    written = outputs.write_results(
        tmp_path / "new", finished, **CLIP, footage=footage, video_format=video_format
    )
    read = read_frames(written["result"]).frames
    assert np.array_equal(read, [frame.at_source for frame in finished])
    # What is measured keeps the size of training.
    kept = read_image(written["frames"] / "00001.png")
    assert np.array_equal(kept, finished[0].composed)
    assert written["result"].name == {"ffv1": "result.mkv", "png": "result_png"}[video_format]


@pytest.mark.parametrize("video_format", ["mp4", "mkv", "mov"])
def test_formats_with_loss(finished, footage, tmp_path, video_format):
    written = outputs.write_results(
        tmp_path / "new", finished, **CLIP, footage=footage, video_format=video_format
    )
    assert written["result"].name == f"result.{video_format}"
    video = read_frames(written["result"])
    assert (video.frames.shape, video.rate) == ((4, *SOURCE, 3), Fraction(30000, 1001))


def test_frames_are_rendered_one_at_a_time(rendered, tmp_path):
    alive = []

    def frames():
        for frame in rendered:
            copied = frame._replace(image=frame.image.copy())
            alive.append(weakref.ref(copied.image))
            yield copied
            del copied
            assert sum(reference() is not None for reference in alive) <= 2

    outputs.write_results(tmp_path, frames(), **CLIP)
    assert len(alive) == 4


def test_panels_are_input_result_and_flow(clip, rendered):
    frame = rendered[2]
    known, hole = clip.frames[3], clip.hole[3]
    shown = outputs.panels(frame)
    assert len(shown) == 3
    assert np.array_equal(shown[0], outline_hole(known, hole))
    assert np.array_equal(shown[1], composite(frame.image, known, hole))
    # Flow to the next frame, offset +1; one pixel in a hundred is beyond full colour.
    flow = frame.flow[:, :, 0]
    speed = np.sqrt((flow**2).sum(axis=-1))
    assert np.array_equal(shown[2], flow_colours(flow, full=float(np.percentile(speed, 99))))


def test_a_frame_without_flow_has_two_panels(rendered):
    assert len(outputs.panels(rendered[0]._replace(flow=None))) == 2


def test_still_flow_is_shown_white(rendered):
    frame = rendered[0]._replace(flow=np.zeros((*SIZE, 6, 2), np.float32))
    assert (outputs.panels(frame)[2] == 255).all()


def test_a_preview_has_a_row_for_each_frame(clip, rendered, tmp_path):
    path = tmp_path / "previews" / "000100.png"
    outputs.write_preview(path, (RenderedFrame(*frame[:3]) for frame in rendered[1:3]), clip)
    stored = read_image(path)
    assert stored.shape == (2 * 16, 3 * 24, 3)
    for row, frame in enumerate(rendered[1:3]):
        expected = np.concatenate(outputs.panels(frame), axis=1)
        assert np.array_equal(stored[16 * row : 16 * (row + 1)], expected)


def test_a_shorter_result_replaces_a_longer_one(rendered, tmp_path):
    outputs.write_results(tmp_path, rendered, **CLIP)
    written = outputs.write_results(tmp_path, rendered[:2], **CLIP)
    assert sorted(p.name for p in written["frames"].iterdir()) == ["00001.png", "00002.png"]
    assert len(read_frames(written["result"]).frames) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "comparison.mp4",
        "result",
        "result.mp4",
    ]
