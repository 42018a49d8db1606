"""`asyncio.Server` on this stack: listeners, and the connections that came of them."""

import asyncio
from collections.abc import Callable, Sequence

from asyncnic.stacks.inet.peer import Address, socket_address
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.tcp.layer import Place
from asyncnic.stacks.inet.tcp.stream_socket import StreamSocket
from asyncnic.stacks.inet.tcp.transport import Transport

Make = Callable[[Connection, Callable[[Transport], None]], Transport | None]
"""A transport, with its protocol, for a connection that was accepted; None when its factory raised."""


class Server(asyncio.AbstractServer):
    """Listens until closed. `create_server` makes it.

    Args:
        tcp: the host's.
        loop: the running loop.
        places: addresses and ports to listen on.
        make: what each connection gets.

    Raises:
        OSError: EADDRINUSE.
    """

    def __init__(self, tcp: Tcp, loop: asyncio.AbstractEventLoop, places: Sequence[Place], make: Make) -> None:
        self._tcp = tcp
        self._loop = loop
        self._make = make
        self._clients: set[Transport] = set()
        self._serving = False
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None
        self._places: list[Place] = []
        try:
            for address, port in places:
                self._places.append((address, tcp.listen(address, port, self._accept)))
        except BaseException:
            self._unlisten()
            raise

    @property
    def sockets(self) -> tuple[StreamSocket, ...]:
        """What stands in for the listening sockets; none once it is closed."""
        return tuple(StreamSocket(name, None) for name in self._names)

    @property
    def _names(self) -> list[Address]:
        return [] if self._closed else [socket_address(*place) for place in self._places]

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs on."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._serving

    async def start_serving(self) -> None:
        """Accept connections."""
        self._begin()

    async def serve_forever(self) -> None:
        """Accept connections until cancelled; the server is closed then.

        Raises:
            RuntimeError: it is closed, or another task does so.
        """
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        self._begin()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Listen no more; connections stay."""
        if self._closed:
            return
        self._closed = True
        self._serving = False
        self._unlisten()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        self._wake()

    def close_clients(self) -> None:
        """Close every connection."""
        for transport in list(self._clients):
            transport.close()

    def abort_clients(self) -> None:
        """Reset every connection."""
        for transport in list(self._clients):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until it is closed and its connections are over."""
        if self._closed and not self._clients:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    async def __aenter__(self) -> "Server":
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()
        await self.wait_closed()

    def _begin(self) -> None:
        self._serving = not self._closed

    def _accept(self, connection: Connection) -> None:
        if not self._serving:
            connection.abort(connection.heard)
            return
        transport = self._make(connection, self._left)
        if transport is not None:
            self._clients.add(transport)
            transport.start()

    def _left(self, transport: Transport) -> None:
        self._clients.discard(transport)
        self._wake()

    def _wake(self) -> None:
        if self._closed and not self._clients:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    def _unlisten(self) -> None:
        for address, port in self._places:
            self._tcp.unlisten(address, port)
