"""What an endpoint's `get_extra_info("socket")` gives: as much of a socket as there is without a descriptor. No I/O.

The counterpart of `asyncio.trsock.TransportSocket`: names, family and options. Options that the stack does not have
are refused as a kernel refuses those that it does not know.
"""

import errno
import os
import socket
from typing import Protocol

from asyncnic.stacks.inet.peer import Address
from asyncnic.stacks.inet.socket_names import SocketNames


class Optioned(Protocol):
    """The endpoint, as its options are read and set."""

    allow_broadcast: bool

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport`."""

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high) in octets."""


class DatagramSocket(SocketNames):
    """A UDP socket to look at.

    Args:
        endpoint: whose it is.
        sockname, peername: see `SocketNames`.
    """

    def __init__(self, endpoint: Optioned, sockname: Address, peername: Address | None) -> None:
        super().__init__(sockname, peername)
        self._endpoint = endpoint

    @property
    def type(self) -> socket.SocketKind:
        """SOCK_DGRAM."""
        return socket.SOCK_DGRAM

    @property
    def proto(self) -> int:
        """IPPROTO_UDP."""
        return socket.IPPROTO_UDP

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int | bytes:
        """An option of SOL_SOCKET: SO_BROADCAST, SO_ERROR, SO_PROTOCOL, SO_SNDBUF, SO_TYPE or SO_DOMAIN.

        Raises:
            OSError: ENOPROTOOPT, for any other.
        """
        values = {
            socket.SO_BROADCAST: int(self._endpoint.allow_broadcast),
            socket.SO_DOMAIN: int(self.family),
            socket.SO_ERROR: 0,
            socket.SO_PROTOCOL: self.proto,
            socket.SO_SNDBUF: self._endpoint.get_write_buffer_limits()[1],
            socket.SO_TYPE: int(self.type),
        }
        if level != socket.SOL_SOCKET or option not in values:
            raise _unknown()
        value = values[option]
        return value.to_bytes(4, "little")[:buflen] if buflen else value

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set SO_BROADCAST, or SO_SNDBUF: octets above which the protocol pauses.

        Raises:
            OSError: ENOPROTOOPT, for any other.
        """
        number = value if isinstance(value, int) else int.from_bytes(value, "little")
        if (level, option) == (socket.SOL_SOCKET, socket.SO_BROADCAST):
            self._endpoint.allow_broadcast = bool(number)
        elif (level, option) == (socket.SOL_SOCKET, socket.SO_SNDBUF):
            self._endpoint.set_write_buffer_limits(high=number)
        else:
            raise _unknown()

    def gettimeout(self) -> float:
        """0: it never blocks."""
        return 0.0

    def setblocking(self, flag: bool) -> None:
        """Accepts False only.

        Raises:
            ValueError: `flag` is true.
        """
        if flag:
            raise ValueError("setblocking(): the socket of an endpoint cannot block")

    def __repr__(self) -> str:
        return f"<DatagramSocket family={self.family.name} laddr={self._sockname} raddr={self._peername}>"


def _unknown() -> OSError:
    return OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
