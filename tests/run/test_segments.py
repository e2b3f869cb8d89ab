"""A run divided: what each part is, reads and is claimed as."""

import json
import pathlib
import tracemalloc

import numpy as np
import pytest

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.io import images
from vidprior.run import segments
from vidprior.run.source import Source, training_crop
from vidprior.run.source import open_source as open_paths
from vidprior.run.workdir import PARTS, Workdir

T, H, W = 12, 36, 64
CUT = 5


@pytest.fixture
def config():
    """Training at the size of the source, split at cuts."""
    config = configuration.load("base")
    config.video.height, config.video.width = H, W
    config.video.split_at_cuts = True
    config.model.channels = (8,)
    return config


@pytest.fixture
def frames():
    """Two scenes of 5 and 7 textured frames."""
    noise = np.random.default_rng(0).integers(-20, 20, (T, H, W, 3))
    colours = np.array([(200, 40, 40)] * CUT + [(40, 60, 200)] * (T - CUT))
    return np.clip(colours[:, None, None] + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def masks():
    """A block of 6x8 pixels that moves three columns a frame."""
    masks = np.zeros((T, H, W), np.uint8)
    for t in range(T):
        masks[t, 10:16, 3 * t + 4 : 3 * t + 12] = 255
    return masks


@pytest.fixture
def open_source(frames, masks, tmp_path):
    """The source of a folder of images under a configuration."""

    def make(config, *, frames=frames, masks=masks):
        images.write_frames(tmp_path / "frames", frames)
        images.write_frames(tmp_path / "masks", masks)
        paths = str(tmp_path / "frames"), str(tmp_path / "masks")
        return open_paths(*paths, config=config)

    return make


ASKED = {"video": "/v", "mask": "/m", "flows": None}
RUN = Workdir("run")


def divided(source, config):
    return [part.frames for part in segments.split(source, config=config, workdir=RUN)]


# What the parts are


def test_a_run_is_split_at_its_cuts_and_into_segments(config, open_source):
    source = open_source(config)
    assert divided(source, config) == [range(0, CUT), range(CUT, T)]
    config.video.max_segment_frames, config.video.segment_overlap = 5, 1
    assert divided(source, config) == [range(0, 5), range(5, 9), range(8, 12)]
    config.video.split_at_cuts = False
    assert divided(source, config) == [range(0, 5), range(3, 8), range(7, 12)]
    config.video.max_segment_frames = 0
    assert divided(source, config) == [range(0, T)]


def test_one_part_is_the_run_itself(config, open_source):
    config.video.start, config.video.max_frames = 1, 3
    (part,) = segments.split(open_source(config), config=config, workdir=RUN)
    assert part == (range(0, 3), part.config, RUN)
    assert part.config.window.length == 3  # a shot that is shorter than a window
    part.config.window.length = config.window.length
    assert part.config.to_json() == config.to_json()


def test_a_part_is_an_ordinary_run_of_its_frames(config, open_source):
    config.video.start = 2
    config.video.max_segment_frames = 40
    _, part = segments.split(open_source(config), config=config, workdir=RUN)
    fields = part.config.video
    assert part.frames == range(3, 10)
    assert (fields.start, fields.stop, fields.max_frames) == (5, 12, None)
    assert (fields.split_at_cuts, fields.max_segment_frames) == (False, 0)
    assert part.workdir.path == pathlib.Path("run/parts/000003-000010")
    assert part.config.window.length == 5
    # By itself it has the same frames.
    source = open_source(part.config)
    assert (source.footage.start, source.footage.count) == (5, 7)
    assert divided(source, part.config) == [range(0, 7)]


def test_a_shot_shorter_than_a_window_has_shorter_windows_and_one_frame_no_flow(
    config, open_source
):
    config.loss.flow, config.loss.consistency = 0.1, 1.0
    config.video.start, config.video.stop = CUT - 1, CUT + 3
    one, three = segments.split(open_source(config), config=config, workdir=RUN)
    assert (len(one.frames), one.config.window.length) == (1, 1)
    assert (one.config.loss.flow, one.config.loss.consistency) == (0, 0)
    assert (len(three.frames), three.config.window.length) == (3, 3)
    assert (three.config.loss.flow, three.config.loss.consistency) == (0.1, 1.0)


def test_windows_fit_a_short_shot_at_the_smallest_stride(config, open_source):
    """Five frames hold two at a stride of 3, seven hold three."""
    config.window.strides = (3, 5)
    config.schedule.median_window = "none"
    short, long = segments.split(open_source(config), config=config, workdir=RUN)
    assert (short.config.window.length, long.config.window.length) == (2, 3)


def test_a_single_frame_of_which_flow_alone_would_be_learnt_is_refused(config, open_source):
    config.loss.flow, config.loss.image = 0.1, 0.0
    config.video.start, config.video.stop = CUT - 1, CUT + 3
    with pytest.raises(InputError, match="all losses have weight 0"):
        divided(open_source(config), config)


def test_a_whole_run_keeps_its_windows(config, open_source):
    config.video.split_at_cuts = False
    config.video.stop = 3
    (part,) = segments.split(open_source(config), config=config, workdir=RUN)
    assert part.config.window.length == 5


def test_a_video_that_breaks_off_ends_with_what_can_be_read(config, open_source):
    source = open_source(config)

    class Broken:
        count, start = 99, 0

        def frames(self):
            return source.footage.frames()

    config.video.allow_truncated = True
    broken = source._replace(footage=Broken())
    assert divided(broken, config) == [range(0, CUT), range(CUT, T)]
    config.video.split_at_cuts = False
    assert divided(broken, config) == [range(0, T)]


# What they read


def read(source, config):
    return list(segments.read_clips(source, segments.split(source, config=config, workdir=RUN)))


def test_clips_of_parts_have_their_frames_and_holes(config, open_source, frames, masks):
    config.video.max_segment_frames, config.video.segment_overlap = 5, 1
    first, second, third = read(open_source(config), config)
    for clip, here in ((first, slice(0, 5)), (second, slice(5, 9)), (third, slice(8, 12))):
        assert np.array_equal(clip.frames, frames[here])
        assert np.array_equal(clip.hole, masks[here] > 127)
    assert len({clip.source_sha256 for clip in (first, second, third)}) == 3


def test_the_footage_is_decoded_once(config, open_source, frames, masks):
    config.video.max_segment_frames, config.video.segment_overlap = 3, 1
    source = open_source(config)
    divided = segments.split(source, config=config, workdir=RUN)
    decoded = []

    class Counted:
        size, rate, pixel_aspect = (H, W), None, None

        def part(self, begin, end):
            return self

        def frames(self):
            for number, frame in enumerate(frames):
                decoded.append(number)
                yield frame

    assert len(list(segments.read_clips(source._replace(footage=Counted()), divided))) == 5
    assert decoded == list(range(T))


def test_two_parts_at_most_stand_in_memory(config):
    """400 frames of 64x36 in parts of 22: each is 4 bytes a pixel."""
    count, one = 400, 22 * H * W * 4

    class Endless:
        size, rate, pixel_aspect, start = (H, W), None, None, 0

        def part(self, begin, end):
            return self

        def frames(self):
            for number in range(count):
                yield np.full((H, W, 3), number % 256, np.uint8)

    config.video.split_at_cuts = False
    config.video.max_segment_frames, config.video.segment_overlap = 22, 6
    footage = Endless()
    footage.count = count
    masks = np.full((count, H, W), 255, np.uint8)
    masks[:, :, W // 2 :] = 0
    source = Source(footage, "masks", masks, 0, training_crop((H, W), masks, config=config))
    found = segments.split(source, config=config, workdir=RUN)
    assert len(found[0].frames) == 22
    tracemalloc.start()
    number = sum(1 for clip in segments.read_clips(source, found))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert number == len(found) == 25
    assert one < peak < 3.5 * one  # two, the one that was taken, and hashing


def test_each_part_is_seen_around_its_own_hole(config, open_source, frames):
    """16x32 of 36x64: the path of frames 5 to 11 is 6x26, that of frames 0 to 4 6x20."""
    config.video.crop = "hole"
    config.video.crop_margin = 0.0
    config.video.height, config.video.width = 8, 16
    first, second = read(open_source(config), config)
    # 6x20 at (10, 4) to 2:1 is 10x20 about row 13; 6x26 at (10, 19) is 13x26.
    view = first.view
    assert (view.top, view.left, view.height, view.width) == (8, 4, 10, 20)
    view = second.view
    assert (view.top, view.left, view.height, view.width) == (6, 19, 13, 26)


def test_a_part_without_a_hole_is_read_but_not_a_run_without_any(config, open_source, masks):
    masks[:CUT] = 0
    first, second = read(open_source(config, masks=masks), config)
    assert not first.hole.any()
    assert second.hole.any()
    with pytest.raises(InputError, match="no frame has a hole"):
        read(open_source(config, masks=0 * masks), config)


def test_a_hole_too_fine_for_the_training_size_is_not_taken_for_none(config, open_source, masks):
    config.video.height, config.video.width = H // 2, W // 2
    masks[CUT:] = 0
    masks[CUT:, :, 11] = 120  # a line of soft pixels, half of each when resized
    masks[CUT:, 5, 11] = 255
    with pytest.raises(InputError, match="the hole of frames 5 to 11 is too fine for the training"):
        read(open_source(config, masks=masks), config)


def test_a_part_that_is_all_hole_is_named(config, open_source, masks):
    masks[CUT:] = 255
    with pytest.raises(InputError, match="covers every frame from 5 to 11 in full"):
        read(open_source(config, masks=masks), config)


# Whose they are


def claim(config, source, workdir, *, asked=ASKED):
    found = segments.split(source, config=config, workdir=workdir)
    return segments.open_run(workdir, source, found, config=config, asked=asked)


def test_a_divided_run_is_claimed_and_found_again(config, open_source, frames, tmp_path):
    workdir, source = Workdir(tmp_path / "run"), open_source(config)
    assert claim(config, source, workdir) is False
    assert {path.name for path in workdir.path.iterdir()} == {"config.json", "parts"}
    names = {"000000-000005", "000005-000012", PARTS}
    assert {path.name for path in workdir.parts.iterdir()} == names
    assert claim(config, source, workdir) is True

    found, asked, stored = segments.stored_run(workdir)
    assert asked == ASKED
    assert configuration.to_dict(found) == configuration.to_dict(config)
    assert [part.frames for part in stored] == [range(0, CUT), range(CUT, T)]
    assert stored[1].config.video.start == CUT
    assert np.array_equal(stored[1].workdir.read_clip().frames, frames[CUT:])
    assert all(part.workdir.read_header().has_hole for part in stored)
    with pytest.raises(InputError, match=r"has 2 segments.*parts/000000-000005"):
        workdir.read_clip()


def test_an_undivided_run_has_no_folder_of_parts(config, open_source, tmp_path):
    config.video.start = CUT
    workdir = Workdir(tmp_path / "run")
    assert claim(config, open_source(config), workdir) is False
    assert {path.name for path in workdir.path.iterdir()} == {"config.json", "clip.npz"}
    _, _, (part,) = segments.stored_run(workdir)
    assert part.frames == range(0, T - CUT)
    assert part.workdir is workdir


def test_preparing_that_fails_leaves_nothing_behind(config, open_source, masks, tmp_path):
    workdir = Workdir(tmp_path / "run")
    with pytest.raises(InputError, match="no frame has a hole"):
        claim(config, open_source(config, masks=0 * masks), workdir)
    assert list(workdir.path.iterdir()) == []
    assert claim(config, open_source(config, masks=masks), workdir) is False


def test_a_crash_before_the_parts_are_in_place_is_mended(config, open_source, tmp_path):
    workdir, source = Workdir(tmp_path / "run"), open_source(config)
    claim(config, source, workdir)
    workdir.parts.rename(workdir.path / ".parts.12345")
    assert claim(config, source, workdir) is False
    assert [part.frames for part in segments.stored_run(workdir)[2]] == [
        range(0, CUT),
        range(CUT, T),
    ]


def test_a_run_of_other_frames_masks_or_divisions_is_refused(
    config, open_source, frames, masks, tmp_path
):
    workdir = Workdir(tmp_path / "run")
    claim(config, open_source(config), workdir)
    with pytest.raises(InputError, match="another video"):
        claim(config, open_source(config, frames=255 - frames), workdir)
    with pytest.raises(InputError, match="another mask"):
        claim(config, open_source(config, masks=masks[::-1], frames=frames), workdir)
    otherwise = np.concatenate([frames[: CUT - 1], frames[CUT:], frames[-1:]])
    with pytest.raises(InputError, match="another video"):
        claim(config, open_source(config, frames=otherwise, masks=masks), workdir)
    with pytest.raises(InputError, match="divided otherwise"):
        claim(config, open_source(config, frames=frames[[0] * T]), workdir)
    config.video.max_segment_frames, config.video.segment_overlap = 7, 2
    with pytest.raises(InputError, match=r"video\.max_segment_frames=0, now it is 7"):
        claim(config, open_source(config, frames=frames), workdir)


def test_an_undivided_run_is_not_taken_for_a_divided_one(config, open_source, frames, tmp_path):
    workdir = Workdir(tmp_path / "run")
    claim(config, open_source(config, frames=frames[[0] * T]), workdir)
    with pytest.raises(InputError, match="divided otherwise"):
        claim(config, open_source(config, frames=frames), workdir)
    assert not workdir.parts.exists()


def test_a_flow_file_is_for_a_run_in_one_part(config, open_source, tmp_path):
    with pytest.raises(
        InputError, match=r"flows\.npz: .* one segment, .* has 2 segments; .*split_at_cuts=False"
    ):
        claim(config, open_source(config), Workdir(tmp_path / "run"),
              asked={**ASKED, "flows": "flows.npz"})  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "7", "[]", "[[0, 5]", "[[0, 5], [6, 9]]", "[[1, 5]]", "[[0, 5], [5, 5]]",
     "[[0, 5], [9, 5]]", '[["0", 5]]', "[[0, 5, 6]]", "[[0.0, 5]]", "null"],
)  # fmt: skip
def test_a_damaged_division_is_named(text, config, open_source, tmp_path):
    workdir = Workdir(tmp_path / "run")
    claim(config, open_source(config), workdir)
    (workdir.parts / PARTS).write_text(text)
    with pytest.raises(InputError, match=r"parts\.json cannot be read"):
        segments.stored_run(workdir)


def test_a_part_that_is_missing_is_named(config, open_source, tmp_path):
    workdir = Workdir(tmp_path / "run")
    claim(config, open_source(config), workdir)
    (workdir.parts / "000005-000012").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="000005-000012 is no work directory"):
        segments.stored_run(workdir)


def test_the_ranges_are_stored_as_plain_numbers(config, open_source, tmp_path):
    workdir = Workdir(tmp_path / "run")
    claim(config, open_source(config), workdir)
    assert json.loads((workdir.parts / PARTS).read_text()) == [[0, CUT], [CUT, T]]
