"""IPv6 (RFC 8200): packets in, extension headers skipped, fragments both ways, path MTU (RFC 8201). No forwarding.

Of extension headers only what they say about themselves is checked; options are not acted upon beyond what their type
demands of a host that does not know them, and a routing header with segments left is refused (RFC 5095). There are no
security associations, so what an authentication header says cannot be verified: it is an unknown protocol, as
RFC 4302 section 3.4.2 wants it discarded.
"""

import struct
from array import array
from collections.abc import Callable

from asyncnic import hot
from asyncnic.hot.transmit import Template
from asyncnic.stacks.inet.addresses import Addresses, is_multicast
from asyncnic.stacks.inet.fragments import Reassembly, Verdict
from asyncnic.stacks.inet.identification import Identifications
from asyncnic.stacks.inet.nexthop import NextHops
from asyncnic.stacks.inet.outcomes import Outcome, Totals
from asyncnic.stacks.inet.packet import ICMPV6, TCP, UDP, UDP_HEADER, Handler, Packet, Sent
from asyncnic.stacks.inet.paths import Paths

HEADER = 40
LEAST_MTU = 1280
HOP_LIMIT = 64
HOP_BY_HOP, ROUTING, FRAGMENT, NO_NEXT, DESTINATION = 0, 43, 44, 59, 60
BAD_FIELD, BAD_NEXT_HEADER, BAD_OPTION, BAD_CHAIN = 0, 1, 2, 3
"""Codes of ICMPv6 parameter problem (RFC 4443 section 3.4, RFC 7112 section 5)."""
ROUTER_ALERT = 5
"""Option of a hop-by-hop header (RFC 2711)."""
EXTENSIONS = 8
"""Extension headers of one packet that are followed."""
_HEADER = struct.Struct("!IHBB16s16s")
_NOBODY = bytes(6)
_Template = hot.choose(Template)
_NONE = memoryview(array("H", [0]))
_UPPER_HEADERS = {TCP: 20, UDP: 8, ICMPV6: 4}

Problem = Callable[[Packet, int, int, float], None]
"""Tell the sender of a packet of a parameter problem: code, and pointer to the octet."""


def header(protocol: int, source: bytes, target: bytes, length: int, hop_limit: int = HOP_LIMIT) -> bytes:
    """40 octets of header for `length` octets of payload."""
    return _HEADER.pack(0x6000_0000, length, protocol, hop_limit, source, target)


class Ipv6:
    """The IPv6 layer of one host.

    Args:
        addresses: ours.
        hops: sends packets on the link.
        mtu: octets of the largest packet on the link.
        totals: counts `reassembly_timeouts`.

    `handlers` maps protocol numbers to who takes their packets. For all others the sender is told, by `problem`.
    """

    __slots__ = ("_addresses", "_hops", "_identifications", "_paths", "handlers", "problem", "reassembly")

    def __init__(self, addresses: Addresses, hops: NextHops, mtu: int, totals: Totals) -> None:
        self._addresses = addresses
        self._hops = hops
        self._paths = Paths(mtu, LEAST_MTU)
        self._identifications = Identifications(32)
        self.reassembly = Reassembly(totals)
        self.handlers: dict[int, Handler] = {}
        self.problem: Problem = lambda packet, code, pointer, now: None

    def source_for(self, target: bytes) -> bytes | None:
        """See `IpLayer`."""
        return self._addresses.source_for(target)

    def owns(self, address: bytes) -> bool:
        """See `IpLayer`."""
        return self._addresses.owns(address)

    @property
    def header_size(self) -> int:
        """Octets of the header."""
        return HEADER

    @property
    def link_mtu(self) -> int:
        """Octets of the largest packet on the link."""
        return self._paths.mtu

    def is_host(self, address: bytes) -> bool:
        """Whether `address` can be a single other host's."""
        return self._addresses.is_host(address)

    def resize(self, mtu: int) -> None:
        """The largest packet on the link has so many octets from now on."""
        self._paths.mtu = mtu

    def path_mtu(self, target: bytes, now: float) -> int:
        """Octets of the largest packet that reaches `target` whole, as far as known."""
        return self._paths.to(target, now)

    def paths(self) -> int:
        """Targets with a path MTU of their own; bounded by `paths.LIMIT`."""
        return len(self._paths)

    def lower_path_mtu(self, target: bytes, mtu: int, now: float) -> None:
        """A router said that `mtu` octets are the most on the way to `target`; never below 1280, never raised."""
        self._paths.lower(target, mtu, now)
        self._hops.changed()

    def send(
        self, protocol: int, payload: bytes, source: bytes, target: bytes, now: float, whole: bool = False
    ) -> Sent:
        """Send up to 65,535 octets of payload, in fragments where they exceed the path's MTU (no router cuts any)."""
        mtu = self._paths.to(target, now)
        if len(payload) <= mtu - HEADER:
            return self._hops.send(target, [header(protocol, source, target, len(payload)) + payload], now)
        identification = self._identifications.next(source, target, protocol)
        step = (mtu - HEADER - 8) & ~7
        packets = []
        for start in range(0, len(payload), step):
            piece = payload[start : start + step]
            extension = struct.pack("!BBHI", protocol, 0, start | (start + step < len(payload)), identification)
            packets.append(header(FRAGMENT, source, target, 8 + len(piece)) + extension + piece)
        return self._hops.send(target, packets, now)

    def template(self, source: bytes, target: bytes, ports: bytes, now: float) -> Template | None:
        """See `asyncnic.stacks.inet.udp.Layer`."""
        link = self._hops.link_header(target)
        if link is None:
            return None
        plain = header(UDP, source, target, 0)
        return _Template(link, plain, ports, self.path_mtu(target, now) - HEADER - UDP_HEADER, _NONE)

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
        return None if link is None else _Template(link, header(TCP, source, target, 0), ports, 0, _NONE)

    def input(self, data: memoryview, mac: bytes, link_group: bool, now: float) -> Outcome:
        """Take a packet (Ethernet payload, padding included) that came from `mac`, to several hosts or to us alone."""
        if len(data) < HEADER or data[0] >> 4 != 6:
            return Outcome.IPV6_BAD_HEADER
        _, length, protocol, hop_limit, source, target = _HEADER.unpack_from(data)
        if HEADER + length > len(data):
            return Outcome.IPV6_BAD_HEADER
        ours = self._addresses
        group = ours.hears(target)
        if not group and not ours.owns(target):  # a tentative address takes nothing (RFC 4862)
            return Outcome.IPV6_NOT_OURS
        if ours.is_host(source):
            self._hops.heard(source, mac)
        elif any(source) and not ours.owns(source):
            return Outcome.IPV6_BAD_SOURCE
        whole = data[: HEADER + length]
        packet = Packet(source, target, protocol, whole[HEADER:], whole, link_group or group, hop_limit, mac)
        return self._follow(packet, now)

    def _follow(self, packet: Packet, now: float) -> Outcome:
        """Skip extension headers up to the upper-layer header, and hand over."""
        field, place = 6, HEADER  # where the current header's type is said, and where it starts, in `whole`
        for _ in range(EXTENSIONS):
            data, kind = packet.payload, packet.protocol
            if kind in (HOP_BY_HOP, ROUTING, DESTINATION):
                if kind == HOP_BY_HOP and field != 6:
                    self.problem(packet, BAD_NEXT_HEADER, field, now)
                    return Outcome.IPV6_BAD_EXTENSION
                if len(data) < 8:
                    return Outcome.IPV6_BAD_EXTENSION
                size = (data[1] + 1) * 8
                if size > len(data):
                    return Outcome.IPV6_BAD_EXTENSION
                if kind == ROUTING and data[3]:
                    self.problem(packet, BAD_FIELD, place + 2, now)  # the unknown routing type
                    return Outcome.IPV6_BAD_EXTENSION
                if kind in (HOP_BY_HOP, DESTINATION) and not self._options(packet, data[:size], place, now):
                    return Outcome.IPV6_BAD_EXTENSION
                packet.protocol, packet.payload = data[0], data[size:]
                field, place = place, place + size
            elif kind == FRAGMENT:
                if len(data) < 8:
                    return Outcome.IPV6_BAD_EXTENSION
                verdict = self._reassemble(packet, field, place, now)
                if verdict is not None:
                    return verdict
                field, place = 6, HEADER
                if packet.protocol == HOP_BY_HOP:
                    return Outcome.IPV6_BAD_EXTENSION
            elif kind == NO_NEXT:
                return Outcome.IPV6_NO_NEXT_HEADER
            else:
                return self._hand_over(packet, field, now)
        return Outcome.IPV6_BAD_EXTENSION

    def _hand_over(self, packet: Packet, field: int, now: float) -> Outcome:
        if packet.protocol != ICMPV6 and not self.is_host(packet.source):  # discovery has other sources too
            prefixes = self._addresses.prefixes
            if prefixes is not None and prefixes.covers(packet.source):
                prefixes.suspect(packet.source, now)
            return Outcome.IPV6_BAD_SOURCE
        handler = self.handlers.get(packet.protocol)
        if handler is not None:
            return handler(packet, now)
        self.problem(packet, BAD_NEXT_HEADER, field, now)
        return Outcome.IPV6_UNKNOWN_PROTOCOL

    def _options(self, packet: Packet, data: memoryview, place: int, now: float) -> bool:
        """Whether a header of options lets the packet pass (RFC 8200 section 4.2)."""
        at = 2
        while at < len(data):
            kind = data[at]
            if kind == 0:  # Pad1
                at += 1
                continue
            if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
                return False
            if kind == ROUTER_ALERT:
                packet.alert = True
            action = kind >> 6
            if action >= 2 and (action == 2 or not is_multicast(packet.target)):
                self.problem(packet, BAD_OPTION, place + at, now)
            if action:
                return False
            at += 2 + data[at + 1]
        return True

    def _reassemble(self, packet: Packet, field: int, place: int, now: float) -> Outcome | None:
        """Put a fragment away; None when `packet` is now the whole datagram."""
        data = packet.payload
        protocol, _, word, identification = struct.unpack_from("!BBHI", data)
        piece, start, more = data[8:], word & 0xFFF8, bool(word & 1)
        if more and len(piece) & 7:
            self.problem(packet, BAD_FIELD, 4, now)
            return Outcome.IPV6_FRAGMENT_DROPPED
        before = place - HEADER  # what the reassembled packet's length counts besides
        if before + start + len(piece) > 0xFFFF:
            self.problem(packet, BAD_FIELD, place + 2, now)
            return Outcome.IPV6_FRAGMENT_DROPPED
        packet.fragmented = True
        if start == 0 and more and not _complete(protocol, piece):  # RFC 7112 section 5
            self.problem(packet, BAD_CHAIN, 0, now)
            return Outcome.IPV6_FRAGMENT_DROPPED
        if start == 0 and not more:  # whole in itself (RFC 6946)
            packet.protocol, packet.payload = protocol, piece
            return None
        key = packet.source + packet.target + identification.to_bytes(4, "big")
        head = header(protocol, packet.source, packet.target, 0, packet.hop_limit)
        whole = self.reassembly.add(key, start, more, piece, head, now, before, packet.group)
        if isinstance(whole, Verdict):
            return Outcome.IPV6_FRAGMENT_HELD if whole is Verdict.HELD else Outcome.IPV6_FRAGMENT_DROPPED
        packet.protocol, packet.group = whole.head[6], whole.group
        packet.whole = memoryview(
            whole.head[:4] + len(whole.payload).to_bytes(2, "big") + whole.head[6:] + whole.payload
        )
        packet.payload = packet.whole[HEADER:]
        return None

    def poll(self, now: float) -> list[Packet]:
        """Give up old fragments; the packets (first fragment only) whose sender should hear of it."""
        expired = []
        for head, piece, group in self.reassembly.poll(now):
            whole = memoryview(head[:4] + len(piece).to_bytes(2, "big") + head[6:] + piece)
            source, target = head[8:24], head[24:]
            expired.append(Packet(source, target, head[6], whole[HEADER:], whole, group, head[7], _NOBODY))
        return expired


def upper_layer(protocol: int, data: memoryview) -> tuple[int, memoryview] | None:
    """The upper-layer protocol behind extension headers, and what of it is there.

    Args:
        protocol: of the first header in `data`.
        data: what follows the IPv6 header.

    Returns:
        None when the chain of headers does not end in `data`, or a fragment other than the first begins.
    """
    for _ in range(EXTENSIONS):
        if protocol not in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION):
            return protocol, data
        if len(data) < 8 or (protocol == FRAGMENT and (data[2] << 8 | data[3]) & 0xFFF8):
            return None
        size = 8 if protocol == FRAGMENT else (data[1] + 1) * 8
        if size > len(data):
            return None
        protocol, data = data[0], data[size:]
    return None


def _complete(protocol: int, data: memoryview) -> bool:
    """Whether a first fragment holds all headers up to the upper-layer one's end."""
    found = upper_layer(protocol, data)
    return found is not None and len(found[1]) >= _UPPER_HEADERS.get(found[0], 0)
