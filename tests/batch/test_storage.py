"""Data at URLs: fetched, written back, and never seen half written."""

import json
import uuid

import fsspec
import pytest

from vidprior.batch import storage
from vidprior.errors import InputError


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    return f"file://{tmp_path}/store" if request.param == "file" else f"memory://{uuid.uuid4()}"


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def texts(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_work_directory_there_and_back(url, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    write(here, config_json="{}", checkpoints__10__data="old", parts__parts_json="[]")
    write(here, parts__0__clip_npz="of another unit", _lock="hidden")
    storage.store_folder(here, url)
    storage.fetch_folder(url, there)
    assert texts(there) == {
        "config.json": "{}", "checkpoints/10/data": "old", "parts/parts.json": "[]"
    }  # fmt: skip
    (here / "checkpoints/10/data").rename(here / "checkpoints/10/new")
    storage.store_folder(here, url)
    assert not fsspec.core.url_to_fs(url)[0].exists(f"{url}/checkpoints/10/data")
    storage.fetch_folder(url, tmp_path / "again")
    assert (tmp_path / "again/checkpoints/10/new").read_text() == "old"


def test_what_the_list_does_not_name_is_not_seen(url, tmp_path):
    write(tmp_path / "here", config_json="{}")
    storage.store_folder(tmp_path / "here", url)
    files, root = fsspec.core.url_to_fs(url)
    files.pipe_file(f"{root}/half", b"written")
    storage.fetch_folder(url, tmp_path / "there")
    assert texts(tmp_path / "there") == {"config.json": "{}"}


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_a_list_leads_nowhere_else(url, name, tmp_path):
    files, root = fsspec.core.url_to_fs(url)
    files.makedirs(root, exist_ok=True)
    files.pipe_file(f"{root}/{storage.LIST}", json.dumps({name: 1}).encode())
    with pytest.raises(InputError, match="names"):
        storage.fetch_folder(url, tmp_path / "there")


def test_inputs_are_fetched_once_and_again_when_they_change(url, tmp_path):
    files, root = fsspec.core.url_to_fs(url)
    files.makedirs(root, exist_ok=True)
    files.pipe_file(f"{root}/clip.txt", b"first")
    scratch = str(tmp_path / "scratch")
    first = storage.fetch(f"{url}/clip.txt", scratch)
    assert first == storage.fetch(f"{url}/clip.txt", scratch)
    assert first.endswith("/clip.txt")
    files.pipe_file(f"{root}/clip.txt", b"second")
    with open(storage.fetch(f"{url}/clip.txt", scratch)) as stream:
        assert stream.read() == "second"


def test_what_is_wrong_is_one_line(tmp_path):
    for url in (f"file://{tmp_path}/none", "nosuch://x/y"):
        with pytest.raises(InputError) as caught:
            storage.fetch(url, str(tmp_path / "scratch"))
        assert url in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_paths_and_urls_are_told_apart():
    assert storage.is_url("s3://bucket/a")
    assert not storage.is_url("C:\\films")
    assert not storage.is_url("/films/a:b")
    assert storage.join("gs://b/out", "runs", "a") == "gs://b/out/runs/a"
    assert storage.absolute("a", "/films") == "/films/a"
