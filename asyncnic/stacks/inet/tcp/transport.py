"""`asyncio.Transport` on a connection of this stack: what a protocol written for the loop's own TCP is given.

Between user and core there is no buffer of its own: what is written is the core's to send, and counts as written out
once no more than `Config.send_buffer` octets are unacknowledged, as a kernel would have taken them. Reading that is
paused leaves data with the core, whose window closes.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any

from asyncnic.stacks.inet.peer import Address
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.tcp.states import ACKED, DATA, EOF, LOST, TcpState
from asyncnic.stacks.inet.tcp.stream_socket import StreamSocket
from asyncnic.stacks.inet.watermarks import watermarks

IDLE = 7200.0
"""Seconds before the first keep-alive (MUST-28)."""


class Transport(asyncio.Transport):
    """One connection, established.

    Args:
        tcp: the host's.
        loop: runs the callbacks.
        clock: monotonic seconds.
        connection: this becomes its user.
        protocol: the application; see `start`.
        sockname, peername: as `socket` has them.
        closed: told when it is over.
    """

    _start_tls_compatible = True

    def __init__(
        self,
        tcp: Tcp,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        connection: Connection,
        protocol: asyncio.BaseProtocol,
        sockname: Address,
        peername: Address,
        closed: Callable[["Transport"], None] = lambda transport: None,
    ) -> None:
        options = {(socket.IPPROTO_TCP, socket.TCP_NODELAY): 1}
        view = StreamSocket(sockname, peername, options, self._set_option)
        super().__init__({"sockname": sockname, "peername": peername, "socket": view})
        self._tcp = tcp
        self._loop = loop
        self._clock = clock
        self._connection = connection
        self._closed = closed
        self._room = tcp.config.send_buffer
        self._high, self._low = watermarks(None, None)
        self._reading = True
        self._writing_paused = False
        self._eof_written = False
        self._eof_pending = False
        self._eof_read = False
        self._closing = False
        self._over = False
        self._left: memoryview | None = None
        """Read, and not yet given to a buffered protocol."""
        self.set_protocol(protocol)
        connection.sender.nodelay = True  # as both loops have it
        connection.user = self

    def start(self) -> None:
        """Introduce the transport to its protocol; what has come meanwhile is delivered then."""
        try:
            self._protocol.connection_made(self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal(error, "Fatal error: protocol.connection_made() call failed.")
        self._tcp.touch(self._connection)

    # -- The core's side ----------------------------------------------------------------------------------------------

    def heard(self) -> None:
        """See `User`."""
        connection = self._connection
        news, connection.news = connection.news, 0
        if news & ACKED and (self._writing_paused or self._closing):
            self._written()
        if news & DATA:
            self._deliver()
        if news & EOF:
            self._eof_pending = True
            self._end()
        if news & LOST and not self._over and (connection.error or not (self._eof_read and self._eof_written)):
            self._lose(connection.error)

    def _deliver(self) -> None:
        if not self._reading or self._closing:
            return
        try:
            if self._buffered:
                self._fill()
            elif self._connection.receiver.ready:
                self._protocol.data_received(self._connection.read())
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            name = "buffer_updated" if self._buffered else "data_received"
            self._fatal(error, f"Fatal error: protocol.{name}() call failed.")

    def _fill(self) -> None:
        """Copy into a buffered protocol's buffers; it may stop us, or be replaced, meanwhile."""
        protocol = self._protocol
        left = self._left
        while self._reading and not self._closing:
            if left is None:
                if not self._connection.receiver.ready:
                    break
                left = memoryview(self._connection.read())
            if protocol is not self._protocol:
                break
            buffer = protocol.get_buffer(len(left))
            size = min(len(buffer), len(left))
            if not size:
                raise RuntimeError("get_buffer() returned an empty buffer")
            buffer[:size] = left[:size]
            left = left[size:] if size < len(left) else None
            self._left = left
            protocol.buffer_updated(size)
        self._left = left
        if protocol is not self._protocol and left is not None:
            self._left = None
            self._connection.receiver.give_back(left)
            self._deliver()

    def _end(self) -> None:
        """The peer has sent its last: tell the protocol once all before it is read."""
        if not self._eof_pending or not self._reading or self._closing or self._left is not None:
            return
        self._eof_pending, self._eof_read = False, True
        try:
            keep_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal(error, "Fatal error: protocol.eof_received() call failed.")
            return
        if not keep_open:
            self.close()

    def _written(self) -> None:
        """Something was acknowledged: perhaps there is room again, or all is out that was to go before closing."""
        size = self.get_write_buffer_size()
        if self._writing_paused and size <= self._low:
            self._writing_paused = False
            self._guard(self._protocol.resume_writing, "resume_writing")
        if self._closing and not size:
            self._leave()

    def _leave(self) -> None:
        """All is written: the core may do the rest alone."""
        if not self._over:
            self._connection.close(self._clock())
            self._lose(None)

    def _lose(self, error: BaseException | None) -> None:
        if self._over:
            return
        self._over = self._closing = True
        self._connection.user = None
        self._tcp.touch(self._connection)
        self._loop.call_soon(self._lost, error)

    def _lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._closed(self)

    # -- asyncio.Transport --------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol, whose `connection_made` is not called."""
        self._protocol: Any = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The application."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_reading(self) -> bool:
        """Whether data is delivered."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Deliver nothing: the window closes as the peer fills it."""
        if not self._closing:
            self._reading = False

    def resume_reading(self) -> None:
        """Deliver again, what has come meanwhile first."""
        if not self._closing and not self._reading:
            self._reading = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._deliver()
        self._end()
        self._tcp.touch(self._connection)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`.

        Raises:
            TypeError: it is no octets. RuntimeError: after `write_eof`.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data or self._closing:
            return
        connection = self._connection
        connection.write(data)
        self._tcp.touch(connection)
        if len(connection.sender.buffer) - self._room > self._high:
            self._pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Send pieces, together."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Send what was written, then the end; reading goes on."""
        if not self._closing and not self._eof_written:
            self._eof_written = True
            self._connection.finish()
            self._tcp.touch(self._connection)

    def can_write_eof(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Read no more, send what was written, then `connection_lost(None)`."""
        if self._closing:
            return
        self._closing = True
        if self._connection.state is TcpState.CLOSED or not self.get_write_buffer_size():
            self._leave()
        else:
            self._connection.finish()
            self._tcp.touch(self._connection)

    def abort(self) -> None:
        """Reset the connection; what was written and not sent is lost."""
        self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        # The name by which TLS protocols of the standard library and of uvloop ask for it.
        if not self._over:
            self._connection.abort(self._clock())
            self._lose(error)

    def is_closing(self) -> bool:
        """Whether `close` or `abort` was called, or the connection is over."""
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Octets above which the protocol pauses writing, and at which it resumes.

        Raises:
            ValueError: not high >= low >= 0.
        """
        self._high, self._low = watermarks(high, low)
        if self.get_write_buffer_size() > self._high:
            self._pause_writing()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high) in octets."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Octets written that a kernel would not have taken yet."""
        return max(0, len(self._connection.sender.buffer) - self._room)

    def _pause_writing(self) -> None:
        if not self._writing_paused:
            self._writing_paused = True
            self._guard(self._protocol.pause_writing, "pause_writing")

    def _set_option(self, level: int, name: int, value: int) -> None:
        connection = self._connection
        if (level, name) == (socket.IPPROTO_TCP, socket.TCP_NODELAY):
            connection.sender.nodelay = bool(value)
        elif (level, name) == (socket.SOL_SOCKET, socket.SO_KEEPALIVE):
            connection.set_keep_alive(IDLE if value else None, self._clock())
        elif (level, name) == (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) and connection.keep_alive is not None:
            connection.set_keep_alive(float(value), self._clock())
        self._tcp.touch(connection)

    def _guard(self, callback: Callable[[], None], name: str) -> None:
        try:
            callback()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report(error, f"protocol.{name}() failed")

    def _fatal(self, error: BaseException, message: str) -> None:
        self._report(error, message)
        self._force_close(error)

    def _report(self, error: BaseException, message: str) -> None:
        context = {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
        self._loop.call_exception_handler(context)
