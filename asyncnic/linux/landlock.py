"""Landlock: taking from this process, for good, whatever of files, TCP ports and other processes it does not name.

landlock(7); thin calls to the kernel, without knowledge of what anybody needs. It comes on top of the files' own
permissions and takes no privilege. What is open already stays open, and what is restricted is the calling thread with
the threads and processes that it makes afterwards.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntFlag
from pathlib import Path

from asyncnic.linux.privileges import forbid_new_privileges

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


class Files(IntFlag):
    """What may be done to files (linux/landlock.h), by the bits of the kernel."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Files.READ_FILE | Files.READ_DIR
USE = READ | Files.WRITE_FILE | Files.IOCTL_DEV
"""Read, write and control what is there, such as a device."""
CHANGE = (
    READ | Files.WRITE_FILE | Files.TRUNCATE | Files.MAKE_REG | Files.MAKE_DIR | Files.REMOVE_FILE | Files.REMOVE_DIR
)
"""Make, write and remove files and folders."""

_OF_FILES = Files.EXECUTE | Files.WRITE_FILE | Files.READ_FILE | Files.TRUNCATE | Files.IOCTL_DEV
"""What a rule for a single file can have."""
_FILES_SINCE = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many bits of `Files` the kernel knows, by the version of its interface."""
_BIND_TCP, _CONNECT_TCP = 1, 2
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2


@dataclass(slots=True)
class Allowed:
    """What is left. Everything else that the kernel knows how to forbid, it forbids.

    Args:
        files: what may be done to each path and all beneath it. A path that is not there is passed over.
        bind, connect: TCP ports; None: any.
        signals: to processes outside, such as children made before.
        abstract: Unix sockets of the abstract name space that others have made.
    """

    files: dict[Path, Files] = field(default_factory=dict)
    bind: Iterable[int] | None = ()
    connect: Iterable[int] | None = ()
    signals: bool = False
    abstract: bool = False

    def allow(self, what: Files, *paths: Path) -> None:
        """Allow `what` at `paths` too."""
        for path in paths:
            self.files[path] = self.files.get(path, Files(0)) | what


def version() -> int:
    """The version of the interface that the kernel has; 0: none, or it is switched off."""
    found: int = _libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    return max(0, found)


def restrict(allowed: Allowed) -> int:
    """Leave the calling thread, and what it makes from now on, no more than `allowed`; which version did it.

    0: the kernel has none, and nothing has changed.

    Raises:
        OSError: the kernel refuses.
    """
    has = version()
    if not has:
        return 0
    known = Files((1 << _FILES_SINCE[min(has, max(_FILES_SINCE))]) - 1)
    ports = {_BIND_TCP: allowed.bind, _CONNECT_TCP: allowed.connect} if has >= 4 else {}
    ports = {access: numbers for access, numbers in ports.items() if numbers is not None}
    scoped = (0 if allowed.abstract else _ABSTRACT_SOCKETS) | (0 if allowed.signals else _SIGNALS) if has >= 6 else 0
    attribute = struct.pack("=QQQ", known, sum(ports), scoped)[: 8 if has < 4 else 16 if has < 6 else 24]
    ruleset = _call(_CREATE_RULESET, attribute, len(attribute), 0)
    try:
        for path, what in allowed.files.items():
            _add_path(ruleset, path, what & known)
        for access, numbers in ports.items():
            for number in numbers or ():
                _call(_ADD_RULE, ruleset, _NET_PORT, struct.pack("=QQ", access, number), 0)
        forbid_new_privileges()
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return has


def _add_path(ruleset: int, path: Path, what: Files) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            what &= _OF_FILES
        if what:
            _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", what, fd), 0)
    finally:
        os.close(fd)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
