import struct

import pytest

from tests.stacks.inet.wire import (
    BROADCAST,
    HOST,
    HOST6,
    PEER,
    Bench,
    arp,
    echo4,
    ethernet,
    filled,
    ipv4,
    packed,
    udp,
)


def reassembled(frames: list[bytes]) -> bytes:
    """Payload of IPv4 fragments in order, checked to be one datagram's."""
    data = b""
    for index, frame in enumerate(frames):
        total, identification, word = struct.unpack_from("!HHH", frame, 16)
        assert identification == struct.unpack_from("!H", frames[0], 18)[0]
        assert (word & 0x1FFF) * 8 == len(data)
        assert bool(word & 0x2000) == (index < len(frames) - 1)
        assert len(frame) <= 1514
        data += frame[34 : 14 + total]
    return data


def fragments(message: bytes, step: int, protocol: int = 1, identification: int = 1) -> list[bytes]:
    return [
        ipv4(
            protocol,
            message[start : start + step],
            fragment=start // 8 | (0x2000 if start + step < len(message) else 0),
            identification=identification,
        )
        for start in range(0, len(message), step)
    ]


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"\x55"), (0, b"\x44"), (0, b"\x4f"), (2, b"\x00\x13"), (2, b"\x05\xdd")],
    ids=["version", "4 words", "beyond its length", "total below header", "total above frame"],
)
def test_bad_headers(at: int, value: bytes) -> None:
    bench = Bench()
    packet = bytearray(ipv4(1, echo4(b""))[14:42])
    packet[at : at + len(value)] = value
    packet[10:12] = bytes(2)
    frame = ethernet(0x0800, filled(bytes(packet[:20]), 10) + bytes(packet[20:]))
    assert bench.feed(frame[: 14 + 28]) == {("ipv4", "bad_header"): 1}


def test_every_early_end_is_a_bad_header() -> None:
    bench = Bench()
    frame = ipv4(1, echo4(b"x" * 40))
    for length in range(14, len(frame)):
        assert bench.feed(frame[:length]) == {("ipv4", "bad_header"): 1}
    assert bench.feed(frame) == {("icmp", "echo_request"): 1}


def test_a_bad_checksum_is_dropped() -> None:
    bench = Bench()
    frame = bytearray(ipv4(1, echo4(b"")))
    frame[24] ^= 1
    assert bench.feed(bytes(frame)) == {("ipv4", "bad_checksum"): 1}


def test_options_are_skipped() -> None:
    bench = Bench()
    assert bench.feed(ipv4(1, echo4(b"o"), options=b"\x94\x04\0\0")) == {("icmp", "echo_request"): 1}


def test_packets_to_others_are_not_ours() -> None:
    bench = Bench()
    assert bench.feed(ipv4(1, echo4(b""), target="192.0.2.3")) == {("ipv4", "not_ours"): 1}
    assert bench.feed(ipv4(1, echo4(b""), target="224.0.0.251")) == {("ipv4", "not_ours"): 1}
    assert Bench(HOST6 + "/64").feed(ipv4(1, echo4(b""))) == {("ipv4", "not_ours"): 1}


@pytest.mark.parametrize("source", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.255", HOST])
def test_sources_that_are_no_other_host(source: str) -> None:
    assert Bench().feed(ipv4(1, echo4(b""), source)) == {("ipv4", "bad_source"): 1}


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_datagram_in_fragments_ends_as_a_datagram(seconds: float) -> None:
    bench = Bench()
    bench.know_peers()
    first, second, third = fragments(echo4(bytes(range(200))), 80)
    assert bench.feed(third, first) == {("ipv4", "fragment_held"): 2}
    bench.pass_time(seconds)
    assert bench.feed(second) == {("icmp", "echo_request"): 1}
    assert bench.reply()[42:] == bytes(range(200))
    assert bench.inet.v4.fragments() == 0


def test_the_largest_ping_is_answered_in_fragments() -> None:
    bench = Bench()
    bench.know_peers()
    data = bytes(i * 7 & 0xFF for i in range(65507))
    frames = fragments(echo4(data), 1480)
    assert bench.feed(*frames) == {("ipv4", "fragment_held"): 44, ("icmp", "echo_request"): 1}
    message = reassembled(bench.replies())
    assert message == echo4(data, kind=0)


def test_fragments_of_different_datagrams_do_not_mix() -> None:
    bench = Bench()
    bench.know_peers()
    one, two = fragments(echo4(b"1" * 100), 80), fragments(echo4(b"2" * 100), 80, identification=2)
    assert bench.feed(one[0], two[0], two[1], one[1])[("icmp", "echo_request")] == 2
    assert [frame[42:] for frame in bench.replies()] == [b"2" * 100, b"1" * 100]


def test_fragments_that_cannot_be() -> None:
    bench = Bench()
    assert bench.feed(ipv4(1, b"x" * 9, fragment=0x2000)) == {("ipv4", "fragment_dropped"): 1}  # not a multiple of 8
    death = ipv4(1, b"x" * 400, fragment=0x1FFF)  # ends beyond 65,535
    assert bench.feed(death) == {("ipv4", "fragment_dropped"): 1}


def test_a_timeout_is_reported_about_the_first_fragment() -> None:
    bench = Bench()
    bench.know_peers()
    first, _ = fragments(udp(bytes(100), 5000, 7, PEER, HOST), 80, protocol=17)
    bench.feed(first)
    bench.pass_time(31)
    _, report = bench.replies()  # the neighbour, not heard of so long, is asked for besides
    assert report[34:36] == b"\x0b\x01"
    assert report[42:] == first[14:]
    assert bench.inet.totals.reassembly_timeouts == 1


def test_the_reassembly_table_is_bounded() -> None:
    bench = Bench()
    bench.feed(*(ipv4(17, bytes(8), fragment=0x2000, identification=number) for number in range(300)))
    assert bench.inet.v4.fragments() == 64


def test_broadcasts_reach_a_listener_and_are_never_refused() -> None:
    bench = Bench()
    for target in ("192.0.2.255", "255.255.255.255", "224.0.0.1"):
        frame = ipv4(17, udp(b"", 5000, 7, PEER, target), target=target, mac=BROADCAST)
        assert bench.feed(frame) == {("udp", "no_listener"): 1}
    assert bench.replies() == []


def test_a_point_to_point_prefix_has_no_broadcast_address() -> None:
    bench = Bench("192.0.2.2/31")
    bench.feed(arp(1, "192.0.2.3", HOST))
    bench.replies()
    assert bench.feed(ipv4(1, echo4(b""), "192.0.2.3")) == {("icmp", "echo_request"): 1}
    assert bench.reply()[30:34] == packed("192.0.2.3")
