"""Messages between the service and a worker: one a packet of a Unix socket pair, with descriptors beside it.

A packet socket keeps messages apart and tells when the other side is gone. It moves no frames of the wire but the few
that a worker passes on (child.py). Both ends are non-blocking: what the other side does not take yet waits here, in
order, and no message is lost but with the other side itself.

`Channel` is an end of it for anybody; `Line` is one that an event loop serves.
"""

import asyncio
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence

from asyncnic.errors import Failed
from asyncnic.lanes.rules import MAX_LANES
from asyncnic.service.workers.messages import Message, decode, encode

LARGEST = 1 << 18
"""Octets of a message, at most: the rings of a worker with 512 descriptors each are some 40 KiB."""
MOST_DESCRIPTORS = MAX_LANES
"""A queue for each lane."""
MOST_WAITING = 256
"""Messages that wait for the other side to read. One that lets more come together does not work any more."""

ENDED = "it ended"
"""Why a line ends when the other side does."""

Received = tuple[Message, Sequence[int]]
"""A message, and the descriptors that came beside it: the receiver's to close."""


class Channel:
    """One end. Owns `end`."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, buffer, LARGEST)
        self._socket = end
        self._waiting: deque[tuple[bytes, Sequence[int]]] = deque()

    def fileno(self) -> int:
        """Readable when a message is there, or the other side is gone."""
        return self._socket.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> bool:
        """Send a message and copies of `descriptors`, or keep both until the other side reads (`flush`). True: nothing
        waits.

        Raises:
            Failed: MOST_WAITING messages wait already.
            EOFError: the other side is gone.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Failed(f"the other side does not read: {MOST_WAITING} messages wait for it")
        data = encode(message)
        if not self._waiting and self._sent(data, descriptors):
            return True
        self._waiting.append((data, [os.dup(descriptor) for descriptor in descriptors]))
        return False

    def flush(self) -> bool:
        """Send what waits, as far as the other side takes it. True: nothing waits any more.

        Raises:
            EOFError: the other side is gone.
        """
        while self._waiting:
            if not self._sent(*self._waiting[0]):
                return False
            _close(self._waiting.popleft()[1])
        return True

    def _sent(self, data: bytes, descriptors: Sequence[int]) -> bool:
        try:
            socket.send_fds(self._socket, [data], descriptors)
        except (BrokenPipeError, ConnectionError):
            raise EOFError from None
        except OSError:
            return False  # it does not read just now, or the kernel has no memory for it
        return True

    def receive(self) -> Received | None:
        """The next message; None when there is none just now.

        Raises:
            EOFError: the other side is gone.
            Failed, ValueError: what came is no message, or not all of one.
        """
        try:
            data, descriptors, flags, _ = socket.recv_fds(self._socket, LARGEST, MOST_DESCRIPTORS)
        except BlockingIOError:
            return None
        except OSError:
            raise EOFError from None
        if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
            _close(descriptors)
            raise Failed(f"a message came incomplete: {len(data)} octets and {len(descriptors)} descriptors of it")
        if not data:
            raise EOFError
        return decode(data), descriptors

    def wait(self, seconds: float) -> None:
        """Block until a message is there, the other side is gone, or the time is over."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.poll(seconds * 1000)

    def close(self) -> None:
        """Close this end, and forget what waits."""
        self._socket.close()
        while self._waiting:
            _close(self._waiting.popleft()[1])


class Line:
    """A channel on the running event loop, which hears what comes and sends what waits.

    Args:
        channel: owned from now on.
        heard: called with each message and its descriptors.
        ended: called once, with why, when the other side is gone or does not make sense. Not after `close`.
    """

    def __init__(
        self, channel: Channel, heard: Callable[[Message, Sequence[int]], None], ended: Callable[[str], None]
    ) -> None:
        self.channel = channel
        self._heard = heard
        self._ended = ended
        self._closed = self._writes = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel.fileno(), self.read)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """See `Channel.send`; what waits is sent as soon as there is room. To a side that is gone nothing is sent."""
        try:
            sent = self._closed or self.channel.send(message, descriptors)
        except EOFError:
            return  # the reader hears of it
        except Failed as error:
            self._end(str(error))
            return
        if not sent and not self._writes:
            self._writes = True
            self._loop.add_writer(self.channel.fileno(), self._write)

    def read(self) -> None:
        """Hear everything that has come."""
        try:
            while not self._closed and (received := self.channel.receive()) is not None:
                self._heard(*received)
        except EOFError:
            self._end(ENDED)
        except (Failed, ValueError) as error:
            self._end(str(error))

    def _write(self) -> None:
        try:
            if not self.channel.flush():
                return
        except EOFError:
            pass  # the reader hears of it
        self._writes = False
        self._loop.remove_writer(self.channel.fileno())

    def _end(self, why: str) -> None:
        if not self._closed:
            self.close()
            self._ended(why)

    def close(self) -> None:
        """Close this end. Idempotent."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self.channel.fileno())
            self._loop.remove_writer(self.channel.fileno())
            self.channel.close()


def pair() -> tuple[Channel, socket.socket]:
    """A channel, and the other end as a socket to hand over.

    Raises:
        OSError: there are no descriptors left.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    return Channel(ours), theirs


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
