"""A private network namespace for this process: where demo, benchmarks and tests make their traffic.

Not a container: only the network (and, without root, the user) namespace is new. It is entered before any event loop or
thread exists, since a namespace belongs to a thread and new threads inherit it.
"""

import ctypes
import os

from asyncnic.errors import PrivilegeError

CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000


def enter_private_network() -> None:
    """Move the calling thread into a network namespace of its own, through a user namespace when not root.

    Raises:
        PrivilegeError: the kernel allows neither.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET if uid == 0 else CLONE_NEWUSER | CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise PrivilegeError(
            f"no private network namespace ({reason}): run as root, or allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1)"
        )
    if uid != 0:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
