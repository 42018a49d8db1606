"""What wakes a host's TCP on an event loop: soon for what was written, and in time for what is due. Nothing else."""

import asyncio
from collections.abc import Callable

from asyncnic.stacks.inet.tcp.host import SOON, Tcp
from asyncnic.stacks.inet.tcp.timers import NEVER


class Clockwork:
    """Calls `flush` and `poll` of `tcp` on `loop`, as `tcp.wake` asks for.

    Args:
        tcp: whose `wake` is set.
        loop: the running loop.
        clock: monotonic seconds.
    """

    __slots__ = ("_clock", "_due", "_handle", "_soon", "_tcp", "loop")

    def __init__(self, tcp: Tcp, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self.loop = loop
        self._tcp = tcp
        self._clock = clock
        self._soon = False
        self._due = NEVER
        self._handle: asyncio.TimerHandle | None = None
        tcp.wake = self._wake

    def stop(self) -> None:
        """Wake it no more."""
        self._tcp.wake = lambda when: None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wake(self, when: float) -> None:
        if when == SOON:
            if not self._soon:
                self._soon = True
                self.loop.call_soon(self._flush)
        elif when < self._due:
            if self._handle is not None:
                self._handle.cancel()
            self._due = when
            self._handle = self.loop.call_later(max(0.0, when - self._clock()), self._poll)

    def _flush(self) -> None:
        self._soon = False
        self._tcp.flush(self._clock())

    def _poll(self) -> None:
        self._handle = None
        self._due = NEVER
        due = self._tcp.poll(self._clock())
        if due < NEVER:
            self._wake(due)
