"""Films of several shots, long shots in segments, and crops around the hole."""

import json
import shutil
import signal
import types

import numpy as np
import pytest
from harness import (
    HEIGHT,
    ROOT,
    SMALLEST,
    TINY,
    TOTAL,
    WIDTH,
    assert_one_error,
    assert_same_arrays,
    assert_same_run,
    checkpoint_steps,
    contents,
    metrics,
    parameters,
    pictures,
    wait_for,
)

from vidprior.imaging.dilation import dilate_masks
from vidprior.io import footage, images
from vidprior.run.workdir import Workdir

pytestmark = pytest.mark.slow

# Three shots: one without a hole, one longer than a segment, one of a single frame.
ENDS = (6, 19, 20)
PARTS = ("000000-000006", "000006-000014", "000011-000019", "000019-000020")
TRAINED = PARTS[1:]
SHALLOW = (*TINY, "--config.model.channels=(8,)")
DIVIDED = (
    *SHALLOW,
    "--config.video.split_at_cuts=True",
    "--config.video.max_segment_frames=8",
    "--config.video.segment_overlap=2",
)


def written(folder, truth, hole):
    """A composed clip in a folder: frames with a grey hole, masks and truth."""
    frames = np.where(hole[..., None], 128, truth).astype(np.uint8)
    images.write_frames(folder / "frames", frames)
    images.write_frames(folder / "masks", 255 * hole.astype(np.uint8))
    images.write_frames(folder / "truth", truth)
    return types.SimpleNamespace(
        folder=folder,
        frames=frames,
        hole=hole,
        grown=dilate_masks(255 * hole.astype(np.uint8), 2) > 127,
        inputs=(f"--video={folder / 'frames'}", f"--mask={folder / 'masks'}"),
    )


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Twenty frames of moving texture in three colours; a block is missing from the seventh on."""
    folder = tmp_path_factory.mktemp("film")
    random = np.random.default_rng(0)
    world = random.integers(-30, 30, (HEIGHT, WIDTH + 40, 3))
    colours = np.repeat([(190, 60, 60), (60, 80, 190), (80, 190, 90)], np.diff((0, *ENDS)), axis=0)
    truth = np.stack(
        [world[:, 2 * t : 2 * t + WIDTH] + colour for t, colour in enumerate(colours)]
    ).astype(np.uint8)
    hole = np.zeros(truth.shape[:3], bool)
    for t in range(6, 20):
        hole[t, 8:20, t : t + 14] = True
    return written(folder, truth, hole)


@pytest.fixture(scope="module")
def divided(command, film):
    """The work directory of an uninterrupted run. Not to be changed."""
    finished = command.succeed(*DIVIDED, *film.inputs, f"--workdir={film.folder / 'run'}")
    (film.folder / "stderr").write_text(finished.stderr)
    return film.folder / "run"


def frames_of(folder):
    return np.stack(list(pictures(folder).values()))


def test_every_part_has_a_work_directory_of_its_own(divided):
    top = {"config.json", "parts", "result", "result.mp4", "comparison.mp4"}
    assert {path.name for path in divided.iterdir()} == top
    assert {path.name for path in (divided / "parts").iterdir()} == {*PARTS, "parts.json"}
    trained = {"config.json", "clip.npz", "checkpoints", "metrics.jsonl", "previews"}
    expected = [set(), {"flows.npz"}, {"flows.npz"}, set()]
    for name, more in zip(PARTS, expected, strict=True):
        own = divided / "parts" / name
        needed = trained | more if name in TRAINED else {"config.json", "clip.npz"}
        assert {path.name for path in own.iterdir()} == needed
    assert metrics(divided / "parts" / PARTS[1])[-1]["update"] == TOTAL
    # A single frame has no flow.
    assert metrics(divided / "parts" / PARTS[3])[-1].keys() == {"update", "pass", "image", "total"}


def test_it_is_told_what_the_parts_are(divided):
    told = (divided.parent / "stderr").read_text()
    assert "segment 1 of 4: 6 frames at 48x32 (0 to 5), no hole: not changed" in told
    assert "segment 2 of 4: 8 frames at 48x32 (6 to 13), hole 10.9%" in told
    assert f"plan: {TOTAL} updates of {TOTAL} and {2 * TOTAL} in later segments" in told
    assert "GiB at most so far" in told


def test_holes_are_filled_and_nothing_else_has_changed(divided, film):
    result = frames_of(divided / "result")
    np.testing.assert_array_equal(result[~film.hole], film.frames[~film.hole])
    assert (result != film.frames).any(axis=-1)[film.hole].mean() > 0.9
    assert len(footage.read_frames(divided / "result.mp4").frames) == 20


def test_a_part_is_what_a_run_of_its_frames_alone_would_be(command, divided, film, tmp_path):
    """Bit for bit: so nothing comes from beyond a cut."""
    alone = ("--config.video.start=6", "--config.video.stop=14")
    command.succeed(*SHALLOW, *film.inputs, *alone, f"--workdir={tmp_path / 'alone'}")
    part = shutil.copytree(divided / "parts" / PARTS[1], tmp_path / "part")
    command.succeed("--mode=render", f"--workdir={part}")
    assert_same_run(tmp_path / "alone", part)


def test_segments_are_blended_over_the_frames_they_share(command, divided, film, tmp_path):
    segments = []
    for name in PARTS[1:3]:
        part = shutil.copytree(divided / "parts" / name, tmp_path / name)
        command.succeed("--mode=render", f"--workdir={part}")
        segments.append(frames_of(part / "result").astype(np.float32))
    first, second = segments  # frames 6 to 13 and 11 to 18: 11, 12 and 13 are shared
    result = frames_of(divided / "result")
    np.testing.assert_array_equal(result[6:11], first[:5])
    np.testing.assert_array_equal(result[14:19], second[3:])
    for number, share in ((11, 0.25), (12, 0.5), (13, 0.75)):
        mixed = (1 - share) * first[number - 6] + share * second[number - 11]
        assert (mixed != first[number - 6])[film.hole[number]].any()
        np.testing.assert_allclose(result[number], mixed, atol=0.5)


def assert_same_divided_run(first, second):
    assert_same_arrays(pictures(first / "result"), pictures(second / "result"))
    for name in TRAINED:
        one, other = (folder / "parts" / name for folder in (first, second))
        assert_same_arrays(parameters(one), parameters(other))
        assert metrics(one) == metrics(other)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_in_its_second_segment_goes_on_to_the_same_bits(
    number, command, divided, film, tmp_path
):
    workdir = tmp_path / "run"
    arguments = (*DIVIDED, *film.inputs, f"--workdir={workdir}")
    second = workdir / "parts" / PARTS[2]
    process = command.start(*arguments)
    try:
        wait_for(lambda: checkpoint_steps(second), process)
        process.send_signal(number)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert not (workdir / "parts" / PARTS[3] / "checkpoints").exists()
    finished = command.succeed(*arguments)
    assert "resuming" in finished.stderr
    assert_same_divided_run(divided, workdir)


def test_what_is_finished_can_be_rendered_before_the_rest_is_fitted(
    command, divided, film, tmp_path
):
    copy = shutil.copytree(divided, tmp_path / "run")
    shutil.rmtree(copy / "parts" / PARTS[3] / "checkpoints")
    before = contents(copy)
    command.succeed("--mode=render", f"--workdir={copy}", "--frames=4:13")
    whole, rendered = pictures(divided / "result"), pictures(copy / "render_newest_4-13/result")
    assert_same_arrays({f"{i:05d}.png": whole[f"{i:05d}.png"] for i in range(4, 13)}, rendered)
    after = contents(copy)
    assert before == {name: after[name] for name in before}
    refused = command("--mode=render", f"--workdir={copy}")
    assert_one_error(refused, f"{PARTS[3]} has no checkpoint: nothing was trained yet")
    assert pictures(copy / "result").keys() == whole.keys()
    (copy / "parts" / PARTS[3] / "metrics.jsonl").unlink()
    shutil.rmtree(copy / "result")
    assert "resuming" in command.succeed(*DIVIDED, *film.inputs, f"--workdir={copy}").stderr
    assert_same_divided_run(divided, copy)


def test_an_older_state_of_every_part_is_rendered(command, divided, tmp_path):
    copy = shutil.copytree(divided, tmp_path / "run")
    small = "--config.render.resolution=training"
    command.succeed("--mode=render", f"--workdir={copy}", "--checkpoint=24", small)
    whole, older = frames_of(divided / "result"), frames_of(copy / "render_000024_0-20/result")
    differ = (whole != older).any(axis=(1, 2, 3))
    assert differ.tolist() == [False] * 6 + [True] * 14


def test_shots_are_measured_apart(command, divided, film, tmp_path):
    copy = shutil.copytree(divided, tmp_path / "run")
    truth = film.folder / "truth"
    finished = command.succeed("--mode=evaluate", f"--workdir={copy}", f"--truth={truth}")
    stored = json.loads((copy / "evaluation.json").read_text())
    assert list(stored["clips"]) == ["run 6-19", "run 19-20"]
    assert "run 6-19" in finished.stdout
    result, true = frames_of(copy / "result")[6:19], frames_of(truth)[6:19]
    error = np.square((result - true.astype(float)) / 255).mean(axis=(1, 2, 3))
    expected = float(np.mean(10 * np.log10(1 / error)))
    assert stored["clips"]["run 6-19"]["psnr_full"] == pytest.approx(expected, rel=1e-5)


def test_what_belongs_to_one_clip_is_refused_in_one_line(command, divided, film, tmp_path):
    (flow,) = (divided / "parts" / PARTS[1]).glob("flows.npz")
    asked = (*DIVIDED, *film.inputs, f"--workdir={tmp_path / 'run'}")
    assert_one_error(
        command(*asked, f"--flows={flow}"), "4 segments", "--config.video.split_at_cuts=False"
    )
    published = ("--mode=import", f"--published={tmp_path / 'net.npz'}")
    assert_one_error(
        command(*asked, *published), "4 segments", "--config.video.split_at_cuts=False"
    )
    exported = command("--mode=export", f"--workdir={divided}", published[1])
    assert_one_error(exported, "has 4 segments", PARTS[0])
    assert not (tmp_path / "run").exists()


def test_propagated_pixels_stay_within_their_shot(command, film, tmp_path):
    """Each shot has a colour of its own; what is propagated or filled in has that of its shot."""
    workdir = tmp_path / "run"
    command.succeed(
        f"--config={ROOT / 'configs/propagate.py'}", *film.inputs, f"--workdir={workdir}",
        f"--config.video.height={HEIGHT}", f"--config.video.width={WIDTH}",
    )  # fmt: skip
    result = frames_of(workdir / "result").astype(float)
    for t in range(6, 20):
        inside = result[t][film.hole[t]].mean(axis=0)
        outside = result[t][~film.hole[t]].mean(axis=0)
        assert np.abs(inside - outside).max() < 30
    assert (workdir / "parts/000006-000019/propagated.npz").exists()


# Around the hole


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A small hole that moves in a large frame: 120x160, of which 32x48 are trained on."""
    folder = tmp_path_factory.mktemp("large")
    y, x = np.mgrid[:120, :160]
    truth = np.stack(
        [np.stack([x + 3 * t, y + 2 * t, 2 * x + y], axis=-1) % 256 for t in range(7)]
    ).astype(np.uint8)
    hole = np.zeros((7, 120, 160), bool)
    for t in range(7):
        hole[t, 70:78, 100 + t : 110 + t] = True
    return written(folder, truth, hole)


def test_a_small_hole_is_trained_on_at_the_source_s_resolution(command, large, tmp_path):
    workdir = tmp_path / "run"
    finished = command.succeed(
        "--config=dip_vid", *SMALLEST, *large.inputs, f"--workdir={workdir}",
        "--config.video.crop=hole", "--config.mask.dilate=2", "--config.render.format=png",
    )  # fmt: skip
    # The path is rows 68 to 79 and columns 98 to 117: a crop of 32x48 about (74, 108).
    view = Workdir(workdir).read_clip().view
    assert (view.top, view.left, view.height, view.width) == (58, 84, 32, 48)
    assert "48x32 at 84,58 of 160x120: 100% of the source's resolution" in finished.stderr
    result = frames_of(workdir / "result_png")
    assert result.shape == large.frames.shape
    np.testing.assert_array_equal(result[~large.grown], large.frames[~large.grown])
    assert (result != large.frames).any(axis=-1)[large.grown].mean() > 0.9
    # At this scale the result at training size is a part of the frame.
    np.testing.assert_array_equal(frames_of(workdir / "result"), result[:, 58:90, 84:132])
    # By itself again, and measured.
    shutil.rmtree(workdir / "result_png")
    command.succeed("--mode=render", f"--workdir={workdir}")
    np.testing.assert_array_equal(frames_of(workdir / "result_png"), result)
    truth = f"--truth={large.folder / 'truth'}"
    command.succeed("--mode=evaluate", f"--workdir={workdir}", truth)
    stored = json.loads((workdir / "evaluation.json").read_text())["clips"]["run"]
    assert (stored["width"], stored["height"]) == (48, 32)
    # The truth of another size has no such crop.
    images.write_frames(tmp_path / "small", frames_of(large.folder / "truth")[:, ::2, ::2])
    refused = command("--mode=evaluate", f"--workdir={workdir}", f"--truth={tmp_path / 'small'}")
    assert_one_error(refused, "the truth is 80x60, the source was 160x120")


@pytest.mark.long
def test_segments_that_are_seen_otherwise_are_blended_too(command, large, tmp_path):
    """Each around its own part of the path, at its own scale."""
    workdir = tmp_path / "run"
    command.succeed(
        "--config=dip_vid", *SMALLEST, *large.inputs, f"--workdir={workdir}",
        "--config.video.crop=hole", "--config.video.max_segment_frames=4",
        "--config.video.segment_overlap=1",
        "--config.video.crop_margin=1.2", "--config.render.format=png",
    )  # fmt: skip
    names = ("000000-000004", "000003-000007")
    views = [Workdir(workdir / "parts" / name).read_clip().view for name in names]
    assert views[0] != views[1]
    result = frames_of(workdir / "result_png")
    hole = (frames_of(large.folder / "masks") > 127).reshape(result.shape[:3])
    np.testing.assert_array_equal(result[~hole], large.frames[~hole])
    assert (result != large.frames).any(axis=-1)[hole].mean() > 0.9
    command.succeed("--mode=evaluate", f"--workdir={workdir}",
                    f"--truth={large.folder / 'truth'}")  # fmt: skip
    stored = json.loads((workdir / "evaluation.json").read_text())
    assert list(stored["clips"]) == ["run 0-3", "run 3-7"]
