"""No datagram is longer than 65,535 octets with its header, on the way in or on the way out."""

import errno

import pytest

from tests.stacks.inet.test_endpoint import on
from tests.stacks.inet.test_ipv6 import extension, fragment
from tests.stacks.inet.wire import PEER, PEER6, Bench, echo4, icmp6, ipv4, ipv6, udp


def pieces4(message: bytes, options: bytes = b"", protocol: int = 1) -> list[bytes]:
    starts = range(0, len(message), 1400)
    return [
        ipv4(
            protocol,
            message[at : at + 1400],
            fragment=at >> 3 | (0x2000 if at + 1400 < len(message) else 0),
            options=options,
        )
        for at in starts
    ]


def pieces6(message: bytes, before: int = 0) -> list[bytes]:
    head = b"".join(extension(60) for _ in range(before - 1)) + (extension(44) if before else b"")
    return [
        ipv6(60 if before else 44, head + fragment(message[at : at + 1400], at, at + 1400 < len(message)))
        for at in range(0, len(message), 1400)
    ]


def end_of(frame: bytes) -> int:
    """Where the datagram of a fragment ends, its header counted: IPv4's total length, IPv6's payload length."""
    if frame[12:14] == b"\x08\0":
        return (int.from_bytes(frame[20:22], "big") & 0x1FFF) * 8 + int.from_bytes(frame[16:18], "big")
    start = int.from_bytes(frame[56:58], "big") & 0xFFF8 if frame[20] == 44 else 0
    return start + int.from_bytes(frame[18:20], "big") - (8 if frame[20] == 44 else 0)


@pytest.mark.parametrize(
    ("size", "options", "taken"), [(65515, 0, True), (65516, 0, False), (65511, 4, True), (65512, 4, False)]
)
def test_the_longest_datagram_of_ipv4(size: int, options: int, taken: bool) -> None:
    bench = Bench()
    bench.know_peers()
    counts = bench.feed(*pieces4(echo4(bytes(size - 8)), b"\1" * options))
    assert (("icmp", "echo_request") in counts) is taken
    assert (("ipv4", "fragment_dropped") in counts) is not taken
    replies = bench.replies()
    assert bool(replies) is taken
    assert all(end_of(frame) <= 65535 for frame in replies)


@pytest.mark.parametrize(
    ("size", "before", "taken"), [(65535, 0, True), (65536, 0, False), (65527, 1, True), (65528, 1, False)]
)
def test_the_longest_datagram_of_ipv6(size: int, before: int, taken: bool) -> None:
    bench = Bench()
    bench.know_peers()
    counts = bench.feed(*pieces6(icmp6(128, 0, bytes(size - 4)), before))
    assert (("icmpv6", "echo_request") in counts) is taken
    replies = [frame for frame in bench.replies() if frame[54] != 4 or frame[20] == 44]
    assert bool(replies) is taken
    assert all(end_of(frame) <= 65535 for frame in replies)


def test_options_of_the_first_fragment_count_when_it_comes_last() -> None:
    bench = Bench()
    bench.know_peers()
    message = echo4(bytes(65515 - 8))
    with_options, without = pieces4(message, b"\1" * 4), pieces4(message)
    counts = bench.feed(*without[1:], with_options[0])
    assert ("icmp", "echo_request") not in counts
    assert counts[("ipv4", "fragment_dropped")] == 1


async def test_a_udp_length_beyond_what_ipv4_carries_is_not_delivered() -> None:
    bench = Bench()
    await on(bench)
    datagram = bytearray(udp(bytes(65527), 5000, 7, PEER, "192.0.2.2"))
    assert datagram[4:6] == b"\xff\xff"
    counts = bench.feed(*pieces4(bytes(datagram), protocol=17))
    assert ("udp", "delivered") not in counts
    assert bench.inet.v4.fragments() == 1  # condemned: what is to come of it is dropped as well


@pytest.mark.parametrize(("peer", "most"), [(PEER, 65507), (PEER6, 65527)])
async def test_the_longest_datagram_out(peer: str, most: int) -> None:
    bench = Bench()
    bench.know_peers()
    transport, protocol = await on(bench, "::" if ":" in peer else "0.0.0.0")
    transport.sendto(bytes(most), (peer, 9))
    assert max(end_of(frame) for frame in bench.replies()) == 65535
    transport.sendto(bytes(most + 1), (peer, 9))
    assert bench.replies() == []
    assert [event.errno for event in protocol.events[1:]] == [errno.EMSGSIZE]
