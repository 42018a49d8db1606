"""The kernel's TUN/TAP character device: attach to an interface by ioctl, with errors that say the fix.

Only what has no netlink form. Addresses, MTU, link state and counters are link.py's.
"""

import errno
import fcntl
import os
import socket
import struct

from asyncnic.errors import DeviceError, PrivilegeError

NODE = "/dev/net/tun"
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_MULTI_QUEUE = 0x0100
_TUNSETIFF = 0x400454CA
_IFREQ = struct.Struct("16sH22x")
_NAME_LIMIT = 15


def exists(name: str) -> bool:
    """Whether the network namespace has an interface of this name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


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
            return fd
        if failure.errno != errno.EINVAL or not exists(name):
            break
    os.close(fd)
    raise _explain(name, failure, queues)


def in_use(name: str) -> DeviceError:
    """What to raise when somebody else is attached to the TAP `name`."""
    return DeviceError(f"tap:{name}: another process is attached to it: stop that one, or use another name")


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
        return in_use(name)
    if error.errno == errno.EINVAL and queues:
        return DeviceError(
            f"tap:{name}: it has one queue: make it with more (ip tuntap add {name} mode tap multi_queue user $USER)"
        )
    if error.errno == errno.EINVAL:
        return DeviceError(f"tap:{name}: an interface of this name is there and is no TAP: use another name")
    return DeviceError(f"tap:{name}: cannot be attached to: {error.strerror}")
