"""The reference reading of rules: what a frame is, and where it goes, in plain Python.

This is what the eBPF programs of `asyncnic.lanes.program` must do to the frame, and that module says which choices both
follow.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from asyncnic.lanes.program import (
    EXTENSION_HEADERS_READ,
    FLOW_FACTOR,
    FLOW_PROTOCOLS,
    FRAGMENT_HEADER,
    IPV4_FRAGMENT_MASK,
    IPV4_OFFSET_MASK,
    IPV6_OFFSET_MASK,
    OPTION_HEADERS,
)
from asyncnic.lanes.rules import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_VLAN,
    ICMP6,
    ND_FIRST,
    ND_LAST,
    DiscoveryTerm,
    EtherTerm,
    LaneRule,
    PrefixTerm,
    ProtocolTerm,
    Rule,
    Term,
    VlanTerm,
)


@dataclass(slots=True)
class Headers:
    """What rules can ask of a frame; None where the frame does not say. `version` is 0 when it is not IP."""

    ethertype: int | None = None
    vlan: int | None = None
    version: int = 0
    source: bytes = b""
    destination: bytes = b""
    protocol: int | None = None
    ports: tuple[int, int] | None = None
    icmp_type: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The lane a frame is steered to, and the rule that sheds it before it is queued there; None: it is kept."""

    lane: int
    shed: int | None


def classify(frame: bytes, lanes: Sequence[LaneRule], shed: Sequence[Rule]) -> Verdict:
    """Where `frame` (from its destination address on, without FCS) goes; indices into `lanes` and `shed`.

    A frame that no lane's rule takes goes to the last lane.
    """
    headers = read_headers(frame)
    lane = next((index for index, lane in enumerate(lanes) if holds(lane.rule, headers)), len(lanes) - 1)
    return Verdict(lane, next((index for index, rule in enumerate(shed) if holds(rule, headers)), None))


def queue_of(frame: bytes, lanes: Sequence[LaneRule], queues: int) -> int:
    """The queue of `frame` where the last lane has `queues` of them: those of the lanes before it come first.

    A flow stays in one queue. It is told by both addresses, and by the ports of a TCP or UDP packet that is no fragment
    and has no IPv6 extension header: fragments of a datagram come to where the first of them does.
    """
    lane = classify(frame, lanes, ()).lane
    if lane < len(lanes) - 1:
        return lane
    headers = read_headers(frame)
    if not headers.version:
        return lane
    addresses = headers.source + headers.destination
    words = list(struct.unpack(f"={len(addresses) // 4}I", addresses))
    at = 18 if headers.vlan is not None else 14
    if headers.version == 4:
        plain = _u16(frame, at + 6) & IPV4_FRAGMENT_MASK == 0 and headers.protocol in FLOW_PROTOCOLS
    else:
        plain = frame[at + 6] in FLOW_PROTOCOLS
    if plain and headers.ports is not None:
        words += headers.ports
    mixed = 0
    for word in words:
        mixed = (mixed + word) * FLOW_FACTOR & 0xFFFF_FFFF
    return lane + (mixed * queues >> 32)


def holds(rule: Rule, headers: Headers) -> bool:
    """True when one of the rule's terms holds, or it has none."""
    return not rule.terms or any(_term_holds(term, headers) for term in rule.terms)


def read_headers(frame: bytes) -> Headers:
    """Read as much as the frame has, never more. Any octets will do."""
    headers = Headers()
    if len(frame) < 14:
        return headers
    headers.ethertype, at = _u16(frame, 12), 14
    if headers.ethertype == ETHERTYPE_VLAN and len(frame) >= 18:
        headers.vlan, headers.ethertype, at = _u16(frame, 14) & 0x0FFF, _u16(frame, 16), 18
    if headers.ethertype == ETHERTYPE_IPV4:
        _read_ipv4(frame, at, headers)
    elif headers.ethertype == ETHERTYPE_IPV6:
        _read_ipv6(frame, at, headers)
    return headers


def _read_ipv4(frame: bytes, at: int, headers: Headers) -> None:
    if len(frame) < at + 20 or frame[at] >> 4 != 4 or frame[at] & 0x0F < 5:
        return
    headers.version, headers.protocol = 4, frame[at + 9]
    headers.source, headers.destination = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    if _u16(frame, at + 6) & IPV4_OFFSET_MASK == 0:
        _read_payload(frame, at + 4 * (frame[at] & 0x0F), headers)


def _read_ipv6(frame: bytes, at: int, headers: Headers) -> None:
    if len(frame) < at + 40 or frame[at] >> 4 != 6:
        return
    headers.version = 6
    headers.source, headers.destination = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
    protocol, at = frame[at + 6], at + 40
    first_fragment = True
    for _ in range(EXTENSION_HEADERS_READ):
        if protocol not in (*OPTION_HEADERS, FRAGMENT_HEADER) or len(frame) < at + 8:
            break
        if protocol == FRAGMENT_HEADER:
            first_fragment = _u16(frame, at + 2) & IPV6_OFFSET_MASK == 0
            protocol, at = frame[at], at + 8
            if not first_fragment:
                break
        else:
            protocol, at = frame[at], at + 8 * (frame[at + 1] + 1)
    headers.protocol = protocol
    if first_fragment:
        _read_payload(frame, at, headers)


def _read_payload(frame: bytes, at: int, headers: Headers) -> None:
    """The first four octets: two ports (TCP, UDP), or type, code and checksum (ICMP); terms ask by protocol."""
    if len(frame) >= at + 4:
        headers.ports, headers.icmp_type = (_u16(frame, at), _u16(frame, at + 2)), frame[at]


def _term_holds(term: Term, headers: Headers) -> bool:
    match term:
        case EtherTerm(number):
            return headers.ethertype == number
        case VlanTerm(number):
            return headers.vlan == number
        case ProtocolTerm(number, versions, port):
            if headers.protocol != number or headers.version not in versions:
                return False
            return port is None or (headers.ports is not None and port in headers.ports)
        case DiscoveryTerm():
            if headers.protocol != ICMP6 or headers.version != 6 or headers.icmp_type is None:
                return False
            return ND_FIRST <= headers.icmp_type <= ND_LAST
        case PrefixTerm(source, network):
            if headers.version != network.version:
                return False
            address = int.from_bytes(headers.source if source else headers.destination, "big")
            return address & int(network.netmask) == int(network.network_address)


def _u16(frame: bytes, at: int) -> int:
    return frame[at] << 8 | frame[at + 1]
