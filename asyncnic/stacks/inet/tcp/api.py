"""What an application calls: `create_server`, `create_connection`, `start_server` and `open_connection` of the loop.

With the loop's arguments and errors, on this host's TCP. Hosts are numeric: no names are looked up.
"""

import asyncio
import errno
import os
import socket
import ssl as tls
from asyncio import sslproto
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from asyncnic.stacks.inet.addresses import Addresses, is_multicast
from asyncnic.stacks.inet.endpoint import parse_address
from asyncnic.stacks.inet.peer import socket_address
from asyncnic.stacks.inet.tcp.accounts import own_of, peer_of
from asyncnic.stacks.inet.tcp.clockwork import Clockwork
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.tcp.layer import Place
from asyncnic.stacks.inet.tcp.server import Server
from asyncnic.stacks.inet.tcp.states import CONNECTED, LOST
from asyncnic.stacks.inet.tcp.transport import Transport
from asyncnic.stacks.inet.udp import WILDCARDS

LIMIT = 64 * 1024
"""Octets that a stream reader buffers, as in asyncio."""
_P = TypeVar("_P", bound=asyncio.BaseProtocol)
Factory = Callable[[], asyncio.BaseProtocol]
ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


class _Opening:
    """The user of a connection until it is established: whoever waits for that."""

    def __init__(self, connection: Connection, waiter: "asyncio.Future[None]") -> None:
        self._connection = connection
        self._waiter = waiter
        connection.user = self

    def heard(self) -> None:
        """See `User`. News of data stay for the transport."""
        connection = self._connection
        if not self._waiter.done():
            if connection.news & LOST:
                self._waiter.set_exception(connection.error or ConnectionAbortedError())
            elif connection.news & CONNECTED:
                self._waiter.set_result(None)


class TcpApi:
    """The calls, for `Inet` to inherit.

    Args:
        tcp: the host's.
        families: octets of address to our addresses.
        clock: monotonic seconds.
    """

    def __init__(self, tcp: Tcp, families: dict[int, Addresses], clock: Callable[[], float]) -> None:
        self.tcp = tcp
        self._families = families
        self._tcp_clock = clock
        self._clockwork: Clockwork | None = None

    async def create_server(
        self,
        protocol_factory: Factory,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        family: int = 0,
        flags: int = 0,
        sock: object = None,
        backlog: int = 100,
        ssl: tls.SSLContext | None = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Like the loop's own. `host` None or "": the wildcard address of every family there is.

        What has to do with kernel sockets or names (`flags`, `backlog`, `reuse_address`, `reuse_port`) means nothing.

        Raises:
            ValueError: neither host nor port is given, or `sock`, which is the kernel's. TypeError: `ssl` is True.
            OSError: EADDRINUSE, EADDRNOTAVAIL, or a host that is no numeric address.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        if sock is not None:
            raise ValueError("sock is a socket of the kernel's, not of this stack: give host and port")
        _check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if host is None and port is None:
            raise ValueError("Neither host/port nor sock were specified")
        hosts = [host] if isinstance(host, str) or host is None else list(host)
        places = [place for name in hosts for place in self._places(name, port or 0, family)]
        loop = self._running()

        def make(connection: Connection, closed: Callable[[Transport], None]) -> Transport | None:
            try:
                protocol = protocol_factory()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                loop.call_exception_handler({"message": "Error on transport creation", "exception": error})
                connection.abort(self._tcp_clock())
                return None
            if ssl is not None:
                protocol = _secured(loop, protocol, ssl, None, True, None, ssl_handshake_timeout, ssl_shutdown_timeout)
            return self._transport(connection, protocol, closed)

        server = Server(self.tcp, loop, places, make)
        if start_serving:
            await server.start_serving()
        return server

    async def create_connection(
        self,
        protocol_factory: Callable[[], _P],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: tls.SSLContext | bool | None = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: object = None,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, _P]:
        """Like the loop's own: a transport and its protocol, once connected (and the TLS handshake is done).

        Raises:
            ValueError: as the loop's own; and `sock`, which is the kernel's.
            OSError: ConnectionRefusedError, TimeoutError, ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE, ENOBUFS, or a host
                that is no numeric address. ssl.SSLError: the TLS handshake failed.
        """
        if sock is not None:
            raise ValueError("sock is a socket of the kernel's, not of this stack: give host and port")
        if server_hostname is not None and not ssl:
            raise ValueError("server_hostname is only meaningful with ssl")
        _check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if host is None or port is None:
            raise ValueError("host and port was not specified and no sock specified")
        remote = self._remote(host, port, family)
        local = None if local_addr is None else self._local(local_addr, len(remote[0]))
        loop = self._running()
        connection = self.tcp.connect(local, remote, self._tcp_clock())
        waiter: asyncio.Future[None] = loop.create_future()
        _Opening(connection, waiter)
        try:
            await waiter
        except OSError as error:
            message = f"Connect call failed {socket_address(*remote)[:2]}"
            raise OSError(error.errno, message) from None  # becomes ConnectionRefusedError where it is that
        except BaseException:
            connection.user = None
            connection.abort(self._tcp_clock())
            self.tcp.touch(connection)
            raise
        protocol = protocol_factory()
        if not ssl:
            transport = self._transport(connection, protocol)
            transport.start()
            return transport, protocol
        context = tls.create_default_context() if isinstance(ssl, bool) else ssl
        secure: asyncio.Future[None] = loop.create_future()
        name = host if server_hostname is None else server_hostname
        wrapped = _secured(loop, protocol, context, secure, False, name, ssl_handshake_timeout, ssl_shutdown_timeout)
        raw = self._transport(connection, wrapped)
        raw.start()
        try:
            await secure
        except BaseException:
            raw.close()
            raise
        return wrapped._app_transport, protocol  # as the loop itself does

    async def start_server(
        self,
        client_connected_cb: ClientConnected,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        limit: int = LIMIT,
        **arguments: Any,
    ) -> Server:
        """Like `asyncio.start_server`; `arguments` are those of `create_server`."""
        loop = asyncio.get_running_loop()

        def factory() -> asyncio.StreamReaderProtocol:
            reader = asyncio.StreamReader(limit=limit, loop=loop)
            return asyncio.StreamReaderProtocol(reader, client_connected_cb, loop=loop)

        return await self.create_server(factory, host, port, **arguments)

    async def open_connection(
        self, host: str | None = None, port: int | None = None, *, limit: int = LIMIT, **arguments: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Like `asyncio.open_connection`; `arguments` are those of `create_connection`."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await self.create_connection(lambda: protocol, host, port, **arguments)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def start_tls(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.BaseProtocol,
        sslcontext: tls.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport:
        """Like the loop's own, for transports of this stack; uvloop's `start_tls` takes no transport but its own.

        Raises:
            ssl.SSLError, OSError: the TLS handshake failed.
        """
        loop = self._running()
        secure: asyncio.Future[None] = loop.create_future()
        timeouts = ssl_handshake_timeout, ssl_shutdown_timeout
        wrapped = _secured(loop, protocol, sslcontext, secure, server_side, server_hostname, *timeouts, made=True)
        transport.pause_reading()
        transport.set_protocol(wrapped)
        begun = loop.call_soon(wrapped.connection_made, transport)
        resumed = loop.call_soon(transport.resume_reading)
        try:
            await secure
        except BaseException:
            transport.close()
            begun.cancel()
            resumed.cancel()
            raise
        secured: asyncio.Transport = wrapped._app_transport
        return secured

    def stop_tcp(self) -> None:
        """Reset every connection, and wake no more."""
        self.tcp.close(self._tcp_clock())
        if self._clockwork is not None:
            self._clockwork.stop()
            self._clockwork = None

    def _running(self) -> asyncio.AbstractEventLoop:
        """The running loop, on which TCP is woken from now on."""
        loop = asyncio.get_running_loop()
        if self._clockwork is None or self._clockwork.loop is not loop:
            self._clockwork = Clockwork(self.tcp, loop, self._tcp_clock)
        return loop

    def _transport(
        self,
        connection: Connection,
        protocol: asyncio.BaseProtocol,
        closed: Callable[[Transport], None] = lambda transport: None,
    ) -> Transport:
        key = connection.key
        peername = socket_address(peer_of(key), int.from_bytes(key[-4:-2], "big"))
        sockname = socket_address(own_of(key), int.from_bytes(key[-2:], "big"))
        loop = asyncio.get_running_loop()
        return Transport(self.tcp, loop, self._tcp_clock, connection, protocol, sockname, peername, closed)

    def _places(self, host: str | None, port: int, family: int) -> list[Place]:
        """Where a server is to listen for `host`."""
        if host is None or host == "":
            octets = [size for size, own in self._families.items() if own]
            places = [(WILDCARDS[size], port) for size in octets if family in (0, _FAMILIES[size])]
        else:
            place = parse_address((host, port))
            self._must_be_ours(place[0])
            places = [place] if family in (0, _FAMILIES[len(place[0])]) else []
        if not places:
            raise socket.gaierror(socket.EAI_ADDRFAMILY, f"{host!r} is not of the address family that was asked for")
        return places

    def _local(self, address: tuple[str, int], octets: int) -> Place:
        place = parse_address(address)
        if len(place[0]) != octets:
            raise OSError(errno.EAFNOSUPPORT, "no matching local address with the remote's family found")
        self._must_be_ours(place[0])
        return place

    def _remote(self, host: str, port: int, family: int) -> Place:
        remote = parse_address((host, port))
        size = len(remote[0])
        if family not in (0, _FAMILIES[size]):
            raise socket.gaierror(socket.EAI_ADDRFAMILY, f"{host!r} is not of the address family that was asked for")
        if is_multicast(remote[0]) or not any(remote[0]) or self._families[size].is_broadcast(remote[0]):
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))  # RFC 9293 MUST-46
        return remote

    def _must_be_ours(self, address: bytes) -> None:
        if any(address) and not self._families[len(address)].has(address):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))


_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}


def _check_timeouts(context: object, handshake: float | None, shutdown: float | None) -> None:
    for name, given in (("handshake", handshake), ("shutdown", shutdown)):
        if given is not None and not context:
            raise ValueError(f"ssl_{name}_timeout is only meaningful with ssl")


def _secured(
    loop: asyncio.AbstractEventLoop,
    protocol: asyncio.BaseProtocol,
    context: tls.SSLContext,
    waiter: "asyncio.Future[None] | None",
    server_side: bool,
    server_hostname: str | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
    made: bool = False,
) -> sslproto.SSLProtocol:
    """The standard library's TLS between a transport and `protocol`, whose `connection_made` was called if `made`."""
    make: Any = sslproto.SSLProtocol
    wrapped: sslproto.SSLProtocol = make(
        loop,
        protocol,
        context,
        waiter,
        server_side,
        server_hostname,
        call_connection_made=not made,
        ssl_handshake_timeout=handshake_timeout,
        ssl_shutdown_timeout=shutdown_timeout,
    )
    return wrapped
