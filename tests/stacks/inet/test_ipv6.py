import struct

import pytest

from tests.stacks.inet.wire import HOST, HOST6, PEER6, Bench, ethernet, group_mac, icmp6, ipv6, packed, udp, udp6

ECHO = icmp6(128, 0, b"\x12\x34\0\x01hello")
PADN = b"\x01\x04\0\0\0\0"


def extension(following: int, rest: bytes = PADN) -> bytes:
    return bytes((following, (len(rest) - 6) // 8)) + rest


def fragment(data: bytes, start: int, more: bool, following: int = 58, identification: int = 7) -> bytes:
    return struct.pack("!BBHI", following, 0, start | more, identification) + data


def ready() -> Bench:
    bench = Bench()
    bench.know_peers()
    return bench


def test_every_early_end_is_a_bad_header() -> None:
    bench = ready()
    frame = ipv6(58, ECHO)
    for length in range(14, 14 + 40 + len(ECHO)):
        assert bench.feed(frame[:length]) == {("ipv6", "bad_header"): 1}
    assert bench.feed(ethernet(0x86DD, b"\x45" + frame[15:])) == {("ipv6", "bad_header"): 1}


def test_padding_is_cut_off() -> None:
    bench = ready()
    assert bench.feed(ipv6(58, ECHO) + b"padding") == {("icmpv6", "echo_request"): 1}
    assert bench.reply()[54 + 8 :] == b"hello"


def test_packets_to_others_are_not_ours() -> None:
    assert ready().feed(ipv6(58, ECHO, target="2001:db8::3")) == {("ipv6", "not_ours"): 1}
    assert ready().feed(ipv6(58, ECHO, target="ff02::2")) == {("ipv6", "not_ours"): 1}
    assert Bench(HOST + "/24").feed(ipv6(58, ECHO)) == {("ipv6", "not_ours"): 1}


@pytest.mark.parametrize("source", ["ff02::1", "::1", HOST6])
def test_sources_that_are_no_other_host(source: str) -> None:
    assert ready().feed(ipv6(58, icmp6(128, 0, bytes(4), source), source)) == {("ipv6", "bad_source"): 1}


@pytest.mark.parametrize(
    ("first", "payload"),
    [
        (0, extension(58)),
        (60, extension(58)),
        (43, extension(58, b"\0\0\0\0\0\0")),
        (0, extension(60) + extension(43) + b"\x3c\0\x04\0\0\0\0\0" + extension(58, PADN + bytes(8))),
        (44, fragment(b"", 0, False)),
        (0, extension(58, b"\x1e\x04\0\0\0\0")),
    ],
    ids=["hop-by-hop", "destination", "routing done", "chain", "whole in a fragment", "skip option"],
)
def test_extension_headers_are_skipped(first: int, payload: bytes) -> None:
    bench = ready()
    assert bench.feed(ipv6(first, payload + ECHO)) == {("icmpv6", "echo_request"): 1}
    assert bench.reply()[54 + 8 :] == b"hello"


@pytest.mark.parametrize(
    ("first", "payload", "code", "pointer"),
    [
        (43, extension(58, b"\0\x01\0\0\0\0"), 0, 42),
        (60, extension(0) + extension(58), 1, 40),
        (60, extension(58, b"\x9e\x04\0\0\0\0"), 2, 42),
        (60, extension(58, b"\xde\x04\0\0\0\0"), 2, 42),
        (60, extension(58, b"\x01\x00\x00\xde\x01\0"), 2, 45),
    ],
    ids=["segments left", "hop-by-hop second", "option 10", "option 11", "option behind padding"],
)
def test_extension_headers_that_are_refused(first: int, payload: bytes, code: int, pointer: int) -> None:
    bench = ready()
    frame = ipv6(first, payload + ECHO)
    assert bench.feed(frame) == {("ipv6", "bad_extension"): 1}
    report = bench.reply()
    assert report[54:56] == bytes((4, code))
    assert struct.unpack_from("!I", report, 58)[0] == pointer
    assert report[62:] == frame[14:]


@pytest.mark.parametrize(
    ("first", "payload"),
    [
        (0, b"\x3a"),
        (60, b"\x3a\x09" + bytes(20)),
        (60, extension(58, b"\x5e\x04\0\0\0\0")),
        (60, extension(58, b"\x01\x05\0\0\0\0")),
        (44, b"\x3a\0\0\0"),
        (60, extension(60) * 20 + ECHO),
        (44, fragment(extension(58) + ECHO, 0, False, following=0)),
    ],
    ids=["cut", "too long", "option 01", "option too long", "fragment cut", "endless", "hop-by-hop in a fragment"],
)
def test_extension_headers_that_are_dropped(first: int, payload: bytes) -> None:
    bench = ready()
    assert bench.feed(ipv6(first, payload)) == {("ipv6", "bad_extension"): 1}
    assert bench.replies() == []


def test_an_unknown_option_to_a_group_is_reported_only_when_it_says_so() -> None:
    bench = ready()
    for octet, reports in ((0x9E, 1), (0xDE, 0)):
        payload = extension(58, bytes((octet, 4, 0, 0, 0, 0))) + ECHO
        bench.feed(ipv6(60, payload, target="ff02::1", mac=group_mac("ff02::1")))
        assert len(bench.replies()) == reports


def test_no_next_header() -> None:
    assert ready().feed(ipv6(59, b"")) == {("ipv6", "no_next_header"): 1}


def test_other_protocols_are_refused() -> None:
    bench = ready()
    assert bench.feed(ipv6(132, bytes(20))) == {("ipv6", "unknown_protocol"): 1}
    report = bench.reply()
    assert report[54:62] == b"\x04\x01" + report[56:58] + b"\0\0\0\x06"


def test_a_datagram_in_fragments() -> None:
    bench = ready()
    message = icmp6(128, 0, b"\0\x01\0\x01" + bytes(range(200)))
    frames = [
        ipv6(44, fragment(message[at : at + 80], at, at + 80 < len(message))) for at in range(0, len(message), 80)
    ]
    assert bench.feed(frames[2], frames[0]) == {("ipv6", "fragment_held"): 2}
    assert bench.feed(frames[1]) == {("icmpv6", "echo_request"): 1}
    assert bench.reply()[62:] == bytes(range(200))
    assert bench.inet.v6.fragments() == 0


def test_the_largest_ping_is_answered_in_fragments() -> None:
    bench = ready()
    data = bytes(i * 7 & 0xFF for i in range(65527))
    message = icmp6(128, 0, b"\0\x01\0\x01" + data)
    frames = [
        ipv6(44, fragment(message[at : at + 1448], at, at + 1448 < len(message))) for at in range(0, len(message), 1448)
    ]
    assert bench.feed(*frames)[("icmpv6", "echo_request")] == 1
    body = b""
    for frame in bench.replies():
        following, _, word, _ = struct.unpack_from("!BBHI", frame, 54)
        assert following == 58
        assert word & 0xFFF8 == len(body)
        assert len(frame) <= 1514
        body += frame[62:]
    assert word & 1 == 0
    assert body == icmp6(129, 0, b"\0\x01\0\x01" + data, HOST6, PEER6)


def test_overlapping_fragments_are_dropped() -> None:
    bench = ready()
    frames = [ipv6(44, fragment(bytes(80), at, True)) for at in (0, 72, 160)]
    assert bench.feed(*frames) == {("ipv6", "fragment_held"): 1, ("ipv6", "fragment_dropped"): 2}


@pytest.mark.parametrize(
    ("payload", "pointer"), [(fragment(b"\x80" + bytes(8), 0, True), 4), (fragment(bytes(80), 0xFFF8, False), 42)]
)
def test_fragments_that_cannot_be(payload: bytes, pointer: int) -> None:
    bench = ready()
    assert bench.feed(ipv6(44, payload)) == {("ipv6", "fragment_dropped"): 1}
    report = bench.reply()
    assert report[54:56] == b"\x04\0"
    assert struct.unpack_from("!I", report, 58)[0] == pointer


def test_a_timeout_is_reported_about_the_first_fragment() -> None:
    bench = ready()
    part = udp(bytes(100), 5000, 7, PEER6, HOST6)[:80]
    bench.feed(ipv6(44, fragment(part, 0, True, following=17)))
    bench.pass_time(31)
    _, report = bench.replies()  # the neighbour, not heard of so long, is asked for besides
    assert report[54:56] == b"\x03\x01"
    assert report[62 + 40 :] == part


def too_big(mtu: int, target: str, source: str = HOST6) -> bytes:
    quoted = struct.pack("!IHBB", 6 << 28, 1400, 17, 64) + packed(source) + packed(target)
    return ipv6(58, icmp6(2, 0, struct.pack("!I", mtu) + quoted))


def test_packet_too_big_lowers_the_path_mtu_for_a_time() -> None:
    bench = ready()
    big = ipv6(58, icmp6(128, 0, b"\0\x01\0\x01" + bytes(1400)))
    bench.feed(big)
    assert len(bench.reply()) == 14 + 40 + 8 + 1400
    assert bench.feed(too_big(1300, PEER6)) == {("icmpv6", "packet_too_big"): 1}
    bench.feed(big)
    assert [len(frame) <= 14 + 1300 for frame in bench.replies()] == [True, True]
    bench.feed(too_big(100, PEER6), too_big(1400, PEER6))
    bench.feed(big)
    assert max(map(len, bench.replies())) == 14 + 1280
    bench.pass_time(601)
    bench.sent.clear()
    bench.know_peers()
    bench.feed(big)
    assert len(bench.reply()) == 14 + 40 + 8 + 1400


def test_packet_too_big_is_believed_about_our_packets_only_and_kept_for_few() -> None:
    bench = ready()
    assert bench.feed(too_big(1300, PEER6, source="2001:db8::9")) == {("icmpv6", "error_ignored"): 1}
    assert bench.inet.v6.paths() == 0
    bench.feed(*(too_big(1300, f"2001:db8:2::{number:x}") for number in range(400)))
    assert bench.inet.v6.paths() == 256


def test_no_datagram_without_checksum() -> None:
    bench = ready()
    plain = udp(b"data", 5000, 7, PEER6, HOST6, checksum=False)
    assert bench.feed(ipv6(17, plain)) == {("udp", "bad_checksum"): 1}
    assert bench.feed(udp6(b"data")) == {("udp", "no_listener"): 1}
