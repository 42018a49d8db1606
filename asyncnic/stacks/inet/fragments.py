"""Reassembly of fragmented datagrams, for IPv4 and IPv6 alike: pieces in, one payload out. No headers are parsed here.

Policy: a piece that repeats another exactly is dropped alone; one that overlaps another or contradicts the end condemns
the datagram, with all pieces yet to come until its time is up (RFC 5722 for IPv6, safe against RFC 1858 for IPv4).
The table is bounded; the oldest datagram makes room.
"""

from bisect import bisect_left
from enum import Enum
from typing import NamedTuple

from asyncnic.stacks.inet.outcomes import Totals

LIMIT = 64
"""Datagrams in pieces at a time: at most LIMIT x 64 KiB of payload."""
PIECES = 2048
"""Pieces of one datagram: 65,535 octets in the pieces of the least MTU of IPv4 (68) are 1,366."""
TIMEOUT = 30.0
"""Seconds from the first piece on; half of what RFC 8200 section 4.5 allows, so that a flood of pieces goes sooner."""
LARGEST = 65535


class Verdict(Enum):
    """What became of a piece that completed nothing."""

    HELD = "held"
    DROPPED = "dropped"


class Whole(NamedTuple):
    """A reassembled datagram: the header of its first fragment as it was given, the payload, and whether any fragment
    went to several hosts."""

    head: bytes
    payload: bytes
    group: bool = False


class _Datagram:
    __slots__ = ("before", "condemned", "deadline", "end", "group", "head", "octets", "pieces", "starts")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.starts: list[int] = []
        self.pieces: dict[int, bytes] = {}
        self.octets = 0
        self.end: int | None = None
        self.head = b""
        self.before = 0
        self.group = False
        self.condemned = False

    def condemn(self) -> Verdict:
        self.condemned = True
        self.pieces.clear()
        self.starts.clear()
        return Verdict.DROPPED


class Reassembly:
    """The table of datagrams in pieces. Times in seconds.

    Args:
        totals: counts `reassembly_timeouts`.
        limit: datagrams kept at a time.
    """

    __slots__ = ("_limit", "_table", "_totals")

    def __init__(self, totals: Totals, limit: int = LIMIT) -> None:
        self._totals = totals
        self._limit = limit
        self._table: dict[bytes, _Datagram] = {}

    def __len__(self) -> int:
        """Datagrams in pieces."""
        return len(self._table)

    def add(
        self,
        key: bytes,
        start: int,
        more: bool,
        data: memoryview,
        head: bytes,
        now: float,
        before: int = 0,
        group: bool = False,
    ) -> Whole | Verdict:
        """Take one fragment.

        Args:
            key: what its datagram is told by: addresses, identification and (IPv4) protocol.
            start: offset of `data` in the datagram's payload, a multiple of 8.
            more: fragments follow this one.
            data: its payload; copied. A multiple of 8 octets when `more`.
            head: the header to remember when `start` is 0.
            now: seconds.
            before: octets of header that the datagram's length counts besides.
            group: the fragment went to several hosts.
        """
        datagram = self._table.get(key)
        if datagram is None:
            if len(self._table) >= self._limit:
                del self._table[next(iter(self._table))]
                self._totals.reassembly_timeouts += 1
            datagram = self._table[key] = _Datagram(now + TIMEOUT)
        if datagram.condemned:
            return Verdict.DROPPED
        end = start + len(data)
        datagram.group |= group
        datagram.before = max(datagram.before, before)
        last = max(end, datagram.starts[-1] + len(datagram.pieces[datagram.starts[-1]]) if datagram.starts else 0)
        if datagram.before + last > LARGEST or len(datagram.starts) >= PIECES:
            return datagram.condemn()
        index = bisect_left(datagram.starts, start)
        if index < len(datagram.starts) and datagram.starts[index] == start:
            same = datagram.pieces[start] == data and more == (end != datagram.end)
            return Verdict.DROPPED if same else datagram.condemn()
        if (
            not data
            or (index < len(datagram.starts) and end > datagram.starts[index])
            or (index and datagram.starts[index - 1] + len(datagram.pieces[datagram.starts[index - 1]]) > start)
            or (datagram.end is not None and (not more or end > datagram.end))
            or (not more and datagram.starts and end < datagram.starts[-1])
        ):
            return datagram.condemn()
        datagram.starts.insert(index, start)
        datagram.pieces[start] = bytes(data)
        datagram.octets += len(data)
        if start == 0:
            datagram.head = head
        if not more:
            datagram.end = end
        if datagram.octets != datagram.end:
            return Verdict.HELD
        del self._table[key]
        payload = b"".join(datagram.pieces[start] for start in datagram.starts)
        return Whole(datagram.head, payload, datagram.group)

    def poll(self, now: float) -> list[Whole]:
        """Give up what waits too long; of those whose first fragment came, its header and data, for an ICMP error."""
        expired = []
        while self._table:
            key, datagram = next(iter(self._table.items()))  # oldest first: all wait equally long
            if datagram.deadline > now:
                break
            del self._table[key]
            self._totals.reassembly_timeouts += 1
            if 0 in datagram.pieces:
                expired.append(Whole(datagram.head, datagram.pieces[0], datagram.group))
        return expired

    def due(self) -> float | None:
        """When the oldest datagram times out; None when there is none."""
        return next(iter(self._table.values())).deadline if self._table else None
