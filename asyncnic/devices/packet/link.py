"""The interface that a packet device is on, as rtnetlink has it now, and word when anything about it may have changed.

Nothing here changes an interface or moves a frame. Reading is for a thread without a running event loop (pyroute2);
hearing of changes is a socket that a loop watches.
"""

import ipaddress
import socket
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK

Interface = IPv4Interface | IPv6Interface

ETHERNET = 1
"""ARPHRD_ETHER (linux/if_arp.h)."""
_UP = 1
_TENTATIVE, _DUPLICATE = 0x40, 0x08
"""IFA_F_TENTATIVE and IFA_F_DADFAILED: not to be used (yet)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """An interface: its addresses with prefixes are those that may be used. `mtu` is in octets."""

    name: str
    index: int
    kind: int
    mac: bytes
    mtu: int
    up: bool
    addresses: tuple[Interface, ...]


def find(name: str, index: int = 0) -> Facts | None:
    """The interface with this index, whatever its name is now, or else the one of this name; None: there is neither."""
    with IPRoute() as route:
        for number in (index, *route.link_lookup(ifname=name)):
            if not number:
                continue
            try:
                (link,) = route.get_links(number)
            except NetlinkError:
                continue
            addresses = [
                ipaddress.ip_interface(
                    f"{message.get_attr('IFA_LOCAL') or message.get_attr('IFA_ADDRESS')}/{message['prefixlen']}"
                )
                for message in route.get_addr(index=number)
                if not (message.get_attr("IFA_FLAGS") or message["flags"]) & (_TENTATIVE | _DUPLICATE)
            ]
            return Facts(
                name=link.get_attr("IFLA_IFNAME"),
                index=number,
                kind=link["ifi_type"],
                mac=bytes.fromhex((link.get_attr("IFLA_ADDRESS") or "").replace(":", "")),
                mtu=link.get_attr("IFLA_MTU"),
                up=bool(link["flags"] & _UP),
                addresses=tuple(addresses),
            )
    return None


def open_changes() -> socket.socket:
    """A socket that becomes readable when an interface or an address of this network namespace changes."""
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    sock.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
    return sock


def drain_changes(sock: socket.socket) -> None:
    """Read what there is of `open_changes`, which says only that there is something to read anew."""
    try:
        while sock.recv(1):
            pass
    except OSError:
        pass  # nothing more; or ENOBUFS: some were lost, and reading anew needs none of them
