import struct

import pytest

from asyncnic.stacks.inet.identification import COUNTERS, Identifications
from tests.stacks.inet.test_endpoint import on
from tests.stacks.inet.wire import HOST, HOST6, PEER, PEER6, Bench, arp, packed, solicitation

OURS, THEIRS = packed(HOST), packed(PEER)


@pytest.mark.parametrize("bits", [16, 32])
def test_none_repeats_among_the_same_addresses_and_protocol(bits: int) -> None:
    ids = Identifications(bits)
    found = [ids.next(OURS, THEIRS, 17) for _ in range(5000)]
    assert len(set(found)) == 5000
    assert all(0 <= number < 1 << bits for number in found)


def test_they_differ_from_host_to_host_and_from_start_to_start() -> None:
    starts = {Identifications(32).next(OURS, THEIRS, 17) for _ in range(50)}
    assert len(starts) == 50
    ids = Identifications(32)
    assert len({ids.next(OURS, bytes((10, 0, 0, number)), 17) for number in range(200)}) > 150
    assert len({ids.next(OURS, THEIRS, protocol) for protocol in range(200)}) > 150


def test_the_table_is_bounded() -> None:
    ids = Identifications(16)
    for number in range(10_000):
        ids.next(OURS, number.to_bytes(4, "big"), 17)
    assert len(ids._words) == COUNTERS


def numbers(frames: list[bytes]) -> list[int]:
    """Identifications by frame: of IPv4 packets, or of IPv6 fragments."""
    return [
        struct.unpack_from("!H", f, 18)[0] if f[12:14] == b"\x08\0" else struct.unpack_from("!I", f, 58)[0]
        for f in frames
    ]


@pytest.mark.parametrize(("peer", "others"), [(PEER, "192.0.2.{}"), (PEER6, "2001:db8::1:{}")])
async def test_what_goes_to_one_peer_says_nothing_of_what_goes_to_others(peer: str, others: str) -> None:
    bench = Bench()
    transport, _ = await on(bench, "::" if ":" in peer else "0.0.0.0")
    peers = [peer, *(others.format(number) for number in range(100, 140))]
    for address in peers:
        bench.feed(solicitation(HOST6, address) if ":" in address else arp(1, address, HOST))
    bench.replies()
    steps = set()
    for _ in range(20):
        transport.sendto(bytes(1480), (peer, 9))
        before = numbers(bench.replies())[-1]
        for address in peers[1:]:
            transport.sendto(bytes(1480), (address, 9))
        bench.replies()
        transport.sendto(bytes(1480), (peer, 9))
        steps.add(numbers(bench.replies())[-1] - before)
    assert len(peers) not in steps  # the one counter for all would have come so far
    assert len(steps) <= 2
