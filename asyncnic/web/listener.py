"""Who is connected: accepting, TLS, and bounds on how many connections there are and how long they may be silent.

aiohttp speaks HTTP on each connection; here is what its own sites leave open. A connection that asks nothing gives way
to a newcomer when all places are taken, and ends by itself after a while, so that probes get through whoever else holds
connections. The TLS context is looked up at each accept: what a reload brings counts from the next connection on.
"""

import asyncio
import fcntl
import logging
import resource
import socket
import ssl
import termios
import time
import traceback
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from aiohttp import web

from asyncnic.logs import fields

MOST = 256
"""Connections at a time; those beyond wait in the kernel. Each costs a descriptor and the answer that it is given."""
MOST_TLS = 64
"""The same with TLS, where each has buffers besides, and a handshake that takes the loop's time."""
SILENCE = 15.0
"""Seconds within which a connection must have asked something, from its start or its last answer on."""
HANDSHAKE = 5.0
"""Seconds that TLS may take to begin."""
GRACE = 0.1
"""Seconds that a silent connection keeps its place when others wait: thousands of them hide no probe for long."""
HELLO = 1.0
"""The same of one that has not begun: with TLS the peers take turns first."""
SLOW = 5.0
"""The same of one that has begun to ask, or that has not taken all of its answer."""
LOOK = 0.02
"""Seconds between looks for a place while there is none."""
BACKLOG = 4096
"""Connections that the kernel keeps until there is a place; of those beyond it lets the peers try again."""

log = logging.getLogger(__name__)

SSLProtocol.max_size = 32 << 10  # octets: asyncio's own loop gives each connection with TLS a buffer of 256 KiB


class _Connection(web.RequestHandler):
    """One connection, which `listener` counts."""

    __slots__ = ("accepted", "asking", "handshake", "listener")

    def __init__(self, listener: "Listener", server: web.Server, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, access_log=None, keepalive_timeout=SILENCE)  # type: ignore[arg-type]
        self.listener = listener
        self.accepted = accepted
        self.handshake: asyncio.Task[None] | None = None
        self.asking = False
        """Whether something has come since the last answer: a question, or a part of one."""

    def data_received(self, data: bytes) -> None:
        self.asking = True
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.listener.forget(self)

    @property
    def unread(self) -> bool:
        """Whether octets wait that the loop has not got to: nobody can hold a place by them."""
        waiting = bytearray(4)
        try:
            fcntl.ioctl(self.accepted.fileno(), termios.FIONREAD, waiting)
        except (OSError, ValueError):
            return False  # closed
        return any(waiting)

    def gives_way(self, silent: float) -> bool:
        """Whether it, on which nothing is being answered for `silent` seconds, makes place for another."""
        if silent < GRACE:
            return False
        if self.transport is None:
            patience = HELLO
        else:
            patience = SLOW if self.asking or self.transport.get_write_buffer_size() else GRACE
        return silent >= patience and not self.unread

    def end(self) -> None:
        """End it, whatever it is at."""
        if self.transport is not None:
            self.transport.abort()
        elif self.handshake is not None:
            self.handshake.cancel()


@contextmanager
def busy(request: web.BaseRequest) -> Iterator[None]:
    """Let the connection of `request` keep its place for as long as the body takes."""
    connection = request.protocol
    assert isinstance(connection, _Connection), "made by a listener"
    connection.listener.mark(connection, busy=True)
    try:
        yield
    finally:
        connection.listener.mark(connection, busy=False)


class Listener:
    """Accepts connections for `server`.

    Args:
        server: an application's, that has been set up.
        tls: the TLS context for the next connection; None: plain.
    """

    def __init__(self, server: web.Server, tls: Callable[[], ssl.SSLContext | None] = lambda: None) -> None:
        self._server = server
        self._tls = tls
        self._silent: dict[_Connection, float] = {}
        """Since when, in monotonic seconds; longest first."""
        self._busy: set[_Connection] = set()
        self._accepting: dict[asyncio.Task[None], socket.socket] = {}
        # As many descriptors are left to the frames, and to what is read at a reload.
        self._descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._silent) + len(self._busy)

    def accept_on(self, listening: socket.socket) -> None:
        """Accept at a bound socket, which is the listener's from now on."""
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._accepting[asyncio.create_task(self._accept(listening))] = listening

    def mark(self, connection: _Connection, busy: bool) -> None:
        """Note whether something is being answered on `connection`, if it is still there."""
        if busy and self._silent.pop(connection, None) is not None:
            self._busy.add(connection)
        elif not busy and connection in self._busy:
            self._busy.discard(connection)
            self._silent[connection] = time.monotonic()
            connection.asking = False

    def forget(self, connection: _Connection) -> None:
        """`connection` has ended."""
        self._silent.pop(connection, None)
        self._busy.discard(connection)

    async def close(self) -> None:
        """Stop accepting. Connections are the server's to end, but for those that have not begun."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listening in self._accepting.values():
            listening.close()
        self._accepting.clear()
        for connection in [*self._silent]:
            if connection.transport is None:
                connection.end()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._place()
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("a connection could not be accepted", extra=fields(problem=str(error)))
                await asyncio.sleep(LOOK)
                continue
            connection = _Connection(self, self._server, accepted)
            self._silent[connection] = time.monotonic()
            connection.handshake = asyncio.create_task(self._begin(connection, accepted))
            connection.handshake.add_done_callback(partial(self._given_up, connection))

    async def _place(self) -> None:
        """Wait until there is a place for one more connection; who was silent longest makes it."""
        while self.connections >= min(MOST_TLS if self._tls() is not None else MOST, self._descriptors):
            now = time.monotonic()
            idle = (connection for connection, since in self._silent.items() if connection.gives_way(now - since))
            oldest = next(idle, None)
            if oldest is not None:
                self.forget(oldest)
                oldest.end()
            else:
                await asyncio.sleep(LOOK)

    async def _begin(self, connection: _Connection, accepted: socket.socket) -> None:
        tls = self._tls()
        patience = HANDSHAKE if tls is not None else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=tls, ssl_handshake_timeout=patience
            )
        except OSError as error:  # ssl.SSLError and ConnectionError too: whoever it was has left, or speaks no TLS
            self.forget(connection)
            accepted.close()
            traceback.clear_frames(error.__traceback__)  # they hold the error that holds them, and TLS's buffers

    def _given_up(self, connection: _Connection, handshake: asyncio.Task[None]) -> None:
        """Close what was ended before it began, perhaps before the first step of its task."""
        connection.handshake = None  # each would hold the other, and TLS's buffers, until the garbage collector comes
        if handshake.cancelled():
            self.forget(connection)
            connection.accepted.close()


def bound_sockets(host: str | None, port: int) -> list[socket.socket]:
    """Sockets that are bound to `port` at each address of `host` (None: of this machine).

    Raises:
        OSError: one of them cannot be had, or the name has no address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            made = socket.socket(family, kind, protocol)
            bound.append(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(address)
    except OSError:
        for made in bound:
            with suppress(OSError):
                made.close()
        raise
    return bound
