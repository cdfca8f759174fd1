"""Folders, locks, moves and removals name the file where they fail, and leave it as it was."""

import pytest

from calig_fast._utils import files

OLD, NEW = b"old", b"new"


@pytest.fixture
def file(tmp_path):
    found = tmp_path / "kept.txt"
    found.write_bytes(OLD)
    return found


def test_folders_are_made_and_those_that_cannot_be_are_named(tmp_path, file):
    assert files.make_folder(tmp_path / "a" / "b").is_dir()
    assert files.make_folder(str(tmp_path / "a")) == tmp_path / "a"
    with pytest.raises(OSError, match="name a folder that can be made") as told:
        files.make_folder(file / "below")
    assert told.value.filename == str(file / "below")
    with pytest.raises(TypeError, match="out: expected"):
        files.make_folder(3, "out")
    with pytest.raises(ValueError, match="out: expected"):
        files.make_folder("", "out")


def test_a_lock_is_held_by_one_and_ends(tmp_path):
    with files.held(tmp_path / "lock") as mine, files.held(tmp_path / "lock") as other:
        assert (mine, other) == (True, False)
    with files.held(tmp_path / "lock") as again:
        assert again
    with pytest.raises(OSError, match="mine") as told, files.held(tmp_path / "lock"):
        raise OSError(28, "mine", "another file")
    assert told.value.filename == "another file"
    with pytest.raises(OSError, match="name a file that can be written"), files.held(tmp_path / "none" / "lock"):
        pass


def test_a_move_replaces_and_a_removal_may_come_twice(tmp_path, file):
    (tmp_path / "other").write_bytes(NEW)
    files.move(tmp_path / "other", file)
    assert file.read_bytes() == NEW
    with pytest.raises(OSError, match="as it was") as told:
        files.move(tmp_path / "other", file)
    assert told.value.filename == str(tmp_path / "other")
    files.remove(file)
    files.remove(file)
    assert not file.exists()
