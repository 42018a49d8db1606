"""The kernel's TUN/TAP character device: attach to an interface by ioctl, with errors that say the fix.

Only what has no netlink form. Addresses, MTU, link state and counters are link.py's.
"""

import contextlib
import errno
import fcntl
import os
import socket
import struct

from asyncnic.errors import DeviceError, PrivilegeError
from asyncnic.linux.bpf import DETACHED, TUNSETFILTEREBPF, TUNSETSTEERINGEBPF
from asyncnic.linux.claim import in_use

NODE = "/dev/net/tun"
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_MULTI_QUEUE = 0x0100
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUNSETTXFILTER = 0x400454D1
_TUNSETSNDBUF = 0x400454D4
TUNATTACHFILTER = 0x401054D5
TUNDETACHFILTER = 0x401054D6
_TUNSETCARRIER = 0x400454E2
_MOST = 0x7FFF_FFFF
_IFREQ = struct.Struct("16sH22x")
_INT = struct.Struct("=i")
_NAME_LIMIT = 15


def exists(name: str) -> bool:
    """Whether the network namespace has an interface of this name."""
    return index(name) > 0


def index(name: str) -> int:
    """The index of the interface of this name in the network namespace; 0: there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def attach(name: str, *, queues: bool = False) -> int:
    """Attach to the TAP `name`, creating it when there is none. Returns a non-blocking descriptor.

    A TAP made with several queues is attached to with that flag even when `queues` is False: it cannot be had
    otherwise.

    Raises:
        PrivilegeError: /dev/net/tun may not be opened, or the TAP is not ours and may not be made.
        DeviceError: no /dev/net/tun, a name that no interface can have, an interface that is no TAP, or a TAP in use;
        with `queues`, a TAP that has one. One that has several may be in use unnoticed.
    """
    if not 0 < len(name.encode()) <= _NAME_LIMIT or "/" in name or name.isspace():
        raise DeviceError(f"tap:{name}: no interface can have this name: use 1 to {_NAME_LIMIT} characters, no slash")
    try:
        fd = os.open(NODE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DeviceError(
            f"{NODE}: absent: load the module (modprobe tun), or give the container --device {NODE}"
        ) from None
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENXIO):
            raise DeviceError(f"{NODE}: no driver behind it: load the module (modprobe tun)") from None
        raise PrivilegeError(
            f"{NODE}: {error.strerror}: run as root, or let this user open it (chmod 0666 {NODE}, or --device {NODE})"
        ) from None
    flags = IFF_TAP | IFF_NO_PI
    for attempt in (flags | IFF_MULTI_QUEUE,) if queues else (flags, flags | IFF_MULTI_QUEUE):
        try:
            fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(name.encode(), attempt))
        except OSError as error:
            failure = error
        else:
            _forget_last_user(fd)
            return fd
        if failure.errno != errno.EINVAL or not exists(name):
            break
    os.close(fd)
    raise _explain(name, failure, queues)


def _forget_last_user(fd: int) -> None:
    """Undo what whoever had the TAP before may have set, and a TAP keeps: offloads, filters, programs, no carrier.

    Steering and filter programs outlive their process; without the process that reads, such a filter drops everything.
    """
    with contextlib.suppress(OSError):
        # Frames as a wire carries them: checksums complete, none longer than the MTU allows.
        fcntl.ioctl(fd, _TUNSETOFFLOAD, 0)
    for request, argument in (
        (TUNDETACHFILTER, bytes(16)),
        (_TUNSETTXFILTER, bytes(4)),  # struct tun_filter without addresses
        (_TUNSETSNDBUF, _INT.pack(_MOST)),
        (TUNSETFILTEREBPF, _INT.pack(DETACHED)),
        (TUNSETSTEERINGEBPF, _INT.pack(DETACHED)),
        (_TUNSETCARRIER, _INT.pack(1)),
    ):
        with contextlib.suppress(OSError):  # a kernel that does not know of it has none
            fcntl.ioctl(fd, request, argument)


def _explain(name: str, error: OSError, queues: bool) -> DeviceError:
    if error.errno == errno.EPERM:
        if exists(name):
            return PrivilegeError(
                f"tap:{name}: it belongs to another user: make it this one's (ip tuntap add {name} mode tap user $USER)"
            )
        return PrivilegeError(
            f"tap:{name}: making it needs CAP_NET_ADMIN: make it beforehand (ip tuntap add {name} mode tap user $USER)"
        )
    if error.errno == errno.EBUSY:
        return in_use(f"tap:{name}")
    if error.errno == errno.EINVAL and queues:
        return DeviceError(
            f"tap:{name}: it has one queue: make it with more (ip tuntap add {name} mode tap multi_queue user $USER)"
        )
    if error.errno == errno.EINVAL:
        return DeviceError(f"tap:{name}: an interface of this name is there and is no TAP: use another name")
    return DeviceError(f"tap:{name}: cannot be attached to: {error.strerror}")
