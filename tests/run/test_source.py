"""From the user's files to a clip at training size: crop, resize, dilation, range, rate."""

import json
import pathlib
from fractions import Fraction

import imageio.v3
import numpy as np
import pytest

from vidprior.configuration import load
from vidprior.errors import InputError
from vidprior.flow import dis, flow_file
from vidprior.imaging import geometry
from vidprior.imaging.dilation import dilate_masks
from vidprior.io import footage as footage_module
from vidprior.io.video_writer import write_video
from vidprior.run import flows as flows_module
from vidprior.run import outputs, segments
from vidprior.run.flows import (
    PWCNET,
    PWCNET_URL,
    describe_visibility,
    obtain_flows,
    require_estimator,
)
from vidprior.run.render import RenderedFrame
from vidprior.run.source import (
    crop_truth,
    growth,
    input_warnings,
    open_source,
    read_truth,
    reopen_source,
    training_crop,
    verify_source,
)
from vidprior.run.workdir import Workdir
from vidprior.types import OFFSETS

T, H, W = 6, 20, 40


@pytest.fixture
def config():
    """Training at the size of the source."""
    config = load("base")
    config.video.height, config.video.width = H, W
    return config


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (T, H, W, 3), np.uint8)


@pytest.fixture
def hole():
    """A block of 4 rows and 6 columns that moves two columns a frame."""
    hole = np.zeros((T, H, W), bool)
    for i in range(T):
        hole[i, 8:12, 10 + 2 * i : 16 + 2 * i] = True
    return hole


def write_images(folder, images):
    folder.mkdir()
    for i, image in enumerate(images):
        imageio.v3.imwrite(folder / f"{i:03d}.png", image)
    return str(folder)


@pytest.fixture
def video(frames, tmp_path):
    return write_images(tmp_path / "frames", frames)


@pytest.fixture
def mask(hole, tmp_path):
    return write_images(tmp_path / "masks", 255 * hole.astype(np.uint8))


def read_clip(video, mask, *, config):
    source = open_source(video, mask, config=config)
    (clip,) = segments.read_clips(
        source, segments.split(source, config=config, workdir=Workdir("-"))
    )
    return clip


# The clip


def test_a_clip_of_training_size_is_taken_as_it_is(config, video, mask, frames, hole):
    clip = read_clip(video, mask, config=config)
    np.testing.assert_array_equal(clip.frames, frames)
    np.testing.assert_array_equal(clip.hole, hole)
    assert clip.hole.dtype == bool
    assert clip.source_sha256 == flow_file.frames_sha256(frames)


def test_frames_and_masks_go_through_the_same_crop_and_resize(config, video, tmp_path):
    """To 10x10: 10 columns go on either side, then 2x2 pixels become one."""
    config.video.height = config.video.width = 10
    grey = np.zeros((T, H, W), np.uint8)
    grey[:, 4:6, 14:16] = 255  # one whole pixel of the result, at (2, 2)
    grey[:, 4:6, 17] = 255  # half of the pixel at (2, 3): 127.5, which rounds to even, hole
    grey[:, 5, 19] = 255  # a quarter of the pixel at (2, 4): known
    grey[:, :, :10] = 255  # cropped away
    mask = write_images(tmp_path / "masks", grey)
    clip = read_clip(video, mask, config=config)
    assert clip.frames.shape == (T, 10, 10, 3)
    expected = np.zeros((10, 10), bool)
    expected[2, 2:4] = True
    np.testing.assert_array_equal(clip.hole, np.broadcast_to(expected, (T, 10, 10)))
    source = footage_module.read_frames(video).frames[:, :, 10:30].astype(float)
    means = source.reshape(T, 10, 2, 10, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(clip.frames, means, atol=0.5)


@pytest.mark.parametrize("name", ["footage", "fast", "propagate"])
@pytest.mark.parametrize("size", [(480, 854), (854, 480), (240, 600)])
def test_configurations_for_own_footage_cut_off_no_part_of_the_hole(name, size):
    """A head above the crop would stay in the picture."""
    mask = np.zeros((1, *size), np.uint8)
    mask[:, :: size[0] - 1, :: size[1] - 1] = 255  # the four corners
    view = training_crop(size, mask, config=load(name))
    assert mask[:, *view.crop].sum() == mask.sum()


def test_the_transform_leads_back_to_the_source(config, video, mask, frames):
    config.video.height = config.video.width = 10
    clip = read_clip(video, mask, config=config)
    transform = geometry.Transform.from_dict(json.loads(clip.transform))
    assert (transform.source_size, transform.size) == ((H, W), (10, 10))
    assert (transform.top, transform.left, transform.height, transform.width) == (0, 10, 20, 20)
    np.testing.assert_array_equal(geometry.crop_and_resize(transform, frames), clip.frames)


def test_the_identity_is_that_of_the_frames_at_training_size(config, video, mask):
    whole = read_clip(video, mask, config=config)
    config.video.height = config.video.width = 10
    small = read_clip(video, mask, config=config)
    assert small.source_sha256 == flow_file.frames_sha256(small.frames)
    assert small.source_sha256 != whole.source_sha256


def test_the_mask_grows_by_a_disc_before_the_crop(config, video, mask, hole):
    config.mask.dilate = 2
    clip = read_clip(video, mask, config=config)
    rows, columns = np.mgrid[:H, :W]
    for i in range(T):
        distances = [np.hypot(rows - r, columns - c) for r, c in np.argwhere(hole[i])]
        np.testing.assert_array_equal(clip.hole[i], np.min(distances, axis=0) <= 2)


def test_dilation_is_in_pixels_of_the_source(config, video, tmp_path):
    """A hole in the margin that is cropped away still reaches into the picture."""
    config.video.height = config.video.width = 10
    grey = np.zeros((T, H, W), np.uint8)
    grey[:, :, 8] = 255
    mask = write_images(tmp_path / "masks", grey)
    with pytest.raises(InputError, match="no frame has a hole"):
        read_clip(video, mask, config=config)
    config.mask.dilate = 3  # columns 5..11 of the source: 10 and 11 are column 0 of the result
    clip = read_clip(video, mask, config=config)
    expected = np.zeros((10, 10), bool)
    expected[:, 0] = True
    np.testing.assert_array_equal(clip.hole[0], expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"start": 2}, slice(2, T)),
        ({"stop": 4}, slice(0, 4)),
        ({"start": 1, "stop": 5}, slice(1, 5)),
        ({"start": 1, "max_frames": 2}, slice(1, 3)),
        ({"max_frames": 99}, slice(0, T)),
    ],
)
def test_a_range_of_the_video_takes_that_range_of_the_masks(
    config, video, mask, frames, hole, fields, expected
):
    config.video.update(fields)
    clip = read_clip(video, mask, config=config)
    np.testing.assert_array_equal(clip.frames, frames[expected])
    np.testing.assert_array_equal(clip.hole, hole[expected])


def test_masks_of_just_the_range(config, video, hole, tmp_path):
    config.video.start, config.video.stop = 1, 5
    mask = write_images(tmp_path / "masks", 255 * hole[1:5].astype(np.uint8))
    clip = read_clip(video, mask, config=config)
    np.testing.assert_array_equal(clip.hole, hole[1:5])


def test_one_mask_for_all_frames(config, video, hole, tmp_path):
    imageio.v3.imwrite(tmp_path / "mask.png", 255 * hole[0].astype(np.uint8))
    clip = read_clip(video, str(tmp_path / "mask.png"), config=config)
    np.testing.assert_array_equal(clip.hole, np.broadcast_to(hole[0], hole.shape))


@pytest.mark.parametrize(
    ("rate", "expected"), [(25.0, (25, 1)), (12.5, (25, 2)), (29.97, (2997, 100)), (24, (24, 1))]
)
def test_a_folder_of_images_has_the_rate_of_the_configuration(config, video, mask, rate, expected):
    config.video.image_fps = rate
    assert read_clip(video, mask, config=config).rate == expected


def test_a_video_keeps_its_own_rate_and_pixel_aspect(config, frames, mask, tmp_path):
    path = tmp_path / "video.mp4"
    write_video(path, frames, rate=Fraction(30000, 1001), pixel_aspect=Fraction(16, 15))
    clip = read_clip(str(path), mask, config=config)
    assert clip.rate == (30000, 1001)
    assert clip.pixel_aspect == (16, 15)


def test_pixels_are_square_where_nothing_is_said(config, video, mask):
    assert read_clip(video, mask, config=config).pixel_aspect == (1, 1)


def test_a_clip_survives_its_file(config, video, mask, tmp_path):
    clip = read_clip(video, mask, config=config)
    workdir = Workdir(tmp_path / "run")
    workdir.open_run({}, {}, clip)
    again = workdir.read_clip()
    np.testing.assert_array_equal(again.frames, clip.frames)
    np.testing.assert_array_equal(again.hole, clip.hole)
    assert again[2:] == clip[2:]


def test_a_hole_that_covers_everything_leaves_nothing_to_learn_from(config, video, tmp_path):
    mask = write_images(tmp_path / "masks", np.full((T, H, W), 255, np.uint8))
    with pytest.raises(InputError, match="covers every frame"):
        read_clip(video, mask, config=config)


def test_a_hole_may_cover_some_frames_in_full(config, video, hole, tmp_path):
    hole[2] = True
    mask = write_images(tmp_path / "masks", 255 * hole.astype(np.uint8))
    np.testing.assert_array_equal(read_clip(video, mask, config=config).hole, hole)


# The source once more


def shown(clip, frames):
    return outputs.attach_input(
        (RenderedFrame(number, clip.frames[number], None) for number in frames), clip
    )


def read_again(config, clip, video, mask, frames=range(T)):
    source = reopen_source(video, mask, clip.view.source_size, config=config).part(frames)
    again = list(verify_source(source, shown(clip, frames)))
    assert [one.number for one, _, _ in again] == list(frames)
    return [(frame, hole) for _, frame, hole in again]


@pytest.mark.parametrize("numbers", [range(T), range(2, 5)])
def test_source_frames_come_with_their_grown_holes(config, video, mask, frames, hole, numbers):
    config.video.height = config.video.width = 10
    config.mask.dilate = 2
    clip = read_clip(video, mask, config=config)
    again = read_again(config, clip, video, mask, numbers)
    assert len(again) == len(numbers)
    grown = dilate_masks(255 * hole.astype(np.uint8), 2) > 127
    for number, (frame, missing) in zip(numbers, again, strict=True):
        np.testing.assert_array_equal(frame, frames[number])
        np.testing.assert_array_equal(missing, grown[number])


def test_a_range_of_the_source_counts_from_its_start(config, video, mask, frames):
    config.video.start = 2
    clip = read_clip(video, mask, config=config)
    ((frame, _),) = read_again(config, clip, video, mask, range(1, 2))
    np.testing.assert_array_equal(frame, frames[3])


def test_a_frame_that_has_changed_is_named(config, video, mask, frames):
    clip = read_clip(video, mask, config=config)
    imageio.v3.imwrite(pathlib.Path(video) / "004.png", 255 - frames[4])
    assert len(read_again(config, clip, video, mask, range(4))) == 4
    with pytest.raises(
        InputError, match=r"frames is not what .* frame 4 .*render\.resolution=training"
    ):
        read_again(config, clip, video, mask)


def test_a_mask_that_has_changed_is_named(config, video, mask, hole):
    clip = read_clip(video, mask, config=config)
    imageio.v3.imwrite(pathlib.Path(mask) / "002.png", 255 * (~hole[2]).astype(np.uint8))
    with pytest.raises(
        InputError, match=r"masks is not what .* frame 2 .*render\.resolution=training"
    ):
        read_again(config, clip, video, mask)


def test_a_source_that_is_gone_or_has_another_size(config, video, mask, tmp_path):
    clip = read_clip(video, mask, config=config)
    with pytest.raises(InputError, match=r"no such file.*render\.resolution=training"):
        read_again(config, clip, str(tmp_path / "gone"), mask)
    larger = np.zeros((T, 2 * H, 2 * W, 3), np.uint8)
    video, mask = write_images(tmp_path / "l", larger), write_images(tmp_path / "m", larger)
    with pytest.raises(InputError, match=r"another size.*render\.resolution=training"):
        read_again(config, clip, video, mask)


def test_a_source_that_has_become_shorter_is_named(config, frames, mask, tmp_path):
    path = tmp_path / "video.mkv"
    config.video.allow_truncated = True
    write_video(path, frames, rate=Fraction(25), lossless=True)
    clip = read_clip(str(path), mask, config=config)
    source = open_source(str(path), mask, config=config)
    short = source._replace(footage=source.footage.part(0, 4))
    with pytest.raises(InputError, match="ends before frame 4"):
        list(verify_source(short, shown(clip, range(T))))


# What is told beforehand


def test_a_mask_that_does_not_grow_is_noted(config, video, mask):
    (note,) = input_warnings(open_source(video, mask, config=config))
    assert "--config.mask.dilate" in note
    config.mask.dilate = 2
    assert list(input_warnings(open_source(video, mask, config=config))) == []


@pytest.mark.parametrize(("height", "pixels"), [(240, 8), (480, 8), (720, 12), (1080, 18)])
def test_without_a_number_the_mask_grows_with_the_height(config, height, pixels):
    config.mask.dilate = None
    assert growth((height, 2 * height), config=config) == pixels
    config.mask.dilate = 3
    assert growth((height, 2 * height), config=config) == 3


def test_a_mask_in_the_margins_is_warned_of(config, video, tmp_path):
    """20x40 to 16x16: ten columns go on either side. Half of the mask lies there."""
    config.video.height = config.video.width = 16
    config.mask.dilate = 1
    grey = np.zeros((T, H, W), np.uint8)
    grey[:, 5, 8:12] = 255
    mask = write_images(tmp_path / "masks", grey)
    (warning,) = input_warnings(open_source(video, mask, config=config))
    # The whole frame at about the same number of pixels: 11.3 x 22.6, at least 16 and by 8.
    for words in ("50.0%", "16x16", "--config.video.height=16 --config.video.width=24"):
        assert words in warning


def test_what_is_never_seen_is_told(config, video, mask, make_flows):
    """In a still picture a hole of six columns that moves by two a frame leaves all of them."""
    clip = read_clip(video, mask, config=config)
    flows = make_flows(T, (H, W))
    still = flows._replace(flow=np.zeros_like(flows.flow))
    assert "each of its pixels" in describe_visibility(clip, still)
    standing = clip._replace(hole=np.repeat(clip.hole[:1], T, axis=0))
    assert "100.0% of its pixels are seen in no frame" in describe_visibility(standing, still)


# The truth


@pytest.fixture
def clip(config, video, mask):
    config.video.start, config.video.stop = 1, 5
    return read_clip(video, mask, config=config)


def test_truth_of_the_whole_source_gives_the_range(config, clip, video, frames):
    truth = read_truth(video, config=config, count=len(clip.frames))
    np.testing.assert_array_equal(truth, frames[1:5])


def test_truth_of_just_the_range(config, clip, frames, tmp_path):
    path = write_images(tmp_path / "truth", frames[1:5])
    truth = read_truth(path, config=config, count=len(clip.frames))
    np.testing.assert_array_equal(truth, frames[1:5])


def test_truth_goes_through_the_crop_and_resize_of_the_clip(config, video, mask):
    config.video.height = config.video.width = 10
    clip = read_clip(video, mask, config=config)
    truth = read_truth(video, config=config, count=T)
    seen = crop_truth(truth, clip.view, config=config)
    np.testing.assert_array_equal(seen, clip.frames)


def test_truth_of_another_size_fits_the_frame_but_no_crop_around_the_hole(
    config, video, mask, frames
):
    """A truth of training size, where the source was twice as large."""
    config.video.height, config.video.width = H // 2, W // 2
    clip = read_clip(video, mask, config=config)
    small = geometry.crop_and_resize(clip.view, frames)
    np.testing.assert_array_equal(crop_truth(small, clip.view, config=config), small)
    config.video.crop = "hole"
    with pytest.raises(InputError, match=r"truth is 20x10, the source was 40x20"):
        crop_truth(small, clip.view, config=config)


def test_truth_that_is_too_short_names_both_numbers(config, clip, frames, tmp_path):
    path = write_images(tmp_path / "truth", frames[:3])
    with pytest.raises(InputError, match=r"truth has 3 frames, .* 4"):
        read_truth(path, config=config, count=len(clip.frames))


# The estimators


def test_opencv_needs_nothing(config):
    config.flow.estimator = "dis"
    require_estimator(config)


@pytest.mark.parametrize("has_python", [False, True])
@pytest.mark.parametrize("has_weights", [False, True])
def test_what_pwcnet_lacks_comes_with_its_remedy(config, has_python, has_weights, tmp_path):
    config.flow.estimator = "pwcnet"
    python, weights = tmp_path / "bin python", tmp_path / "some weights"
    config.flow.pwcnet_python, config.flow.pwcnet_weights = str(python), str(weights)
    for path, there in ((python, has_python), (weights, has_weights)):
        if there:
            path.touch()
    if has_python and has_weights:
        require_estimator(config)
        return
    with pytest.raises(InputError) as error:
        require_estimator(config)
    told = str(error.value)
    assert ("`make pwcnet-env`" in told) == (not has_python)
    assert (f"`curl -fL --create-dirs -o '{weights}' {PWCNET_URL}`" in told) == (not has_weights)
    assert "--config.flow.estimator=dis" in told
    assert "non-commercial" in told
    assert "\n" not in told


def test_the_isolated_estimator_is_where_it_is_looked_for():
    assert PWCNET.is_file()
    assert pathlib.Path(__file__).parents[2] in PWCNET.parents


def test_an_installation_without_the_isolated_estimator_says_so(config, monkeypatch, tmp_path):
    config.flow.estimator = "pwcnet"
    monkeypatch.setattr(flows_module, "PWCNET", tmp_path / "estimate.py")
    with pytest.raises(InputError, match=r"from a checkout.*flow\.estimator=dis"):
        require_estimator(config)


# Flow


@pytest.fixture
def small_workdir(tmp_path):
    workdir = Workdir(tmp_path / "run")
    workdir.path.mkdir()
    return workdir


def test_flow_is_estimated_once_and_kept(config, video, mask, small_workdir, monkeypatch):
    clip = read_clip(video, mask, config=config)
    flows = obtain_flows(small_workdir, clip, config=config, given=None)
    assert flows.offsets.tolist() == list(OFFSETS)
    assert flows.flow.shape == (6, T, H, W, 2)
    assert flows.source_sha256 == clip.source_sha256

    def refuse(*_, **__):
        raise AssertionError("estimated twice")

    monkeypatch.setattr(dis, "estimate_dis", refuse)
    again = obtain_flows(small_workdir, clip, config=config, given=None)
    np.testing.assert_array_equal(again.flow, flows.flow)


def test_flow_sees_filled_frames_but_belongs_to_the_clip(
    config, video, mask, hole, small_workdir, monkeypatch
):
    config.flow.fill_hole = True
    clip = read_clip(video, mask, config=config)
    seen = []
    estimate = dis.estimate_dis

    def spy(frames, **options):
        seen.append(frames)
        return estimate(frames, **options)

    monkeypatch.setattr(dis, "estimate_dis", spy)
    flows = obtain_flows(small_workdir, clip, config=config, given=None)
    np.testing.assert_array_equal(seen[0][~hole], clip.frames[~hole])
    assert (seen[0][hole] != clip.frames[hole]).any()
    assert flows.source_sha256 == clip.source_sha256


def test_a_given_file_is_read_and_nothing_is_estimated(config, video, mask, tmp_path, make_flows):
    clip = read_clip(video, mask, config=config)
    given = make_flows(T, (H, W))._replace(source_sha256=clip.source_sha256)
    flow_file.save_flows(tmp_path / "given.npz", given)
    nowhere = Workdir(tmp_path / "nowhere")
    nowhere.path.mkdir()
    path = str(tmp_path / "given.npz")
    flows = obtain_flows(nowhere, clip, config=config, given=path)
    np.testing.assert_array_equal(flows.flow, given.flow)


def test_a_given_file_of_another_clip_is_refused(config, video, mask, tmp_path, make_flows):
    clip = read_clip(video, mask, config=config)
    flow_file.save_flows(tmp_path / "given.npz", make_flows(T, (H, W)))
    path = str(tmp_path / "given.npz")
    with pytest.raises(InputError, match="source_sha256"):
        obtain_flows(Workdir(tmp_path / "run"), clip, config=config, given=path)
