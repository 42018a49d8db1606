"""A private network namespace for this process: where demo, benchmarks and tests make their traffic.

Not a container: only the network (and, without CAP_SYS_ADMIN, the user) namespace is new. It is entered before any
event loop or thread exists, since a namespace belongs to a thread and new threads inherit it.
"""

import ctypes
import os

from asyncnic.errors import PrivilegeError
from asyncnic.linux.privileges import NET_ADMIN, has_capability

CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000


def enter_private_network() -> None:
    """Move the calling thread into a network namespace of its own where it may make interfaces: through a user
    namespace for whoever is not root, and for root in a container.

    Raises:
        PrivilegeError: the kernel allows neither.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if has_capability(NET_ADMIN) and libc.unshare(CLONE_NEWNET) == 0:
            return
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    except OSError as error:
        raise PrivilegeError(
            f"no private network namespace ({error.strerror}): run as root (in a container: --cap-add SYS_ADMIN), or "
            "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)"
        ) from None


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
