"""A kernel interface through rtnetlink: set up once, counted at any moment.

Setting up goes through pyroute2's `IPRoute` in a thread, since neither its synchronous nor its asynchronous form runs
inside a uvloop loop. Counting must be one atomic moment with our own counters, so it is a synchronous request on the
loop's thread: RTM_GETSTATS, which the kernel answers within the send (some 70 us with pyroute2's codec). Nothing here
moves frames.
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_REQUEST, NLMSG_ERROR, nlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTM_GETLINK, RTM_GETSTATS, RTMGRP_LINK
from pyroute2.netlink.rtnl.ifstatsmsg import ifstatsmsg

from asyncnic.errors import DeviceError, DeviceLost, PrivilegeError
from asyncnic.linux import tun
from asyncnic.linux.claim import in_use
from asyncnic.linux.thread import in_thread

_LINK_64 = 1  # IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64)
_ANSWER = 65536
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_UP, _LOWER_UP = 0x1, 0x10000
GONE = "the interface was deleted, or moved to another network namespace"


class LinkCounters:
    """The counters of one interface, as the kernel has them: IFLA_STATS_LINK_64.

    Args:
        name: the interface's name in this thread's network namespace; later it is known by its index.

    Raises:
        DeviceLost: no such interface.
    """

    def __init__(self, name: str) -> None:
        self._index = _index(name)
        self._sequence = 0
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        try:
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise

    @property
    def index(self) -> int:
        """The interface's index."""
        return self._index

    def read(self) -> tuple[int, int]:
        """(tx_packets, tx_dropped): frames that a TAP's reader has read, and frames that its full queue dropped.

        Raises:
            DeviceLost: the interface is gone.
        """
        stats = self.read_all()
        return stats["tx_packets"], stats["tx_dropped"]

    def read_all(self) -> Mapping[str, int]:
        """All counters by the names of struct rtnl_link_stats64.

        Raises:
            DeviceLost: the interface is gone.
        """
        request = ifstatsmsg()
        request["ifindex"] = self._index
        request["filter_mask"] = _LINK_64
        request.encode()
        answer = ifstatsmsg(self._ask(RTM_GETSTATS, request.data[_HEADER.size :]))
        answer.decode()
        stats: dict[str, int] = answer.get_attr("IFLA_STATS_LINK_64")
        return stats

    def no_link(self) -> str:
        """Why the interface carries nothing though it is there; empty: it does.

        Raises:
            DeviceLost: the interface is gone.
        """
        answer = self._ask(RTM_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, self._index, 0, 0))
        flags = _LINK.unpack_from(answer, _HEADER.size)[3]
        if not flags & _UP:
            return "the interface is down"
        return "" if flags & _LOWER_UP else "the interface has no carrier"

    def _ask(self, kind: int, body: bytes) -> bytes:
        """The answer to one request. It is there when the request has been sent; so are those to earlier ones that were
        not read then.

        Raises:
            DeviceLost: the interface is gone, or the kernel does not answer.
        """
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST, self._sequence, 0)
        try:
            self._socket.send(header + body)
            while True:
                answer = self._socket.recv(_ANSWER)
                _, answered, _, sequence, _ = _HEADER.unpack_from(answer)
                if sequence == self._sequence:
                    break
        except OSError as error:
            raise DeviceLost(f"its counters cannot be read: {error.strerror or error}") from None
        if answered == NLMSG_ERROR:
            raise DeviceLost(GONE)
        return answer

    def close(self) -> None:
        """Close the netlink socket."""
        self._socket.close()


@dataclass(frozen=True, slots=True)
class LinkState:
    """What an interface is set to."""

    mtu: int
    queue_length: int
    up: bool
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class LinkWanted:
    """What an interface shall be set to. `address` is one with a prefix length, or empty for none of our business."""

    mtu: int
    queue_length: int
    address: str = ""


def open_changes() -> socket.socket:
    """A socket that is readable when some interface of this network namespace has changed; it does not block."""
    changes = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    try:
        changes.bind((0, RTMGRP_LINK))
    except BaseException:
        changes.close()
        raise
    return changes


async def set_up(name: str, wanted: LinkWanted, backend: str = "tap") -> None:
    """Make the interface `name` be as `wanted`, and up, changing only what differs: an interface that is right needs
    no privilege.

    Raises:
        PrivilegeError: a change is needed and not allowed; the message names the flag and the command that makes it
        right. DeviceError: the kernel refuses a value.
    """
    await in_thread(_set_up, name, wanted, backend)


async def set_queue_length(name: str, length: int, backend: str = "tap") -> None:
    """Change how many frames the queue of a TAP or macvtap holds; those beyond a smaller length are lost.

    Raises:
        PrivilegeError, DeviceError: as `set_up`.
    """
    fix = f"ip link set {name} txqueuelen {length}"
    await in_thread(_change, backend, name, "--tap-queue", fix, txqlen=length)


def state(name: str) -> LinkState:
    """The interface as it is. For a thread without a running event loop.

    Raises:
        DeviceLost: no such interface.
    """
    with IPRoute() as ipr:
        index = _index(name)
        link = link_message(ipr, index)
        prefixes = [
            f"{message.get_attr('IFA_LOCAL') or message.get_attr('IFA_ADDRESS')}/{message['prefixlen']}"
            for message in ipr.get_addr(index=index)
        ]
        return LinkState(
            mtu=link.get_attr("IFLA_MTU"),
            queue_length=link.get_attr("IFLA_TXQLEN"),
            up=bool(link["flags"] & 1),
            addresses=frozenset(str(ipaddress.ip_interface(prefix)) for prefix in prefixes),
        )


def attached_queues(name: str) -> int:
    """How many queues of a TAP with several are attached to, by anybody; 0 for any other interface. For a thread
    without a running event loop.

    Raises:
        DeviceLost: no such interface.
    """
    with IPRoute() as ipr:
        link = link_message(ipr, _index(name))
        return link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_TUN_NUM_QUEUES") or 0


async def counts_of_unused_tap(device: str, name: str) -> tuple[int, int]:
    """`LinkCounters.read` of the TAP `name` that `device` is about to attach to; zeros where there is none yet.

    Raises:
        DeviceError: somebody else is attached to it.
    """
    if not tun.exists(name):
        return 0, 0
    if await in_thread(attached_queues, name):
        raise in_use(device)
    counters = LinkCounters(name)
    try:
        return counters.read()
    finally:
        counters.close()


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise DeviceLost(GONE) from None


def link_message(ipr: IPRoute, index: int) -> nlmsg:
    """What rtnetlink says of an interface. For a thread without a running event loop.

    Raises:
        DeviceLost: no such interface.
    """
    try:
        return next(iter(ipr.get_links(index)))
    except (NetlinkError, StopIteration):
        raise DeviceLost(GONE) from None


def _set_up(name: str, wanted: LinkWanted, backend: str) -> None:
    now = state(name)
    if now.mtu != wanted.mtu:
        _change(backend, name, "--mtu", f"ip link set {name} mtu {wanted.mtu}", mtu=wanted.mtu)
    if now.queue_length != wanted.queue_length:
        fix = f"ip link set {name} txqueuelen {wanted.queue_length}"
        _change(backend, name, "--tap-queue", fix, txqlen=wanted.queue_length)
    if wanted.address and wanted.address not in now.addresses:
        _add_address(backend, name, wanted.address)
    if not now.up:
        _change(backend, name, "--device", f"ip link set {name} up", state="up")


def _change(backend: str, name: str, flag: str, fix: str, **change: int | str) -> None:
    with IPRoute() as ipr:
        try:
            ipr.link("set", index=_index(name), **change)
        except NetlinkError as error:
            raise _explain(f"{backend}:{name}", flag, fix, error) from None


def _add_address(backend: str, name: str, address: str) -> None:
    host = ipaddress.ip_interface(address)
    with IPRoute() as ipr:
        try:
            # nodad: the other end of this wire is ourselves, and the address must answer at once.
            extra = {"flags": 0x02} if host.version == 6 else {}
            ipr.addr("add", index=_index(name), address=str(host.ip), prefixlen=host.network.prefixlen, **extra)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                fix = f"ip addr add {address} dev {name}"
                raise _explain(f"{backend}:{name}", "--host-address", fix, error) from None


def _explain(device: str, flag: str, fix: str, error: NetlinkError) -> DeviceError:
    if error.code in (errno.EPERM, errno.EACCES):
        return PrivilegeError(f"{device}: {flag} needs CAP_NET_ADMIN here: run once as root: {fix}")
    return DeviceError(f"{device}: {flag}: the kernel refuses: {os.strerror(error.code)}")
