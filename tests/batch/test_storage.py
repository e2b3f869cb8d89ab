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


def test_a_file_that_keeps_its_size_is_written_and_fetched_again(url, tmp_path):
    """Arrays of the same shape, for example, after a longer training."""
    here, there = tmp_path / "here", tmp_path / "there"
    write(here, result_npz="first")
    storage.store_folder(here, url)
    storage.fetch_folder(url, there)
    write(here, result_npz="other")
    storage.store_folder(here, url)
    storage.fetch_folder(url, there)
    assert texts(there) == {"result.npz": "other"}


def test_only_what_differs_is_written(url, tmp_path, monkeypatch):
    write(tmp_path / "here", a_txt="a", b_txt="b")
    storage.store_folder(tmp_path / "here", url)
    write(tmp_path / "here", b_txt="c")
    written = []
    put = storage._put
    monkeypatch.setattr(
        storage,
        "_put",
        lambda files, pairs: [written.extend(p for p, _ in pairs), put(files, pairs)],
    )
    storage.store_folder(tmp_path / "here", url)
    assert [path.rpartition("/")[2] for path in written] == ["b.txt", storage.LIST]


def test_a_list_of_sizes_alone_is_read(url, tmp_path):
    """As earlier versions wrote it."""
    files, root = fsspec.core.url_to_fs(url)
    files.makedirs(root, exist_ok=True)
    files.pipe_file(f"{root}/a.txt", b"there")
    files.pipe_file(f"{root}/{storage.LIST}", json.dumps({"a.txt": 5}).encode())
    write(tmp_path / "here", a_txt="stale")
    storage.fetch_folder(url, tmp_path / "here")
    assert texts(tmp_path / "here") == {"a.txt": "there"}


def test_names_that_look_like_globs_are_names(url, tmp_path):
    files, root = fsspec.core.url_to_fs(url)
    files.makedirs(f"{root}/in", exist_ok=True)
    for name in ("[1].txt", "1.txt"):
        files.pipe_file(f"{root}/in/{name}", name.encode())
    scratch = str(tmp_path / "scratch")
    assert storage.matches(f"{url}/in/[1].txt") == [f"{url}/in/[1].txt"]
    with open(storage.fetch(f"{url}/in/[1].txt", scratch)) as stream:
        assert stream.read() == "[1].txt"
    assert len(texts(tmp_path / "scratch")) == 1
    storage.fetch(f"{url}/in", scratch)
    assert len(texts(tmp_path / "scratch")) == 3
    assert [path.rpartition("/")[2] for path in storage.matches(f"{url}/in/*")] == [
        "1.txt",
        "[1].txt",
    ]


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
        for act in (storage.tag, storage.require, lambda url: storage.fetch(url, str(tmp_path))):
            with pytest.raises(InputError) as caught:
                act(url)
            assert url in str(caught.value)
            assert len(str(caught.value).splitlines()) == 1


def test_what_a_storage_raises_is_one_line(monkeypatch):
    """Such as botocore's exceptions, which are neither OSError nor ValueError."""

    class Refused(Exception):
        pass

    def info(self, path):
        raise Refused("no route\nto host")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "info", info)
    with pytest.raises(storage.Unreachable, match=r"^memory://a: cannot be read \(no route\)$"):
        storage.require("memory://a")


def test_paths_and_urls_are_told_apart():
    assert storage.is_url("s3://bucket/a")
    assert not storage.is_url("C:\\films")
    assert not storage.is_url("/films/a:b")
    assert storage.join("gs://b/out", "runs", "a") == "gs://b/out/runs/a"
    assert storage.absolute("a", "/films") == "/films/a"
