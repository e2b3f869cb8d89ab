"""The main job: a clip in, a result out; rendered again, measured, and the same every time."""

import json
import shutil
import types
from fractions import Fraction

import av
import imageio.v3
import numpy as np
import pytest
from harness import (
    CHECKPOINTS,
    HEIGHT,
    NUM_FRAMES,
    RATE,
    ROOT,
    ROWS,
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
    pictures,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vidprior.imaging.dilation import dilate_masks
from vidprior.io import images
from vidprior.io.footage import open_footage, read_frames

pytestmark = pytest.mark.slow


def video_facts(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        size = stream.height, stream.width
        count = sum(1 for _ in container.decode(stream))
        return types.SimpleNamespace(rate=stream.average_rate, size=size, count=count)


def test_the_work_directory_holds_what_the_manual_says(trained):
    assert {path.name for path in trained.iterdir()} == {
        "config.json",
        "clip.npz",
        "flows.npz",
        "checkpoints",
        "metrics.jsonl",
        "previews",
        "result",
        "result.mp4",
        "comparison.mp4",
    }


def test_known_pixels_are_those_of_the_input_and_the_hole_is_filled(trained, clip):
    result = pictures(trained / "result")
    assert list(result) == [f"{i:05d}.png" for i in range(NUM_FRAMES)]
    frames = np.stack(list(result.values()))
    np.testing.assert_array_equal(frames[~clip.hole], clip.frames[~clip.hole])
    changed = (frames != clip.frames).any(axis=-1)
    assert changed[clip.hole].mean() > 0.9


def test_videos_keep_the_rate_and_the_number_of_frames(trained):
    result = video_facts(trained / "result.mp4")
    assert (result.rate.numerator, result.rate.denominator) == RATE
    assert (result.count, result.size) == (NUM_FRAMES, (HEIGHT, WIDTH))
    comparison = video_facts(trained / "comparison.mp4")  # input, result, generated flow
    assert (comparison.rate.numerator, comparison.rate.denominator) == RATE
    assert (comparison.count, comparison.size) == (NUM_FRAMES, (HEIGHT, 3 * WIDTH))


def test_the_result_video_shows_the_result_frames(trained):
    frames = np.stack(list(pictures(trained / "result").values()))
    with av.open(str(trained / "result.mp4")) as container:
        shown = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    # Lossy, and colour at half the resolution: near on average, not in every pixel.
    assert np.abs(shown.astype(int) - frames.astype(int)).mean() < 8


def test_the_configuration_is_stored_as_it_was_resolved(trained, clip):
    stored = json.loads((trained / "config.json").read_text())
    config = stored["config"]
    assert config["flow"]["estimator"] == "dis"  # an override
    assert config["model"]["channels"] == [8, 8]  # an override of a tuple
    assert config["window"]["strides"] == [1, 3, 5]  # the overlay's
    assert config["optimizer"]["learning_rate"] == 0.01  # the base's
    assert stored["inputs"]["video"] == str(clip.video)
    assert stored["inputs"]["mask"] == str(clip.masks_folder)


def test_metrics_have_a_row_for_every_interval_and_every_pass(trained):
    rows = metrics(trained)
    assert [row["update"] for row in rows] == list(ROWS)
    assert [row["pass"] for row in rows] == [1 + (update - 1) // 10 for update in ROWS]
    for row in rows:
        assert row.keys() == {"update", "pass", "image", "flow", "consistency", "total"}
        weighted = row["image"] + 0.1 * row["flow"] + row["consistency"]
        assert row["total"] == pytest.approx(weighted, rel=1e-5)
    assert rows[-1]["image"] < rows[0]["image"]


def test_the_newest_checkpoints_are_kept(trained):
    assert checkpoint_steps(trained) == list(CHECKPOINTS[-2:])


def test_a_preview_follows_every_pass(trained):
    previews = pictures(trained / "previews")
    assert list(previews) == ["000010.png", "000020.png", "000030.png"]
    for preview in previews.values():
        assert preview.shape == (2 * HEIGHT, 3 * WIDTH, 3)


def test_the_run_says_where_the_result_is_and_what_it_runs_on(trained):
    said = (trained.parent / "stdout").read_text()
    assert "result.mp4" in said
    assert "comparison.mp4" in said
    told = (trained.parent / "stderr").read_text()
    assert f"{NUM_FRAMES} frames at {WIDTH}x{HEIGHT}" in told
    assert "device: cpu" in told
    assert "grow it with --config.mask.dilate" in told
    assert "hole: according to the flow" in told
    assert f"{TOTAL} updates" in told
    assert "Warning" not in told
    assert "WARNING" not in told


@pytest.mark.long
def test_the_same_command_gives_the_same_bits(trained, real_command, clip, tmp_path):
    """Also from a folder of images instead of a video of the same frames, and a hash seed apart."""
    inputs = (f"--video={clip.frames_folder}", f"--mask={clip.masks_folder}")
    real_command.succeed(*TINY, *inputs, f"--workdir={tmp_path / 'again'}")
    assert_same_run(trained, tmp_path / "again")


@pytest.mark.long
def test_summaries_tell_what_metrics_and_previews_do(command, clip, tmp_path):
    workdir = tmp_path / "run"
    decays = ("--config.optimizer.lr_schedule=cosine", "--config.log.tensorboard=True")
    command.succeed(*TINY, *clip.inputs, *decays, f"--workdir={workdir}")
    events = EventAccumulator(str(workdir / "tensorboard"))
    events.Reload()
    rows = metrics(workdir)
    for term in ("image", "flow", "consistency", "total"):
        told = [(event.step, event.value) for event in events.Scalars(f"loss/{term}")]
        assert told == [(row["update"], np.float32(row[term])) for row in rows]
    rates = {event.step: event.value for event in events.Scalars("learning_rate")}
    for update, rate in rates.items():
        decay = (1 + np.cos(np.pi * (update - 1) / TOTAL)) / 2
        assert rate == pytest.approx(0.01 * decay, rel=1e-5)
    assert list(rates) == list(ROWS)
    previews = pictures(workdir / "previews")
    shown = events.Images("preview")
    assert [f"{event.step:06d}.png" for event in shown] == list(previews)
    for event, preview in zip(shown, previews.values(), strict=True):
        decoded = imageio.v3.imread(event.encoded_image_string)
        np.testing.assert_array_equal(decoded, preview)


def test_rendering_needs_nothing_but_clip_and_checkpoint(trained, command, copy_of_trained):
    for name in ("flows.npz", "result.mp4", "comparison.mp4", "metrics.jsonl"):
        (copy_of_trained / name).unlink()
    for name in ("result", "previews"):
        shutil.rmtree(copy_of_trained / name)
    stored = json.loads((copy_of_trained / "config.json").read_text())
    stored["inputs"] = {"video": "/nowhere", "mask": "/nowhere", "flows": None}
    (copy_of_trained / "config.json").write_text(json.dumps(stored))

    # The result at source size needs the source; it is never left out in silence.
    refused = command("--mode=render", f"--workdir={copy_of_trained}")
    assert_one_error(refused, "/nowhere", "--video", "--config.render.resolution=training")
    assert not (copy_of_trained / "result.mp4").exists()

    small = "--config.render.resolution=training"
    command.succeed("--mode=render", f"--workdir={copy_of_trained}", small)
    assert_same_arrays(pictures(trained / "result"), pictures(copy_of_trained / "result"))
    assert video_facts(copy_of_trained / "result.mp4").count == NUM_FRAMES


def test_a_range_of_frames_is_rendered_beside_the_result(trained, command, copy_of_trained):
    before = contents(copy_of_trained)
    command.succeed("--mode=render", f"--workdir={copy_of_trained}", "--frames=4:7")
    (folder,) = set(copy_of_trained.iterdir()) - {
        copy_of_trained / p.name for p in trained.iterdir()
    }
    whole = pictures(trained / "result")
    names = ["00004.png", "00005.png", "00006.png"]
    assert_same_arrays({name: whole[name] for name in names}, pictures(folder / "result"))
    assert video_facts(folder / "result.mp4").count == 3
    after = contents(copy_of_trained)
    assert before == {name: after[name] for name in before}


def test_an_older_checkpoint_renders_other_frames(trained, command, copy_of_trained):
    before = contents(copy_of_trained)
    older = checkpoint_steps(trained)[0]
    command.succeed("--mode=render", f"--workdir={copy_of_trained}", f"--checkpoint={older}")
    (folder,) = copy_of_trained.glob(f"render*{older}*")
    whole, rendered = pictures(trained / "result"), pictures(folder / "result")
    assert rendered.keys() == whole.keys()
    assert any((whole[name] != picture).any() for name, picture in rendered.items())
    after = contents(copy_of_trained)
    assert before == {name: after[name] for name in before}


@pytest.fixture(scope="module")
def footage(command, write_clip, tmp_path_factory):
    """A run on footage of another size than its training: 70x100, variable rate, sound."""
    folder = tmp_path_factory.mktemp("footage")
    y, x = np.mgrid[:70, :100]
    frames = np.stack(
        [np.stack([x + 5 * t, y + 3 * t, x + y], axis=-1) % 256 for t in range(9)]
    ).astype(np.uint8)
    times = [Fraction(n, 50) for n in (0, 2, 4, 6, 7, 8, 15, 17, 19)]
    path = folder / "film.mp4"
    write_clip(path, frames, shown_at=times, tones=1, pixel_aspect=Fraction(128, 117))
    hole = np.zeros((9, 70, 100), np.uint8)
    for t in range(9):
        hole[t, 20:40, 20 + 4 * t : 50 + 4 * t] = 255
    images.write_frames(folder / "masks", hole)
    options = (
        *SMALLEST, "--config.mask.dilate=3", "--config.render.feather=3",
        f"--video={path}", f"--mask={folder / 'masks'}",
    )  # fmt: skip
    command.succeed("--config=dip_vid", *options, f"--workdir={folder / 'run'}")
    return types.SimpleNamespace(
        path=path,
        folder=folder,
        workdir=folder / "run",
        frames=read_frames(path).frames,
        grown=dilate_masks(hole, 3) > 127,
        times=tuple(times),
        options=options,
    )


def test_the_result_is_footage_again(footage, heard):
    result = open_footage(footage.workdir / "result.mp4")
    assert (result.size, result.count) == ((70, 100), 9)
    assert result.shown_at() == footage.times
    assert result.pixel_aspect == Fraction(128, 117)
    assert [data for _, data in heard(footage.workdir / "result.mp4")[0]] == [
        data for _, data in heard(footage.path)[0]
    ]
    assert next(iter(pictures(footage.workdir / "result").values())).shape[:2] == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("video_format", "name"), [("lossless", "result.mkv"), ("png", "result_png")]
)
def test_outside_the_hole_a_lossless_result_is_the_source(command, footage, video_format, name):
    command.succeed(
        "--mode=render", f"--workdir={footage.workdir}", f"--config.render.format={video_format}"
    )
    result = read_frames(footage.workdir / name).frames
    np.testing.assert_array_equal(result[~footage.grown], footage.frames[~footage.grown])
    # The crop of 70x100 to 2:3 leaves a row out at the top and at the bottom: the hole is inside.
    assert (result != footage.frames).any(axis=-1)[footage.grown].mean() > 0.9


def test_how_a_state_is_rendered_may_be_changed(command, footage):
    where = ("--mode=render", f"--workdir={footage.workdir}", "--config.render.format=png")
    folder = footage.workdir / "result_png"
    command.succeed(*where)
    feathered = pictures(folder)
    command.succeed(*where, "--config.render.feather=0")
    hard = pictures(folder)
    command.succeed(*where, "--config.render.feather=0", "--config.render.seam=gradient")
    blended = pictures(folder)
    assert any((hard[name] != feathered[name]).any() for name in hard)
    assert any((hard[name] != blended[name]).any() for name in hard)
    refused = command(*where, "--config.render.feather=4")
    assert_one_error(refused, "render.feather is 4", "mask.dilate, which is 3")
    refused = command(*where, "--config.mask.dilate=4")
    assert_one_error(refused, "mask.dilate cannot be changed after training")
    stored = json.loads((footage.workdir / "config.json").read_text())
    assert stored["config"]["render"]["feather"] == 3


def test_a_range_of_footage_takes_its_times_and_its_sound(command, footage, heard):
    command.succeed("--mode=render", f"--workdir={footage.workdir}", "--frames=3:7")
    (folder,) = footage.workdir.glob("render_*_3-7")
    result = open_footage(folder / "result.mp4")
    assert result.shown_at() == tuple(t - footage.times[3] for t in footage.times[3:7])
    whole = [data for _, data in heard(footage.path)[0]]
    part = [data for _, data in heard(folder / "result.mp4")[0]]
    assert 0 < len(part) < len(whole)
    assert part == whole[whole.index(part[0]) :][: len(part)]


def test_a_source_that_has_changed_is_not_rendered_into(command, footage, write_clip, tmp_path):
    write_clip(tmp_path / "film.mp4", 255 - footage.frames)
    refused = command(
        "--mode=render", f"--workdir={footage.workdir}", f"--video={tmp_path / 'film.mp4'}"
    )
    assert_one_error(refused, "film.mp4", "frame 0 differs", "--config.render.resolution=training")


def test_evaluation_prints_and_stores_the_measures(command, clip, copy_of_trained):
    finished = command.succeed(
        "--mode=evaluate", f"--workdir={copy_of_trained}", f"--truth={clip.truth_folder}"
    )

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    text = (copy_of_trained / "evaluation.json").read_text()
    stored = json.loads(text, parse_constant=refuse)
    truth = [imageio.v3.imread(path) for path in sorted(clip.truth_folder.iterdir())]
    result = np.stack(list(pictures(copy_of_trained / "result").values()))
    error = np.square((result - np.stack(truth).astype(float)) / 255).mean(axis=(1, 2, 3))
    expected = float(np.mean(10 * np.log10(1 / error)))
    assert stored["protocol"]["name"] == "hole"
    assert stored["clips"]["run"]["psnr_full"] == pytest.approx(expected, rel=1e-5)
    assert stored["mean"]["psnr_full"] == stored["clips"]["run"]["psnr_full"]
    shown = dict(line.split() for line in finished.stdout.splitlines() if len(line.split()) == 2)
    assert float(shown["psnr_full"]) == pytest.approx(expected, abs=1e-3)
    assert "at the source's size" in finished.stdout
    assert {"sharpness", "flicker"} <= shown.keys() & stored["source"].keys()
    assert str(copy_of_trained / "evaluation.json") in finished.stdout


def test_a_range_of_the_source_is_inpainted_and_evaluated(command, clip, tmp_path):
    """Masks and truth cover the whole source."""
    workdir = tmp_path / "run"
    part = ("--config.video.start=3", "--config.video.stop=10")
    command.succeed("--config=dip_vid", *SMALLEST, *part, *clip.inputs, f"--workdir={workdir}")
    result = pictures(workdir / "result")
    assert list(result) == [f"{i:05d}.png" for i in range(7)]
    frames, hole = clip.frames[3:10], clip.hole[3:10]
    np.testing.assert_array_equal(np.stack(list(result.values()))[~hole], frames[~hole])
    command.succeed("--mode=evaluate", f"--workdir={workdir}", f"--truth={clip.truth_folder}")
    stored = json.loads((workdir / "evaluation.json").read_text())
    truth = [imageio.v3.imread(path) for path in sorted(clip.truth_folder.iterdir())][3:10]
    error = np.square((np.stack(list(result.values())) - np.stack(truth).astype(float)) / 255)
    expected = float(np.mean(10 * np.log10(1 / error.mean(axis=(1, 2, 3)))))
    assert stored["mean"]["psnr_full"] == pytest.approx(expected, rel=1e-5)


def test_help_lists_the_flags(command):
    finished = command("--help")
    for flag in ("video", "mask", "flows", "workdir", "mode", "checkpoint", "frames", "truth"):
        assert f"--{flag}" in finished.stdout
    assert "Traceback" not in finished.stderr


def test_a_shipped_configuration_is_found_by_path_and_by_name(command):
    for name in ("configs/flow.py", "flow"):
        finished = command(f"--config={name}", "--workdir=/nowhere/run", cwd=ROOT)
        assert finished.stderr == "error: --video is missing\n"


@pytest.mark.long
def test_a_published_network_is_imported_rendered_and_exported(command, trained, clip, tmp_path):
    """What a run exports renders to the same frames elsewhere, and comes out the same."""
    exported, again = tmp_path / "net.npz", tmp_path / "again.npz"
    command.succeed("--mode=export", f"--workdir={trained}", f"--published={exported}")
    workdir = tmp_path / "theirs"
    # Another seed: the noise is that of the file.
    options = (*TINY, *clip.inputs, "--config.seed=7")
    asked = ("--mode=import", f"--workdir={workdir}", f"--published={exported}")
    command.succeed(*asked, *options)
    command.succeed("--mode=render", f"--workdir={workdir}")
    assert_same_arrays(pictures(trained / "result"), pictures(workdir / "result"))
    command.succeed("--mode=export", f"--workdir={workdir}", f"--published={again}")
    with np.load(exported, allow_pickle=False) as first, np.load(again, allow_pickle=False) as last:
        assert_same_arrays(dict(first), dict(last))
    assert_one_error(command(*asked, *options), "already contains a run")
    # It can be trained further.
    finished = command.succeed(*options, f"--workdir={workdir}")
    assert "plan: 30 updates" in finished.stderr
