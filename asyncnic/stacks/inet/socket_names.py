"""What the sockets that transports show have in common: names, a family, and no descriptor. It does no I/O.

The options differ: those of an endpoint are in datagram_socket.py, those of a connection in tcp/stream_socket.py.
"""

import errno
import os
import socket

from asyncnic.stacks.inet.peer import Address


class SocketNames:
    """The names of a socket.

    Args:
        sockname, peername: as `socket` has them; no peername: it is not connected, or listens.
    """

    __slots__ = ("_peername", "_sockname")

    def __init__(self, sockname: Address, peername: Address | None) -> None:
        self._sockname = sockname
        self._peername = peername

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AF_INET if len(self._sockname) == 2 else socket.AF_INET6

    def fileno(self) -> int:
        """-1, as of a closed socket: there is no descriptor."""
        return -1

    def getsockname(self) -> Address:
        """Own address and port."""
        return self._sockname

    def getpeername(self) -> Address:
        """Address and port of the peer.

        Raises:
            OSError: ENOTCONN.
        """
        if self._peername is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._peername
