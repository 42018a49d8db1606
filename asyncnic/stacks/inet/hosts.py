"""One UDP port of all hosts of a prefix: each local address has a protocol and a transport of its own, made when the
first datagram for it comes. In a bounded table: who was not heard of for longest makes room, and hears
`connection_lost`.

`Inet.create_datagram_endpoint` makes one for a local address that is a prefix. Which addresses are ours is not decided
here.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from asyncnic.stacks.inet.endpoint import Endpoint
from asyncnic.stacks.inet.outcomes import Totals
from asyncnic.stacks.inet.prefixes import Network

MakeEndpoint = Callable[[asyncio.DatagramProtocol, bytes, int, Callable[[Endpoint], None]], Endpoint]
"""An endpoint for a protocol, local address and port; what is last is told when it closes."""


def parse_prefix(host: object) -> Network | None:
    """The prefix that a local address is; None: it is none, but an address.

    Raises:
        ValueError: it is no prefix either, or one with bits beyond its length.
    """
    return ip_network(host) if isinstance(host, str) and "/" in host else None


class PrefixEndpoint(asyncio.DatagramTransport):
    """The hosts of a prefix at one port.

    Args:
        prefix: all of whose addresses are ours.
        port: 1 to 65535.
        factory: makes each host's protocol.
        first: made already: the protocol of the first host.
        make: makes each host's transport.
        closed: told when this closes.
        limit: hosts at a time, at most.
        totals: counts `hosts_evicted`.

    It sends nothing itself: each protocol has a transport of its own. `close` and `abort` are for all of them.
    """

    remote = None
    reuse_port = False

    def __init__(
        self,
        prefix: Network,
        port: int,
        factory: Callable[[], asyncio.DatagramProtocol],
        first: asyncio.DatagramProtocol,
        make: MakeEndpoint,
        closed: Callable[["PrefixEndpoint"], None],
        limit: int,
        totals: Totals,
    ) -> None:
        super().__init__({"sockname": (str(prefix), port)})
        self.prefix = prefix
        self.port = port
        self._factory = factory
        self._first: asyncio.DatagramProtocol | None = first
        self._protocol: asyncio.BaseProtocol = first
        self._make = make
        self._closed = closed
        self._limit = limit
        self._totals = totals
        self._closing = False
        self._network, self._mask = int(prefix.network_address), int(prefix.netmask)
        self._octets = len(prefix.network_address.packed)
        self.hosts: dict[bytes, Endpoint] = {}
        """Local address to endpoint; last heard of last."""

    def covers(self, address: bytes) -> bool:
        """Whether a local address is one of the hosts'."""
        return len(address) == self._octets and int.from_bytes(address, "big") & self._mask == self._network

    def host(self, address: bytes) -> Endpoint:
        """The endpoint of a local address, made now if there is none yet.

        Raises:
            BaseException: the factory did.
        """
        endpoint = self.hosts.pop(address, None)
        if endpoint is None:
            protocol, self._first = self._first or self._factory(), None
            if len(self.hosts) >= self._limit:
                self._totals.hosts_evicted += 1
                self.hosts[next(iter(self.hosts))].close()
            endpoint = self._make(protocol, address, self.port, self._forget)
            self.hosts[address] = endpoint
            endpoint.start()
        else:
            self.hosts[address] = endpoint
        return endpoint

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Nothing is sent from a whole prefix.

        Raises:
            OSError: EADDRNOTAVAIL, always: each host's protocol has a transport.
        """
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def close(self) -> None:
        """Close every host's endpoint, and have no more."""
        self._end(Endpoint.close)

    def abort(self) -> None:
        """The same without sending what is buffered."""
        self._end(Endpoint.abort)

    def is_closing(self) -> bool:
        """Whether `close` or `abort` was called."""
        return self._closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The first host's."""
        return self._protocol

    def get_write_buffer_size(self) -> int:
        """Octets that wait at all hosts."""
        return sum(endpoint.get_write_buffer_size() for endpoint in self.hosts.values())

    def _end(self, how: Callable[[Endpoint], None]) -> None:
        if not self._closing:
            self._closing = True
            self._closed(self)
        for endpoint in list(self.hosts.values()):
            how(endpoint)

    def _forget(self, endpoint: Endpoint) -> None:
        self.hosts.pop(endpoint.local, None)
