"""ARP for IPv4 over Ethernet (RFC 826, RFC 5227): packets and what they mean. The cache is neighbours.py.

No proxy ARP and no reverse ARP. When an address is announced or defended says life.py: addresses are configured, so
none is probed for, and a conflict is not yielded to (RFC 5227 section 2.4, case c). Those of a prefix are: prefixes.py.
"""

import struct
from collections.abc import Callable

from asyncnic.stacks.inet.addresses import Addresses
from asyncnic.stacks.inet.ethernet import ARP, BROADCAST, Link, is_station
from asyncnic.stacks.inet.neighbours import Neighbours
from asyncnic.stacks.inet.outcomes import Outcome

_PACKET = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET_IPV4 = (1, 0x0800, 6, 4)
_REQUEST, _REPLY = 1, 2
_NOBODY = bytes(6)

Claimed = Callable[[bytes, bytes, float], None]
"""The host at a MAC address uses an address of ours, at a time in seconds."""


class Arp:
    """Answers for our addresses and teaches the neighbour cache.

    Args:
        link: where frames go.
        addresses: our IPv4 addresses.
        claimed: told of conflicts.
    """

    __slots__ = ("_addresses", "_claimed", "_link")

    def __init__(self, link: Link, addresses: Addresses, claimed: Claimed) -> None:
        self._link = link
        self._addresses = addresses
        self._claimed = claimed

    def announce(self, address: bytes) -> None:
        """Tell the link an address of ours by gratuitous ARP (RFC 5227 section 3: a request for oneself)."""
        self._send(_REQUEST, BROADCAST, address, _NOBODY, address)

    def solicit(self, address: bytes, mac: bytes | None) -> None:
        """Ask who has `address`: everybody, or the one who had it."""
        source = self._addresses.source_for(address)
        if source is not None:
            self._send(_REQUEST, mac or BROADCAST, source, _NOBODY, address)
        elif self._addresses.prefixes is not None:  # none of its addresses is more ours than another
            self._send(_REQUEST, mac or BROADCAST, bytes(4), _NOBODY, address)

    def probe(self, address: bytes) -> None:
        """Ask whether another host has an address (RFC 5227 section 2.1.1)."""
        self._send(_REQUEST, BROADCAST, bytes(4), _NOBODY, address)

    def input(self, payload: memoryview, neighbours: Neighbours, now: float) -> Outcome:
        """Take an ARP packet (Ethernet payload, padding included)."""
        if len(payload) < _PACKET.size:
            return Outcome.ARP_MALFORMED
        *kinds, operation, mac, sender, _, wanted = _PACKET.unpack_from(payload)
        if tuple(kinds) != _ETHERNET_IPV4 or operation not in (_REQUEST, _REPLY) or not is_station(mac):
            return Outcome.ARP_MALFORMED
        ours = self._addresses
        if mac == self._link.mac:
            return Outcome.ARP_IGNORED
        if sender in ours.usable:
            self._claimed(sender, mac, now)
            return Outcome.ARP_CONFLICT
        if ours.prefixes is not None:
            claimed = sender if any(sender) else wanted  # a probe is the first word of who is about to use it
            if claimed not in ours.usable and ours.prefixes.covers(claimed):
                ours.prefixes.theirs(claimed, now)
        if not self._addresses.is_host(sender):
            if any(sender):  # 0.0.0.0 is a probe (RFC 5227)
                return Outcome.ARP_MALFORMED
        elif self._addresses.on_link(sender):
            # RFC 826: whoever asks us will be answered to, so it may enter; others only refresh what is there.
            neighbours.learn(sender, mac, now, create=ours.owns(wanted) and operation == _REQUEST)
        if operation == _REPLY:
            return Outcome.ARP_REPLY
        if not ours.owns(wanted):
            return Outcome.ARP_IGNORED
        if wanted in ours.usable or self._may_answer(mac, wanted, sender, now):
            self._send(_REPLY, mac, wanted, mac, sender)
        return Outcome.ARP_REQUEST

    def _may_answer(self, mac: bytes, wanted: bytes, sender: bytes, now: float) -> bool:
        prefixes = self._addresses.prefixes
        return prefixes is not None and prefixes.asked(
            wanted, lambda: self._send(_REPLY, mac, wanted, mac, sender), now
        )

    def _send(self, operation: int, frame_target: bytes, source: bytes, mac: bytes, target: bytes) -> None:
        packet = _PACKET.pack(*_ETHERNET_IPV4, operation, self._link.mac, source, mac, target)
        self._link.transmit(frame_target, ARP, (packet,))
