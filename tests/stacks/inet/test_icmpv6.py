import struct

import pytest

from asyncnic.stacks.inet.ratelimit import BURST
from tests.stacks.inet.wire import HOST6, LOCAL6, PEER6, PEER_LOCAL6, Bench, group_mac, icmp6, ipv6, packed, udp, udp6


def ready() -> Bench:
    bench = Bench()
    bench.know_peers()
    return bench


@pytest.mark.parametrize("size", [0, 1, 56, 1452])
@pytest.mark.parametrize(("ours", "theirs"), [(HOST6, PEER6), (LOCAL6, PEER_LOCAL6)])
def test_an_echo_comes_back_unchanged(size: int, ours: str, theirs: str) -> None:
    bench = ready()
    body = b"\x12\x34\0\x01" + bytes(i & 0xFF for i in range(size))
    frame = ipv6(58, icmp6(128, 0, body, theirs, ours), theirs, ours)
    assert bench.feed(frame) == {("icmpv6", "echo_request"): 1}
    reply = bench.reply()
    assert reply[22:54] == packed(ours) + packed(theirs)
    assert reply[54:] == icmp6(129, 0, body, ours, theirs)


def test_all_nodes_are_echoed_from_our_own_address() -> None:
    bench = ready()
    message = icmp6(128, 0, b"\0\x01\0\x01all", PEER_LOCAL6, "ff02::1")
    frame = ipv6(58, message, PEER_LOCAL6, "ff02::1", mac=group_mac("ff02::1"))
    assert bench.feed(frame) == {("icmpv6", "echo_request"): 1}
    assert bench.reply()[22:54] == packed(LOCAL6) + packed(PEER_LOCAL6)


def test_messages_that_are_not_answered() -> None:
    bench = ready()
    assert bench.feed(ipv6(58, icmp6(129, 0, bytes(4)))) == {("icmpv6", "echo_reply"): 1}
    assert bench.feed(ipv6(58, icmp6(200, 0, bytes(4)))) == {("icmpv6", "unknown_type"): 1}
    assert bench.feed(ipv6(58, icmp6(130, 0, bytes(20)))) == {("icmpv6", "multicast_listener"): 1}
    assert bench.feed(ipv6(58, b"\x80\0\0")) == {("icmpv6", "bad_length"): 1}
    assert bench.feed(ipv6(58, icmp6(128, 0, b"\0\0"))) == {("icmpv6", "bad_length"): 1}
    assert bench.feed(ipv6(58, icmp6(128, 0, bytes(4))[:-1] + b"!")) == {("icmpv6", "bad_checksum"): 1}
    assert bench.replies() == []


def test_a_closed_port_is_refused_with_the_packet_quoted() -> None:
    bench = ready()
    frame = udp6(b"anybody?", port=33434)
    assert bench.feed(frame) == {("udp", "no_listener"): 1}
    report = bench.reply()
    assert report[54:56] == b"\x01\x04"
    assert report[62:] == frame[14:]


def test_a_quotation_stays_within_the_least_mtu() -> None:
    bench = ready()
    bench.feed(udp6(bytes(1400)))
    assert len(bench.reply()) == 14 + 1280


def test_groups_and_nobody_are_not_told_of_errors() -> None:
    bench = ready()
    to_group = ipv6(17, udp(b"", 5000, 7, PEER_LOCAL6, "ff02::1"), PEER_LOCAL6, "ff02::1", mac=group_mac("ff02::1"))
    from_nobody = ipv6(17, udp(b"", 5000, 7, "::", HOST6), "::", HOST6)
    assert bench.feed(to_group, from_nobody) == {("udp", "no_listener"): 1, ("ipv6", "bad_source"): 1}
    assert bench.replies() == []


def test_errors_are_limited() -> None:
    bench = ready()
    bench.feed(*[udp6(b"")] * 80)
    sent = len(bench.replies())
    assert BURST / 2 < sent < 80
    assert bench.inet.totals.errors_limited == 80 - sent


QUOTED = ipv6(17, udp(b"", 49152, 7, HOST6, PEER6), HOST6, PEER6)[14:62]


@pytest.mark.parametrize(
    ("kind", "code", "quoted"),
    [
        (1, 4, QUOTED),
        (1, 4, QUOTED[:47]),
        (1, 4, b""),
        (1, 3, QUOTED),
        (1, 4, b"\x45" + QUOTED[1:]),
        (1, 4, QUOTED[:6] + b"\x06" + QUOTED[7:]),
        (2, 0, b""),
        (3, 0, QUOTED),
        (4, 0, QUOTED),
        (100, 0, QUOTED),
    ],
)
def test_errors_that_concern_nobody(kind: int, code: int, quoted: bytes) -> None:
    bench = ready()
    frame = ipv6(58, icmp6(kind, code, struct.pack("!I", 1280) + quoted))
    assert bench.feed(frame) == {("icmpv6", "error_ignored"): 1}
    assert bench.replies() == []
