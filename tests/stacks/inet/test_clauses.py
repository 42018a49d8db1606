"""Clause by clause, what is decided about headers, options, fragments: RFC 1122 section 3.2, 8200, 7112, 4302, 4443.

A case is the clause, the frames, where they end, and the type and code of the ICMP messages that come back."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from tests.stacks.inet.test_ipv6 import extension, fragment
from tests.stacks.inet.wire import (
    BROADCAST,
    HOST,
    HOST6,
    PEER,
    PEER6,
    PEER_LOCAL6,
    Bench,
    echo4,
    filled,
    group_mac,
    icmp6,
    ipv4,
    ipv6,
    packed,
    udp,
    udp6,
)

ECHO, ECHO6 = echo4(b"hello"), icmp6(128, 0, b"\x12\x34\0\x01hello")
ECHOED, ECHOED6 = ("icmp", "echo_request"), ("icmpv6", "echo_request")
BAD_EXTENSION, DROPPED, HELD = ("ipv6", "bad_extension"), ("ipv6", "fragment_dropped"), ("ipv6", "fragment_held")
UNKNOWN4, UNKNOWN6, BAD_SOURCE = ("ipv4", "unknown_protocol"), ("ipv6", "unknown_protocol"), ("ipv4", "bad_source")
BAD_OPTION, ROUTED, NOT_OURS = ("ipv4", "bad_option"), ("ipv4", "source_routed"), ("ipv4", "not_ours")
ANSWER, ANSWER6 = [(0, 0)], [(129, 0)]
REPORT = icmp6(1, 4, bytes(4) + udp6(b"", 7, 5000, HOST6, PEER6)[14:])  # an ICMPv6 error
REDIRECT = icmp6(137, 0, bytes(36))
ERROR4 = filled(b"\3\3\0\0" + bytes(4) + ipv4(17, udp(b"", 7, 9, HOST, PEER), HOST, PEER)[14:42], 2)
UNKNOWN_10, UNKNOWN_11 = b"\x9e\x04\0\0\0\0", b"\xde\x04\0\0\0\0"
ALL = "ff02::1"


class Case(NamedTuple):
    clause: str
    frames: list[bytes]
    ends: list[tuple[str, str]]
    replies: Sequence[tuple[int, int]] = ()


def options4(octets: bytes, payload: bytes = ECHO) -> list[bytes]:
    return [ipv4(1, payload, options=octets.ljust(-(-len(octets) // 4) * 4, b"\0"))]


def changed(frame: bytes, at: int, octets: bytes) -> bytes:
    """An IPv4 frame with other octets at `at` of its header, and the checksum that follows."""
    head = bytearray(frame[14:34])
    head[at : at + len(octets)], head[10:12] = octets, b"\0\0"
    return frame[:14] + filled(bytes(head), 10) + frame[34:]


def to_all(protocol: int, payload: bytes) -> list[bytes]:
    return [ipv6(protocol, payload, PEER_LOCAL6, ALL, mac=group_mac(ALL))]


def all_echo(payload: bytes = b"\x12\x34\0\x01hello") -> bytes:
    return icmp6(128, 0, payload, PEER_LOCAL6, ALL)


BROKEN = ipv4(1, ECHO)
CASES4 = [
    Case("3.2.1.1: a version other than 4 is dropped", [BROKEN[:14] + b"\x55" + BROKEN[15:]], [("ipv4", "bad_header")]),
    Case("3.2.1.2: a bad checksum is dropped", [BROKEN[:24] + b"\1\1" + BROKEN[26:]], [("ipv4", "bad_checksum")]),
    Case("3.2.1.3: not to us", [ipv4(1, ECHO, target="192.0.2.77")], [NOT_OURS]),
    Case("3.2.1.3 a: {0,0} is no source", [ipv4(1, ECHO, "0.0.0.0")], [BAD_SOURCE]),
    Case("3.2.1.3 b: {0,host} is no source", [ipv4(1, ECHO, "0.0.2.1")], [BAD_SOURCE]),
    Case("3.2.1.3 c: {-1,-1} is no source", [ipv4(1, ECHO, "255.255.255.255")], [BAD_SOURCE]),
    Case("3.2.1.3 d: {net,-1} is no source", [ipv4(1, ECHO, "192.0.2.255")], [BAD_SOURCE]),
    Case("3.2.1.3 g: {127,any} is no source", [ipv4(1, ECHO, "127.0.0.1")], [BAD_SOURCE]),
    Case("3.2.1.3 g: {127,any} is no target", [ipv4(1, ECHO, target="127.0.0.1")], [NOT_OURS]),
    Case("3.2.1.3: a group is no source", [ipv4(1, ECHO, "224.0.0.1")], [BAD_SOURCE]),
    Case("3.2.1.3: class E is no source", [ipv4(1, ECHO, "240.0.0.1")], [BAD_SOURCE]),
    Case("3.2.1.3: we are not the source", [ipv4(1, ECHO, HOST)], [BAD_SOURCE]),
    Case("3.2.1.6: any type of service is taken", [changed(BROKEN, 1, b"\xfc")], [ECHOED], ANSWER),
    Case("3.2.1.7: a time to live of 1 or 0 is taken", [changed(BROKEN, 8, b"\1")], [ECHOED], ANSWER),
    Case("3.2.1.7: a time to live of 1 or 0 is taken", [changed(BROKEN, 8, b"\0")], [ECHOED], ANSWER),
    Case("3.2.1.8: unknown options are passed over", options4(b"\x9e\x04\1\2"), [ECHOED], ANSWER),
    Case("3.2.1.8: no operation and end of list", options4(b"\1\1\0\x83\2"), [ECHOED], ANSWER),
    Case("3.2.1.8 a: security is passed over", options4(b"\x82\x0b" + bytes(9)), [ECHOED], ANSWER),
    Case("3.2.1.8 c, RFC 7126 4.3: loose source route", options4(b"\x83\7\4" + packed(PEER)), [ROUTED]),
    Case("3.2.1.8 c, RFC 7126 4.4: strict source route", options4(b"\x89\7\4" + packed(PEER)), [ROUTED]),
    Case("3.2.1.8 d: record route is passed over", options4(b"\7\7\4" + bytes(4)), [ECHOED], ANSWER),
    Case("3.2.1.8 e: timestamp is passed over", options4(b"\x44\x08\5\0" + bytes(4)), [ECHOED], ANSWER),
    Case("3.2.2.5: an option of length 0", options4(b"\x9e\0\0\0"), [BAD_OPTION], [(12, 0)]),
    Case("3.2.2.5: an option of length 1", options4(b"\x9e\1\0\0"), [BAD_OPTION], [(12, 0)]),
    Case("3.2.2.5: an option beyond the header", options4(b"\1\x9e\4\0"), [BAD_OPTION], [(12, 0)]),
    Case("3.2.2.5: an option without length", options4(b"\1\1\1\x9e"), [BAD_OPTION], [(12, 0)]),
    Case("3.2.2 none about an error", options4(b"\x9e\0\0\0", ERROR4), [BAD_OPTION]),
    Case("3.2.2: an unknown type is dropped", [ipv4(1, echo4(b"", 42))], [("icmp", "unknown_type")]),
    Case(
        "3.2.2: no error about a broadcast",
        [ipv4(132, bytes(20), target="192.0.2.255", mac=BROADCAST)],
        [UNKNOWN4],
    ),
    Case(
        "3.2.2: no error about a group",
        [ipv4(132, bytes(20), target="224.0.0.1", mac=bytes.fromhex("01005e000001"))],
        [UNKNOWN4],
    ),
    Case(
        "3.2.2: no error about a broadcast of the link; 3.3.6: nor is it taken",
        [ipv4(132, bytes(20), mac=BROADCAST)],
        [NOT_OURS],
    ),
    Case("3.2.2.1: protocol unreachable", [ipv4(132, bytes(20))], [UNKNOWN4], [(3, 2)]),
    Case(
        "3.2.2.6: an echo to a broadcast is ignored",
        [ipv4(1, ECHO, target="192.0.2.255", mac=BROADCAST)],
        [("icmp", "echo_ignored")],
    ),
    Case("3.2.2.6: an echo is answered", [ipv4(1, ECHO)], [ECHOED], ANSWER),
    Case("3.2.2.7, 3.2.2.9: information and masks are not", [ipv4(1, echo4(b"", 17))], [("icmp", "unknown_type")]),
]

WHOLE = udp(bytes(100), 5000, 7, PEER6, HOST6)
CASES6 = [
    Case(
        "8200 4: any order, any number but for hop-by-hop",
        [ipv6(60, extension(43, bytes(6)) + extension(60, bytes(6)) + extension(58) + ECHO6)],
        [ECHOED6],
        ANSWER6,
    ),
    Case("8200 4: an unknown next header", [ipv6(60, extension(132) + bytes(20))], [UNKNOWN6], [(4, 1)]),
    Case(
        "8200 4: hop-by-hop behind another", [ipv6(60, extension(0) + extension(58) + ECHO6)], [BAD_EXTENSION], [(4, 1)]
    ),
    Case("8200 4.2: 00 is passed over", [ipv6(60, extension(58, b"\x1e\4\0\0\0\0") + ECHO6)], [ECHOED6], ANSWER6),
    Case("8200 4.2: 01 is dropped", [ipv6(60, extension(58, b"\x5e\4\0\0\0\0") + ECHO6)], [BAD_EXTENSION]),
    Case("8200 4.2: 10 is reported", [ipv6(60, extension(58, UNKNOWN_10) + ECHO6)], [BAD_EXTENSION], [(4, 2)]),
    Case(
        "8200 4.2: 10 is reported of a group too",
        to_all(60, extension(58, UNKNOWN_10) + all_echo()),
        [BAD_EXTENSION],
        [(4, 2)],
    ),
    Case("8200 4.2: 11 is reported", [ipv6(60, extension(58, UNKNOWN_11) + ECHO6)], [BAD_EXTENSION], [(4, 2)]),
    Case(
        "8200 4.2: 11 is not reported of a group", to_all(60, extension(58, UNKNOWN_11) + all_echo()), [BAD_EXTENSION]
    ),
    Case("8200 4.2: Pad1 and PadN", [ipv6(60, extension(58, b"\0\1\3\0\0\0") + ECHO6)], [ECHOED6], ANSWER6),
    Case("8200 4.2: an option beyond its header", [ipv6(60, extension(58, b"\1\5\0\0\0\0") + ECHO6)], [BAD_EXTENSION]),
    Case(
        "8200 4.3: hop-by-hop options are looked at",
        [ipv6(0, extension(58, UNKNOWN_10) + ECHO6)],
        [BAD_EXTENSION],
        [(4, 2)],
    ),
    Case("8200 4.4: no segments left", [ipv6(43, extension(58, b"\x63\0\0\0\0\0") + ECHO6)], [ECHOED6], ANSWER6),
    Case(
        "8200 4.4, 5095: segments left", [ipv6(43, extension(58, b"\0\1\0\0\0\0") + ECHO6)], [BAD_EXTENSION], [(4, 0)]
    ),
    Case(
        "8200 4.5: a length that is no multiple of 8",
        [ipv6(44, fragment(WHOLE[:81], 0, True, 17))],
        [DROPPED],
        [(4, 0)],
    ),
    Case("8200 4.5: beyond 65,535", [ipv6(44, fragment(bytes(16), 0xFFF8, False, 17))], [DROPPED], [(4, 0)]),
    Case(
        "8200 4.5: beyond 65,535 with the headers before it",
        [ipv6(60, extension(44) + fragment(bytes(7), 0xFFF8, False, 17))],
        [DROPPED],
        [(4, 0)],
    ),
    Case(
        "8200 4.5: fragments that overlap are dropped in silence",
        [ipv6(44, fragment(WHOLE[:80], 0, True, 17)), ipv6(44, fragment(WHOLE[72:], 72, False, 17))],
        [HELD, DROPPED],
    ),
    Case(
        "8200 4.5: one that repeats another exactly is dropped alone",
        [ipv6(44, fragment(WHOLE[:80], 0, True, 17))] * 2 + [ipv6(44, fragment(WHOLE[80:], 80, False, 17))],
        [HELD, DROPPED, ("udp", "no_listener")],
        [(1, 4)],
    ),
    Case(
        "8200 4.5: the first fragment's next header counts",
        [ipv6(44, fragment(WHOLE[80:], 80, False, 99)), ipv6(44, fragment(WHOLE[:80], 0, True, 17))],
        [HELD, ("udp", "no_listener")],
        [(1, 4)],
    ),
    Case(
        "6946: whole in itself, whatever waits",
        [ipv6(44, fragment(WHOLE[:80], 0, True, 17)), ipv6(44, fragment(ECHO6, 0, False))],
        [HELD, ECHOED6],
        ANSWER6,
    ),
    Case(
        "7112 5: a first fragment that ends in an extension header",
        [ipv6(44, fragment(extension(60) * 3, 0, True, 60))],
        [DROPPED],
        [(4, 3)],
    ),
    Case(
        "7112 5: a first fragment that ends in the upper header",
        [ipv6(44, fragment(bytes(16), 0, True, 6))],
        [DROPPED],
        [(4, 3)],
    ),
    Case(
        "7112 5: a first fragment that has it all", [ipv6(44, fragment(extension(17) + WHOLE[:8], 0, True, 60))], [HELD]
    ),
    Case("8200 4.7: nothing behind no next header is looked at", [ipv6(59, b"whatever")], [("ipv6", "no_next_header")]),
    Case(
        "4302 3.4.2: no association, so it is discarded",
        [ipv6(51, b"\x3a\4" + bytes(22) + ECHO6)],
        [UNKNOWN6],
        [(4, 1)],
    ),
    Case("4302 3.4.2: in IPv4 too", [ipv4(51, b"\1\4" + bytes(22) + ECHO)], [UNKNOWN4], [(3, 2)]),
    Case("4443 2.4 e.1: none about an error", [ipv6(60, extension(58, UNKNOWN_10) + REPORT)], [BAD_EXTENSION]),
    Case(
        "4443 2.4 e.1: however deep",
        [ipv6(0, extension(60) + extension(43, bytes(6)) + extension(58, UNKNOWN_10) + REPORT)],
        [BAD_EXTENSION],
    ),
    Case(
        "4443 2.4 e.1: in a fragment",
        [ipv6(44, fragment(extension(58, UNKNOWN_10) + REPORT, 0, False, 60))],
        [BAD_EXTENSION],
    ),
    Case("4443 2.4 e.1: behind a routing header", [ipv6(43, extension(58, b"\0\1\0\0\0\0") + REPORT)], [BAD_EXTENSION]),
    Case("4443 2.4 e.2: none about a redirect", [ipv6(60, extension(58, UNKNOWN_10) + REDIRECT)], [BAD_EXTENSION]),
    Case("4443 2.4 e.3: none about a group", to_all(132, bytes(20)), [UNKNOWN6]),
    Case("4443 2.4 e.4: none about a group of the link", [ipv6(132, bytes(20), mac=group_mac(ALL))], [UNKNOWN6]),
    Case("4443 2.4 e.5: none about a broadcast of the link", [ipv6(132, bytes(20), mac=BROADCAST)], [UNKNOWN6]),
    Case(
        "4443 2.4 e.6: none to nobody",
        [ipv6(60, extension(58, UNKNOWN_10) + icmp6(128, 0, bytes(4), "::"), "::")],
        [BAD_EXTENSION],
    ),
    Case("4443 2.4 e.6: none to a group", [ipv6(132, bytes(20), ALL)], [("ipv6", "bad_source")]),
    Case(
        "4443 2.4 b: an unknown informational type is dropped",
        [ipv6(58, icmp6(200, 0, bytes(4)))],
        [("icmpv6", "unknown_type")],
    ),
    Case("4443 3.1: port unreachable", [udp6(b"")], [("udp", "no_listener")], [(1, 4)]),
]


@pytest.mark.parametrize("case", CASES4 + CASES6, ids=lambda case: case.clause)
def test_clause(case: Case) -> None:
    bench = Bench()
    bench.know_peers()
    for frame, end in zip(case.frames, case.ends, strict=True):
        assert bench.feed(frame) == {end: 1}
    replies = bench.replies()
    assert [frame[34:36] if frame[12:14] == b"\x08\0" else frame[54:56] for frame in replies] == [
        bytes(reply) for reply in case.replies
    ]


@pytest.mark.parametrize(
    ("frame", "place", "pointer"),
    [
        (options4(b"\1\x9e\x09\0")[0], 38, b"\x15\0\0\0"),
        (ipv6(60, extension(44) + fragment(bytes(7), 0xFFF8, False, 17)), 58, struct.pack("!I", 50)),
    ],
    ids=["option of IPv4", "fragment offset"],
)
def test_the_pointer_says_which_octet(frame: bytes, place: int, pointer: bytes) -> None:
    bench = Bench()
    bench.know_peers()
    bench.feed(frame)
    assert bench.reply()[place : place + 4] == pointer


@pytest.mark.parametrize("link", [False, True], ids=["of IP", "of the link"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_broadcast_in_pieces_that_times_out_is_not_reported(family: int, link: bool) -> None:
    """RFC 1122 section 3.2.2 and RFC 4443 section 2.4 e hold for the time that fragments take as well."""
    bench = Bench()
    bench.know_peers()
    if family == 4:
        bench.feed(ipv4(17, bytes(16), target=HOST if link else "192.0.2.255", fragment=0x2000, mac=BROADCAST))
    else:
        target = HOST6 if link else ALL
        bench.feed(ipv6(44, fragment(WHOLE[:80], 0, True, 17), target=target, mac=group_mac(ALL)))
    bench.pass_time(31)
    assert bench.replies() == []


def test_a_datagram_is_a_broadcast_when_any_fragment_of_it_was() -> None:
    bench = Bench()
    bench.know_peers()
    bench.feed(ipv6(44, fragment(WHOLE[:80], 0, True, 17), mac=group_mac(ALL)))
    assert bench.feed(ipv6(44, fragment(WHOLE[80:], 80, False, 17))) == {("udp", "no_listener"): 1}
    assert bench.replies() == []
