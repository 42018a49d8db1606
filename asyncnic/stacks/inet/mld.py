"""Which IPv6 groups this host listens to, told to routers and switches: MLD (RFC 3810; RFC 2710 when asked in it).

A listener only: no queries, and no filters by source: our groups are wanted from whomever, so that of the sources that
a query names we want each.
"""

import random
import struct
from collections.abc import Iterator
from typing import NamedTuple

from asyncnic.stacks.inet.addresses import ALL_NODES, UNSPECIFIED, Addresses, is_link_local
from asyncnic.stacks.inet.ethernet import IPV6, Link, multicast_mac
from asyncnic.stacks.inet.icmpv6 import message
from asyncnic.stacks.inet.ipv6 import HOP_BY_HOP, header
from asyncnic.stacks.inet.packet import ICMPV6, Packet

QUERY, REPORT_1, REPORT_2 = 130, 131, 143
ROBUSTNESS = 2
"""Times that a change is reported."""
UNSOLICITED_INTERVAL = 1.0
"""Seconds: a change is reported again within so long (RFC 3810 section 9.11)."""
RECORDS = 60
"""Groups in one report, which fits the least MTU."""
SOURCES = 64
"""Sources of a group that are answered for by name; asked for more, the answer is for all of them."""
_ROUTERS = b"\xff\x02" + bytes(13) + b"\x16"
_IS_INCLUDE, _IS_EXCLUDE, _TO_EXCLUDE = 1, 2, 4
_QUERY_1, _QUERY_2 = 24, 28
_ALERT = bytes((ICMPV6, 0, 5, 2, 0, 0, 1, 0))
"""A hop-by-hop header with the router alert option (RFC 2711), padded."""


_Record = tuple[int, bytes, tuple[bytes, ...]]
"""Of a report: its kind, the group, and sources."""


class _Answer(NamedTuple):
    """What is owed to a router: when, in seconds, in which version, and for which sources; None: for any."""

    due: float
    version: int
    sources: frozenset[bytes] | None

    def merge(self, known: "_Answer | None") -> "_Answer":
        """One answer for this question and what is owed already (RFC 3810 section 6.2)."""
        if known is None:
            return self
        due = min(known.due, self.due)
        if self.sources is None or known.sources is None:
            return _Answer(due, self.version, None)
        sources = known.sources | self.sources
        return _Answer(due, self.version, sources if len(sources) <= SOURCES else None)


class Mld:
    """Reports the groups of our addresses, unasked when they are joined and whenever a router asks. Times in seconds.

    Args:
        link: where frames go.
        addresses: ours.
    """

    __slots__ = ("_addresses", "_again", "_answers", "_left", "_link")

    def __init__(self, link: Link, addresses: Addresses) -> None:
        self._link = link
        self._addresses = addresses
        self._left = 0
        self._again = 0.0
        self._answers: dict[bytes, _Answer] = {}

    def groups(self) -> list[bytes]:
        """What is reported: all groups but all-nodes (RFC 3810 section 6)."""
        return sorted(self._addresses.groups - {ALL_NODES})

    def join(self, now: float) -> None:
        """Tell of all groups, and tell again: they are new, the link is, or the address that it is told from.

        Reports come from :: as long as no link-local address is in use, and are said again when one is (RFC 3590).
        """
        self._left, self._again = ROBUSTNESS, now
        self.poll(now)

    def query(self, packet: Packet, now: float) -> None:
        """Take a query, its ICMPv6 checksum verified; what RFC 3810 section 6.2 does not believe is passed over."""
        data = packet.payload
        if packet.hop_limit != 1 or not packet.alert or packet.fragmented or not is_link_local(packet.source):
            return
        if len(data) != _QUERY_1 and len(data) < _QUERY_2:
            return
        version = 1 if len(data) == _QUERY_1 else 2
        code, asked = int.from_bytes(data[4:6], "big"), bytes(data[8:24])
        if version == 2 and code >= 0x8000:
            code = (code & 0x0FFF | 0x1000) << ((code >> 12 & 7) + 3)
        sources = _sources(data) if version == 2 else frozenset[bytes]()
        if sources is None or (sources and asked == UNSPECIFIED):
            return
        answer = _Answer(now + random.uniform(0, code / 1000), version, sources or None)
        for group in self.groups():
            if asked in (UNSPECIFIED, group):
                self._answers[group] = answer.merge(self._answers.get(group))

    def poll(self, now: float) -> float | None:
        """Report what is due; when to come back."""
        if self._left and self._again <= now:
            self._left -= 1
            self._again = now + random.uniform(0, UNSOLICITED_INTERVAL)
            self._report([(_TO_EXCLUDE, group, ()) for group in self.groups()])
        due = [group for group, answer in self._answers.items() if answer.due <= now]
        owed = {group: self._answers.pop(group) for group in due}
        self._report([_record(group, answer) for group, answer in owed.items() if answer.version == 2])
        for group, answer in owed.items():
            if answer.version == 1:
                self._send(REPORT_1, bytes(4) + group, group)
        dues = [answer.due for answer in self._answers.values()] + ([self._again] if self._left else [])
        return min(dues, default=None)

    def _report(self, records: list[_Record]) -> None:
        for some in _parts(records):
            body = b"".join(
                struct.pack("!BBH", kind, 0, len(sources)) + group + b"".join(sources) for kind, group, sources in some
            )
            self._send(REPORT_2, struct.pack("!HH", 0, len(some)) + body, _ROUTERS)

    def _send(self, kind: int, body: bytes, target: bytes) -> None:
        source = self._addresses.source_for(target)
        if source is None or not is_link_local(source):
            source = UNSPECIFIED
        report = message(kind, 0, body, source, target)
        packet = header(HOP_BY_HOP, source, target, len(_ALERT) + len(report), 1) + _ALERT + report
        self._link.transmit(multicast_mac(target), IPV6, (packet,))


def _sources(query: memoryview) -> frozenset[bytes] | None:
    """The sources that a query of version 2 names, none where there are too many to remember; None: it is cut."""
    count = int.from_bytes(query[26:28], "big")
    if len(query) < _QUERY_2 + 16 * count:
        return None
    if count > SOURCES:
        return frozenset()
    return frozenset(bytes(query[at : at + 16]) for at in range(_QUERY_2, _QUERY_2 + 16 * count, 16))


def _record(group: bytes, answer: _Answer) -> _Record:
    """All sources are wanted but none: asked for some, we want those (RFC 3810 section 6.3)."""
    return (_IS_EXCLUDE, group, ()) if answer.sources is None else (_IS_INCLUDE, group, tuple(sorted(answer.sources)))


def _parts(records: list[_Record]) -> Iterator[list[_Record]]:
    """The records by reports, as many in each as the least MTU has room for."""
    part: list[_Record] = []
    room = RECORDS
    for record in records:
        size = 1 + len(record[2])  # a source takes no more room than a group
        if part and size > room:
            yield part
            part, room = [], RECORDS
        part.append(record)
        room -= size
    if part:
        yield part
