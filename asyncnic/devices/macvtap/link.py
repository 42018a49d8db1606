"""A macvtap of the kernel: found or made on a parent interface, and its character device opened.

Nothing here counts or moves frames. All of it is for a thread without a running event loop.

What opens a macvtap is /dev/tapN, N its interface's index. Indexes repeat in every network namespace and the file
system of devices is one, so a node is believed only when what it opens has the right name; where it does not, or there
is none, a node of our own is made for a moment, which takes CAP_MKNOD.
"""

import contextlib
import errno
import fcntl
import os
import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink import nlmsg
from pyroute2.netlink.exceptions import NetlinkError

from asyncnic.errors import DeviceError, PrivilegeError
from asyncnic.linux.claim import Claim
from asyncnic.linux.link import link_message
from asyncnic.linux.tun import IFF_NO_PI, IFF_TAP

KIND = "macvtap"
IFF_ALLMULTI = 0x200
_TUNSETIFF = 0x400454CA
_TUNGETIFF = 0x800454D2
_IFREQ = struct.Struct("16sH22x")
_OURS = re.compile(r"asyncnic-[0-9a-f]{6}")
_ADDRESS_BY_HAND = 1  # IN6_ADDR_GEN_MODE_NONE
_DEVICES = Path("/dev")
_NUMBERS = Path("/sys/dev/char")


@dataclass(frozen=True, slots=True)
class Found:
    """An interface as far as it matters here. `parent` is the index of the interface that it is on; 0 for none."""

    name: str
    index: int
    kind: str
    mac: bytes
    parent: int


def find(name: str) -> Found | None:
    """The interface `name` of this network namespace; None when there is none."""
    with IPRoute() as route:
        found = route.link_lookup(ifname=name)
        return _found(link_message(route, found[0])) if found else None


def new_name() -> str:
    """A name for a macvtap of ours that no other network namespace has either."""
    return f"asyncnic-{os.urandom(3).hex()}"


def make(name: str, parent: Found, mac: bytes, mtu: int, queue_length: int) -> Found:
    """Make the macvtap `name` (mode bridge) on `parent`; it is down. What services left that were killed is deleted.

    Raises:
        PrivilegeError: CAP_NET_ADMIN is missing. DeviceError: the parent or the kernel does not allow it.
    """
    with IPRoute() as route:
        try:
            _sweep(route)
            route.link(
                "add",
                ifname=name,
                link=parent.index,
                kind=KIND,
                macvtap_mode="bridge",
                address=mac.hex(":"),
                mtu=mtu,
                txqlen=queue_length,
            )
            # The address is the stack's: the kernel must not speak IPv6 with it.
            quiet = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _ADDRESS_BY_HAND)]})]}
            index = socket.if_nametoindex(name)
            route.link("set", index=index, IFLA_AF_SPEC=quiet)
        except BaseException as error:
            with contextlib.suppress(OSError, NetlinkError):  # it is not there, or the next start deletes it
                route.link("del", index=socket.if_nametoindex(name))
            if isinstance(error, NetlinkError):
                raise _explain(parent.name, mac, error) from None
            raise
    return Found(name, index, KIND, mac, parent.index)


def bring_up(link: Found, parent: str) -> None:
    """Set a macvtap that was made on `parent` up. After its queue is open: what comes before that is the host's.

    Raises:
        PrivilegeError, DeviceError: as `make`.
    """
    with IPRoute() as route:
        try:
            route.link("set", index=link.index, state="up")
        except NetlinkError as error:
            raise _explain(parent, link.mac, error) from None


def remove(index: int) -> None:
    """Delete the interface with this index. Where that fails it is gone already, or the next start deletes it."""
    with IPRoute() as route, contextlib.suppress(NetlinkError):
        route.link("del", index=index)


def accept_multicast(name: str) -> None:
    """Let all multicast frames come: which of them are for us is for the chip to say.

    Raises:
        PrivilegeError: they do not come, and CAP_NET_ADMIN is missing.
    """
    with IPRoute() as route:
        index = socket.if_nametoindex(name)
        if link_message(route, index)["flags"] & IFF_ALLMULTI:
            return
        try:
            route.link("set", index=index, flags=IFF_ALLMULTI, change=IFF_ALLMULTI)
        except NetlinkError:
            fix = f"ip link set {name} allmulticast on"
            raise PrivilegeError(
                f"macvtap:{name}: multicast needs CAP_NET_ADMIN here: run once as root: {fix}"
            ) from None


def node_of(link: Found) -> Path:
    """Where the kernel makes the node of a macvtap."""
    return _DEVICES / f"tap{link.index}"


def open_queue(link: Found) -> int:
    """A non-blocking descriptor of the macvtap, for whole frames without any header.

    What the last user has set of offloads needs no reset, unlike a TAP's: the kernel heeds it for descriptors with a
    header to tell of them alone (IFF_VNET_HDR), and each has flags of its own.

    Raises:
        DeviceError: no node that opens it. PrivilegeError: the node may not be opened.
    """
    node = node_of(link)
    try:
        fd = _open(node, link)
    except PermissionError as error:
        raise PrivilegeError(
            f"{node}: {error.strerror}: run as root, or let this user open it (chown $USER {node}); "
            f"in a container, --device {node} too"
        ) from None
    except OSError:
        fd = None
    if fd is None:
        fd = _open_own_node(link)
    if fd is None:
        raise DeviceError(f"{node}: absent, or another interface's: give the container --device {node}")
    try:
        fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(b"", IFF_TAP | IFF_NO_PI))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open(node: Path, link: Found) -> int | None:
    """Open `node`; None when what is behind it is not `link`."""
    fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        name, _ = _IFREQ.unpack(fcntl.ioctl(fd, _TUNGETIFF, bytes(_IFREQ.size)))
    except OSError:
        name = b""
    if name.rstrip(b"\0") == link.name.encode():
        return fd
    os.close(fd)
    return None


def _open_own_node(link: Found) -> int | None:
    """Open the macvtap by a node made for it; None where that cannot be."""
    tail = f"/net/{link.name}/macvtap/tap{link.index}"
    numbers = [entry.name for entry in _NUMBERS.glob("*") if os.readlink(entry).endswith(tail)]
    for number in numbers:
        major, minor = map(int, number.split(":"))
        node = _DEVICES / f".{link.name}-{os.getpid()}"
        try:
            os.mknod(node, 0o600 | 0o020000, os.makedev(major, minor))
        except OSError:
            return None
        try:
            fd = _open(node, link)
        except OSError:
            return None
        finally:
            node.unlink()
        if fd is not None:
            return fd
    return None


def _sweep(route: IPRoute) -> None:
    """Delete macvtaps of ours whose processes are gone without having deleted them."""
    for message in route.get_links():
        link = _found(message)
        if link.kind != KIND or not _OURS.fullmatch(link.name):
            continue
        try:
            claim = Claim(link.name)
        except OSError:
            continue
        try:
            route.link("del", index=link.index)
        finally:
            claim.release()


def _found(message: nlmsg) -> Found:
    return Found(
        name=message.get_attr("IFLA_IFNAME"),
        index=message["index"],
        kind=message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
        mac=bytes.fromhex((message.get_attr("IFLA_ADDRESS") or "").replace(":", "")),
        parent=message.get_attr("IFLA_LINK") or 0,
    )


def _explain(parent: str, mac: bytes, error: NetlinkError) -> DeviceError:
    if error.code in (errno.EPERM, errno.EACCES):
        return PrivilegeError(
            f"macvtap:{parent}: making it needs CAP_NET_ADMIN: run as root, or make it beforehand "
            f"(ip link add link {parent} name NAME type macvtap mode bridge) and use macvtap:NAME"
        )
    reasons = {
        errno.EOPNOTSUPP: "the kernel has no macvtap: load the module (modprobe macvtap)",
        errno.EADDRINUSE: f"MAC {mac.hex(':')} is taken there, by another service maybe: choose another with --mac",
        errno.EBUSY: "it belongs to a bridge or a bond: use that one",
        errno.EINVAL: "it cannot carry one: use an Ethernet interface, and an --mtu that is not above its own",
        errno.ENODEV: "the interface is gone",
    }
    said = reasons.get(error.code, f"no macvtap can be made there: {os.strerror(error.code)}")
    return DeviceError(f"macvtap:{parent}: {said}")
