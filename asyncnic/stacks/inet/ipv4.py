"""IPv4 (RFC 791, RFC 1122 section 3): packets in, packets out, fragments both ways. No forwarding; options are
passed over, but for source routes, which are refused.

Packets are taken in three steps, each with an outcome of its own: integrity (lengths), checksum, sanity (addresses).
Own packets carry "don't fragment" only where who sends them asks for it (TCP does); routers may cut all others.
"""

import struct
from collections.abc import Callable

from asyncnic import hot
from asyncnic.hot.transmit import Template
from asyncnic.stacks.inet.addresses import Addresses, is_multicast
from asyncnic.stacks.inet.checksum import sound
from asyncnic.stacks.inet.fragments import Reassembly, Verdict, Whole
from asyncnic.stacks.inet.identification import Identifications
from asyncnic.stacks.inet.nexthop import NextHops
from asyncnic.stacks.inet.outcomes import Outcome, Totals
from asyncnic.stacks.inet.packet import TCP, UDP, UDP_HEADER, Handler, Packet, Sent
from asyncnic.stacks.inet.paths import Paths

HEADER = 20
HOP_LIMIT = 64
_HEADER = struct.Struct("!BBHHHBBH4s4s")
LEAST_PATH_MTU = 552
"""No router's word makes packets smaller than that: whoever forges one would gain too much (RFC 5927 section 7.2)."""
_WHOLE = 0x4000
_MORE = 0x2000
_OFFSET = 0x1FFF
_NOBODY = bytes(6)
_Template = hot.choose(Template)
_END, _NO_OPERATION = 0, 1
_SOURCE_ROUTES = frozenset((131, 137))
"""Loose and strict; RFC 7126 sections 4.3 and 4.4 have them dropped."""

Problem = Callable[[Packet, int, float], None]
"""Tell the sender of a packet which octet of it is wrong."""


def header(protocol: int, source: bytes, target: bytes, length: int, identification: int, fragment: int = 0) -> bytes:
    """20 octets of header for `length` octets of payload; `fragment` is the word of flags and offset."""
    total, life = HEADER + length, HOP_LIMIT << 8 | protocol
    addresses = int.from_bytes(source + target, "big")
    # The checksum by its words: packing twice would cost twice (checksum.py says why a remainder is the sum).
    covered = -(0x4500 + total + identification + fragment + life + addresses) % 0xFFFF
    return _HEADER.pack(0x45, 0, total, identification, fragment, HOP_LIMIT, protocol, covered, source, target)


class Ipv4:
    """The IPv4 layer of one host.

    Args:
        addresses: ours.
        hops: sends packets on the link.
        mtu: octets of the largest packet on the link, 68 or more.
        totals: counts `reassembly_timeouts`.

    `handlers` maps protocol numbers to who takes their packets; `refuse` takes the others. Senders hear of bad options
    by `problem`.
    """

    __slots__ = ("_addresses", "_hops", "_identifications", "_paths", "handlers", "problem", "reassembly", "refuse")

    def __init__(self, addresses: Addresses, hops: NextHops, mtu: int, totals: Totals) -> None:
        self._addresses = addresses
        self._hops = hops
        self._paths = Paths(mtu, min(mtu, LEAST_PATH_MTU))
        self._identifications = Identifications(16)
        self.reassembly = Reassembly(totals)
        self.handlers: dict[int, Handler] = {}
        self.refuse: Handler = lambda packet, now: Outcome.IPV4_UNKNOWN_PROTOCOL
        self.problem: Problem = lambda packet, pointer, now: None

    def source_for(self, target: bytes) -> bytes | None:
        """See `IpLayer`."""
        return self._addresses.source_for(target)

    def owns(self, address: bytes) -> bool:
        """See `IpLayer`."""
        return self._addresses.owns(address)

    @property
    def header_size(self) -> int:
        """Octets of the header, which has no options."""
        return HEADER

    @property
    def link_mtu(self) -> int:
        """Octets of the largest packet on the link."""
        return self._paths.mtu

    def resize(self, mtu: int) -> None:
        """The largest packet on the link has so many octets from now on."""
        self._paths.mtu = mtu

    def path_mtu(self, target: bytes, now: float) -> int:
        """Octets of the largest packet that reaches `target` whole, as far as known."""
        return self._paths.to(target, now)

    def lower_path_mtu(self, target: bytes, mtu: int, now: float) -> None:
        """A router said that `mtu` octets are the most on the way to `target`; never raised."""
        self._paths.lower(target, mtu, now)

    def send(
        self, protocol: int, payload: bytes, source: bytes, target: bytes, now: float, whole: bool = False
    ) -> Sent:
        """Send up to 65,515 octets of payload, in fragments where they exceed the MTU.

        `whole`: say "don't fragment"; the payload fits the way.
        """
        identification = self._identifications.next(source, target, protocol)
        mtu = self._paths.mtu
        if len(payload) <= mtu - HEADER:
            word = _WHOLE if whole else 0
            packets = [header(protocol, source, target, len(payload), identification, word) + payload]
        else:
            step = (mtu - HEADER) & ~7
            packets = []
            for start in range(0, len(payload), step):
                piece = payload[start : start + step]
                fragment = start >> 3 | (_MORE if start + step < len(payload) else 0)
                packets.append(header(protocol, source, target, len(piece), identification, fragment) + piece)
        return self._hops.send(target, packets, now)

    def template(self, source: bytes, target: bytes, ports: bytes, now: float) -> Template | None:
        """See `asyncnic.stacks.inet.udp.Layer`."""
        link = self._hops.link_header(target)
        if link is None:
            return None
        plain = header(UDP, source, target, 0, 0)
        word = self._identifications.word(source, target, UDP)
        return _Template(link, plain, ports, self._paths.mtu - HEADER - UDP_HEADER, word)

    def has(self, address: bytes) -> bool:
        """See `asyncnic.stacks.inet.tcp.layer.TcpLayer`."""
        return self._addresses.has(address)

    def hold(self, target: bytes) -> None:
        """See `NextHops.hold`."""
        self._hops.hold(target)

    def release(self, target: bytes) -> None:
        """See `NextHops.release`."""
        self._hops.release(target)

    def stream_template(self, source: bytes, target: bytes, ports: bytes, now: float) -> Template | None:
        """See `asyncnic.stacks.inet.tcp.layer.TcpLayer`."""
        link = self._hops.link_header(target)
        if link is None:
            return None
        plain = header(TCP, source, target, 0, 0, _WHOLE)
        return _Template(link, plain, ports, 0, self._identifications.word(source, target, TCP))

    def input(self, data: memoryview, mac: bytes, link_group: bool, now: float) -> Outcome:
        """Take a packet (Ethernet payload, padding included) that came from `mac`, to several hosts or to us alone."""
        if len(data) < HEADER or data[0] >> 4 != 4:
            return Outcome.IPV4_BAD_HEADER
        size = (data[0] & 15) * 4
        _, _, total, identification, fragment, hop_limit, protocol, _, source, target = _HEADER.unpack_from(data)
        if size < HEADER or total < size or total > len(data):
            return Outcome.IPV4_BAD_HEADER
        if not sound(data[:size]):
            return Outcome.IPV4_BAD_CHECKSUM
        ours = self._addresses
        group = link_group or target in ours.groups
        if target not in ours.groups and (not ours.owns(target) or link_group):
            return Outcome.IPV4_NOT_OURS
        if not ours.is_host(source):
            if ours.prefixes is not None and ours.prefixes.covers(source):
                ours.prefixes.suspect(source, now)
            return Outcome.IPV4_BAD_SOURCE
        packet = Packet(source, target, protocol, data[size:total], data[:total], group, hop_limit, mac)
        if size > HEADER and (verdict := self._options(packet, data[:size], now)) is not None:
            return verdict
        self._hops.heard(source, mac)
        if fragment & (_MORE | _OFFSET):
            whole = self._reassemble(packet, fragment, identification, now)
            if isinstance(whole, Verdict):
                return Outcome.IPV4_FRAGMENT_HELD if whole is Verdict.HELD else Outcome.IPV4_FRAGMENT_DROPPED
            packet = whole
        return self.handlers.get(protocol, self.refuse)(packet, now)

    def poll(self, now: float) -> list[Packet]:
        """Give up old fragments; the packets (first fragment only) whose sender should hear of it."""
        return [_rebuild(whole, _NOBODY) for whole in self.reassembly.poll(now)]

    def may_answer(self, packet: Packet) -> bool:
        """Whether RFC 1122 section 3.2.2 allows an ICMP error about `packet`."""
        return not packet.group and not is_multicast(packet.target) and self._addresses.is_host(packet.source)

    def _options(self, packet: Packet, data: memoryview, now: float) -> Outcome | None:
        """What a header's options end the packet with; None: they are passed over (RFC 1122 section 3.2.1.8)."""
        at = HEADER
        while at < len(data) and data[at] != _END:
            if data[at] == _NO_OPERATION:
                at += 1
                continue
            if at + 2 > len(data) or not 2 <= data[at + 1] <= len(data) - at:
                self.problem(packet, at, now)
                return Outcome.IPV4_BAD_OPTION
            if data[at] in _SOURCE_ROUTES:
                return Outcome.IPV4_SOURCE_ROUTED
            at += data[at + 1]
        return None

    def _reassemble(self, packet: Packet, fragment: int, identification: int, now: float) -> Packet | Verdict:
        more, start = bool(fragment & _MORE), (fragment & _OFFSET) * 8
        if more and len(packet.payload) & 7:
            return Verdict.DROPPED
        key = packet.source + packet.target + bytes((packet.protocol,)) + identification.to_bytes(2, "big")
        head = bytes(packet.whole[: len(packet.whole) - len(packet.payload)])
        whole = self.reassembly.add(key, start, more, packet.payload, head, now, len(head), packet.group)
        return whole if isinstance(whole, Verdict) else _rebuild(whole, packet.mac)


def _rebuild(whole: Whole, mac: bytes) -> Packet:
    data = memoryview(whole.head + whole.payload)
    fields = _HEADER.unpack_from(data)
    return Packet(fields[8], fields[9], fields[6], data[len(whole.head) :], data, whole.group, fields[5], mac)
