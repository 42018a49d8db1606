"""How many connections there are and what they cost, against the limits. It closes nothing: the host does."""

from collections import OrderedDict

from asyncnic.stacks.inet.tcp.config import Config, TcpCounts
from asyncnic.stacks.inet.tcp.connection import Connection


class TcpAccounts:
    """Counts of one host's connections. Those in TIME-WAIT are counted apart."""

    __slots__ = ("_config", "_counters", "_sources", "connections", "memory", "time_wait")

    def __init__(self, config: Config, counters: TcpCounts) -> None:
        self._config = config
        self._counters = counters
        self._sources: dict[bytes, int] = {}
        self.connections = 0
        self.memory = 0
        """Octets that the connections cost."""
        self.time_wait: OrderedDict[bytes, Connection] = OrderedDict()

    def refuses(self, source: bytes) -> str:
        """Which limit stands against one more connection with this peer, counted; empty: none."""
        reason = ""
        if self.connections >= self._config.connections:
            reason = "connections"
        elif self._sources.get(source, 0) >= self._config.connections_per_source:
            reason = "source"
        elif self.memory >= self._config.memory:
            reason = "memory"
        if reason:
            self._counters.refused[reason] += 1
        return reason

    def opened(self, connection: Connection) -> None:
        """There is one more."""
        self.connections += 1
        source = peer_of(connection.key)
        self._sources[source] = self._sources.get(source, 0) + 1

    def waits(self, connection: Connection) -> Connection | None:
        """It is in TIME-WAIT from now on, if it was not; the one that has to make room for it."""
        if connection.key in self.time_wait:
            return None
        self._left(connection)
        self.time_wait[connection.key] = connection
        if len(self.time_wait) <= self._config.time_wait:
            return None
        self._counters.refused["time_wait"] += 1
        return next(iter(self.time_wait.values()))

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        if self.time_wait.pop(connection.key, None) is None:
            self._left(connection)
        self.memory -= connection.charged
        connection.charged = 0

    def charge(self, connection: Connection) -> bool:
        """Count what it costs now; False: it grew, and all together cost too much."""
        cost = connection.cost
        grown = cost - connection.charged
        connection.charged = cost
        self.memory += grown
        if grown > 0 and self.memory > self._config.memory:
            self._counters.refused["memory"] += 1
            return False
        return True

    def _left(self, connection: Connection) -> None:
        self.connections -= 1
        source = peer_of(connection.key)
        left = self._sources[source] - 1
        if left:
            self._sources[source] = left
        else:
            del self._sources[source]


def peer_of(key: bytes) -> bytes:
    """The peer's address in a connection's key: its address, ours, its port, ours."""
    return key[: len(key) // 2 - 2]


def own_of(key: bytes) -> bytes:
    """Our address in a connection's key."""
    return key[len(key) // 2 - 2 : -4]


def ports_of(key: bytes) -> int:
    """Our port in the upper, the peer's in the lower 16 bits."""
    return int.from_bytes(key[-2:] + key[-4:-2], "big")
