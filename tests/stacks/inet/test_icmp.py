import struct
from collections.abc import Callable

import pytest

from asyncnic.stacks.inet.ratelimit import BURST
from tests.stacks.inet.wire import BROADCAST, HOST, PEER, Bench, echo4, filled, ipv4, packed, udp, udp4, udp6


def ready() -> Bench:
    bench = Bench()
    bench.know_peers()
    return bench


@pytest.mark.parametrize("size", [0, 1, 17, 56, 1471, 1472])
def test_an_echo_comes_back_unchanged(size: int) -> None:
    bench = ready()
    data = bytes(i & 0xFF for i in range(size))
    assert bench.feed(ipv4(1, echo4(data))) == {("icmp", "echo_request"): 1}
    reply = bench.reply()
    assert reply[26:34] == packed(HOST) + packed(PEER)
    assert reply[34:] == echo4(data, kind=0)


@pytest.mark.parametrize("size", [0, 1, 56])
def test_an_echo_of_zeros_is_answered_with_a_checksum_of_ones(size: int) -> None:
    bench = ready()
    request = b"\x08\0\xf7\xff" + bytes(4 + size)
    assert bench.feed(ipv4(1, request)) == {("icmp", "echo_request"): 1}
    assert bench.reply()[34:] == b"\0\0\xff\xff" + bytes(4 + size)
    assert bench.feed(ipv4(1, bytes(8 + size))) == {("icmp", "bad_checksum"): 1}


def test_a_broadcast_echo_is_ignored() -> None:
    bench = ready()
    assert bench.feed(ipv4(1, echo4(b""), target="192.0.2.255", mac=BROADCAST)) == {("icmp", "echo_ignored"): 1}
    assert bench.replies() == []


def test_messages_that_are_not_answered() -> None:
    bench = ready()
    assert bench.feed(ipv4(1, echo4(b"", kind=0))) == {("icmp", "echo_reply"): 1}
    assert bench.feed(ipv4(1, echo4(b"", kind=13))) == {("icmp", "unknown_type"): 1}
    assert bench.feed(ipv4(1, echo4(b"")[:7])) == {("icmp", "bad_length"): 1}
    assert bench.feed(ipv4(1, echo4(b"")[:7] + b"!")) == {("icmp", "bad_checksum"): 1}
    assert bench.replies() == []


def test_a_closed_port_is_refused_with_the_packet_quoted() -> None:
    bench = ready()
    frame = udp4(b"anybody?", port=33434)
    assert bench.feed(frame) == {("udp", "no_listener"): 1}
    report = bench.reply()
    assert report[23] == 1
    assert report[34:36] == b"\x03\x03"
    assert report[42:] == frame[14 : 14 + 36]


def test_a_quotation_stays_within_576_octets() -> None:
    bench = ready()
    bench.feed(udp4(bytes(1400)))
    assert len(bench.reply()) == 14 + 576


def test_other_protocols_are_refused() -> None:
    bench = ready()
    assert bench.feed(ipv4(132, bytes(20))) == {("ipv4", "unknown_protocol"): 1}
    assert bench.reply()[34:36] == b"\x03\x02"


def test_errors_are_limited() -> None:
    bench = ready()
    bench.feed(*[udp4(b"")] * 80)
    sent = len(bench.replies())
    assert BURST / 2 < sent < 80
    assert bench.inet.totals.errors_limited == 80 - sent
    bench.pass_time(0.1)
    bench.feed(*[udp4(b"")] * 80)
    assert 0 < len(bench.replies()) < 40


@pytest.mark.parametrize("question", [udp4, udp6], ids=["IPv4", "IPv6"])
def test_the_limit_does_not_tell_which_ports_are_open(question: Callable[[bytes], bytes]) -> None:
    """Were it exact, one could count how many of one's forged questions went to closed ports (CVE-2020-25705)."""
    allowed = set()
    for _ in range(30):
        bench = ready()
        bench.feed(*[question(b"")] * 120)
        allowed.add(len(bench.replies()))
    assert len(allowed) > 5
    assert min(allowed) < BURST < max(allowed)


def error(kind: int, code: int, quoted: bytes) -> bytes:
    return ipv4(1, filled(struct.pack("!BBHI", kind, code, 0, 0) + quoted, 2))


QUOTED = ipv4(17, udp(b"", 49152, 7, HOST, PEER), HOST, PEER)[14:42]


@pytest.mark.parametrize(
    "frame",
    [
        error(3, 3, QUOTED),
        error(3, 3, QUOTED[:27]),
        error(3, 3, b""),
        error(3, 1, QUOTED),
        error(3, 3, b"\x65" + QUOTED[1:]),
        error(3, 3, b"\x4f" + QUOTED[1:]),
        error(3, 3, QUOTED[:9] + b"\x06" + QUOTED[10:]),
        error(11, 0, QUOTED),
        error(5, 1, QUOTED),
        error(4, 0, QUOTED),
        error(12, 0, QUOTED),
    ],
)
def test_errors_that_concern_nobody(frame: bytes) -> None:
    bench = ready()
    assert bench.feed(frame) == {("icmp", "error_ignored"): 1}
    assert bench.replies() == []
