"""What this process may do, as the kernel says, and giving it up: capabilities(7)."""

import ctypes
import os
import pwd
import struct
from collections.abc import Iterable
from pathlib import Path

_CAPABILITY_VERSION_3 = 0x2008_0522
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_libc = ctypes.CDLL(None, use_errno=True)

MKNOD = 27
"""capabilities(7): make device nodes."""

BPF = 39
"""capabilities(7): load eBPF programs and make their maps."""

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


def capability_name(number: int) -> str:
    """The name of a capability, where this module knows it."""
    return {NET_ADMIN: "net_admin", NET_RAW: "net_raw", SYS_ADMIN: "sys_admin", MKNOD: "mknod", BPF: "bpf"}[number]


def capabilities() -> int:
    """The capabilities that are permitted to this process, a bit each."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def drop_capabilities(keep: Iterable[int] = ()) -> None:
    """Give up every capability of the calling thread but those in `keep`, for good: nothing that it executes gets any
    back.

    Threads that exist already keep theirs; those made later have what is kept. A user without capabilities has nothing
    to lose, and nothing happens.

    Raises:
        OSError: the kernel refuses.
    """
    has = capabilities()
    left = has & sum(1 << number for number in set(keep))
    forbid_new_privileges()
    if left == has:
        return
    low, high = left & 0xFFFF_FFFF, left >> 32
    sets = struct.pack("=6I", low, low, 0, high, high, 0)
    if _libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), sets) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def forbid_new_privileges() -> None:
    """Let nothing that is executed from now on gain a privilege by that: no_new_privs of prctl(2).

    Raises:
        OSError: the kernel refuses.
    """
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")
