"""Sockets that take what a program in classic BPF lets in: the kernel runs it there as on a packet socket."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from asyncnic.linux.packet import attach_filter


class Taker:
    """A socket behind a filter.

    Args:
        program: the filter's; None: everything is let in.
    """

    def __init__(self, program: bytes | None) -> None:
        self._far, self._near = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._near.setblocking(False)
        if program is not None:
            attach_filter(self._near, program)

    def takes(self, frame: bytes) -> bool:
        """Whether the filter lets `frame` in."""
        self._far.send(frame)
        try:
            return self._near.recv(65536) == frame
        except BlockingIOError:  # the filter kept it out
            return False

    def close(self) -> None:
        """Close both ends."""
        self._far.close()
        self._near.close()


@contextmanager
def takers(*programs: bytes | None) -> Iterator[list[Taker]]:
    """One for each program."""
    made = [Taker(program) for program in programs]
    try:
        yield made
    finally:
        for one in made:
            one.close()
