"""Files and folders that come into being in full or not at all."""

import pytest

from vidprior.errors import InputError
from vidprior.io.files import replacing, replacing_folder


def write_half(path, error):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyError):
        write_half(path, KeyError())
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_failure_leaves_nothing_where_there_was_nothing(tmp_path):
    with pytest.raises(KeyError):
        write_half(tmp_path / "file.txt", KeyError())
    assert list(tmp_path.iterdir()) == []


def test_the_name_is_taken_at_the_end(tmp_path):
    path = tmp_path / "deep" / "folder" / "file.tar.png"
    with replacing(path) as temporary:
        assert temporary.parent == path.parent
        # Writers choose a format by the suffix; readers of folders pass hidden files over.
        assert temporary.suffix == ".png"
        assert temporary.name.startswith(".")
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["file.tar.png"]


def test_a_refusal_of_the_file_system_names_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "below.txt", tmp_path / "file" / "deep" / "below.txt"):
        with pytest.raises(InputError, match=r"below\.txt: cannot be written \(") as caught:
            write_half(path, KeyError())
        assert str(path) in str(caught.value)


def test_a_folder_in_the_way_stays(tmp_path):
    (tmp_path / "name" / "inner").mkdir(parents=True)
    with (
        pytest.raises(InputError, match="name: cannot be written"),
        replacing(tmp_path / "name") as temporary,
    ):
        temporary.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["name"]
    assert (tmp_path / "name" / "inner").is_dir()


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        write_half(tmp_path / "file.txt", OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def make_half(path, error):
    with replacing_folder(path) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "file").write_text("half")
        raise error


def test_a_folder_takes_its_name_at_the_end(tmp_path):
    with replacing_folder(tmp_path / "deep" / "folder") as temporary:
        assert temporary.parent == tmp_path / "deep"
        assert temporary.name.startswith(".")
        (temporary / "file").write_text("new")
        assert not (tmp_path / "deep" / "folder").exists()
    assert (tmp_path / "deep" / "folder" / "file").read_text() == "new"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["folder"]


def test_a_failure_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError):
        make_half(tmp_path / "folder", KeyError())
    with pytest.raises(InputError, match=r"folder: cannot be written \(No space left on device\)"):
        make_half(tmp_path / "folder", OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_never_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("old")
    with (
        pytest.raises(InputError, match="folder: cannot be written"),
        replacing_folder(tmp_path / "folder"),
    ):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    assert (tmp_path / "folder" / "old").read_text() == "old"
