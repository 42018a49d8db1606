"""Classic BPF, the kind of program that needs no privilege: an assembler, and rules of lanes written in it.

A program here answers for one packet socket whether it takes a frame. What a rule reads of a frame is what `program`
says, to the letter. Loads beyond a frame's end would end the program with "drop", so every one is behind a look at the
length. Pure: makes instructions, asks no kernel.
"""

import struct
from collections.abc import Sequence

from asyncnic.lanes.program import (
    EXTENSION_HEADERS_READ,
    FRAGMENT_HEADER,
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
    PrefixTerm,
    ProtocolTerm,
    Rule,
    Term,
    VlanTerm,
)

# linux/bpf_common.h; conditional jumps go forward, over so many instructions.
LOAD_WORD, LOAD_HALF, LOAD_OCTET = 0x20, 0x28, 0x30
LOAD_HALF_INDEXED, LOAD_IPV4_HEADER_LENGTH = 0x48, 0xB1
IF_EQUAL, IF_ABOVE, IF_SET, AND = 0x15, 0x25, 0x45, 0x54
_LOAD_NUMBER, _LOAD_LENGTH, _LOAD_KEPT, _INDEX_KEPT, _KEEP = 0x00, 0x80, 0x60, 0x61, 0x02
_LOAD_WORD_INDEXED, _LOAD_OCTET_INDEXED = 0x40, 0x50
_ADD, _ADD_INDEX, _SHIFT_LEFT, _SHIFT_RIGHT, _TO_INDEX = 0x04, 0x0C, 0x64, 0x74, 0x07
_IF_AT_LEAST, _IF_AT_LEAST_INDEX = 0x35, 0x3D
_GO, _RETURN = 0x05, 0x06
PACKET_TYPE, VLAN_TAG_PRESENT = 0xFFFF_F000 + 4, 0xFFFF_F000 + 48
"""Loads that look beside the frame (SKF_AD_OFF, linux/filter.h)."""
_VLAN_TAG, _VLAN_TYPE = 0xFFFF_F000 + 44, 0xFFFF_F000 + 60
_WHOLE = 0x7FFF_FFFF
MOST_INSTRUCTIONS = 4096
"""BPF_MAXINSNS."""

# Words that a program keeps, by number: what was read from the frame.
_ETHERTYPE, _VLAN, _VERSION, _PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT, _ICMP_TYPE, _NETWORK, _PAYLOAD, _NEXT = range(
    10
)
_UNKNOWN = 0x1_0000
"""In these words: more than any value on the wire."""


class Code:
    """A program under construction. Conditional jumps reach 255 instructions: those to a label go by a long one.

    Args:
        takes: whether `accept` ends the program; else it goes on at the label "accepted", for `select`.
    """

    def __init__(self, takes: bool = True) -> None:
        self._code: list[tuple[int, int, int | str, int | str]] = []
        self._labels: dict[str, int] = {}
        self._takes = takes

    def append(self, code: int, value: int | str = 0, when: int = 0, otherwise: int | str = 0) -> None:
        """One instruction; a `value` that is a label goes there, and so does an `otherwise` that is one nearby."""
        self._code.append((code, when, otherwise, value))

    def label(self, name: str) -> None:
        """Here is `name`."""
        self._labels[name] = len(self._code)

    def fresh(self, name: str) -> str:
        """A label that there is not yet."""
        return f"{name} {len(self._code)}"

    def go(self, label: str) -> None:
        """Go on at `label`, further on."""
        self.append(_GO, label)

    def unless(self, test: int, value: int, label: str) -> None:
        """Go on at `label` unless the test holds."""
        self.append(test, value, 1, 0)
        self.append(_GO, label)

    def when(self, test: int, value: int, label: str) -> None:
        """Go on at `label` when the test holds."""
        self.append(test, value, 0, 1)
        self.append(_GO, label)

    def accept_if(self, value: int) -> None:
        """Accept a frame of which what was loaded is `value`."""
        self.append(IF_EQUAL, value, 0, 1)
        self.accept()

    def accept(self) -> None:
        """The frame is wanted."""
        if self._takes:
            self.append(_RETURN, _WHOLE)
        else:
            self.append(_GO, "accepted")

    def drop(self) -> None:
        """The frame is not for this socket."""
        self.append(_RETURN, 0)

    def select(self, taken_before: Sequence[Rule], own: Rule, shed: Sequence[Rule]) -> None:
        """The end of a program for one lane of several: take what was accepted and is the lane's.

        Args:
            taken_before: the rules of the lanes before it.
            own: its rule; without terms it takes the rest.
            shed: what no lane takes.
        """
        self.label("accepted")
        _read_headers(self)
        for rule in (*shed, *taken_before):
            _match_rule(self, rule, "not this lane's")
        if own.terms:
            _match_rule(self, own, "this lane's")
        else:
            self.go("this lane's")
        self.label("not this lane's")
        self.drop()
        self.label("this lane's")
        self.append(_RETURN, _WHOLE)

    def encoded(self) -> bytes:
        """As `struct sock_filter`s."""
        octets = bytearray()
        for position, (code, when, otherwise, value) in enumerate(self._code):
            number, other = (
                self._labels[target] - position - 1 if isinstance(target, str) else target
                for target in (value, otherwise)
            )
            octets += struct.pack("=HBBI", code, when, other, number)
        return bytes(octets)


def _read_headers(code: Code) -> None:
    """All words that are kept, from `_ETHERTYPE` on."""
    code.append(_LOAD_NUMBER, 0)
    for word in (_ETHERTYPE, _VERSION, _NETWORK):  # the kernel wants a word that may be read to be kept on every way
        code.append(_KEEP, word)
    code.append(_LOAD_NUMBER, _UNKNOWN)
    for word in (_VLAN, _PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT, _ICMP_TYPE):
        code.append(_KEEP, word)
    code.append(_LOAD_LENGTH)
    code.unless(_IF_AT_LEAST, 14, "read")
    code.append(LOAD_HALF, 12)
    code.append(_KEEP, _ETHERTYPE)
    code.append(LOAD_OCTET, VLAN_TAG_PRESENT)
    code.when(IF_EQUAL, 0, "tag inside")
    code.append(LOAD_HALF, _VLAN_TYPE)
    code.when(IF_EQUAL, ETHERTYPE_VLAN, "tag beside")
    code.append(_KEEP, _ETHERTYPE)  # 802.1ad: not read further
    code.go("read")
    code.label("tag beside")
    code.append(LOAD_HALF, _VLAN_TAG)
    _keep_tag(code)
    code.go("untagged")
    code.label("tag inside")
    code.append(_LOAD_KEPT, _ETHERTYPE)
    code.unless(IF_EQUAL, ETHERTYPE_VLAN, "untagged")
    code.append(_LOAD_LENGTH)
    code.unless(_IF_AT_LEAST, 18, "read")
    code.append(LOAD_HALF, 14)
    _keep_tag(code)
    code.append(LOAD_HALF, 16)
    code.append(_KEEP, _ETHERTYPE)
    code.append(_LOAD_NUMBER, 18)
    code.go("network")
    code.label("untagged")
    code.append(_LOAD_NUMBER, 14)
    code.label("network")
    code.append(_KEEP, _NETWORK)
    code.append(_LOAD_KEPT, _ETHERTYPE)
    code.when(IF_EQUAL, ETHERTYPE_IPV4, "ipv4")
    code.when(IF_EQUAL, ETHERTYPE_IPV6, "ipv6")
    code.go("read")
    _read_ipv4(code)
    _read_ipv6(code)
    code.label("payload")
    _has(code, _PAYLOAD, 4, "read")
    for word, load, offset in (
        (_SOURCE_PORT, LOAD_HALF_INDEXED, 0),
        (_DESTINATION_PORT, LOAD_HALF_INDEXED, 2),
        (_ICMP_TYPE, _LOAD_OCTET_INDEXED, 0),
    ):
        code.append(load, offset)
        code.append(_KEEP, word)
    code.label("read")


def _keep_tag(code: Code) -> None:
    code.append(AND, 0x0FFF)
    code.append(_KEEP, _VLAN)


def _has(code: Code, start: int, octets: int, missing: str) -> None:
    """Index = what is kept in `start`; go on at `missing` when the frame has not as many octets from there on."""
    code.append(_LOAD_KEPT, start)
    code.append(_ADD, octets)
    code.append(_TO_INDEX)
    code.append(_LOAD_LENGTH)
    code.append(_IF_AT_LEAST_INDEX, 0, 1, 0)
    code.go(missing)
    code.append(_INDEX_KEPT, start)


def _read_ipv4(code: Code) -> None:
    code.label("ipv4")
    _has(code, _NETWORK, 20, "read")
    code.append(_LOAD_OCTET_INDEXED, 0)
    code.append(_SHIFT_RIGHT, 4)
    code.unless(IF_EQUAL, 4, "read")
    code.append(_LOAD_OCTET_INDEXED, 0)
    code.append(AND, 0x0F)
    code.unless(_IF_AT_LEAST, 5, "read")
    code.append(_SHIFT_LEFT, 2)
    code.append(_ADD_INDEX)
    code.append(_KEEP, _PAYLOAD)
    code.append(_LOAD_NUMBER, 4)
    code.append(_KEEP, _VERSION)
    code.append(_LOAD_OCTET_INDEXED, 9)
    code.append(_KEEP, _PROTOCOL)
    code.append(LOAD_HALF_INDEXED, 6)
    code.when(IF_SET, IPV4_OFFSET_MASK, "read")
    code.go("payload")


def _read_ipv6(code: Code) -> None:
    """The walk over extension headers is written out once a header that may be there."""
    code.label("ipv6")
    _has(code, _NETWORK, 40, "read")
    code.append(_LOAD_OCTET_INDEXED, 0)
    code.append(_SHIFT_RIGHT, 4)
    code.unless(IF_EQUAL, 6, "read")
    code.append(_LOAD_NUMBER, 6)
    code.append(_KEEP, _VERSION)
    code.append(_LOAD_OCTET_INDEXED, 6)
    code.append(_KEEP, _NEXT)
    code.append(_LOAD_KEPT, _NETWORK)
    code.append(_ADD, 40)
    code.append(_KEEP, _PAYLOAD)
    for _ in range(EXTENSION_HEADERS_READ):
        options, following = code.fresh("options"), code.fresh("following")
        code.append(_LOAD_KEPT, _NEXT)
        for number in OPTION_HEADERS:
            code.when(IF_EQUAL, number, options)
        code.unless(IF_EQUAL, FRAGMENT_HEADER, "protocol")
        _has(code, _PAYLOAD, 8, "protocol")
        code.append(_LOAD_OCTET_INDEXED, 0)
        code.append(_KEEP, _NEXT)
        code.append(LOAD_HALF_INDEXED, 2)
        code.when(IF_SET, IPV6_OFFSET_MASK, "protocol of a later fragment")
        code.append(_LOAD_NUMBER, 8)
        code.append(_ADD_INDEX)
        code.append(_KEEP, _PAYLOAD)
        code.go(following)
        code.label(options)
        _has(code, _PAYLOAD, 8, "protocol")
        code.append(_LOAD_OCTET_INDEXED, 0)
        code.append(_KEEP, _NEXT)
        code.append(_LOAD_OCTET_INDEXED, 1)
        code.append(_ADD, 1)
        code.append(_SHIFT_LEFT, 3)
        code.append(_ADD_INDEX)
        code.append(_KEEP, _PAYLOAD)
        code.label(following)
    code.label("protocol")
    code.append(_LOAD_KEPT, _NEXT)
    code.append(_KEEP, _PROTOCOL)
    code.go("payload")
    code.label("protocol of a later fragment")
    code.append(_LOAD_KEPT, _NEXT)
    code.append(_KEEP, _PROTOCOL)
    code.go("read")


def _match_rule(code: Code, rule: Rule, label: str) -> None:
    """Go on at `label` when a term of the rule holds, else fall through."""
    for term in rule.terms:
        otherwise = code.fresh("no")
        _match_term(code, term, label, otherwise)
        code.label(otherwise)


def _match_term(code: Code, term: Term, label: str, otherwise: str) -> None:
    match term:
        case EtherTerm(number):
            code.append(_LOAD_KEPT, _ETHERTYPE)
            code.when(IF_EQUAL, number, label)
        case VlanTerm(number):
            code.append(_LOAD_KEPT, _VLAN)
            code.when(IF_EQUAL, number, label)
        case ProtocolTerm(number, versions, port):
            _require_protocol(code, number, versions, otherwise)
            if port is None:
                code.go(label)
            else:
                for word in (_SOURCE_PORT, _DESTINATION_PORT):
                    code.append(_LOAD_KEPT, word)
                    code.when(IF_EQUAL, port, label)
        case DiscoveryTerm():
            _require_protocol(code, ICMP6, (6,), otherwise)
            code.append(_LOAD_KEPT, _ICMP_TYPE)
            code.unless(_IF_AT_LEAST, ND_FIRST, otherwise)
            code.unless(IF_ABOVE, ND_LAST, label)
        case PrefixTerm():
            _match_prefix(code, term, label, otherwise)


def _require_protocol(code: Code, number: int, versions: tuple[int, ...], otherwise: str) -> None:
    code.append(_LOAD_KEPT, _PROTOCOL)
    code.append(IF_EQUAL, number, 0, otherwise)
    if len(versions) == 1:  # a protocol number is only known where there is an IP version
        code.append(_LOAD_KEPT, _VERSION)
        code.append(IF_EQUAL, versions[0], 0, otherwise)


def _match_prefix(code: Code, term: PrefixTerm, label: str, otherwise: str) -> None:
    network = term.network
    code.append(_LOAD_KEPT, _VERSION)
    code.append(IF_EQUAL, network.version, 0, otherwise)
    place = {(4, True): 12, (4, False): 16, (6, True): 8, (6, False): 24}[network.version, term.source]
    code.append(_INDEX_KEPT, _NETWORK)
    address, mask = network.network_address.packed, network.netmask.packed
    for start in range(0, len(address), 4):
        wanted, ones = (int.from_bytes(octets[start : start + 4], "big") for octets in (address, mask))
        if not ones:
            break
        code.append(_LOAD_WORD_INDEXED, place + start)
        if ones != 0xFFFF_FFFF:
            code.append(AND, ones)
        code.append(IF_EQUAL, wanted, 0, otherwise)
    code.go(label)
