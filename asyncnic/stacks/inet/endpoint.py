"""`asyncio.DatagramTransport` on this stack: what a protocol written for `loop.create_datagram_endpoint` is given.

Addresses are numeric: no names are resolved. Beside the loop's own transport: writing to a full transmit ring is
buffered up to the high-water mark, and what comes beyond it is dropped and counted instead of growing without end; a
datagram without octets is sent (as asyncio does from Python 3.13 on).
"""

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from asyncnic.hot.transmit import Sender
from asyncnic.stacks.inet.datagram_socket import DatagramSocket
from asyncnic.stacks.inet.outcomes import Totals
from asyncnic.stacks.inet.packet import UDP_HEADER, Sent
from asyncnic.stacks.inet.peer import Address, Peer, Route, socket_address
from asyncnic.stacks.inet.udp import LARGEST, WILDCARDS, Udp
from asyncnic.stacks.inet.watermarks import watermarks

TARGETS = 1024
"""Peers whose address is remembered parsed."""

_REFUSED = {Sent.NO_ROUTE: errno.ENETUNREACH, Sent.NO_SOURCE: errno.EADDRNOTAVAIL}


def parse_address(address: object) -> tuple[bytes, int]:
    """(host, port) or (host, port, flow info, scope id), host numeric, as octets and port.

    Raises:
        TypeError: it is no such tuple.
        OverflowError: the port is not in 0..65535.
        OSError: the host is not a numeric address (gaierror, as the loop's own endpoints have it).
    """
    if not isinstance(address, tuple) or len(address) < 2:
        raise TypeError(f"an address is a tuple (host, port), not {address!r}")
    host, port = address[0], address[1]
    if not isinstance(host, str) or not isinstance(port, int):
        raise TypeError(f"an address is (str, int), not {address!r}")
    if not 0 <= port <= 65535:
        raise OverflowError(f"port must be 0-65535, not {port}")
    host = host.partition("%")[0] or "0.0.0.0"
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host), port
    except OSError:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is not a numeric address") from None


class Endpoint(asyncio.DatagramTransport):
    """One UDP endpoint. `Inet.create_datagram_endpoint` makes them.

    Args:
        udp: sends and demultiplexes.
        loop: runs the callbacks.
        clock: monotonic seconds.
        protocol: the application.
        local: own address (4 or 16 octets, may be the wildcard) and port (0: an ephemeral one).
        remote: the one peer, or None.
        broadcast: tells which targets are broadcast addresses.
        allow_broadcast: whether they may be sent to.
        reuse_port: whether the port may be shared with others who say so.
        waiting: endpoints with unsent datagrams, in order; whoever learns of room calls their `flush`.
        totals: counts `datagrams_dropped`.
        held: told when it closes, by who has the port and finds the endpoint by itself; None: `udp` gives the port.

    Raises:
        OSError: EADDRINUSE; EACCES for a peer that is a broadcast address, where that is not allowed.
    """

    def __init__(
        self,
        udp: Udp,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        protocol: asyncio.DatagramProtocol,
        local: tuple[bytes, int],
        remote: tuple[bytes, int] | None,
        broadcast: Callable[[bytes], bool],
        allow_broadcast: bool,
        reuse_port: bool,
        waiting: "dict[Endpoint, None]",
        totals: Totals,
        held: "Callable[[Endpoint], None] | None" = None,
    ) -> None:
        if remote is not None and not allow_broadcast and broadcast(remote[0]):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self.remote = remote
        self.allow_broadcast = allow_broadcast
        self.reuse_port = reuse_port
        self._udp = udp
        self._loop = loop
        self._clock = clock
        self._protocol: Any = protocol
        self._broadcast = broadcast
        self._waiting = waiting
        self._totals = totals
        self._held = held
        self._address = local[0]
        self._anywhere = local[0] == WILDCARDS[len(local[0])]
        self._port = udp.open(self, local[0], local[1]) if held is None else local[1]
        self._connected: Route | None = None if remote is None else (*remote, local[0])
        self._routes: dict[Address, Route] = {}
        self._buffer: deque[tuple[bytes, Route]] = deque()
        self._buffered = 0
        self._high, self._low = watermarks(None, None)
        self._paused = False
        self._closing = False
        self._ended = False
        self._sender = udp.sender(self.sendto, self._buffer)
        if self._sender is not None:
            self.sendto = self._sender  # type: ignore[method-assign]
        names: dict[str, Any] = {"sockname": socket_address(self._address, self._port)}
        if remote is not None:
            names["peername"] = socket_address(*remote)
        super().__init__({**names, "socket": DatagramSocket(self, names["sockname"], names.get("peername"))})

    @property
    def local(self) -> bytes:
        """The address that it is bound to, 4 or 16 octets; may be the wildcard."""
        return self._address

    @property
    def receive(self) -> Callable[[bytes, Address], None]:
        """The protocol's `datagram_received`."""
        callback: Callable[[bytes, Address], None] = self._protocol.datagram_received
        return callback

    def start(self) -> None:
        """Introduce the transport to its protocol."""
        self._guard(self._protocol.connection_made, self)

    def failed(self, error: BaseException) -> None:
        """`receive` raised: the loop's exception handler hears of it, the endpoint stays."""
        self._report("Exception in datagram_received", error)

    def refused(self, error: OSError) -> None:
        """An ICMP error came for a datagram of this endpoint."""
        self._guard(self._protocol.error_received, error)

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram, or buffer it while the transmit ring is full.

        It leaves from the address that the endpoint is bound to; from the wildcard, to a `Peer` from the address
        that it asked, to others from the one that fits (RFC 6724). What the network refuses (no route, an address
        that is not in use, too long, a host that is no numeric address) goes to `error_received`.

        Raises:
            TypeError: `data` is not bytes-like, or `addr` no address.
            ValueError: a connected endpoint sends elsewhere, or an unconnected one nowhere.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._closing:
            return
        route = self._connected
        if addr is not None:
            try:
                route = self._route(addr)
            except OSError as error:
                self._protocol.error_received(error)
                return
        elif route is None:
            raise ValueError("Invalid address: the endpoint is not connected, sendto needs one")
        octets = data if isinstance(data, bytes) else bytes(data)
        if len(octets) > LARGEST[len(self._address)]:
            self._protocol.error_received(OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE)))
        elif self._buffer:
            self._hold(octets, route)
        else:
            sent = self._send(octets, route)
            if sent is Sent.FULL:
                self._hold(octets, route)
            elif sent is not Sent.TAKEN:
                self._tell(sent)
            elif self._sender is not None:
                self._learn_way(self._sender, addr, route)

    def flush(self) -> bool:
        """Send what is buffered until there is no room again; True when nothing is left.

        The protocol hears of errors and of room meanwhile, and may then do anything: send, close, abort.
        """
        while self._buffer:
            data, route = self._buffer[0]
            sent = self._send(data, route)
            if sent is Sent.FULL:
                break
            self._buffer.popleft()
            self._buffered -= len(data) + UDP_HEADER
            if sent is not Sent.TAKEN:
                self._tell(sent)
        if self._paused and self._buffered <= self._low and not self._ended:
            self._paused = False
            self._guard(self._protocol.resume_writing)
        if self._buffer:
            return False
        self._waiting.pop(self, None)
        if self._closing:
            self._end()
        return True

    def close(self) -> None:
        """Receive no more, send what is buffered, then `connection_lost(None)`."""
        if self._closing:
            return
        self._closing = True
        if self._sender is not None:
            self._sender.closed = True
        if self._held is None:
            self._udp.close(self, self._address, self._port)
        else:
            self._held(self)
            self._udp.forget()
        if not self._buffer:
            self._end()

    def abort(self) -> None:
        """Close without sending what is buffered."""
        self._totals.datagrams_dropped += len(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        self.close()
        self._end()

    def is_closing(self) -> bool:
        """Whether `close` or `abort` was called."""
        return self._closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The application."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the endpoint to another protocol, whose `connection_made` is not called."""
        self._protocol = protocol
        self._udp.flows.clear()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport`: octets above which the protocol pauses, and at which it resumes.

        Raises:
            ValueError: not high >= low >= 0.
        """
        self._high, self._low = watermarks(high, low)
        self._pause()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high) in octets."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Octets of buffered datagrams, UDP headers included."""
        return self._buffered

    def _route(self, addr: Address) -> Route:
        """Where `addr` is, and the address of ours to send from (the wildcard: whichever fits)."""
        if type(addr) is Peer and (addr.route[2] == self._address or self._anywhere):
            route = addr.route
            if len(route[0]) != len(self._address):
                raise _other_family(addr)
        else:
            route = self._routes.get(addr) or self._learn(addr)
        if self.remote is not None and route[:2] != self.remote:
            raise ValueError(f"Invalid address: must be None or {self.get_extra_info('peername')}")
        return route

    def _learn(self, addr: Address) -> Route:
        host, port = parse_address(addr)
        if len(host) != len(self._address):
            raise _other_family(addr)
        if not self.allow_broadcast and self._broadcast(host):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if len(self._routes) >= TARGETS:
            self._routes.clear()
        route = self._routes[addr] = host, port, self._address
        return route

    def _learn_way(self, sender: Sender, addr: Address | None, route: Route) -> None:
        """Send to the peer without looking anything up from now on, where it is one that comes again."""
        if addr is None:
            self._udp.learn_way(sender, None, route, self._port, self._clock())
        elif type(addr) is Peer:
            if addr.answered:
                self._udp.learn_way(sender, addr, route, self._port, self._clock())
            addr.answered = True

    def _send(self, data: bytes, route: Route) -> Sent:
        return self._udp.send(route[2], self._port, route[0], route[1], data, self._clock())

    def _tell(self, sent: Sent) -> None:
        number = _REFUSED[sent]
        self._guard(self._protocol.error_received, OSError(number, os.strerror(number)))

    def _hold(self, data: bytes, route: Route) -> None:
        if self._buffered > self._high:
            self._totals.datagrams_dropped += 1
            return
        self._buffer.append((data, route))
        self._buffered += len(data) + UDP_HEADER
        self._waiting[self] = None
        self._pause()

    def _end(self) -> None:
        """Nothing more is sent or received: `connection_lost` follows, once, and nothing after it."""
        self._waiting.pop(self, None)
        if not self._ended:
            self._ended = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    def _pause(self) -> None:
        if self._buffered > self._high and not self._paused:
            self._paused = True
            self._guard(self._protocol.pause_writing)

    def _guard(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report(f"protocol.{callback.__name__}() failed", error)

    def _report(self, message: str, error: BaseException) -> None:
        context = {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
        self._loop.call_exception_handler(context)


def _other_family(addr: Address) -> OSError:
    return socket.gaierror(socket.EAI_ADDRFAMILY, f"{addr[0]!r} is not of this endpoint's address family")
