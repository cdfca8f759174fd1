"""Files are whole at every moment: kills, full disks, links, pipes, several writers."""

import errno
import fcntl
import os
import resource
import signal
import stat
import threading
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from calig_fast._utils import files

OLD, NEW = b"old " * 400, b"new content " * 300
CALLS = ("open", "write", "fsync", "fchown", "fchmod", "replace", "fstat", "stat", "scandir", "unlink")


@pytest.fixture
def file(tmp_path):
    found = tmp_path / "kept.txt"
    found.write_bytes(OLD)
    return found


def leftovers(folder):
    return [name for name in os.listdir(folder) if name.startswith(files.PREFIX)]


@contextmanager
def from_call(name, number, act):
    """`act` in place of call `number` of a function of os and of every later one; yields the count of calls."""
    real, seen = getattr(os, name), [0]

    def call(*args, **more):
        seen[0] += 1
        return act(real, args) if seen[0] > number else real(*args, **more)

    with mock.patch.object(os, name, call):
        yield seen


def full(real, args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_text_bytes_and_parts(tmp_path):
    assert files.write(tmp_path / "a", "é\n", b"\x00\xff", memoryview(b"abcd")[1:3]) == tmp_path / "a"
    assert (tmp_path / "a").read_bytes() == "é\n".encode() + b"\x00\xffbc"
    files.write(str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == b""
    files.write(tmp_path / "a", 'half a pair "\ud83d"')
    assert (tmp_path / "a").read_bytes() == b'half a pair "\\ud83d"'
    assert leftovers(tmp_path) == []


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(file, tmp_path):
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "new", NEW)
        file.chmod(0o604)
        files.write(file, NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE(file.stat().st_mode) == 0o604


def test_links_relative_names_and_long_names(file, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    for link, target in {"link": file, "relative": Path("kept.txt"), "dangling": Path("other/made")}.items():
        (tmp_path / link).symlink_to(target)
        files.write(tmp_path / link, NEW, link.encode())
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / target).read_bytes() == NEW + link.encode()
    monkeypatch.chdir(tmp_path)
    for name in ("here", "./other/../here", "n" * 255):
        files.write(name, NEW)
        assert Path(name).read_bytes() == NEW
    (tmp_path / "turning").symlink_to(tmp_path / "turning")
    with pytest.raises(OSError, match=r"turning"):
        files.write(tmp_path / "turning", NEW)


def test_an_open_file_keeps_its_content(file):
    with file.open("rb") as reader:
        files.write(file, NEW)
        assert reader.read() == OLD


@pytest.mark.parametrize("name", [3, None, b"bytes", ["a"]])
def test_what_is_no_path(name):
    with pytest.raises(TypeError, match="path: expected the name of a file"):
        files.write(name, NEW)


def test_names_that_cannot_be_written(file, tmp_path, monkeypatch):
    for name in ("", ".", "/", "..", tmp_path / "..", "a\0b", "half a pair \ud83d"):
        with pytest.raises(ValueError, match="path: expected the name of a file"):
            files.write(name, NEW)
    for check in (files.refuse, lambda path: files.write(path, NEW)):
        with pytest.raises(FileNotFoundError, match=r"none/a: there is no folder .*none; make it first"):
            check(tmp_path / "none" / "a")
        with pytest.raises(IsADirectoryError, match="it is a folder"):
            check(tmp_path)
        with pytest.raises(NotADirectoryError, match=r"kept\.txt/a"):
            check(file / "a")
        with pytest.raises(OSError, match=r"n{256}"):
            check(tmp_path / ("n" * 256))
    monkeypatch.setattr(os, "access", lambda *args: False)  # as for anyone but the root of a system
    with pytest.raises(PermissionError, match=r"the file is as it was.*kept\.txt"):
        files.write(file, NEW)
    with pytest.raises(PermissionError, match=r"new"):
        files.refuse(tmp_path / "new")
    monkeypatch.undo()
    files.refuse("/dev/null")
    assert file.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_pipes_and_devices_are_written_to(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "fifo").read_bytes()))
    reader.start()
    files.write(tmp_path / "fifo", NEW)
    reader.join(10)
    assert read == [NEW]
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    reading, writing = os.pipe()
    files.write(f"/dev/fd/{writing}", b"in a pipe")
    files.append(f"/dev/fd/{writing}", "a line", lambda line: True)
    assert os.read(reading, 99) == b"in a pipea line\n"
    os.close(reading)
    os.close(writing)
    files.write("/dev/null", NEW)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    for call in (lambda: files.write("/dev/full", NEW), lambda: files.append("/dev/full", "a", lambda line: True)):
        with pytest.raises(OSError, match="/dev/full") as caught:
            call()
        assert caught.value.errno == errno.ENOSPC


def test_a_numbered_file_is_the_open_one_and_not_its_name(file):
    """As /dev/stdout, which is often such a file: what is printed later must reach it too."""
    with file.open("ab") as opened:
        files.write(f"/dev/fd/{opened.fileno()}", NEW)
        assert os.fstat(opened.fileno()).st_nlink == 1
    assert file.read_bytes() == NEW


@pytest.mark.parametrize("old", [OLD, None])
@pytest.mark.parametrize("name", CALLS)
def test_any_call_may_fail(name, old, tmp_path):
    file, number = tmp_path / "kept.txt", 0
    while True:
        file.unlink(missing_ok=True)
        if old is not None:
            file.write_bytes(old)
        (tmp_path / f"{files.PREFIX}left{files.SUFFIX}").write_bytes(b"of a killed process")
        failed = None
        with from_call(name, number, full) as seen:
            try:
                files.write(file, NEW[:1000], NEW[1000:])
            except OSError as error:
                failed = error
        found = file.read_bytes() if file.exists() else None
        if seen[0] <= number:
            assert (failed, found) == (None, NEW)
            break
        if failed is None:  # a failure that takes nothing from the file
            assert found == NEW
        else:
            assert (failed.errno, failed.filename) == (errno.ENOSPC, str(file))
            assert found == (NEW if "is written" in str(failed) else old)
        if name != "unlink":
            assert set(leftovers(tmp_path)) <= {f"{files.PREFIX}left{files.SUFFIX}"}
        number += 1


def test_a_disk_that_is_full_after_any_number_of_bytes(file, tmp_path):
    for room in range(0, len(NEW), 97):
        left = [room]

        def some(handle, data, left=left, real=os.write):
            count = min(len(data), left[0], 50)
            left[0] -= count
            return real(handle, data[:count]) if count else full(None, None)

        with mock.patch.object(os, "write", some), pytest.raises(OSError, match="No space left") as caught:
            files.write(file, NEW[:1000], NEW[1000:])
        assert caught.value.filename == str(file)
        assert file.read_bytes() == OLD
        assert leftovers(tmp_path) == []


@contextmanager
def largest_file(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_systems_own_limit(file, tmp_path):
    for size in (0, 1, 999, 1000, 1001, len(NEW) - 1):
        with largest_file(size), pytest.raises(OSError, match=r"the file is as it was.*kept\.txt"):
            files.write(file, NEW[:1000], NEW[1000:])
        with largest_file(len(OLD) + min(size, 3)), pytest.raises(OSError, match=r"the lines before are as they were"):
            files.append(file, "a line", lambda line: False)
        assert file.read_bytes() == OLD
        assert leftovers(tmp_path) == []
    with largest_file(len(NEW)):
        files.write(file, NEW)
    assert file.read_bytes() == NEW


def killed_at(name, number, work):
    """Run in a process that is killed at that call, in the middle of it where it writes; False where it ended first."""

    def die(real, args):
        if name == "write":
            real(args[0], args[1][: len(args[1]) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            with from_call(name, number, die):
                work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("name", ["open", "write", "fchmod", "fsync", "replace", "close", "unlink"])
def test_a_kill_at_any_call(name, file, tmp_path):
    number = 0
    while killed_at(name, number, lambda: files.write(file, NEW[:1000], NEW[1000:])):
        assert file.read_bytes() in (OLD, NEW)
        files.write(file, OLD)
        assert leftovers(tmp_path) == []
        number += 1
    assert number > 0 or name == "unlink"
    assert file.read_bytes() == NEW


def test_leftovers_of_the_dead_are_removed_and_no_other_file(file, tmp_path):
    names = [f"{files.PREFIX}{n}{files.SUFFIX}" for n in ("dead", "alive", "link", "pipe")]
    dead, alive, link, pipe = (tmp_path / name for name in names)
    dead.write_bytes(b"cut")
    link.symlink_to(file)
    os.mkfifo(pipe)
    others = [tmp_path / name for name in (".other.part", f"{files.PREFIX}notes", "plain")]
    for other in others:
        other.write_bytes(b"the user's")
    with alive.open("wb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        files.write(tmp_path / "new", NEW)
        assert not dead.exists()
        assert all(path.exists() for path in (alive, *others))
        assert link.is_symlink()
        assert file.read_bytes() == OLD
    files.write(tmp_path / "new", NEW)
    assert not alive.exists()


def test_a_part_taken_for_a_leftover_is_made_anew(file, tmp_path):
    """Another process may come between the making of a part and its lock."""
    real, seen = fcntl.flock, []

    def first_removed(handle, how):
        if not seen:
            seen.append(os.unlink(tmp_path / leftovers(tmp_path)[0]))
        return real(handle, how)

    with mock.patch.object(fcntl, "flock", first_removed):
        files.write(file, NEW)
    assert file.read_bytes() == NEW
    assert seen


def test_without_locks_and_without_fsync_it_is_written_all_the_same(file, tmp_path):
    def missing(*args):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    with mock.patch.object(fcntl, "flock", missing), mock.patch.object(os, "fsync", missing):
        files.write(file, NEW)
        assert files.append(file, "a line", lambda line: False) == 0
    assert file.read_bytes() == NEW + b"\na line\n"


def test_several_writers_of_one_file(file, tmp_path):
    contents = [bytes([65 + i]) * (100_000 + i) for i in range(4)]
    failed = []

    def often(content):
        try:
            for _ in range(15):
                files.write(file, content[:7], content[7:])
                assert file.read_bytes() in contents
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=often, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert file.read_bytes() in contents
    assert leftovers(tmp_path) == []


def test_several_writers_append_whole_lines(tmp_path):
    log = tmp_path / "log"

    def often(letter):
        for _ in range(50):
            files.append(log, letter * 3000, lambda line: True)

    threads = [threading.Thread(target=often, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = log.read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == sorted(letter * 3000 for letter in "abcd" for _ in range(50))


def test_appending_after_lines_and_after_a_torn_one(tmp_path):
    log, asked = tmp_path / "log", []

    def torn(line):
        asked.append(line)
        return line.startswith(b"torn")

    assert files.append(log, "é", torn) == 0
    assert files.append(log, "second", torn) == 0
    assert asked == []
    whole = "é\nsecond\n".encode()
    for rest, dropped, kept in ((b"torn", 4, b""), (b"torn" * 9000, 36_000, b""), (b"no end", 0, b"no end\n")):
        log.write_bytes(whole + rest)
        assert files.append(log, "third", torn) == dropped
        assert log.read_bytes() == whole + kept + b"third\n"
        assert asked.pop() == rest
    log.write_bytes(b"torn")
    assert files.append(log, "first", torn) == 4
    assert log.read_bytes() == b"first\n"
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        files.append(tmp_path / "none" / "log", "a", torn)


def test_a_last_line_is_found_behind_any_number_of_bytes(tmp_path, monkeypatch):
    log = tmp_path / "log"
    monkeypatch.setattr(files, "_AT_ONCE", 8)
    for before in (b"", b"\n", b"first\n", b"a line of more than eight bytes\n", b"seven b\n"):
        for size in (1, 7, 8, 9, 30):
            log.write_bytes(before + b"t" * size)
            assert files.append(log, "next", lambda line: True) == size
            assert log.read_bytes() == before + b"next\n"


def test_a_line_that_cannot_be_appended_is_taken_back(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"first\n")

    def half(real, args):
        if seen[0] > 1:
            full(real, args)
        return real(args[0], args[1][:3])

    with from_call("write", 0, half) as seen, pytest.raises(OSError, match="the lines before") as caught:
        files.append(log, "a second line", lambda line: False)
    assert caught.value.filename == str(log)
    assert log.read_bytes() == b"first\n"


class Failing(os.PathLike):
    def __fspath__(self):
        raise KeyError("of the caller's own")


@pytest.mark.parametrize("path", [Failing(), 3, b"a", None])
def test_what_is_no_path_is_named(path):
    with pytest.raises(TypeError, match="path: expected the name of a file as a str or a Path, got"):
        files.named(path)
