"""Messages between the service and a worker: JSON, one a packet of a Unix socket pair, with descriptors beside it.

A packet socket keeps messages apart and tells when the other side is gone. It moves no frames of the wire but the few
that a worker passes on (child.py). Both ends are non-blocking: who does not read loses messages, and blocks nobody.
"""

import contextlib
import json
import select
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

LARGEST = 1 << 18
"""Octets of a message, at most: the rings of a worker with 512 descriptors each are some 40 KiB."""
MOST_DESCRIPTORS = 8


class Message(NamedTuple):
    """One message: what it is, the number of the question that it asks or answers (0: none), and what it says."""

    kind: str
    number: int = 0
    body: Any = None
    descriptors: Sequence[int] = ()


class Channel:
    """One end. Owns `end`."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, buffer, LARGEST)
        self._socket = end

    def fileno(self) -> int:
        """Readable when a message is there, or the other side is gone."""
        return self._socket.fileno()

    def send(self, kind: str, number: int = 0, body: Any = None, descriptors: Sequence[int] = ()) -> bool:
        """Send a message, and copies of `descriptors`. False: the other side does not read, or is gone."""
        data = json.dumps((kind, number, body), separators=(",", ":")).encode()
        with contextlib.suppress(OSError):
            socket.send_fds(self._socket, [data], descriptors)
            return True
        return False

    def receive(self) -> Message | None:
        """The next message; None when there is none just now.

        Raises:
            EOFError: the other side is gone.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, LARGEST, MOST_DESCRIPTORS)
        except BlockingIOError:
            return None
        except OSError:
            raise EOFError from None
        if not data:
            raise EOFError
        kind, number, body = json.loads(data)
        return Message(kind, number, body, descriptors)

    def wait(self, seconds: float) -> None:
        """Block until a message is there, the other side is gone, or the time is over."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.poll(seconds * 1000)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def pair() -> tuple[Channel, socket.socket]:
    """A channel, and the other end as a socket to hand over."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    return Channel(ours), theirs
