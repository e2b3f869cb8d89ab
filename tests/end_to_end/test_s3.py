"""A batch whose data lie in S3: a server of moto on this machine, which checks signatures."""

import json
import os
import shutil
import signal

import pytest
from harness import (
    ROOT,
    assert_one_error,
    assert_same_arrays,
    contents,
    parameters,
    pictures,
    wait_for,
)
from test_batch import FILM, states, trained_row, write

pytestmark = [pytest.mark.slow, pytest.mark.long]
fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs", reason="make test-s3 installs s3fs and moto")

POLICY = {
    "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
}  # fmt: skip


@pytest.fixture(scope="module")
def s3(real_command):
    """Variables by which the command finds the server, as a user who may do everything."""
    import boto3
    import requests
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    first = {"aws_access_key_id": "first", "aws_secret_access_key": "first"}
    iam = boto3.client(
        "iam", endpoint_url=found["AWS_ENDPOINT_URL"], region_name="us-east-1", **first
    )
    iam.create_user(UserName="user")
    iam.put_user_policy(UserName="user", PolicyName="all", PolicyDocument=json.dumps(POLICY))
    key = iam.create_access_key(UserName="user")["AccessKey"]
    found |= {"AWS_ACCESS_KEY_ID": key["AccessKeyId"]}
    found |= {"AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    requests.post(f"{found['AWS_ENDPOINT_URL']}/moto-api/reset-auth", data=b"0").raise_for_status()
    before = real_command.environment
    # The packages may lie in a folder of their own.
    own = {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    real_command.environment = before | found | own
    yield found
    real_command.environment = before
    server.stop()


@pytest.fixture(scope="module")
def bucket(s3, clip):
    """A bucket with the clip; its file system."""
    files = fsspec.filesystem(
        "s3", key=s3["AWS_ACCESS_KEY_ID"], secret=s3["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=s3["AWS_ENDPOINT_URL"], use_listings_cache=False,
    )  # fmt: skip
    files.mkdir("films")
    files.touch("films/street/masks/")  # a folder as the web console of S3 makes it
    for path in sorted(clip.masks_folder.iterdir()):
        files.put_file(str(path), f"films/street/masks/{path.name}")
    files.put_file(str(clip.video), "films/street/plate [1].mkv")
    return files


def rows_at(clip, runs):
    """A clip and a film in segments, of the bucket and back to it."""
    at = {"video": "s3://films/street/plate [1].mkv", "mask": "s3://films/street/masks"}
    return [
        trained_row(clip, name, *flags) | at | {"workdir": f"s3://films/{runs}/{name}"}
        for name, flags in (("one", ()), ("film", FILM))
    ]


@pytest.fixture(scope="module")
def by_hand(real_command, clip, tmp_path_factory):
    """The same from files, to files."""
    folder = tmp_path_factory.mktemp("hand")
    rows = [trained_row(clip, "one"), trained_row(clip, "film", *FILM)]
    real_command.succeed("batch", write(folder, rows), f"--output={folder / 'out'}", timeout=900)
    return folder / "out/runs"


def assert_same_bits(by_hand, bucket, runs, folder):
    """What lies in the bucket is whole, and what was made from files."""
    bucket.get(f"films/{runs}/", str(folder / "got"), recursive=True)
    got = folder / "got"
    for name in ("one", "film"):
        assert_same_arrays(pictures(by_hand / name / "result"), pictures(got / name / "result"))
        assert (got / name / "result.mp4").stat().st_size > 0
    own = {path.parent.relative_to(by_hand) for path in by_hand.glob("**/checkpoints")}
    assert len(own) == 4
    for name in own:
        assert_same_arrays(parameters(by_hand / name), parameters(got / name))


def test_a_batch_of_a_bucket_is_run_once(real_command, clip, by_hand, bucket, tmp_path):
    asked = (
        "batch", write(tmp_path, rows_at(clip, "runs")), f"--output={tmp_path / 'out'}",
        f"--scratch={tmp_path / 'scratch'}", "--processes=2",
    )  # fmt: skip
    real_command.succeed(*asked, timeout=900)
    assert_same_bits(by_hand, bucket, "runs", tmp_path)
    before = {
        path: info["LastModified"] for path, info in bucket.find("films", detail=True).items()
    }
    logs = contents(tmp_path / "out/logs")
    again = real_command.succeed(*asked, timeout=900)
    assert "2 of 2 rows are done or failed before" in again.stderr
    assert contents(tmp_path / "out/logs") == logs
    after = {path: info["LastModified"] for path, info in bucket.find("films", detail=True).items()}
    assert after == before

    # The same size, other content: a row is run again only where what it reads has changed.
    mask = "films/street/masks/00003.png"
    data = bucket.cat_file(mask)
    bucket.pipe_file(mask, data[:-1] + bytes([data[-1] ^ 1]))
    stopped = real_command(*asked)
    assert "rows are done" not in stopped.stderr
    bucket.pipe_file(mask, data)


def test_a_batch_that_was_stopped_goes_on_on_another_machine(
    real_command, clip, by_hand, bucket, tmp_path
):
    """Another scratch folder, and a batch that was killed after that."""
    asked = ("batch", write(tmp_path, rows_at(clip, "later")), "--processes=2")
    first = (f"--output={tmp_path / 'out'}", f"--scratch={tmp_path / 'scratch'}")
    process = real_command.start(*asked, *first)
    try:
        wait_for(lambda: begun_at(tmp_path / "scratch"), process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert "waiting" in states(tmp_path / "out").values()
    saved = [path for path in bucket.find("films/later") if "/checkpoints/" in path]
    assert saved
    shutil.rmtree(tmp_path / "scratch")
    second = (f"--output={tmp_path / 'elsewhere'}", f"--scratch={tmp_path / 'other'}")
    told = real_command.succeed(*asked, *second, timeout=900)
    logs = [path.read_text() for path in (tmp_path / "elsewhere/logs").iterdir()]
    assert any("resum" in log for log in logs), (told.stderr, logs)
    assert_same_bits(by_hand, bucket, "later", tmp_path)


def begun_at(scratch):
    return list(scratch.glob("**/checkpoints/[0-9]*"))


def test_what_is_wrong_is_one_line_before_the_work(real_command, s3, bucket, clip, tmp_path):
    good, _ = rows_at(clip, "wrong")
    output = f"--output={tmp_path / 'out'}"

    def told(row, **environment):
        path = write(tmp_path, [row, row | {"name": "second", "workdir": row["workdir"] + "2"}])
        env = real_command.environment | environment
        return real_command("batch", path, output, env=env, timeout=60)

    for field in ("video", "mask"):
        found = told(good | {field: "s3://films/street/none"})
        assert found.returncode == 2
        lines = found.stderr.splitlines()
        assert len(lines) == 3
        assert "2 rows are wrong, nothing was run" in lines[0]
        assert "s3://films/street/none: cannot be read (it does not exist)" in lines[1]
    found = told(good | {"video": "s3://films/*/none"})
    assert "nothing matches s3://films/*/none" in found.stderr.splitlines()[1]
    found = told(good | {"workdir": "s3://filmz/runs/one"})
    assert "s3://filmz/runs: cannot be written" in found.stderr.splitlines()[1]
    assert not bucket.exists("filmz")  # no bucket is made for a slip

    assert_one_error(told(good, AWS_SECRET_ACCESS_KEY="wrong"), "s3://films/street", "cannot be")
    assert_one_error(told(good, AWS_ACCESS_KEY_ID="wrong"), "s3://films/street", "cannot be")
    away = "http://127.0.0.1:1"
    assert_one_error(told(good, AWS_ENDPOINT_URL=away), "Could not connect", away)
    path = write(tmp_path, [good])
    assert_one_error(real_command("batch", path, "--output=s3://films/out"), "lies on this machine")
    assert not (tmp_path / "out").exists()
    assert not bucket.find("films/wrong")


def test_globs_find_what_lies_in_a_bucket(s3, bucket, monkeypatch):
    from vidprior.batch import storage

    for name, value in s3.items():
        monkeypatch.setitem(os.environ, name, value)
    assert storage.matches("s3://films/*/plate*") == ["s3://films/street/plate [1].mkv"]
    assert storage.matches("s3://films/street/plate [1].mkv") == ["s3://films/street/plate [1].mkv"]
