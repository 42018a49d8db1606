"""Compiles rules into the two eBPF programs of a TAP. Pure: makes instructions, asks no kernel.

The *steering* program names the queue, that is the lane, of a frame. The kernel runs it before it cuts a large send
into frames, and not at all on a TAP of one queue; so it does not count. The *filter* program is run for each single
frame, after it was steered and right before it is queued: it sheds, keeps each lane's queue to its depth, and counts
what it does in words that the process shares (`COUNTER_OCTETS`, laid out below). What they read of a frame:

- One 802.1Q tag (TPID 0x8100) is read; a second tag, or 802.1ad, leaves an EtherType that nothing below it is read
  from.
- IPv4 needs its 20 octets, version 4 and IHL >= 5; IPv6 its 40 octets and version 6. Otherwise only EtherType and
  VLAN are known. Length fields and checksums are not looked at.
- IPv6 extension headers: up to four of hop-by-hop (0), routing (43), fragment (44), destination options (60). The
  protocol is the number that the walk stops at: behind a fifth, or one that is cut off, it is that header's own
  number.
- Ports and ICMPv6 type need the first four octets of the payload, and a fragment that is not the first has none:
  there only protocol and addresses can hold.

Loads go through a helper (`skb_load_bytes`), not through the packet load instructions: those end the program with 0
on a short frame, which would mean "highest lane" to the one program and "drop" to the other.
"""

import struct
from collections.abc import Sequence
from ipaddress import IPv6Network

from asyncnic.lanes.assembler import R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Assembler, Register
from asyncnic.lanes.rules import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_VLAN,
    ICMP6,
    MAX_LANES,
    MAX_SHED_RULES,
    ND_FIRST,
    ND_LAST,
    TCP,
    UDP,
    DiscoveryTerm,
    EtherTerm,
    LaneRule,
    PrefixTerm,
    ProtocolTerm,
    Rule,
    Term,
    VlanTerm,
)

EXTENSION_HEADERS_READ = 4
FRAGMENT_HEADER = 44  # RFC 8200, section 4.5
OPTION_HEADERS = (
    0,
    43,
    60,
)  # hop-by-hop, routing, destination: length in units of 8 octets beyond the first (RFC 8200)
IPV4_OFFSET_MASK = 0x1FFF  # of flags and fragment offset (RFC 791, section 3.1)
IPV6_OFFSET_MASK = 0xFFF8  # of offset, reserved bits and M

IPV4_FRAGMENT_MASK = 0x3FFF  # offset, and the flag that more fragments follow
FLOW_PROTOCOLS = (TCP, UDP)
FLOW_FACTOR = 0x61C8_8647
"""2^32 divided by the square of the golden ratio: multiples of it lie evenly among all remainders, so that ports one
after the other come to different queues."""

# Shared words, by index. Each lane has a cache line pair of its own, one line written by the kernel and one by us.
LANE_WORDS = 16
ACCEPTED = 0  # frames let into the queue, ever
OVERFLOWED = 1  # frames dropped because the queue was at its depth
LEFT = 8  # of the accepted, those that are no longer in the queue; we write it
DEPTH = 9  # how many frames may wait; we write it
SHED_WORDS = MAX_LANES * LANE_WORDS  # first word of the shed counters
SHED_SLOTS = 2 * MAX_SHED_RULES
COUNTER_OCTETS = 8 * (SHED_WORDS + SHED_SLOTS)
_LANE_SHIFT = (8 * LANE_WORDS).bit_length() - 1

_SKB_LOAD_BYTES = 26  # helper: copy r4 octets at offset r2 of frame r1 to r3; not 0 when the frame is shorter
# Fields of the context that the kernel shows of a frame (struct __sk_buff).
_LENGTH, _QUEUE, _VLAN_PRESENT, _VLAN_TCI, _VLAN_PROTOCOL = 0, 12, 20, 24, 28

# Stack, from r10 down: what was read from the frame. Registers: r6 context, r7 EtherType, r8 offset of the next header.
_HEADER = -48  # the IP header, 40 octets at most
_SCRATCH = -56
_VLAN, _VERSION, _PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT, _ICMP_TYPE = -64, -72, -80, -88, -96, -104
_UNKNOWN = 0x1_0000  # in these fields: more than any value on the wire
_IPV4_ADDRESSES, _IPV6_ADDRESSES = (_HEADER + 12, _HEADER + 16), (_HEADER + 8, _HEADER + 24)


def steering_program(lanes: Sequence[LaneRule]) -> Assembler:
    """Program whose result is the index of the lane that a frame belongs to; the last one when no rule takes it."""
    code = Assembler()
    _read_headers(code)
    labels = [code.fresh(f"lane {lane.name}") for lane in lanes]
    for lane, label in zip(lanes[:-1], labels, strict=False):
        _match_rule(code, lane.rule, label)
    for index, label in reversed(list(enumerate(labels))):
        code.label(label)
        code.arithmetic(R0, "=", index)
        code.exit()
    return code


def spreading_program(lanes: Sequence[LaneRule], queues: int) -> Assembler:
    """As `steering_program`, but the last lane has `queues` queues, over which its flows are spread:
    by a hash of their addresses and ports, each step of it a multiplication by `FLOW_FACTOR`.
    """
    code = Assembler()
    _read_headers(code)
    labels = [code.fresh(f"lane {lane.name}") for lane in lanes]
    for lane, label in zip(lanes[:-1], labels, strict=False):
        _match_rule(code, lane.rule, label)
    code.arithmetic(R0, "=", 0)
    code.load(R1, R10, _VERSION, 8)
    code.jump_if(R1, "==", 0, "spread")
    code.jump_if(R1, "==", 6, "flow of ipv6")
    _mix(code, *_IPV4_ADDRESSES)
    _load_u16(code, R1, _HEADER + 6)
    code.arithmetic(R1, "&=", IPV4_FRAGMENT_MASK)
    code.jump_if(R1, "!=", 0, "spread")
    code.load(R1, R10, _HEADER + 9, 1)
    code.jump("ports")
    code.label("flow of ipv6")
    _mix(code, *range(_IPV6_ADDRESSES[0], _IPV6_ADDRESSES[0] + 32, 4))
    code.load(R1, R10, _HEADER + 6, 1)
    code.label("ports")
    for protocol in FLOW_PROTOCOLS:
        code.jump_if(R1, "==", protocol, "mix ports")
    code.jump("spread")
    code.label("mix ports")
    code.load(R1, R10, _SOURCE_PORT, 8)
    code.jump_if(R1, "==", _UNKNOWN, "spread")
    for place in (_SOURCE_PORT, _DESTINATION_PORT):
        _mix(code, place)
    code.label("spread")
    code.arithmetic(R0, "<<=", 32)
    code.arithmetic(R0, ">>=", 32)
    code.arithmetic(R0, "*=", queues)
    code.arithmetic(R0, ">>=", 32)
    code.arithmetic(R0, "+=", len(lanes) - 1)
    code.exit()
    for index, label in enumerate(labels[:-1]):
        code.label(label)
        code.arithmetic(R0, "=", index)
        code.exit()
    return code


def _mix(code: Assembler, *places: int) -> None:
    """r0 = mixed with the 32-bit words on the stack at `places`; its low 32 bits count."""
    for place in places:
        code.load(R1, R10, place, 4)
        code.arithmetic(R0, "+=", R1)
        code.arithmetic(R0, "*=", FLOW_FACTOR)


def filter_program(shed: Sequence[tuple[Rule, int]], counters: int) -> Assembler:
    """Program whose result is how many octets of a frame to queue: all of them, or 0 to drop it.

    Args:
        shed: rules in order, each with the slot of its counter (0 .. SHED_SLOTS - 1).
        counters: descriptor of the map of `COUNTER_OCTETS`.
    """
    code = Assembler()
    if shed:
        _read_headers(code)
    else:
        code.arithmetic(R6, "=", R1)
    labels = [code.fresh(f"shed {rule.text}") for rule, _ in shed]
    for (rule, _), label in zip(shed, labels, strict=True):
        _match_rule(code, rule, label)
    _admit(code, counters)
    for (_, slot), label in zip(shed, labels, strict=True):
        code.label(label)
        code.map_value(R2, counters, 8 * (SHED_WORDS + slot))
        code.jump("shed")
    if shed:
        code.label("shed")
        code.arithmetic(R1, "=", 1)
        code.atomic_add(R2, 0, R1)
        code.arithmetic(R0, "=", 0)
        code.exit()
    return code


def _admit(code: Assembler, counters: int) -> None:
    """Take a place in the lane's queue, or give it back and drop when that is one too many.

    The place is taken first and judged afterwards, so that processors that come together cannot overfill the queue.
    Waiting frames are compared signed: frames from before we were attached may have left the queue uncounted.
    """
    code.load(R7, R6, _QUEUE, 4)
    code.jump_if(R7, ">=", MAX_LANES, "keep")  # a queue that someone else opened
    code.arithmetic(R7, "<<=", _LANE_SHIFT)
    code.map_value(R8, counters)
    code.arithmetic(R8, "+=", R7)
    code.arithmetic(R1, "=", 1)
    code.fetch_add(R8, 8 * ACCEPTED, R1)
    code.load(R2, R8, 8 * LEFT, 8)
    code.arithmetic(R1, "-=", R2)
    code.load(R2, R8, 8 * DEPTH, 8)
    code.jump_if(R1, "s<", R2, "keep")
    code.arithmetic(R1, "=", -1)
    code.atomic_add(R8, 8 * ACCEPTED, R1)
    code.arithmetic(R1, "=", 1)
    code.atomic_add(R8, 8 * OVERFLOWED, R1)
    code.arithmetic(R0, "=", 0)
    code.exit()
    code.label("keep")
    code.load(R0, R6, _LENGTH, 4)
    code.exit()


def _read_headers(code: Assembler) -> None:
    """r6 = context, r7 = EtherType, stack = all else that rules ask for."""
    code.arithmetic(R6, "=", R1)
    for place in range(_HEADER, 0, 8):
        code.store(R10, place, 0, 8)
    code.store(R10, _SCRATCH, 0, 8)
    code.store(R10, _VERSION, 0, 8)
    for place in (_VLAN, _PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT, _ICMP_TYPE):
        code.store(R10, place, _UNKNOWN, 8)
    code.arithmetic(R7, "=", 0)
    _read_ethernet(code)
    code.label("network")
    code.jump_if(R7, "==", ETHERTYPE_IPV4, "ipv4")
    code.jump_if(R7, "==", ETHERTYPE_IPV6, "ipv6")
    code.jump("read")
    _read_ipv4(code)
    _read_ipv6(code)
    code.label("payload")
    _load(code, R8, _SCRATCH, 4, "read")
    _load_u16(code, R1, _SCRATCH)
    code.store(R10, _SOURCE_PORT, R1, 8)
    _load_u16(code, R1, _SCRATCH + 2)
    code.store(R10, _DESTINATION_PORT, R1, 8)
    code.load(R1, R10, _SCRATCH, 1)
    code.store(R10, _ICMP_TYPE, R1, 8)
    code.label("read")


def _read_ethernet(code: Assembler) -> None:
    """A tag lies in the frame, or beside it where the kernel took it off (a bridge does); the TAP's reader sees it."""
    _load(code, 12, _SCRATCH, 2, "read")
    _load_u16(code, R7, _SCRATCH)
    code.arithmetic(R8, "=", 14)
    code.load(R1, R6, _VLAN_PRESENT, 4)
    code.jump_if(R1, "==", 0, "tag inside")
    code.load(R1, R6, _VLAN_PROTOCOL, 4)
    code.big_endian(R1, 16)
    code.load(R2, R6, _VLAN_TCI, 4)
    code.jump_if(R1, "==", ETHERTYPE_VLAN, "tag")
    code.arithmetic(R7, "=", R1)  # 802.1ad: not read further
    code.jump("read")
    code.label("tag inside")
    code.jump_if(R7, "!=", ETHERTYPE_VLAN, "network")
    _load(code, 14, _SCRATCH, 4, "read")
    _load_u16(code, R2, _SCRATCH)
    _load_u16(code, R7, _SCRATCH + 2)
    code.arithmetic(R8, "=", 18)
    code.label("tag")
    code.arithmetic(R2, "&=", 0x0FFF)
    code.store(R10, _VLAN, R2, 8)


def _read_ipv4(code: Assembler) -> None:
    code.label("ipv4")
    _load(code, R8, _HEADER, 20, "read")
    code.load(R1, R10, _HEADER, 1)
    code.arithmetic(R2, "=", R1)
    code.arithmetic(R2, ">>=", 4)
    code.jump_if(R2, "!=", 4, "read")
    code.arithmetic(R1, "&=", 0x0F)
    code.jump_if(R1, "<", 5, "read")
    code.store(R10, _VERSION, 4, 8)
    code.load(R2, R10, _HEADER + 9, 1)
    code.store(R10, _PROTOCOL, R2, 8)
    code.arithmetic(R1, "<<=", 2)
    code.arithmetic(R8, "+=", R1)
    _load_u16(code, R1, _HEADER + 6)
    code.arithmetic(R1, "&=", IPV4_OFFSET_MASK)
    code.jump_if(R1, "!=", 0, "read")
    code.jump("payload")


def _read_ipv6(code: Assembler) -> None:
    """r9 = the next header. The walk is written out once a header that may be there."""
    code.label("ipv6")
    _load(code, R8, _HEADER, 40, "read")
    code.load(R1, R10, _HEADER, 1)
    code.arithmetic(R1, ">>=", 4)
    code.jump_if(R1, "!=", 6, "read")
    code.store(R10, _VERSION, 6, 8)
    code.load(R9, R10, _HEADER + 6, 1)
    code.arithmetic(R8, "+=", 40)
    for _ in range(EXTENSION_HEADERS_READ):
        options, following = code.fresh("options"), code.fresh("following")
        for number in OPTION_HEADERS:
            code.jump_if(R9, "==", number, options)
        code.jump_if(R9, "!=", FRAGMENT_HEADER, "protocol")
        _load(code, R8, _SCRATCH, 8, "protocol")
        code.load(R9, R10, _SCRATCH, 1)
        code.arithmetic(R8, "+=", 8)
        _load_u16(code, R1, _SCRATCH + 2)
        code.arithmetic(R1, "&=", IPV6_OFFSET_MASK)
        code.jump_if(R1, "==", 0, following)
        code.jump("protocol of a later fragment")
        code.label(options)
        _load(code, R8, _SCRATCH, 8, "protocol")
        code.load(R9, R10, _SCRATCH, 1)
        code.load(R1, R10, _SCRATCH + 1, 1)
        code.arithmetic(R1, "+=", 1)
        code.arithmetic(R1, "<<=", 3)
        code.arithmetic(R8, "+=", R1)
        code.label(following)
    code.label("protocol")
    code.store(R10, _PROTOCOL, R9, 8)
    code.jump("payload")
    code.label("protocol of a later fragment")
    code.store(R10, _PROTOCOL, R9, 8)
    code.jump("read")


def _load(code: Assembler, offset: Register | int, place: int, octets: int, missing: str) -> None:
    """Copy `octets` of the frame at `offset` to the stack at `place`; go on at `missing` when it has not as many."""
    code.arithmetic(R1, "=", R6)
    code.arithmetic(R2, "=", offset)
    code.arithmetic(R3, "=", R10)
    code.arithmetic(R3, "+=", place)
    code.arithmetic(R4, "=", octets)
    code.call(_SKB_LOAD_BYTES)
    code.jump_if(R0, "!=", 0, missing)


def _load_u16(code: Assembler, register: Register, place: int) -> None:
    """register = two octets on the stack at `place`, as the wire orders them."""
    code.load(register, R10, place, 2)
    code.big_endian(register, 16)


def _match_rule(code: Assembler, rule: Rule, label: str) -> None:
    """Go on at `label` when the rule holds, else fall through."""
    if not rule.terms:
        code.jump(label)
    for term in rule.terms:
        otherwise = code.fresh("no")
        _match_term(code, term, label, otherwise)
        code.label(otherwise)


def _match_term(code: Assembler, term: Term, label: str, otherwise: str) -> None:
    match term:
        case EtherTerm(number):
            code.jump_if(R7, "==", number, label)
        case VlanTerm(number):
            code.load(R1, R10, _VLAN, 8)
            code.jump_if(R1, "==", number, label)
        case ProtocolTerm(number, versions, port):
            _require_protocol(code, number, versions, otherwise)
            if port is None:
                code.jump(label)
            else:
                for place in (_SOURCE_PORT, _DESTINATION_PORT):
                    code.load(R1, R10, place, 8)
                    code.jump_if(R1, "==", port, label)
        case DiscoveryTerm():
            _require_protocol(code, ICMP6, (6,), otherwise)
            code.load(R1, R10, _ICMP_TYPE, 8)
            code.jump_if(R1, "<", ND_FIRST, otherwise)
            code.jump_if(R1, "<=", ND_LAST, label)
        case PrefixTerm():
            _match_prefix(code, term, label, otherwise)


def _require_protocol(code: Assembler, number: int, versions: tuple[int, ...], otherwise: str) -> None:
    code.load(R1, R10, _PROTOCOL, 8)
    code.jump_if(R1, "!=", number, otherwise)
    if len(versions) == 1:  # a protocol number is only known where there is an IP version
        code.load(R1, R10, _VERSION, 8)
        code.jump_if(R1, "!=", versions[0], otherwise)


def _match_prefix(code: Assembler, term: PrefixTerm, label: str, otherwise: str) -> None:
    """Compare 32 bits at a time, in the machine's byte order on both sides, as far as the prefix reaches."""
    network = term.network
    code.load(R1, R10, _VERSION, 8)
    code.jump_if(R1, "!=", network.version, otherwise)
    places = _IPV6_ADDRESSES if isinstance(network, IPv6Network) else _IPV4_ADDRESSES
    place = places[0] if term.source else places[1]
    address, mask = network.network_address.packed, network.netmask.packed
    words = len(address) // 4
    wanted, masks = struct.unpack(f"={words}I", address), struct.unpack(f"={words}I", mask)
    for index in range(words):
        if masks[index] == 0:
            break
        code.load(R1, R10, place + 4 * index, 4)
        if masks[index] != 0xFFFF_FFFF:
            code.arithmetic(R1, "&=", masks[index])
        code.jump_if_word(R1, "!=", wanted[index], otherwise)
    code.jump(label)
