"""Packet sockets (packet(7)): one that receives into a ring, one that sends, and filters on any socket.

Constants are here by their numbers, since the `socket` module has few of them. A receiving socket gets ring and filter
before it is bound to an interface, so that not one frame comes that is not wanted. Nothing here reads a frame.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
from dataclasses import dataclass

from asyncnic.errors import DeviceError, PrivilegeError

SLOT_SIZE = 2048
"""Octets of a slot: a frame of 1,518 and what the kernel writes before it. Longer ones are read aside."""
BLOCK_SIZE = 1 << 16
"""Octets that the kernel must find in one piece."""
SLOTS_A_BLOCK = BLOCK_SIZE // SLOT_SIZE

EVERYTHING = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF_FFFF)
"""A classic BPF program that keeps nothing out."""
NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""A classic BPF program that keeps everything out: what makes a socket a shadow."""

_SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _COPY_THRESHOLD, _VERSION = 1, 5, 6, 7, 10
_VNET_HEADER, _QDISC_BYPASS, _IGNORE_OUTGOING = 15, 20, 23
_TPACKET_V2 = 1
_MR_PROMISCUOUS, _MR_ALL_MULTICAST = 1, 2
_ATTACH_FILTER, _RECEIVE_BUFFER_FORCE = 26, 33
_ETH_P_ALL = 3
_ASIDE_BUFFER = 4 << 20


@dataclass(frozen=True, slots=True)
class Statistics:
    """PACKET_STATISTICS of a socket since it was opened or last asked: frames that came, and those of them that the
    full ring dropped.
    """

    frames: int
    dropped: int


class RingSocket:
    """A packet socket with a receive ring, not yet on any interface.

    Args:
        device: for messages: "packet:eth0".
        slots: frames that the ring holds, at most; whole blocks of `SLOTS_A_BLOCK` are made.
        program: what comes in, as `struct sock_filter`s; None: everything.

    Raises:
        PrivilegeError: CAP_NET_RAW is missing. DeviceError: the kernel has no such ring, or not the memory.
    """

    def __init__(self, device: str, slots: int, program: bytes | None) -> None:
        self.socket = _open(device)
        self.blocks = -(-slots // SLOTS_A_BLOCK)
        self.slots = self.blocks * SLOTS_A_BLOCK
        try:
            self._prepare(program)
            self.map = mmap.mmap(self.socket.fileno(), self.blocks * BLOCK_SIZE)
        except OSError as error:
            self.socket.close()
            raise DeviceError(_unfit(device, error, slots)) from None

    def _prepare(self, program: bytes | None) -> None:
        sock = self.socket
        sock.setblocking(False)
        sock.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V2)
        sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        sock.setsockopt(_SOL_PACKET, _VNET_HEADER, 1)
        sock.setsockopt(_SOL_PACKET, _COPY_THRESHOLD, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _ASIDE_BUFFER)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ASIDE_BUFFER)  # as much as net.core.rmem_max allows
        sock.setsockopt(_SOL_PACKET, _RX_RING, struct.pack("=IIII", BLOCK_SIZE, self.blocks, SLOT_SIZE, self.slots))
        if program is not None:
            attach_filter(sock, program)

    def bind(self, index: int, *, promiscuous: bool, all_multicast: bool) -> None:
        """Let frames of the interface with this index come.

        Raises:
            OSError: it is down or gone.
        """
        self.error()  # what happened to the interface before this one
        for wanted, kind in ((promiscuous, _MR_PROMISCUOUS), (all_multicast, _MR_ALL_MULTICAST)):
            if wanted:
                self.socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("=iHH8x", index, kind, 0))
        self.socket.bind((socket.if_indextoname(index), _ETH_P_ALL))  # no privilege is needed, however often
        if problem := self.error():
            raise OSError(problem, os.strerror(problem))

    def error(self) -> int:
        """What has happened to the interface since this was last asked, as an errno; 0 for nothing."""
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def statistics(self) -> Statistics:
        """Ask, and begin to count anew: the kernel does."""
        return Statistics(*struct.unpack("=II", self.socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)))

    def close(self) -> None:
        """Close the socket and, once nobody looks into it, the ring."""
        self.socket.close()
        self.map.close()


def open_sender(device: str, *, qdisc_bypass: bool) -> socket.socket:
    """A packet socket that sends and receives nothing, not yet on any interface.

    Raises:
        PrivilegeError: CAP_NET_RAW is missing.
    """
    sock = _open(device)
    sock.setblocking(False)
    if qdisc_bypass:
        sock.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
    return sock


def bind_sender(sock: socket.socket, index: int) -> None:
    """Let it send on the interface with this index. Raises OSError: that is gone."""
    sock.bind((socket.if_indextoname(index), 0))


def attach_filter(sock: socket.socket, program: bytes) -> None:
    """Put a filter on a socket, in the place of the one that is there; each frame meets the old one or the new one.

    Raises:
        OSError: the kernel refuses it.
    """
    code = ctypes.create_string_buffer(program, len(program))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))


def open_shadow(family: int, kind: int, port: int) -> socket.socket:
    """A socket that has a port and takes nothing: the kernel answers for a port that somebody has with silence.

    Raises:
        OSError: the port is taken (EADDRINUSE), or below 1024 and not for this user (EACCES).
    """
    sock = socket.socket(family, kind)
    try:
        attach_filter(sock, NOTHING)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:  # connections of a server that is gone hold nothing up; one that listens does
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))
        if kind == socket.SOCK_STREAM:
            sock.listen(1)
    except BaseException:
        sock.close()
        raise
    return sock


def _open(device: str) -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    except PermissionError:
        raise PrivilegeError(
            f"{device}: CAP_NET_RAW is missing: run as root, or give it (setcap cap_net_raw+ep, --cap-add NET_RAW)"
        ) from None
    except OSError as error:
        raise DeviceError(
            f"{device}: the kernel has no packet sockets: {error.strerror} (modprobe af_packet)"
        ) from None


def _unfit(device: str, error: OSError, slots: int) -> str:
    if error.errno == errno.ENOMEM:
        return f"{device}: no memory for a ring of {slots} frames: choose a smaller --packet-ring"
    return f"{device}: the kernel makes no such packet ring: {error.strerror}; Linux 4.20 or newer"
