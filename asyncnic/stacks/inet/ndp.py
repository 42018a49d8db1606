"""Neighbour discovery (RFC 4861) and duplicate address detection (RFC 4862 section 5.4). The cache is neighbours.py.

Hosts only: routers' advertisements and redirects are counted and ignored, since addresses and gateway are configured.
Group membership is reported once an address (MLDv2, RFC 3810), for switches that snoop; queries are not answered.
"""

import struct

from asyncnic.stacks.inet.addresses import ALL_NODES, Addresses, is_multicast, solicited_node
from asyncnic.stacks.inet.ethernet import IPV6, Link, is_station, multicast_mac
from asyncnic.stacks.inet.icmpv6 import message
from asyncnic.stacks.inet.ipv6 import HOP_BY_HOP, header
from asyncnic.stacks.inet.neighbours import Neighbours
from asyncnic.stacks.inet.outcomes import Outcome, Totals
from asyncnic.stacks.inet.packet import ICMPV6, Packet

SOLICITATION, ADVERTISEMENT, LISTENER_REPORT = 135, 136, 143
HOP_LIMIT = 255
RETRANSMIT = 1.0
_UNSPECIFIED = bytes(16)
_SOLICITED, _OVERRIDE = 0x40, 0x20
_SOURCE_MAC, _TARGET_MAC = 1, 2
_ALL_MLD_ROUTERS = b"\xff\x02" + bytes(13) + b"\x16"
_EXCLUDE_NOTHING = 4


class Ndp:
    """Answers for our addresses, finds out whether they are unique, and teaches the neighbour cache.

    Args:
        link: where frames go.
        addresses: ours; those found unique move from tentative to usable, those found in use go.
        transmits: solicitations sent for each tentative address, a second apart; 0: addresses are used at once.
        totals: counts `duplicate_addresses`.
    """

    __slots__ = ("_addresses", "_due", "_left", "_link", "_totals")

    def __init__(self, link: Link, addresses: Addresses, transmits: int, totals: Totals) -> None:
        self._link = link
        self._addresses = addresses
        self._totals = totals
        self._left = transmits
        self._due: float | None = None

    def start(self, now: float) -> None:
        """Join the addresses' groups and ask whether somebody has the addresses."""
        for address in self._addresses.tentative:
            self._report_group(solicited_node(address))
        self._due = now
        self.poll(now)

    def poll(self, now: float) -> float | None:
        """Ask again, or use what nobody claimed; when to come back."""
        if self._due is None or self._due > now:
            return self._due
        if not self._addresses.tentative:
            self._due = None
        elif self._left > 0:
            self._left -= 1
            self._due = now + RETRANSMIT
            for address in self._addresses.tentative:
                self._send(SOLICITATION, bytes(4) + address, _UNSPECIFIED, solicited_node(address), None)
        else:
            self._due = None
            for address in list(self._addresses.tentative):
                self._addresses.prefer(address)
            for address in self._addresses.usable:
                self._advertise(address, ALL_NODES, _OVERRIDE, None)
        return self._due

    def solicit(self, address: bytes, mac: bytes | None) -> None:
        """Ask who has `address`: its group, or the one who had it."""
        source = self._addresses.source_for(address)
        if source is not None:
            target = address if mac else solicited_node(address)
            self._send(SOLICITATION, bytes(4) + address + self._option(_SOURCE_MAC), source, target, mac)

    def input(self, packet: Packet, neighbours: Neighbours, now: float) -> Outcome:
        """Take a message of type 133 to 137, its checksum verified, 8 octets or more."""
        data = packet.payload
        if packet.hop_limit != HOP_LIMIT or data[1] != 0 or packet.fragmented:  # RFC 6980 section 5
            return Outcome.ICMPV6_BAD_DISCOVERY
        if data[0] not in (SOLICITATION, ADVERTISEMENT):
            return Outcome.ICMPV6_ROUTER_DISCOVERY
        wanted = bytes(data[8:24])
        options = _options(data[24:])
        if len(data) < 24 or is_multicast(wanted) or options is None:
            return Outcome.ICMPV6_BAD_DISCOVERY
        if data[0] == SOLICITATION:
            return self._solicitation(packet, wanted, options.get(_SOURCE_MAC), neighbours, now)
        return self._advertisement(packet, wanted, options.get(_TARGET_MAC), neighbours, now)

    def _solicitation(
        self, packet: Packet, wanted: bytes, mac: bytes | None, neighbours: Neighbours, now: float
    ) -> Outcome:
        probe = packet.source == _UNSPECIFIED
        if probe and (mac is not None or packet.target != solicited_node(wanted)):
            return Outcome.ICMPV6_BAD_DISCOVERY
        if wanted in self._addresses.tentative:
            if probe:  # two hosts ask for one address at once: neither has it (RFC 4862 section 5.4.3)
                self._duplicate(wanted)
        elif wanted in self._addresses.usable:
            if probe:
                self._advertise(wanted, ALL_NODES, _OVERRIDE, None)
            else:
                if (
                    mac is not None
                    and self._addresses.is_host(packet.source)
                    and self._addresses.on_link(packet.source)
                ):
                    neighbours.learn(packet.source, mac, now, create=True)
                reply_to = mac or neighbours.lookup(packet.source) or packet.mac
                self._advertise(wanted, packet.source, _SOLICITED | _OVERRIDE, reply_to)
        return Outcome.ICMPV6_NEIGHBOUR_SOLICITATION

    def _advertisement(
        self, packet: Packet, wanted: bytes, mac: bytes | None, neighbours: Neighbours, now: float
    ) -> Outcome:
        flags = packet.payload[4]
        if packet.group and flags & _SOLICITED:
            return Outcome.ICMPV6_BAD_DISCOVERY
        if wanted in self._addresses.tentative:
            self._duplicate(wanted)
        elif wanted in self._addresses.usable:
            self._totals.duplicate_addresses += 1
        else:
            known = neighbours.lookup(wanted)
            if mac is not None and (known is None or known == mac or flags & _OVERRIDE):
                neighbours.learn(wanted, mac, now)
            elif mac is None and known is not None and flags & _SOLICITED:
                neighbours.learn(wanted, known, now)
        return Outcome.ICMPV6_NEIGHBOUR_ADVERTISEMENT

    def _duplicate(self, address: bytes) -> None:
        del self._addresses.tentative[address]
        self._totals.duplicate_addresses += 1

    def _option(self, kind: int) -> bytes:
        return bytes((kind, 1)) + self._link.mac

    def _advertise(self, address: bytes, target: bytes, flags: int, mac: bytes | None) -> None:
        body = bytes((flags, 0, 0, 0)) + address + self._option(_TARGET_MAC)
        self._send(ADVERTISEMENT, body, address, target, mac)

    def _send(self, kind: int, body: bytes, source: bytes, target: bytes, mac: bytes | None) -> None:
        self._link.transmit(mac or multicast_mac(target), IPV6, (_packet(kind, body, source, target),))

    def _report_group(self, group: bytes) -> None:
        """One MLDv2 report (RFC 3810 section 5.2) behind a router alert (RFC 2711); from ::, for want of an address."""
        body = struct.pack("!HHBBH", 0, 1, _EXCLUDE_NOTHING, 0, 0) + group
        report = message(LISTENER_REPORT, 0, body, _UNSPECIFIED, _ALL_MLD_ROUTERS)
        alert = bytes((ICMPV6, 0, 5, 2, 0, 0, 1, 0))
        packet = header(HOP_BY_HOP, _UNSPECIFIED, _ALL_MLD_ROUTERS, len(alert) + len(report), 1) + alert + report
        self._link.transmit(multicast_mac(_ALL_MLD_ROUTERS), IPV6, (packet,))


def _packet(kind: int, body: bytes, source: bytes, target: bytes) -> bytes:
    payload = message(kind, 0, body, source, target)
    return header(ICMPV6, source, target, len(payload), HOP_LIMIT) + payload


def _options(data: memoryview) -> dict[int, bytes] | None:
    """MAC addresses by option type (only types 1 and 2); None when an option's length is impossible."""
    found: dict[int, bytes] = {}
    while data:
        if len(data) < 8 or data[1] == 0 or data[1] * 8 > len(data):
            return None
        if data[0] in (_SOURCE_MAC, _TARGET_MAC) and is_station(mac := bytes(data[2:8])):
            found[data[0]] = mac
        data = data[data[1] * 8 :]
    return found
