"""What this process may do, as the kernel says, and giving it up: capabilities(7)."""

import ctypes
import os
import pwd
import struct
from pathlib import Path

_CAPABILITY_VERSION_3 = 0x2008_0522
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)

NET_ADMIN = 12
"""capabilities(7): make and configure network interfaces."""

NET_RAW = 13
"""capabilities(7): use packet and raw sockets."""


SYS_ADMIN = 21
"""capabilities(7): see physical addresses, among much else."""


def has_capability(number: int) -> bool:
    """Whether capability `number` is effective for this process."""
    return bool(_capabilities("CapEff") >> number & 1)


def bounded_to(number: int) -> bool:
    """Whether this process could never have another capability than `number`, whoever it runs as."""
    return not _capabilities("CapBnd") & ~(1 << number)


def _capabilities(which: str) -> int:
    """One of the sets in proc(5)'s status, as bits."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1], 16)
    return 0


def user_name() -> str:
    """The name of the user that this process runs as; the number where it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def drop_capabilities() -> None:
    """Give up every capability of the calling thread, for good: nothing that it executes gets any back.

    Threads that exist already keep theirs; those made later have none. A user without capabilities has nothing to lose,
    and nothing happens.

    Raises:
        OSError: the kernel refuses.
    """
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, bytes(24)) != 0 or _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")
