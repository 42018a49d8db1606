"""Reading a file that somebody else wrote, and writing one that somebody else reads: bounded, and whole or not at all.

Nothing here knows what is in the files.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LARGEST = 1 << 20
"""Octets of a file that is read whole. A configuration is a few thousand."""


def read_file(path: Path, again: bool = False) -> bytes:
    """All of the file at `path`, `LARGEST` octets at most.

    Args:
        path: a pipe (``<(...)`` of the shell) will do for once.
        again: it was read before: only a regular file can be, a pipe would be waited for, or be empty.

    Raises:
        OSError: it cannot be read, or not again, or is too large; `strerror` says which.
    """
    with open(path, "rb", opener=_at_once if again else None) as file:
        if again:
            _must_be_regular(file.fileno())
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(0, f"larger than {LARGEST} octets")
    return data


def must_be_regular(path: Path) -> None:
    """Find out that the file at `path` can be read again, for those who give the path to somebody that reads it.

    Raises:
        OSError: it is none, or no regular file.
    """
    descriptor = _at_once(str(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        _must_be_regular(descriptor)
    finally:
        os.close(descriptor)


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for whoever has the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _must_be_regular(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(0, "no regular file, so it cannot be read again: restart, or name one that can")


@contextmanager
def write_beside(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path` that takes its place when the body ends well; if it raises, `path` is as it was.

    What is no regular file (/dev/null, a pipe) is written as it stands. A link stays, and what it leads to is replaced;
    the mode is that of the file replaced, or what a new one gets.

    Raises:
        OSError: it cannot be made or written.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG | 0o666 & ~_umask()
    if not stat.S_ISREG(mode):
        with target.open("wb") as out:
            yield out
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:200]}.", dir=target.parent)
    try:
        with open(descriptor, "wb") as out:
            os.fchmod(descriptor, stat.S_IMODE(mode))
            yield out
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def must_have_room_beside(path: Path) -> None:
    """Find out that `write_beside` would begin well, and leave no trace.

    Raises:
        OSError: it would not.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if target.exists() and not target.is_file():
        os.close(os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    else:
        tempfile.TemporaryFile(dir=target.parent).close()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
