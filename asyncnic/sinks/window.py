"""The window of a sink: datagrams from their receipt to the broker's word. Sans I/O: time is an argument.

It is the only place where a sink holds datagrams, and it is bounded by whoever fills it: `room` says how many more may
come. A datagram waits, or is out (published, without an answer), or has come to its end and is a number.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from heapq import heappop, heappush
from typing import Any, NamedTuple

from asyncnic.sinks.ledger import GIVEN_UP, REASONS, REFUSED


class BrokerVerdict(Enum):
    """What a broker says of a datagram."""

    ACKNOWLEDGED = "it has it"
    REFUSED = "it will never take this one"
    LATER = "it takes none just now"


class Received(NamedTuple):
    """A datagram as it was received.

    Attributes:
        number: from 0 on, without gaps.
        time: nanoseconds since 1970.
        data: its octets.
        source: (host, port, ...) of the sender.
        local: (host, port, ...) that it was sent to.
    """

    number: int
    time: int
    data: bytes
    source: tuple[Any, ...]
    local: tuple[Any, ...]


class Window:
    """The datagrams that a sink holds, in order of receipt, and what became of those that it does not hold any more.

    Args:
        limit: how many it may hold, as it stands now.

    Attributes:
        received, acknowledged, failed, republished: see `SinkLedger`.
        closed: nothing is published any more: what comes is given up at once.
    """

    __slots__ = ("_again", "_fresh", "_limit", "_out", "acknowledged", "closed", "failed", "received", "republished")

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._fresh: deque[Received] = deque()
        self._again: list[Received] = []  # a heap; each is older than all that are fresh
        self._out: dict[int, Received] = {}
        self.received = 0
        self.acknowledged = 0
        self.failed = dict.fromkeys(REASONS, 0)
        self.republished = 0
        self.closed = False

    @property
    def in_flight(self) -> int:
        """Datagrams that wait or are out."""
        return len(self._fresh) + len(self._again) + len(self._out)

    @property
    def waiting(self) -> int:
        """Datagrams that are to be published."""
        return len(self._fresh) + len(self._again)

    @property
    def out(self) -> int:
        """Datagrams that are published and have no answer."""
        return len(self._out)

    @property
    def room(self) -> int:
        """How many more may come now; 0 or less: none."""
        return self._limit() - self.in_flight

    @property
    def ample(self) -> bool:
        """Whether it is worth going on after a wait: a quarter of the window is free. Whoever went on at the first free
        place would wait again at the next datagram.
        """
        return self.in_flight * 4 <= self._limit() * 3

    def take(self, time: int, data: bytes, source: tuple[Any, ...], local: tuple[Any, ...]) -> None:
        """A datagram came. It is taken whether there is room or not: whoever looks at `room` brings none without."""
        number = self.received
        self.received += 1
        if self.closed:
            self.failed[GIVEN_UP] += 1
        else:
            self._fresh.append(Received(number, time, data, source, local))

    def batch(self, most: int) -> list[Received]:
        """The oldest datagrams that wait, `most` of them: they are out from now on."""
        taken = [heappop(self._again) for _ in range(min(most, len(self._again)))]
        self.republished += len(taken)
        taken += [self._fresh.popleft() for _ in range(min(most - len(taken), len(self._fresh)))]
        for datagram in taken:
            self._out[datagram.number] = datagram
        return taken

    def answer(self, number: int, verdict: BrokerVerdict) -> bool:
        """The broker's word on a datagram. False, and nothing happens, where it is not out: an answer that came twice,
        or after the datagram was given up.
        """
        datagram = self._out.pop(number, None)
        if datagram is None:
            return False
        if verdict is BrokerVerdict.ACKNOWLEDGED:
            self.acknowledged += 1
        elif verdict is BrokerVerdict.REFUSED:
            self.failed[REFUSED] += 1
        else:
            heappush(self._again, datagram)
        return True

    def disconnected(self) -> None:
        """No answer will come to what is out: it waits again, before all that came later."""
        for datagram in self._out.values():
            heappush(self._again, datagram)
        self._out.clear()

    def close(self) -> None:
        """Give up whatever has no answer."""
        self.closed = True
        self.failed[GIVEN_UP] += self.in_flight
        self._fresh.clear()
        self._again.clear()
        self._out.clear()
