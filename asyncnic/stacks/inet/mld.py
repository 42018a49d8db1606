"""Which IPv6 groups this host listens to, told to routers and switches: MLD (RFC 3810; RFC 2710 when asked in it).

A listener only: no queries, no filters by source (a query for particular sources is answered like one for the group).
"""

import random
import struct

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
_ROUTERS = b"\xff\x02" + bytes(13) + b"\x16"
_IS_EXCLUDE, _TO_EXCLUDE = 2, 4
_QUERY_1, _QUERY_2 = 24, 28
_ALERT = bytes((ICMPV6, 0, 5, 2, 0, 0, 1, 0))
"""A hop-by-hop header with the router alert option (RFC 2711), padded."""


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
        self._answers: dict[bytes, tuple[float, int]] = {}

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
        due = now + random.uniform(0, code / 1000)
        for group in self.groups():
            if asked in (UNSPECIFIED, group):
                known = self._answers.get(group, (due, version))
                self._answers[group] = min(known[0], due), version

    def poll(self, now: float) -> float | None:
        """Report what is due; when to come back."""
        if self._left and self._again <= now:
            self._left -= 1
            self._again = now + random.uniform(0, UNSOLICITED_INTERVAL)
            self._report(_TO_EXCLUDE, self.groups())
        due = [group for group, (when, _) in self._answers.items() if when <= now]
        versions = {group: self._answers.pop(group)[1] for group in due}
        self._report(_IS_EXCLUDE, [group for group, version in versions.items() if version == 2])
        for group in (group for group, version in versions.items() if version == 1):
            self._send(REPORT_1, bytes(4) + group, group)
        dues = [when for when, _ in self._answers.values()] + ([self._again] if self._left else [])
        return min(dues, default=None)

    def _report(self, kind: int, groups: list[bytes]) -> None:
        for first in range(0, len(groups), RECORDS):
            some = groups[first : first + RECORDS]
            records = b"".join(struct.pack("!BBH", kind, 0, 0) + group for group in some)
            self._send(REPORT_2, struct.pack("!HH", 0, len(some)) + records, _ROUTERS)

    def _send(self, kind: int, body: bytes, target: bytes) -> None:
        source = self._addresses.source_for(target)
        if source is None or not is_link_local(source):
            source = UNSPECIFIED
        report = message(kind, 0, body, source, target)
        packet = header(HOP_BY_HOP, source, target, len(_ALERT) + len(report), 1) + _ALERT + report
        self._link.transmit(multicast_mac(target), IPV6, (packet,))
