"""seccomp: taking from this process, for good, every system call that it does not name.

seccomp(2), through libseccomp, which knows the numbers of each architecture. Thin, without knowledge of what anybody
needs. A call that is not named fails with EPERM and leaves a line in the kernel's log; clone3(2), whose flags no filter
can see, fails with ENOSYS, and the C library takes clone(2).
"""

import errno
from collections.abc import Iterable

from asyncnic.linux.privileges import forbid_new_privileges

NAMESPACES = 0x7E02_0080
"""clone(2)'s flags that make namespaces: CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
THREAD = 0x0001_0000
"""CLONE_THREAD: what is made is a thread, and no process."""


def missing() -> str:
    """Why there can be no filter, in a few words; empty: there can."""
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError, AttributeError):
        return "libseccomp is not installed: apt install libseccomp2"
    try:
        pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    except (RuntimeError, OSError, ValueError):
        return "libseccomp does not know this machine"
    return ""


def deny(calls: Iterable[str]) -> None:
    """Have these system calls fail with ENOSYS for this process from now on, as on a kernel without them.

    Raises:
        OSError: the kernel refuses.
    """
    import pyseccomp as lib

    rules = lib.SyscallFilter(lib.ALLOW)
    for name in calls:
        _add(rules, lib.ERRNO(errno.ENOSYS), name)
    forbid_new_privileges()
    rules.load()


def restrict(calls: Iterable[str], *, families: Iterable[int], processes: bool) -> None:
    """Leave all threads of this process no other system calls than these.

    Args:
        calls: by name; one that the machine does not have is passed over.
        families: of socket(2), by number.
        processes: whether clone(2) may make processes, or threads alone. No namespaces in either case.

    Raises:
        OSError: the kernel refuses.
    """
    import pyseccomp as lib

    rules = lib.SyscallFilter(lib.ERRNO(errno.EPERM))
    rules.set_attr(lib.Attr.CTL_TSYNC, 1)
    rules.set_attr(lib.Attr.CTL_LOG, 1)
    rules.set_attr(lib.Attr.CTL_OPTIMIZE, 2)  # a tree, and no list: receiving is a call a frame
    for name in calls:
        _add(rules, lib.ALLOW, name)
    for family in families:
        _add(rules, lib.ALLOW, "socket", lib.Arg(0, lib.EQ, family))
    flags, wanted = (NAMESPACES, 0) if processes else (THREAD, THREAD)
    _add(rules, lib.ALLOW, "clone", lib.Arg(0, lib.MASKED_EQ, flags, wanted))
    _add(rules, lib.ALLOW, "clone3")  # denied below, without a line in the log for each thread
    deny(("clone3",))
    forbid_new_privileges()
    rules.load()


def _add(rules: object, action: int, name: str, *arguments: object) -> None:
    """A rule, where the machine has such a call."""
    try:
        rules.add_rule(action, name, *arguments)  # type: ignore[attr-defined]
    except (OSError, RuntimeError) as error:
        if getattr(error, "errno", None) not in (errno.EDOM, errno.EFAULT, errno.EINVAL):
            raise
