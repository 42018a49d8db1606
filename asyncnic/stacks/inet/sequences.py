"""What is missing of what exporters number (--sequence-gaps): losses that happened before us, beside our own.

A gap says that something was lost between the exporter and the application. What we dropped ourselves the ledger
counts; while it counts nothing, what is missing here was lost before us. Sequences are told apart by who exports, and
what comes late, twice, or anew from a restarted exporter is not taken for a loss. The table is bounded: a sequence that
was not heard of for longest makes room, and begins anew. Pure.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from asyncnic.stacks.inet.exports import PROTOCOLS, Templates, numbered

SEQUENCES = 4096
"""Sequences that are followed, at most."""
SHOWN = 1000
GAPS = 16
"""Gaps of a sequence that what comes late may fill; before the oldest of them nothing is looked for."""
FARTHEST = 1 << 20
"""A step of more than so many is an exporter that has begun anew."""
WINDOW = 256
"""What is not farther back than so many numbers came twice; farther back an exporter has begun anew."""
_Key = tuple[int, str, int, str, bytes]  # our port; host, port, protocol and domain of the exporter
OUTCOMES = ("received", "missing", "late", "duplicate")
_NUMBERS = 0xFFFFFFFF


@dataclass(slots=True)
class NumberCounts:
    """What became of numbers.

    Attributes:
        received: numbers that came, late ones too.
        missing: numbers that were passed over; only grows.
        late: of those, what came yet.
        duplicate: numbers that came again.
        restarts: times that an exporter began anew.
    """

    received: int = 0
    missing: int = 0
    late: int = 0
    duplicate: int = 0
    restarts: int = 0


@dataclass(slots=True)
class ExporterNumbers(NumberCounts):
    """One exporter's numbers.

    Attributes:
        beside: what is counted here is counted there too, for all of a protocol: nobody has to sum thousands.
    """

    beside: NumberCounts = field(default_factory=NumberCounts)
    _next: int | None = None
    _before: int | None = None
    _last: int = 0
    _counts_itself: bool | None = None
    _gaps: list[tuple[int, int]] = field(default_factory=list)

    def take(self, number: int, count: int | None) -> None:
        """A message of `count` numbers has come that says `number`; None: nobody knows how many, nor what follows.

        RFC 7011 (section 3.1) leaves open whether a message's own records count in its number. Most exporters say the
        number of its first one, some (softflowd) that of what follows it: two messages of different sizes tell. And
        some count fewer records than there are, such as none of options: less than a message back is no step at all.
        """
        size, said = count or 0, number
        if self._counts_itself is None and self._next is not None:
            follows, counts_itself = number == self._next, number == (self._last + size) & _NUMBERS
            if follows != counts_itself:
                self._counts_itself = counts_itself
                self._next = self._last if counts_itself else self._next
        if self._counts_itself:
            number = (number - size) & _NUMBERS
        step = 0 if self._next is None else (number - self._next) & _NUMBERS
        if step == 0 or number == self._before:
            self._before = None  # a stray was no restart: it goes on where it was
        elif step > FARTHEST and (back := (1 << 32) - step) >= size:
            if self._fills(number, size):
                self._count(late=size, received=size)
                return
            if back <= max(WINDOW, size):
                self._count(duplicate=size)
                return
            self._count(restarts=1)
            self._before = self._next
            self._gaps.clear()
        elif step <= FARTHEST:
            self._count(missing=step)
            self._gaps = [*self._gaps[-GAPS + 1 :], (number - step & _NUMBERS, step)]
        self.received += size  # what nearly every message comes to, in place of a call of _count
        self.beside.received += size
        self._last = said
        self._next = None if count is None else (number + count) & _NUMBERS

    def _count(self, received: int = 0, missing: int = 0, late: int = 0, duplicate: int = 0, restarts: int = 0) -> None:
        for counts in (self, self.beside):
            counts.received += received
            counts.missing += missing
            counts.late += late
            counts.duplicate += duplicate
            counts.restarts += restarts

    def _fills(self, number: int, count: int) -> bool:
        """Whether the numbers are of a gap, whose they are not any more."""
        for at, (start, length) in enumerate(self._gaps):
            before = (number - start) & _NUMBERS
            if before + count <= length:
                after = length - before - count
                rest = [(start, before), ((number + count) & _NUMBERS, after)]
                self._gaps[at : at + 1] = [gap for gap in rest if gap[1]]
                self._gaps = self._gaps[-GAPS:]
                return True
        return False


class Sequences:
    """The sequences of all ports that are watched.

    Args:
        ports: those ports.
    """

    def __init__(self, ports: Collection[int]) -> None:
        self.ports = ports
        self._found: dict[_Key, ExporterNumbers] = {}
        self._sums = {protocol: NumberCounts() for protocol in PROTOCOLS}
        self._templates = Templates()
        self._forgotten = self._unnumbered = self._uncounted = 0

    def watching(self, factory: Callable[[], Any], port: int) -> Callable[[], asyncio.DatagramProtocol]:
        """A factory of the same protocols, whose datagrams on `port` are looked at first."""
        return lambda: Watch(factory(), lambda data, addr: self.look(port, data, addr))

    def look(self, port: int, data: bytes, addr: Any) -> None:
        """See one datagram, which came to `port` from (host, port)."""
        seen = numbered(data)
        if seen is None:
            self._unnumbered += 1
            return
        # An IPFIX session over UDP is one of ports (RFC 7011 section 10.3.4); the others know their exporter's address.
        key = (port, addr[0], addr[1] if seen.protocol == "ipfix" else 0, seen.protocol, seen.domain)
        sequence = self._found.pop(key, None)
        if sequence is None:
            if len(self._found) >= SEQUENCES:
                del self._found[next(iter(self._found))]
                self._forgotten += 1
            sequence = ExporterNumbers(beside=self._sums[seen.protocol])
        self._found[key] = sequence
        sequence.take(seen.number, self._count(key, seen.protocol, data))

    def events(self) -> dict[str, int]:
        """What was counted, by name; all of it only grows: numbers by protocol and outcome, exporters that began anew
        or that made room for others, datagrams without a number and IPFIX messages whose records nobody could count.
        """
        numbers = {
            f"numbers_{protocol}_{outcome}": getattr(counts, outcome)
            for protocol, counts in self._sums.items()
            for outcome in OUTCOMES
        }
        return numbers | {
            "exporter_restarts": sum(counts.restarts for counts in self._sums.values()),
            "exporter_forgotten": self._forgotten,
            "exporter_unnumbered": self._unnumbered,
            "exporter_uncounted": self._uncounted,
        }

    def exporters(self) -> list[dict[str, object]]:
        """The sequences, first those that miss most."""
        rows = sorted(self._found.items(), key=lambda item: item[1].late - item[1].missing)[:SHOWN]
        return [
            {
                "port": port,
                "exporter": host,
                "protocol": protocol,
                "domain": domain.hex(),
                "received": sequence.received,
                "missing": sequence.missing - sequence.late,
                "late": sequence.late,
                "duplicate": sequence.duplicate,
                "restarts": sequence.restarts,
            }
            for (port, host, _, protocol, domain), sequence in rows
        ]

    def _count(self, key: _Key, protocol: str, data: bytes) -> int | None:
        if protocol == "netflow5":
            return data[2] << 8 | data[3]
        if protocol != "ipfix":
            return 1
        count = self._templates.records(key, data)
        self._uncounted += count is None
        return count


class Watch(asyncio.DatagramProtocol):
    """A protocol whose datagrams somebody looks at first."""

    def __init__(self, protocol: Any, look: Callable[[bytes, Any], None]) -> None:
        self._protocol = protocol
        self._look = look

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._look(data, addr)
        self._protocol.datagram_received(data, addr)

    def connection_made(self, transport: Any) -> None:
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def error_received(self, exc: Exception) -> None:
        self._protocol.error_received(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()
