"""What the wires of wires.py need besides for TCP: super frames or none, a larger MTU, and two TAPs whose kernel sides
are one kernel's and talk to each other all the same.
"""

import array
import fcntl
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

from pyroute2 import IPRoute

from asyncnic.bench import wires
from asyncnic.errors import DeviceError

BACK = "bench1"
"""The TAP behind which the kernel is the receiver."""
_SIOCETHTOOL = 0x8946
_SETTERS = (0x15, 0x17, 0x1F, 0x24, 0x2C)
"""ETHTOOL_SRXCSUM, STXCSUM, STSO, SGSO, SGRO."""
_LOCAL, _ACROSS = 255, 100


def set_offload(name: str, on: bool) -> None:
    """Let an interface of this namespace leave checksums and segmentation to its peer, or do all by itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in _SETTERS:
            value = array.array("I", [command, int(on)])
            request = struct.pack("16sQ16x", name.encode(), value.buffer_info()[0])
            with suppress(OSError):  # it has no such thing
                fcntl.ioctl(sock, _SIOCETHTOOL, request)
    with IPRoute() as ip:
        ip.link("set", index=ip.link_lookup(ifname=name)[0], gso_max_segs=65535 if on else 1)


def set_mtu(name: str, mtu: int) -> None:
    """The largest packet of an interface of this namespace."""
    with IPRoute() as ip:
        ip.link("set", index=ip.link_lookup(ifname=name)[0], mtu=mtu)


def make_back(name: str = BACK) -> None:
    """The TAP of the receiver's side, with its addresses; up."""
    with IPRoute() as ip:
        ip.link("add", ifname=name, kind="tuntap", mode="tap", ifr={"no_pi": 1, "vnet_hdr": 0, "multi_queue": 0})
        index = ip.link_lookup(ifname=name)[0]
        ip.link("set", index=index, address=wires.RECEIVER_MAC)
        ip.addr("add", index=index, address=wires.RECEIVER, prefixlen=32)
        ip.link("set", index=index, state="up")


def wait_for_carrier(name: str) -> None:
    """Wait until somebody who attached to a TAP of this namespace lets it carry.

    Raises:
        DeviceError: nobody does.
    """
    end = time.monotonic() + wires.UP_SECONDS
    with IPRoute() as ip:
        while not ip.get_links(ip.link_lookup(ifname=name)[0])[0].get_attr("IFLA_CARRIER"):
            if time.monotonic() > end:
                raise DeviceError(f"{name}: no carrier after {wires.UP_SECONDS:.0f} s")
            time.sleep(0.005)


def apart(front: str) -> None:
    """Have what this kernel sends from the sender's to the receiver's address leave by `front`, and answers by `BACK`,
    although both addresses are its own.
    """
    for name in ("all", front, BACK):
        for what, value in (("accept_local", "1"), ("rp_filter", "0")):
            Path(f"/proc/sys/net/ipv4/conf/{name}/{what}").write_text(value)
    with IPRoute() as ip:
        there, back = ip.link_lookup(ifname=front)[0], ip.link_lookup(ifname=BACK)[0]
        ip.route("add", dst=f"{wires.RECEIVER}/32", oif=there, table=_ACROSS, scope="link")
        ip.route("add", dst=f"{wires.SENDER}/32", oif=back, table=_ACROSS + 1, scope="link")
        ip.rule("add", table=_ACROSS, priority=10, dst=wires.RECEIVER, dst_len=32, iifname="lo")
        ip.rule("add", table=_ACROSS + 1, priority=11, dst=wires.SENDER, dst_len=32, iifname="lo")
        ip.rule("add", table=_LOCAL, priority=20)
        ip.rule("del", table=_LOCAL, priority=0)
        mac = dict(ip.get_links(there)[0]["attrs"])["IFLA_ADDRESS"]
        ip.neigh("replace", dst=wires.SENDER, lladdr=mac, ifindex=back, state=wires.NUD_PERMANENT)
