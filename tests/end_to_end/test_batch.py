"""`vidprior batch` as people run it: rows that fail or are done, workers that are killed."""

import json
import os
import pathlib
import shutil
import signal
import sys
import time

import pytest
from harness import (
    ROOT,
    TINY,
    assert_one_error,
    assert_same_arrays,
    assert_same_run,
    contents,
    parameters,
    pictures,
    wait_for,
)

pytestmark = pytest.mark.slow

# Known pixels of seven frames, without training.
PROPAGATE = {
    "config": "propagate", "config.video.stop": 7,
    "config.video.height": 32, "config.video.width": 48,
}  # fmt: skip
FILM = ("--config.video.max_segment_frames=6", "--config.video.segment_overlap=2")


def row(clip, name, **more):
    return {"video": str(clip.video), "mask": str(clip.masks_folder), "name": name, **more}


def trained_row(clip, name, *more):
    """What `TINY` and other flags say, as a row."""
    words = [word.removeprefix("--").split("=", 1) for word in (*TINY, *more)]
    return row(clip, name, **dict(words))


def write(folder, rows):
    path = folder / "clips.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def states(output):
    rows = json.loads((output / "batch.json").read_text())["rows"]
    return {name: about["state"] for name, about in rows.items()}


def test_rows_that_fail_and_rows_that_are_done(command, clip, tmp_path):
    """A mask that is too short is known only when it is read; the others go on."""
    short = tmp_path / "short"
    short.mkdir()
    for path in sorted(clip.masks_folder.iterdir())[:3]:
        shutil.copy(path, short)
    bad = row(clip, "bad", **PROPAGATE) | {"mask": str(short)}
    good = row(clip, "good", truth=str(clip.truth_folder), **PROPAGATE)
    asked = ("batch", write(tmp_path, [bad, good]), f"--output={tmp_path / 'out'}")
    told = command(*asked)
    assert told.returncode == 1, told.stderr
    assert states(tmp_path / "out") == {"bad": "failed", "good": "done"}
    assert "3 masks" in next(line for line in told.stdout.splitlines() if line.startswith("bad: "))
    assert "psnr_hole" in told.stdout.splitlines()[0]
    by_hand = [f"--{name}={value}" for name, value in good.items() if name not in ("name", "truth")]
    command.succeed(*by_hand, f"--workdir={tmp_path / 'hand'}")
    made = tmp_path / "out/runs/good"
    assert_same_arrays(pictures(tmp_path / "hand/result"), pictures(made / "result"))

    before = contents(tmp_path / "out/runs")
    again = command(*asked)
    assert again.returncode == 1
    assert "2 of 2 rows are done or failed before" in again.stderr
    assert contents(tmp_path / "out/runs") == before
    shutil.copytree(clip.masks_folder, short, dirs_exist_ok=True)
    assert command(*asked, "--retry-failed").returncode == 0
    assert states(tmp_path / "out") == {"bad": "done", "good": "done"}


def test_what_is_wrong_is_told_before_the_work(command, clip, tmp_path):
    good, output = row(clip, "good", **PROPAGATE), f"--output={tmp_path / 'out'}"
    wrong = [good | {"name": f"n{i}", "video": "none.mp4"} for i in range(5)]
    told = command("batch", write(tmp_path, [good, *wrong]), output)
    assert told.returncode == 2
    assert "5 rows are wrong, nothing was run" in told.stderr
    assert len(told.stderr.splitlines()) == 6
    path = write(tmp_path, [good])
    assert_one_error(command("batch", path, output, "--retry"), "unknown flag --retry")
    assert_one_error(command("batch", path, output, "--address=x:1"), "needs --engine=ray")
    assert_one_error(command("batch", path, output, "--memory=all"), "no number of GiB")
    assert_one_error(command("batch"), "manifest")
    assert not (tmp_path / "out").exists()
    from vidprior.batch import conduct

    with conduct.locked(tmp_path / "out"):
        assert_one_error(command("batch", path, output), "another batch is using")


@pytest.fixture(scope="module")
def by_hand(real_command, clip, tmp_path_factory):
    """The runs of a shell loop: a clip, and a film in segments."""
    folder = tmp_path_factory.mktemp("hand")
    began = time.monotonic()
    real_command.succeed(*TINY, *clip.inputs, f"--workdir={folder / 'one'}")
    real_command.succeed(*TINY, *FILM, *clip.inputs, f"--workdir={folder / 'film'}")
    print(f"a shell loop: {time.monotonic() - began:.1f} s")
    return folder


def assert_same_bits(by_hand, runs):
    assert_same_run(by_hand / "one", runs / "one")
    assert_same_arrays(pictures(by_hand / "film/result"), pictures(runs / "film/result"))
    for part in (by_hand / "film/parts").glob("*/"):
        own = runs / "film/parts" / part.name
        assert_same_arrays(parameters(part), parameters(own))


def units(folder):
    """The processes of units that work below a folder."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            opened = [os.readlink(link) for link in (path / "fd").iterdir()]
        except OSError:
            continue
        if b"vidprior.batch.unit" in words and any(str(folder) in name for name in opened):
            found[int(path.name)] = opened
    return found


def begun(folder):
    """A unit that has saved a state, if any."""
    states = list((folder / "runs").glob("**/checkpoints/[0-9]*"))
    return list(units(folder)) if states else []


@pytest.mark.long
def test_two_processes_make_the_bits_of_a_shell_loop(real_command, clip, by_hand, tmp_path):
    rows = [trained_row(clip, "one"), trained_row(clip, "film", *FILM)]
    asked = ("batch", write(tmp_path, rows), f"--output={tmp_path / 'out'}", "--processes=2")
    began = time.monotonic()
    real_command.succeed(*asked)
    print(f"two processes: {time.monotonic() - began:.1f} s")
    assert_same_bits(by_hand, tmp_path / "out/runs")


@pytest.mark.long
def test_a_killed_worker_and_a_killed_batch_end_in_the_same_bits(
    real_command, clip, by_hand, tmp_path
):
    rows, output = [trained_row(clip, "one"), trained_row(clip, "film", *FILM)], tmp_path / "out"
    asked = ("batch", write(tmp_path, rows), f"--output={output}", "--processes=2")
    process = real_command.start(*asked)
    try:
        wait_for(lambda: begun(output), process)
        os.kill(begun(output)[0], signal.SIGKILL)
        wait_for(lambda: (output / "rows").is_dir(), process)
        process.kill()
    finally:
        process.kill()
    deadline = time.monotonic() + 20
    while units(output):  # they end with the batch
        assert time.monotonic() < deadline
        time.sleep(0.1)
    real_command.succeed(*asked)
    retried = [json.loads(path.read_text())["retried"] for path in (output / "rows").iterdir()]
    assert sum(retried) >= 1 or len(retried) == 2
    assert_same_bits(by_hand, output / "runs")


@pytest.mark.long
def test_a_row_takes_the_memory_that_is_predicted(real_command, tmp_path):
    """Not more, and at least half of it; compiled anew, as on another machine."""
    tool = [sys.executable, ROOT / "tools/make_demo_clip.py", f"--output={tmp_path / 'clip'}"]
    made = real_command.execute([*tool, "--frames=5", "--height=96", "--width=160"])
    assert made.returncode == 0, made.stderr
    row = {
        "video": str(tmp_path / "clip/frames"), "mask": str(tmp_path / "clip/masks"),
        "name": "demo", "config": "demo", "config.schedule.num_passes": 1,
        "config.schedule.windows_per_pass": 2,
    }  # fmt: skip
    env = real_command.environment | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    asked = ("batch", write(tmp_path, [row]), f"--output={tmp_path / 'out'}")
    real_command.succeed(*asked, env=env, timeout=900)
    told = json.loads((tmp_path / "out/rows/demo.json").read_text())
    assert told["peak"] <= told["predicted"] <= 2 * told["peak"]


@pytest.mark.long
def test_two_hundred_rows_of_which_five_are_bad(real_command, clip, tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    rows = [
        row(clip, f"row{i:03d}", **PROPAGATE | {"config.video.stop": 2, "config.seed": i})
        for i in range(200)
    ]
    for i in range(0, 200, 40):
        rows[i]["video"] = str(empty)
    told = real_command(
        "batch", write(tmp_path, rows), f"--output={tmp_path / 'out'}", timeout=3000
    )
    assert told.returncode == 1, told.stderr
    found = states(tmp_path / "out")
    assert [name for name, state in found.items() if state != "done"] == [
        f"row{i:03d}" for i in range(0, 200, 40)
    ]
    assert sum("empty.mp4" in line for line in told.stdout.splitlines()) == 5


@pytest.mark.long
def test_a_full_disk_is_a_line_for_each_row(real_command, clip, tmp_path):
    rows = [row(clip, name, **PROPAGATE) for name in "ab"]
    asked = ("batch", write(tmp_path, rows), f"--output={tmp_path / 'out'}")
    told = real_command(*asked, max_file=4096)
    assert told.returncode == 1, told.stderr
    assert told.stdout.count("File too large") == 2
    assert states(tmp_path / "out") == {"a": "failed", "b": "failed"}
    real_command.succeed(*asked, "--retry-failed")


@pytest.mark.long
def test_data_at_urls_come_to_scratch_and_go_back(real_command, clip, by_hand, tmp_path):
    shutil.copytree(clip.masks_folder, tmp_path / "store/masks")
    shutil.copy(clip.video, tmp_path / "store/clip.mkv")
    at = f"file://{tmp_path}/store"
    places = {"video": f"{at}/clip.mkv", "mask": f"{at}/masks", "workdir": f"{at}/runs/film"}
    rows = [trained_row(clip, "film", *FILM) | places]
    asked = ("batch", write(tmp_path, rows), f"--output={tmp_path / 'out'}")
    real_command.succeed(*asked, f"--scratch={tmp_path / 'scratch'}")
    made = tmp_path / "store/runs/film"
    assert_same_arrays(pictures(by_hand / "film/result"), pictures(made / "result"))
    assert (made / "result.mp4").stat().st_size > 0


@pytest.fixture
def cluster():
    """A Ray cluster of one head and two workers, which are processes of their own."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    yield made, nodes
    made.shutdown()


@pytest.mark.long
def test_ray_with_two_workers_one_of_which_is_killed(
    real_command, clip, by_hand, cluster, tmp_path
):
    made, nodes = cluster
    rows, output = [trained_row(clip, "one"), trained_row(clip, "film", *FILM)], tmp_path / "out"
    asked = ("batch", write(tmp_path, rows), f"--output={output}", "--engine=ray")
    process = real_command.start(*asked, f"--address={made.address}")
    try:
        wait_for(lambda: begun(output), process)
        made.remove_node(nodes[0], allow_graceful=False)
        _, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert_same_bits(by_hand, output / "runs")


@pytest.mark.long
def test_a_batch_goes_on_when_the_head_was_lost(real_command, clip, cluster, tmp_path):
    made, _ = cluster
    rows, output = [row(clip, f"r{i}", **PROPAGATE) for i in range(4)], tmp_path / "out"
    asked = ("batch", write(tmp_path, rows), f"--output={output}", "--engine=ray", "--cores=1")
    process = real_command.start(*asked, f"--address={made.address}")
    try:
        wait_for(lambda: (output / "rows").is_dir(), process)
        made.head_node.kill_gcs_server()
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    if process.returncode:  # otherwise all rows were done before
        assert process.returncode == 2
        assert "is gone: start it and rerun the command" in stderr.splitlines()[-1]
        assert "waiting" in states(output).values()
    made.shutdown()
    real_command.succeed(*asked)
    assert set(states(output).values()) == {"done"}
