"""Write cpio archives in the "newc" form, the one that Linux unpacks into its initial RAM file system.

Pure: entries in, octets out (kernel documentation, driver-api/early-userspace/buffer-format). It reads no archive.
"""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory, link or device node; `name` is its path without a leading slash.

    `mode` is `st_mode`, type bits included; `data` the contents, or a link's target; `device` major and minor of a
    node.
    """

    name: str
    mode: int
    data: bytes = b""
    mtime: int = 0
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Entry:
    """A directory that everyone may enter."""
    return Entry(name, stat.S_IFDIR | 0o755)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def regular(name: str, data: bytes, mode: int = 0o644, mtime: int = 0) -> Entry:
    """A regular file."""
    return Entry(name, stat.S_IFREG | mode, data, mtime)


def archive(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The archive, piece by piece; directories above an entry are made when nobody listed them."""
    made: set[str] = set()
    number = 0
    for entry in entries:
        for above in _above(entry.name):
            if above not in made:
                made.add(above)
                number += 1
                yield from _record(directory(above), number)
        if stat.S_ISDIR(entry.mode):
            if entry.name in made:
                continue
            made.add(entry.name)
        number += 1
        yield from _record(entry, number)
    yield from _record(Entry(_TRAILER, 0), 0)


def _above(name: str) -> Iterator[str]:
    parts = name.split("/")
    for depth in range(1, len(parts)):
        yield "/".join(parts[:depth])


def _record(entry: Entry, number: int) -> Iterator[bytes]:
    name = entry.name.encode() + b"\0"
    fields = (
        *(number, entry.mode, 0, 0, 1, entry.mtime, len(entry.data)),
        *(0, 0, *entry.device, len(name), 0),
    )
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    yield header + bytes(-len(header) % 4)
    yield entry.data
    yield bytes(-len(entry.data) % 4)
