"""Whom we believe: addresses that no host can have are neither remembered nor answered."""

from itertools import pairwise

import pytest

from asyncnic.stacks.inet.ethernet import is_station
from tests.stacks.inet.test_ipv6 import fragment
from tests.stacks.inet.wire import (
    BROADCAST,
    FAR,
    HOST,
    HOST6,
    MAC,
    PEER,
    PEER6,
    PEER_MAC,
    Bench,
    advertisement,
    arp,
    echo4,
    group_mac,
    icmp6,
    ipv4,
    ipv6,
    packed,
    solicitation,
    solicited,
    udp4,
    udp6,
)

GROUPS = [BROADCAST, bytes.fromhex("01005e000001"), bytes.fromhex("333300000001"), bytes(6)]


def test_stations() -> None:
    assert is_station(MAC)
    assert not any(is_station(mac) for mac in GROUPS)


def from_mac(frame: bytes, mac: bytes) -> bytes:
    return frame[:6] + mac + frame[12:]


QUESTIONS = {
    "echo": ipv4(1, echo4(b"hello")),
    "echo from afar": ipv4(1, echo4(b"hello"), FAR),
    "echo of IPv6": ipv6(58, icmp6(128, 0, bytes(4))),
    "port": udp4(b""),
    "port of IPv6": udp6(b""),
    "arp": arp(1, PEER, HOST),
    "solicitation": solicitation(HOST6),
    "solicitation without option": solicitation(HOST6, mac=None),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("mac", [*GROUPS, MAC], ids=["broadcast", "group of IPv4", "group of IPv6", "zero", "our own"])
def test_what_comes_from_no_station_is_not_answered_and_not_remembered(question: bytes, mac: bytes) -> None:
    bench = Bench()
    outcome = "looped" if mac == MAC else "bad_source"
    assert bench.feed(from_mac(question, mac)) == {("ethernet", outcome): 1}
    assert bench.replies() == []
    for hops in (bench.inet.v4.hops, bench.inet.v6.hops):
        assert len(hops) == len(hops.neighbours) == 0


@pytest.mark.parametrize("sender", ["192.0.2.255", "255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.7"])
def test_arp_from_an_address_that_no_host_has(sender: str) -> None:
    bench = Bench()
    assert bench.feed(arp(1, sender, HOST)) == {("arp", "malformed"): 1}
    assert bench.replies() == []
    assert len(bench.inet.v4.hops.neighbours) == 0


def test_arp_and_discovery_that_name_a_mac_of_no_station() -> None:
    for mac in GROUPS:
        bench = Bench()
        bench.know_peers()
        frame = from_mac(arp(1, PEER, HOST, mac), PEER_MAC)
        bench.feed(frame, solicitation(HOST6, mac=mac), advertisement(PEER6, mac=mac))
        assert bench.inet.v4.hops.neighbours.lookup(packed(PEER)) == PEER_MAC
        assert bench.inet.v6.hops.neighbours.lookup(packed(PEER6)) == PEER_MAC
        assert all(is_station(frame[:6]) for frame in bench.replies())


@pytest.mark.parametrize(
    "source",
    ["ff02::1", "::1", "::7f00:1", "::ffff:192.0.2.1", HOST6],
    ids=["group", "loopback", "compatible", "mapped", "our own"],
)
def test_ipv6_from_an_address_that_no_host_has(source: str) -> None:
    bench = Bench()
    assert bench.feed(udp6(b"", source=source)) == {("ipv6", "bad_source"): 1}
    assert bench.replies() == []


def test_what_comes_from_the_unspecified_address_is_not_answered() -> None:
    """Were it answered, the answer to :: would go to the gateway."""
    bench = Bench(HOST6 + "/64", gateways=(PEER6,))
    bench.know_peers()
    assert bench.feed(udp6(b"", source="::")) == {("ipv6", "bad_source"): 1}
    assert bench.feed(ipv6(58, icmp6(128, 0, bytes(4), "::"), "::")) == {("ipv6", "bad_source"): 1}
    assert bench.replies() == []


@pytest.mark.parametrize("pieces", [1, 2], ids=["in one fragment", "in two"])
@pytest.mark.parametrize("kind", [133, 134, 135, 136, 137])
def test_discovery_in_fragments_is_not_believed(kind: int, pieces: int) -> None:
    """RFC 6980 section 5; a fragment that is whole in itself is one as well."""
    bench = Bench()
    bench.know_peers()
    moved = bytes.fromhex("0200000000cc")
    target = solicited(HOST6) if kind == 135 else HOST6
    body = (
        bytes((0x60, 0, 0, 0)) + packed(HOST6 if kind == 135 else PEER6) + bytes((1 if kind == 135 else 2, 1)) + moved
    )
    message = icmp6(kind, 0, body, PEER6, target)
    cuts = [0, len(message)] if pieces == 1 else [0, 16, len(message)]
    frames = [
        ipv6(
            44,
            fragment(message[a:b], a, b < len(message)),
            target=target,
            hop_limit=255,
            mac=MAC if target == HOST6 else group_mac(target),
        )
        for a, b in pairwise(cuts)
    ]
    assert bench.feed(*frames)[("icmpv6", "bad_discovery")] == 1
    assert bench.replies() == []
    assert bench.inet.v6.hops.neighbours.lookup(packed(PEER6)) == PEER_MAC
