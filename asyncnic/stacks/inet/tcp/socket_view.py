"""What stands in for a socket where programs ask a transport or a server for theirs: its names and its options."""

import errno
import os
import socket
from collections.abc import Callable

from asyncnic.stacks.inet.peer import Address

SetOption = Callable[[int, int, int], None]


class StreamSocket:
    """Names of a connection or a listener, and the options that mean something here. It has no descriptor.

    Args:
        sockname, peername: as `socket` has them; `peername` None for a listener.
        options: (level, name) to value, as they stand.
        changed: told of each option that is set.
    """

    __slots__ = ("_changed", "_options", "_peername", "_sockname", "family", "proto", "type")

    def __init__(
        self,
        sockname: Address,
        peername: Address | None,
        options: dict[tuple[int, int], int] | None = None,
        changed: SetOption = lambda level, name, value: None,
    ) -> None:
        self.family = socket.AF_INET if len(sockname) == 2 else socket.AF_INET6
        self.type = socket.SOCK_STREAM
        self.proto = socket.IPPROTO_TCP
        self._sockname = sockname
        self._peername = peername
        self._options = options or {}
        self._changed = changed

    def getsockname(self) -> Address:
        """See `socket`."""
        return self._sockname

    def getpeername(self) -> Address:
        """See `socket`."""
        if self._peername is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._peername

    def fileno(self) -> int:
        """-1: there is none."""
        return -1

    def getsockopt(self, level: int, name: int) -> int:
        """An option as it stands; 0 where it means nothing here."""
        return self._options.get((level, name), 0)

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """Set an option: TCP_NODELAY, SO_KEEPALIVE, TCP_KEEPIDLE; others are remembered only."""
        self._options[level, name] = value
        self._changed(level, name, value)
