"""Neighbour discovery (RFC 4861) and duplicate address detection (RFC 4862 section 5.4). The cache is neighbours.py.

Hosts only: routers' advertisements and redirects are counted and ignored, since addresses and gateway are configured.
When an address is probed for, used and announced says life.py; groups are mld.py's.
"""

import os
from collections import deque

from asyncnic.stacks.inet.addresses import ALL_NODES, UNSPECIFIED, Addresses, is_multicast, solicited_node
from asyncnic.stacks.inet.arp import Claimed
from asyncnic.stacks.inet.ethernet import IPV6, Link, is_station, multicast_mac
from asyncnic.stacks.inet.icmpv6 import message
from asyncnic.stacks.inet.ipv6 import header
from asyncnic.stacks.inet.neighbours import Neighbours
from asyncnic.stacks.inet.outcomes import Outcome
from asyncnic.stacks.inet.packet import ICMPV6, Packet

SOLICITATION, ADVERTISEMENT = 135, 136
HOP_LIMIT = 255
NONCES = 32
"""Own questions that are known when they come back (RFC 7527)."""
_SOLICITED, _OVERRIDE = 0x40, 0x20
_SOURCE_MAC, _TARGET_MAC, _NONCE = 1, 2, 14
_NONE = memoryview(b"")


class Ndp:
    """Answers for our addresses, says what life.py has to say of them, and teaches the neighbour cache.

    Args:
        link: where frames go.
        addresses: ours.
        claimed: told of who else uses them.
    """

    __slots__ = ("_addresses", "_claimed", "_link", "_nonces")

    def __init__(self, link: Link, addresses: Addresses, claimed: Claimed) -> None:
        self._link = link
        self._addresses = addresses
        self._claimed = claimed
        self._nonces: deque[bytes] = deque(maxlen=NONCES)

    def probe(self, address: bytes) -> None:
        """Ask whether somebody has a tentative address; by its nonce the question is known if it comes back."""
        nonce = os.urandom(6)
        self._nonces.append(nonce)
        body = bytes(4) + address + bytes((_NONCE, 1)) + nonce
        self._send(SOLICITATION, body, UNSPECIFIED, solicited_node(address), None)

    def announce(self, address: bytes) -> None:
        """Tell all nodes of an address of ours."""
        self._advertise(address, ALL_NODES, _OVERRIDE, None)

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
            if options.get(_NONCE) in self._nonces:  # our own, come back
                return Outcome.ICMPV6_NEIGHBOUR_SOLICITATION
            return self._solicitation(packet, wanted, options.get(_SOURCE_MAC), neighbours, now)
        return self._advertisement(packet, wanted, options.get(_TARGET_MAC), neighbours, now)

    def _solicitation(
        self, packet: Packet, wanted: bytes, mac: bytes | None, neighbours: Neighbours, now: float
    ) -> Outcome:
        probe, prefixes = packet.source == UNSPECIFIED, self._addresses.prefixes
        if probe and (mac is not None or packet.target != solicited_node(wanted)):
            return Outcome.ICMPV6_BAD_DISCOVERY
        if wanted in self._addresses.tentative:
            if probe:  # two hosts ask for one address at once: neither has it (RFC 4862 section 5.4.3)
                self._claimed(wanted, packet.mac, now)
        elif wanted in self._addresses.usable:
            if probe:
                self._advertise(wanted, ALL_NODES, _OVERRIDE, None)
            else:
                self._answer(packet, wanted, mac, neighbours, now)
        elif prefixes is not None:
            claimed = wanted if probe else packet.source
            if claimed not in self._addresses.usable and prefixes.covers(claimed):
                prefixes.theirs(claimed, now)
            if not probe and wanted in prefixes:
                source, target, octets = packet.source, packet.target, packet.mac
                asked = Packet(source, target, ICMPV6, _NONE, _NONE, packet.group, HOP_LIMIT, octets)
                if prefixes.asked(wanted, lambda: self._answer(asked, wanted, mac, neighbours, now), now):
                    self._answer(packet, wanted, mac, neighbours, now)
        return Outcome.ICMPV6_NEIGHBOUR_SOLICITATION

    def _answer(self, packet: Packet, wanted: bytes, mac: bytes | None, neighbours: Neighbours, now: float) -> None:
        """Tell who asked, and remember him."""
        if mac is not None and self._addresses.is_host(packet.source) and self._addresses.on_link(packet.source):
            neighbours.learn(packet.source, mac, now, create=True)
        reply_to = mac or neighbours.lookup(packet.source) or packet.mac
        self._advertise(wanted, packet.source, _SOLICITED | _OVERRIDE, reply_to)

    def _advertisement(
        self, packet: Packet, wanted: bytes, mac: bytes | None, neighbours: Neighbours, now: float
    ) -> Outcome:
        flags = packet.payload[4]
        if packet.group and flags & _SOLICITED:
            return Outcome.ICMPV6_BAD_DISCOVERY
        if wanted in self._addresses.tentative or wanted in self._addresses.usable:
            self._claimed(wanted, mac or packet.mac, now)
        else:
            if self._addresses.prefixes is not None and self._addresses.prefixes.covers(wanted):
                self._addresses.prefixes.theirs(wanted, now)
            known = neighbours.lookup(wanted)
            if mac is not None and (known is None or known == mac or flags & _OVERRIDE):
                neighbours.learn(wanted, mac, now)
            elif mac is None and known is not None and flags & _SOLICITED:
                neighbours.learn(wanted, known, now)
        return Outcome.ICMPV6_NEIGHBOUR_ADVERTISEMENT

    def _option(self, kind: int) -> bytes:
        return bytes((kind, 1)) + self._link.mac

    def _advertise(self, address: bytes, target: bytes, flags: int, mac: bytes | None) -> None:
        body = bytes((flags, 0, 0, 0)) + address + self._option(_TARGET_MAC)
        self._send(ADVERTISEMENT, body, address, target, mac)

    def _send(self, kind: int, body: bytes, source: bytes, target: bytes, mac: bytes | None) -> None:
        self._link.transmit(mac or multicast_mac(target), IPV6, (_packet(kind, body, source, target),))


def _packet(kind: int, body: bytes, source: bytes, target: bytes) -> bytes:
    payload = message(kind, 0, body, source, target)
    return header(ICMPV6, source, target, len(payload), HOP_LIMIT) + payload


def _options(data: memoryview) -> dict[int, bytes] | None:
    """MAC addresses and nonce by option type (1, 2 and 14); None when an option's length is impossible."""
    found: dict[int, bytes] = {}
    while data:
        if len(data) < 8 or data[1] == 0 or data[1] * 8 > len(data):
            return None
        value = bytes(data[2:8])
        if data[0] == _NONCE or (data[0] in (_SOURCE_MAC, _TARGET_MAC) and is_station(value)):
            found[data[0]] = value
        data = data[data[1] * 8 :]
    return found
