"""Wires for the experiments, made in the network namespace that the process is in: a TAP's host side, or a veth pair.

On both wires nothing moves but what the load generator sends: IPv6 keeps quiet, and the receiver's hardware address is
entered by hand. Everything goes through rtnetlink (pyroute2's synchronous interface, so call it before there is an
event loop or in a thread of its own).
"""

import ctypes
import errno
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pyroute2 import IPRoute, NetlinkError

from asyncnic.errors import DeviceError, PrivilegeError
from asyncnic.linux.netns import CLONE_NEWNET

SENDER, RECEIVER, PREFIX = "192.0.2.1", "192.0.2.2", 24
RECEIVER_MAC = "02:00:00:00:00:02"
NUD_PERMANENT = 0x80
ADDR_GEN_MODE_NONE = 1
UP_SECONDS = 5.0
_HINTS = {
    errno.ENOENT: ": /dev/net/tun is missing (modprobe tun; in a container --device /dev/net/tun)",
    errno.ENODEV: ": the kernel has no TUN driver (modprobe tun)",
    errno.EACCES: ": /dev/net/tun may not be opened (chmod 0666 /dev/net/tun, or run as root)",
    errno.EPERM: ": CAP_NET_ADMIN is missing (run as root)",
    errno.EOPNOTSUPP: ": the kernel has no such kind of interface (modprobe veth)",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TapCounts:
    """An interface's own counters, as rtnetlink reads them (IFLA_STATS64)."""

    transmitted: int
    transmit_dropped: int
    received: int
    receive_dropped: int

    def __sub__(self, before: "TapCounts") -> "TapCounts":
        return TapCounts(
            self.transmitted - before.transmitted,
            self.transmit_dropped - before.transmit_dropped,
            self.received - before.received,
            self.receive_dropped - before.receive_dropped,
        )


_QUEUES = {"no_pi": 1, "one_queue": 0, "vnet_hdr": 0, "multi_queue": 1}


def make_tap(name: str) -> None:
    """Create a TAP that stays and may have several queues, with the sender's address on the host side; up as soon as
    somebody attaches to it.

    Raises:
        DeviceError: the kernel refuses, in one line.
    """
    with _rtnetlink(name) as ip:
        ip.link("add", ifname=name, kind="tuntap", mode="tap", ifr=_QUEUES)
        _configure(ip, name, SENDER, RECEIVER)


def wait_until_up(name: str, seconds: float = UP_SECONDS) -> None:
    """Wait until an interface passes traffic: the kernel activates its queue a moment after the carrier is there.

    Raises:
        DeviceError: it does not come up in time.
    """
    end = time.monotonic() + seconds
    with _rtnetlink(name) as ip:
        while _link(ip, name).get("state") != "up" or _link(ip, name).get_attr("IFLA_OPERSTATE") != "UP":
            if time.monotonic() > end:
                raise DeviceError(f"{name}: no carrier after {seconds:.0f} s: is something attached to it?")
            time.sleep(0.005)


def counters(name: str) -> TapCounts:
    """Read an interface's counters.

    Raises:
        DeviceError: there is no such interface.
    """
    with _rtnetlink(name) as ip:
        stats = _link(ip, name).get_attr("IFLA_STATS64")
    return TapCounts(stats["tx_packets"], stats["tx_dropped"], stats["rx_packets"], stats["rx_dropped"])


class FarSide:
    """A thread in a network namespace of its own: the other end of a veth pair, where the sender lives.

    Processes that are started inside inherit that namespace. It goes away with the thread and those processes; the pair
    goes on leaving.
    """

    def __init__(self, near: str, far: str, addressed: bool = True) -> None:
        """Make the pair: `near` here, `far` on the other side, both up.

        Segmentation offload is off, so that every datagram crosses as a frame of its own. Without `addressed` the near
        side has no IP address: the kernel's own stack takes nothing.

        Raises:
            DeviceError: the kernel refuses, in one line.
        """
        self._near = near
        self._far = far
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="far-side", initializer=_unshare_network)
        try:
            self.run(_make_veth, near, far)
            with _rtnetlink(near) as ip:
                _configure(ip, near, RECEIVER if addressed else None)
            wait_until_up(near)
        except BaseException:
            self._thread.shutdown()
            raise

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function on the far side and wait for its result."""
        return self._thread.submit(function, *arguments).result()

    def counters(self) -> TapCounts:
        """Counters of the far end."""
        return self.run(counters, self._far)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        with _rtnetlink(self._near) as ip:
            ip.link("del", index=_index(ip, self._near))
        self._thread.shutdown()


def loopback_up() -> None:
    """Bring the namespace's loopback interface up: the scrape of an experiment goes over it."""
    with _rtnetlink("lo") as ip:
        ip.link("set", index=_index(ip, "lo"), state="up")


@contextmanager
def _rtnetlink(name: str) -> Iterator[Any]:
    try:
        with IPRoute() as ip:
            yield ip
    except (NetlinkError, OSError) as error:
        code = error.code if isinstance(error, NetlinkError) else error.errno
        code = code or errno.EIO
        kind = PrivilegeError if code in (errno.EPERM, errno.EACCES) else DeviceError
        raise kind(f"{name}: {os.strerror(code or errno.EIO)}{_HINTS.get(code or 0, '')}") from error


def _unshare_network() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _make_veth(near: str, far: str) -> None:
    with _rtnetlink(far) as ip:
        ip.link(
            "add",
            ifname=far,
            kind="veth",
            gso_max_segs=1,
            peer={"ifname": near, "address": RECEIVER_MAC, "net_ns_pid": os.getpid()},
        )
        _configure(ip, far, SENDER, RECEIVER)


def _configure(ip: Any, name: str, address: str | None, neighbour: str | None = None) -> None:
    index = _index(ip, name)
    quiet = {"attrs": [["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", ADDR_GEN_MODE_NONE]]}]]}
    ip.link("set", index=index, IFLA_AF_SPEC=quiet)
    if address is not None:
        ip.addr("add", index=index, address=address, prefixlen=PREFIX)
    if neighbour is not None:
        ip.neigh("replace", dst=neighbour, lladdr=RECEIVER_MAC, ifindex=index, state=NUD_PERMANENT)
    ip.link("set", index=index, state="up")


def _index(ip: Any, name: str) -> int:
    found: list[int] = ip.link_lookup(ifname=name)
    if not found:
        raise DeviceError(f"{name}: no such network interface")
    return found[0]


def _link(ip: Any, name: str) -> Any:
    return ip.get_links(_index(ip, name))[0]
