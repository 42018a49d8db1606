"""What an application would be in the experiments: UDP protocols that count, check and work.

`Counter` only counts, `Echo` answers too, `Busy` only works. `StampReader` reads the generator's stamp (`load.STAMP`)
off every datagram and says exactly what was lost, doubled or overtaken and how old each datagram was on arrival. All
are plain `asyncio.DatagramProtocol`s, so that they run unchanged on the kernel's UDP and on asyncnic's; loops without
asyncio call `datagram_received` themselves.
"""

import asyncio
import time
from bisect import bisect_right
from operator import itemgetter
from typing import Any

from asyncnic.bench.ages import Ages
from asyncnic.bench.load import STAMP

REMEMBERED_GAPS = 4096


class Counter(asyncio.DatagramProtocol):
    """Counts datagrams."""

    def __init__(self) -> None:
        self.datagrams = 0

    def datagram_received(self, data: bytes | memoryview, addr: Any) -> None:
        self.datagrams += 1


class Echo(Counter):
    """Counts datagrams and sends each back."""

    def connection_made(self, transport: Any) -> None:  # the loops' own are no asyncio.DatagramTransport
        self._sendto = transport.sendto

    def datagram_received(self, data: bytes | memoryview, addr: Any) -> None:
        self.datagrams += 1
        self._sendto(data, addr)


class Busy(asyncio.DatagramProtocol):
    """Works a while on every datagram.

    Args:
        work: seconds of CPU time to burn a datagram.
    """

    def __init__(self, work: float) -> None:
        self._work = round(work * 1e9)

    def datagram_received(self, data: bytes | memoryview, addr: Any) -> None:
        burn(self._work)


class Sequence:
    """What the numbers of arriving datagrams say about order. Pure.

    Numbers above the highest seen leave a gap of missing ones; a number that fills a gap was overtaken, any other below
    the highest came twice. Between 2,048 and 4,096 gaps are remembered: a datagram overtaken by more counts as doubled.
    """

    __slots__ = ("_gaps", "duplicates", "expected", "reordered", "seen")

    def __init__(self) -> None:
        self.expected = 0
        self.seen = 0
        self.reordered = 0
        self.duplicates = 0
        self._gaps: list[tuple[int, int]] = []

    def arrived(self, number: int) -> None:
        """Note the arrival of datagram `number`."""
        expected = self.expected
        if number >= expected:
            if number > expected:
                self._gaps.append((expected, number))
                if len(self._gaps) > REMEMBERED_GAPS:
                    del self._gaps[: REMEMBERED_GAPS // 2]
            self.expected = number + 1
            self.seen += 1
        elif self._fill(number):
            self.seen += 1
            self.reordered += 1
        else:
            self.duplicates += 1

    def _fill(self, number: int) -> bool:
        gaps = self._gaps
        index = bisect_right(gaps, number, key=itemgetter(0)) - 1
        if index < 0:
            return False
        first, end = gaps[index]
        if number >= end:
            return False
        gaps[index : index + 1] = [(low, high) for low, high in ((first, number), (number + 1, end)) if low < high]
        return True

    def lost(self, sent: int) -> int:
        """How many of `sent` datagrams never came."""
        return sent - self.seen

    def as_json(self) -> dict[str, int]:
        """Distinct datagrams seen, and those out of order or doubled."""
        return {"seen": self.seen, "reordered": self.reordered, "duplicates": self.duplicates}


class StampReader(asyncio.DatagramProtocol):
    """Counts, checks the sequence, takes the age, and works a while on every datagram.

    Args:
        work: seconds of CPU time to burn a datagram, standing in for an application.
    """

    def __init__(self, work: float = 0.0) -> None:
        self.datagrams = 0
        self.unstamped = 0
        self.sequence = Sequence()
        self.ages = Ages()
        self._work = round(work * 1e9)

    def datagram_received(self, data: bytes | memoryview, addr: Any) -> None:
        self.datagrams += 1
        if len(data) < STAMP.size:
            self.unstamped += 1
            return
        number, stamp = STAMP.unpack_from(data)
        self.ages.add(time.monotonic_ns() - stamp)
        self.sequence.arrived(number)
        if self._work:
            burn(self._work)


def burn(nanoseconds: int) -> None:
    """Use that much of the thread's CPU time."""
    clock = time.thread_time_ns
    end = clock() + nanoseconds
    while clock() < end:
        pass
