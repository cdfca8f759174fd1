"""The only module that writes, moves and removes files: a kill or a full disk leaves the old file or the new file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PREFIX, SUFFIX = ".calig_fast-", ".part"  # of the temporary names
_AT_ONCE = 1 << 24  # bytes
_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}  # file systems that have no fsync

Part = str | bytes | memoryview


def named(path: str | os.PathLike[str], argument: str = "path") -> Path:
    """Check that a path is the name of a file.

    Args:
        path: given by the caller.
        argument: name of the argument, for the message.

    Raises:
        TypeError: `path` is not a path.
        ValueError: the path ends in no name.
    """
    try:
        name = os.fspath(path)
    except Exception as error:  # of the caller's own class, too
        raise TypeError(
            f"{argument}: expected the name of a file as a str or a Path, got {type(path).__name__}"
        ) from error
    if not isinstance(name, str):
        raise TypeError(f"{argument}: expected the name of a file as a str or a Path, got {type(path).__name__}")
    file = Path(name)
    if file.name in ("", "..") or "\0" in str(file) or not _is_encodable(file):
        raise ValueError(
            f"{argument}: expected the name of a file, got {os.fspath(path)!r}; add a name after the folder"
        )
    return file


def _is_encodable(path: Path) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def encoded(part: Part) -> bytes | memoryview:
    """Text as UTF-8. Half a surrogate pair, which UTF-8 cannot express, becomes its escape of JSON."""
    return part.encode("utf-8", "backslashreplace") if isinstance(part, str) else part


def refuse(path: str | os.PathLike[str]) -> None:
    """Raise the errors of `write` that are known before the work.

    Raises:
        TypeError, ValueError: `path` is not the name of a file.
        OSError: the folder or the permission is missing; it names the file.
    """
    file = named(path)
    with _naming(file, "name a file that can be written"):
        folder = os.path.dirname(os.path.realpath(file))
        if not _is_stream(file, _status(file)) and not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write(path: str | os.PathLike[str], *parts: Part) -> Path:
    """Write a file under a temporary name in its folder, flush it to disk, and rename it.

    A link is followed. Pipes and devices are written directly. Temporary files of killed processes are removed.

    Args:
        path: the file; an existing file keeps its permissions.
        parts: the content in order; text is written as UTF-8.

    Returns:
        the path.

    Raises:
        TypeError, ValueError: `path` is not the name of a file.
        OSError: the folder or the permission is missing, or the disk is full. It names the file; an existing file is
            unchanged.
    """
    file = named(path)
    data = [encoded(part) for part in parts]
    with _naming(file, "the file is as it was"):
        old = _status(file)
    if _is_stream(file, old):
        with _naming(file, "what was written may be incomplete"):
            _stream(file, data, os.O_TRUNC)
        return file
    target = Path(os.path.realpath(file))
    with _naming(file, "the file is as it was"):
        _replace(target, data, old)
    with _naming(file, "the file is written, and may not outlast a loss of power"):
        _flush_folder(target.parent)
    return file


def append(path: str | os.PathLike[str], line: str, torn: Callable[[bytes], bool]) -> int:
    """Append a line to a file. A failed write is undone, and the earlier lines are unchanged.

    Args:
        path: the file, which may be new; a pipe or a device is written directly.
        line: without its line end.
        torn: a function of a last line without a line end (at most its first 16 MiB). True drops the line, which a
            killed process left. False keeps the line and ends it.

    Returns:
        the number of bytes dropped.

    Raises:
        TypeError, ValueError: `path` is not the name of a file.
        OSError: the folder or the permission is missing, or the disk is full; it names the file.
    """
    file, data = named(path), encoded(f"{line}\n")
    with _naming(file, "the lines before are as they were"):
        if _is_stream(file, _status(file)):
            _stream(file, [data], os.O_APPEND)
            return 0
        with _opened(file, os.O_RDWR | os.O_APPEND | os.O_CREAT) as handle:
            _lock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            begin = _last_line(handle, size)
            dropped = size - begin if begin < size and torn(os.pread(handle, _AT_ONCE, begin)) else 0
            if dropped:
                os.ftruncate(handle, size - dropped)
            try:
                _pour(handle, [b"\n" + data if begin < size - dropped else data])
            except BaseException:
                os.ftruncate(handle, size - dropped)
                raise
    return dropped


def make_folder(path: str | os.PathLike[str], argument: str = "path") -> Path:
    """Make a folder and those above it; an existing folder is left as it is.

    Raises:
        TypeError, ValueError: `path` is not the name of a folder.
        OSError: it cannot be made, or files cannot be written there; it names the folder.
    """
    folder = named(os.path.abspath(path) if isinstance(path, str | Path) and str(path) else path, argument)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; name a folder that can be made", str(folder)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        why = f"{os.strerror(errno.EACCES)}; name a folder that can be written"
        raise PermissionError(errno.EACCES, why, str(folder))
    return folder


@contextlib.contextmanager
def held(path: str | os.PathLike[str]) -> Iterator[bool]:
    """Hold a file's lock, which ends with this process; False where another process holds it.

    A file system without locks counts as held by this process alone.
    """
    file = named(path)
    with contextlib.ExitStack() as stack:
        with _naming(file, "name a file that can be written"):  # errors of the caller's own work have names of theirs
            handle = stack.enter_context(_opened(file, os.O_RDWR | os.O_CREAT))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True


def move(old: Path, new: Path) -> None:
    """Rename a file within a file system, over the file of that name.

    Raises:
        OSError: it names the file, which is as it was.
    """
    with _naming(old, "the file is as it was"):
        os.replace(old, new)


def remove(path: Path) -> None:
    """Remove a file; one that is missing is removed already.

    Raises:
        OSError: it names the file.
    """
    with _naming(path, "the file is as it was"), contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@contextlib.contextmanager
def _naming(file: Path, state: str) -> Iterator[None]:
    """Add the name and the state of the file to errors of the system."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"{error.strerror}; {state}", str(file)) from error


def _status(file: Path) -> os.stat_result | None:
    """The status of the file, None for a new file; a file that cannot be written raises an error."""
    try:
        status = os.stat(file)
    except FileNotFoundError:
        folder = Path(os.path.realpath(file)).parent
        if not folder.is_dir():
            raise FileNotFoundError(f"{file}: there is no folder {folder}; make it first") from None
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{file}: it is a folder; add the name of a file")
    if not os.access(file, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return status


def _is_stream(file: Path, status: os.stat_result | None) -> bool:
    """A pipe, a device, or an open file under its number, such as /dev/stdout."""
    folder = os.path.realpath(file.parent)
    return folder == "/dev" or folder.startswith("/proc/") or (status is not None and not stat.S_ISREG(status.st_mode))


def _stream(file: Path, data: Sequence[bytes | memoryview], how: int) -> None:
    with _opened(file, os.O_WRONLY | how) as handle:
        _pour(handle, data)


def _replace(target: Path, data: Sequence[bytes | memoryview], old: os.stat_result | None) -> None:
    _remove_leftovers(target.parent)
    while not _replaced(target, data, old):
        pass


def _replaced(target: Path, data: Sequence[bytes | memoryview], old: os.stat_result | None) -> bool:
    """Write under a new temporary name and rename; False where another process removed the temporary file."""
    part = target.parent / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        _lock(handle, fcntl.LOCK_EX)  # until the end: only unlocked temporary files are removed
        if not os.fstat(handle).st_nlink:
            return False
        _pour(handle, data)
        if old is not None:
            with contextlib.suppress(OSError):  # only the owner may
                os.fchown(handle, old.st_uid, old.st_gid)
            os.fchmod(handle, stat.S_IMODE(old.st_mode))
        _flush(handle)
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
    finally:
        with contextlib.suppress(OSError):  # it is flushed
            os.close(handle)
    return True


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes: those that no process has locked."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for name in [e.name for e in entries if e.name.startswith(PREFIX) and e.name.endswith(SUFFIX)]:
            with (
                contextlib.suppress(OSError),
                _opened(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as handle,
            ):
                if _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    os.unlink(folder / name)


def _lock(handle: int, how: int) -> bool:
    """Lock an open file; False where another process holds the lock, or the file system has no locks."""
    try:
        fcntl.flock(handle, how)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _opened(file: Path, how: int) -> Iterator[int]:
    handle = os.open(file, how | os.O_CLOEXEC, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)


def _pour(handle: int, data: Sequence[bytes | memoryview]) -> None:
    for part in data:
        left = memoryview(part).cast("B")
        while left:
            left = left[os.write(handle, left[:_AT_ONCE]) :]


def _flush(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise


def _flush_folder(folder: Path) -> None:
    """Flush the new name; a folder without read permission cannot be flushed."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        _flush(handle)
    finally:
        os.close(handle)


def _last_line(handle: int, size: int) -> int:
    """The place after the last line end."""
    end = size
    while end:
        begin = max(0, end - _AT_ONCE)
        line_end = os.pread(handle, end - begin, begin).rfind(b"\n")
        if line_end >= 0:
            return begin + line_end + 1
        end = begin
    return 0
