"""Files and habits of people who do this job, through the real command, without training."""

from fractions import Fraction

import av
import numpy as np
import pytest
from harness import assert_one_error

from vidprior.io import images, video_writer
from vidprior.io.footage import open_footage, read_frames

COUNT, SIZE = 8, (64, 96)
PLAIN = (
    "--config=propagate", f"--config.video.height={SIZE[0]}", f"--config.video.width={SIZE[1]}",
)  # fmt: skip


def pictures():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack(
        [np.stack([x + 2 * t, 2 * y + t, x + y + 3 * t], axis=-1) % 200 for t in range(COUNT)]
    ).astype(np.uint8)


def holes():
    masks = np.zeros((COUNT, *SIZE), np.uint8)
    for t in range(COUNT):
        masks[t, 20:36, 10 + 2 * t : 30 + 2 * t] = 255
    return masks


@pytest.fixture
def given(tmp_path, write_clip):
    """A video with sound and a folder of masks."""
    images.write_frames(tmp_path / "masks", holes())
    return write_clip(tmp_path / "a.mp4", pictures(), tones=1), tmp_path / "masks"


def test_a_colon_in_every_path(command, given, tmp_path):
    folder = tmp_path / "2024-01-01T12:30:00"
    folder.mkdir()
    for path in given:
        path.rename(folder / f"x:{path.name}")
    arguments = ("--video=x:a.mp4", "--mask=x:masks", "--workdir=12:45")
    command.succeed(*PLAIN, *arguments, cwd=folder)
    assert len(read_frames(folder / "12:45/result.mp4").frames) == COUNT
    evaluated = command.succeed(
        "--mode=evaluate", "--workdir=./12:45", "--truth=./x:a.mp4", cwd=folder
    )
    assert "psnr" in evaluated.stdout.lower()


def test_sound_that_does_not_fit_is_told_before_the_work(command, given, tmp_path, write_clip):
    source = write_clip(tmp_path / "a.avi", pictures(), tones=1, audio_codec="pcm_u8")
    arguments = (*PLAIN, f"--video={source}", f"--mask={given[1]}", f"--workdir={tmp_path / 'run'}")
    assert_one_error(
        command(*arguments), "pcm_u8", "--config.render.format=mkv", "--config.render.audio=False"
    )
    assert not (tmp_path / "run").exists()
    command.succeed(*arguments, "--config.render.format=mkv")
    assert (tmp_path / "run/result.mkv").exists()


def test_labels_are_told_and_chosen(command, given, tmp_path):
    numbers = np.where(holes() > 0, 1, 0).astype(np.uint8)
    numbers[:, 50:60, 70:90] = 255
    images.write_frames(tmp_path / "ids", np.repeat(numbers[..., None], 3, axis=-1))
    arguments = (*PLAIN, f"--video={given[0]}", f"--mask={tmp_path / 'ids'}")
    lossless = "--config.render.format=ffv1"
    both = command.succeed(*arguments, f"--workdir={tmp_path / 'both'}", lossless)
    assert "mask: 8 masks, labels 1 and 255; removing all but 0" in both.stderr
    command.succeed(
        *arguments, f"--workdir={tmp_path / 'one'}", lossless, "--config.mask.ignore=255"
    )
    source = read_frames(given[0]).frames
    changed = (read_frames(tmp_path / "one/result.mkv").frames != source).any(axis=-1)
    assert not changed[holes() == 0].any()
    assert changed[holes() > 0].mean() > 0.3


def test_masks_of_some_frames(command, given, tmp_path):
    images.write_frames(tmp_path / "some", holes()[3:6], start=3)
    arguments = (
        *PLAIN, f"--video={given[0]}", f"--mask={tmp_path / 'some'}",
        f"--workdir={tmp_path / 'run'}", "--config.render.format=ffv1",
    )  # fmt: skip
    assert_one_error(command(*arguments), "none for frames 0 to 2 and 6, 7", "mask.missing=empty")
    told = command.succeed(*arguments, "--config.mask.missing=empty").stderr
    assert "frames 0 to 2 and 6, 7 have no mask and stay as they are" in told
    result = read_frames(tmp_path / "run/result.mkv").frames
    same = (result == read_frames(given[0]).frames).all(axis=(1, 2, 3))
    assert same.tolist() == [True] * 3 + [False] * 3 + [True] * 2


def test_high_definition_without_tags_keeps_its_colours(command, tmp_path):
    """Known pixels of the result, by the tags that it bears, are those of the source."""
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[:, :640], frame[:, 640:] = (255, 0, 0), (0, 192, 0)
    tagged, source = tmp_path / "tagged.mkv", tmp_path / "a.mp4"
    video_writer.write_video(tagged, [frame] * 3, rate=Fraction(25))
    with av.open(str(tagged)) as whole, av.open(str(source), "w") as plain:
        stream = plain.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = 720, 1280, "yuv420p"
        for picture in whole.decode(video=0):
            picture.colorspace = picture.color_range = 2
            picture.color_primaries = picture.color_trc = 2
            plain.mux(stream.encode(picture))
        plain.mux(stream.encode(None))
    mask = np.zeros((720, 1280), np.uint8)
    mask[300:340, 200:260] = 255
    images.write_image(tmp_path / "mask.png", mask)
    finished = command.succeed(
        *PLAIN, f"--video={source}", f"--mask={tmp_path / 'mask.png'}", f"--workdir={tmp_path}/run"
    )
    assert "BT.709 is assumed" in finished.stderr
    opened = open_footage(tmp_path / "run/result.mp4")
    assert opened.colour[:3] == (1, 1, 1)
    before = next(open_footage(source).frames()).astype(int)
    assert np.abs(before[50, ::1200] - ((255, 0, 0), (0, 192, 0))).max() <= 2
    for shown in opened.frames():
        assert np.abs(shown[50, ::1200] - before[50, ::1200]).max() <= 2
