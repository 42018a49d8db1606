"""What stands in for a socket where programs ask a transport or a server for theirs: its names and its options."""

import socket
from collections.abc import Callable

from asyncnic.stacks.inet.peer import Address
from asyncnic.stacks.inet.socket_names import SocketNames

SetOption = Callable[[int, int, int], None]


class StreamSocket(SocketNames):
    """Names of a connection or a listener, and the options that mean something here. It has no descriptor.

    Args:
        sockname, peername: as `socket` has them; `peername` None for a listener.
        options: (level, name) to value, as they stand.
        changed: told of each option that is set.
    """

    __slots__ = ("_changed", "_options", "proto", "type")

    def __init__(
        self,
        sockname: Address,
        peername: Address | None,
        options: dict[tuple[int, int], int] | None = None,
        changed: SetOption = lambda level, name, value: None,
    ) -> None:
        super().__init__(sockname, peername)
        self.type = socket.SOCK_STREAM
        self.proto = socket.IPPROTO_TCP
        self._options = options or {}
        self._changed = changed

    def getsockopt(self, level: int, name: int) -> int:
        """An option as it stands; 0 where it means nothing here."""
        return self._options.get((level, name), 0)

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """Set an option: TCP_NODELAY, SO_KEEPALIVE, TCP_KEEPIDLE; others are remembered only."""
        self._options[level, name] = value
        self._changed(level, name, value)
