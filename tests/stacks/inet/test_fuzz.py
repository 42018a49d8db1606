"""Whatever comes: no frame raises, each has one count, what is said is sound, nobody impossible is remembered."""

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.stacks.inet.ethernet import is_station
from tests.stacks.inet.wire import (
    BROADCAST,
    FAR6,
    HOST,
    HOST6,
    LOCAL6,
    MAC,
    PEER,
    PEER6,
    PEER_LOCAL6,
    PEER_MAC,
    ROUTER_MAC,
    Bench,
    arp,
    echo4,
    group_mac,
    icmp6,
    ipv4,
    ipv6,
    packed,
    solicited,
    udp,
)

ALL, ROUTERS, ASKED = "ff02::1", "ff02::16", solicited(HOST6)
sources6 = st.sampled_from(
    [PEER6, PEER6, PEER_LOCAL6, PEER_LOCAL6, FAR6, HOST6, LOCAL6, "::", "::1", ALL, "::ffff:192.0.2.1", "2001:db8::77"]
)
targets6 = st.sampled_from([HOST6, HOST6, LOCAL6, ALL, ASKED, ASKED, ROUTERS, PEER6])
macs = st.sampled_from([PEER_MAC] * 12 + [ROUTER_MAC, MAC, BROADCAST, group_mac(ALL), bytes(6)])
octets = st.binary(max_size=24)


@st.composite
def options(draw: Any) -> bytes:
    """Options of neighbour discovery, as they should be or not."""
    found = b""
    for _ in range(draw(st.integers(0, 3))):
        kind, units = draw(st.sampled_from([1, 2, 3, 14, 200])), draw(st.sampled_from([0, 1, 1, 1, 2, 40]))
        found += bytes((kind, units)) + draw(macs) + bytes(8 * max(0, min(units, 3) - 1))
    return found


@st.composite
def messages(draw: Any, source: str, target: str) -> bytes:
    """ICMPv6 of every kind that is looked into, its checksum right."""
    kind = draw(st.sampled_from([1, 2, 3, 4, 128, 129, 130, 131, 133, 134, 135, 136, 137, 143, 200]))
    if kind in (135, 136):
        body = bytes((draw(st.sampled_from([0, 0x20, 0x40, 0x60])), 0, 0, 0)) + packed(draw(targets6)) + draw(options())
    elif kind == 130:
        body = (
            struct.pack("!HH", draw(st.sampled_from([0, 1000, 0x8001, 0xFFFF])), 0)
            + packed(draw(targets6))
            + draw(octets)
        )
    elif kind < 5:
        body = bytes(4) + ipv6(17, udp(b"", 7, 5000, HOST6, PEER6), HOST6, draw(sources6))[14:] + draw(octets)
    else:
        body = bytes(4) + draw(octets)
    message = icmp6(kind, draw(st.sampled_from([0, 0, 0, 1, 4])), body, source, target)
    return message[: draw(st.integers(0, len(message)))] if draw(st.booleans()) and draw(st.booleans()) else message


@st.composite
def chained(draw: Any, protocol: int, payload: bytes) -> tuple[int, bytes]:
    """A payload behind extension headers: the first one's type, and all octets."""
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from([0, 43, 44, 44, 51, 59, 60]))
        if kind == 44:
            word = draw(st.sampled_from([0, 1, 8, 9, 16, 17, 0xFFF8, 0xFFFF]))
            extension = struct.pack("!BBHI", protocol, 0, word, draw(st.integers(0, 2)))
        else:
            rest = draw(
                st.sampled_from(
                    [b"\1\4\0\0\0\0", b"\5\2\0\0\1\0", b"\x9e\4\0\0\0\0", b"\xde\4\0\0\0\0", b"\0\0\0\0\0\0"]
                )
            )
            extension = bytes((protocol, draw(st.sampled_from([0, 0, 0, 1, 255])))) + rest
        protocol, payload = kind, extension + payload
    return protocol, payload


@st.composite
def frames6(draw: Any) -> bytes:
    source, target = draw(sources6), draw(targets6)
    if draw(st.booleans()):
        protocol, payload = 58, draw(messages(source, target))
    else:
        protocol, payload = draw(
            st.sampled_from([(17, udp(draw(octets), 5000, 7, source, target)), (6, bytes(20)), (132, b"")])
        )
    protocol, payload = draw(chained(protocol, payload))
    hop_limit = draw(st.sampled_from([255, 255, 64, 1, 0]))
    mac = group_mac(target) if target.startswith("ff") else MAC
    return ipv6(protocol, payload, source, target, mac=mac, hop_limit=hop_limit, source_mac=draw(macs))


@st.composite
def frames4(draw: Any) -> bytes:
    source = draw(
        st.sampled_from([PEER, PEER, PEER, "192.0.2.77", "198.51.100.7", HOST, "0.0.0.0", "192.0.2.255", "224.0.0.1"])
    )
    target = draw(st.sampled_from([HOST, HOST, "192.0.2.255", "224.0.0.1", PEER]))
    if draw(st.integers(0, 4)) == 0:
        return arp(draw(st.sampled_from([1, 2, 3])), source, target, draw(macs))
    protocol, payload = draw(
        st.sampled_from(
            [
                (1, echo4(b"ping")),
                (1, echo4(b"", 3)),
                (17, udp(b"data", 5000, 7, source, target)),
                (6, bytes(20)),
                (99, b""),
            ]
        )
    )
    return ipv4(
        protocol,
        payload[: draw(st.sampled_from([0, 7, 8, 16, 100]))],
        source,
        target,
        mac=draw(st.sampled_from([MAC, MAC, BROADCAST])),
        fragment=draw(st.sampled_from([0, 0, 0x2000, 0x2001, 1, 2, 0x1FFF, 0x4000])),
        identification=draw(st.integers(0, 2)),
        options=draw(st.sampled_from([b"", b"", b"\1\1\1\0", b"\x83\7\4\0\0\0\0\0", b"\x94\4\0\0", b"\x94\0\0\0"])),
        source_mac=draw(macs),
    )


@st.composite
def mutated(draw: Any) -> bytes:
    frame = bytearray(draw(st.one_of(frames6(), frames4())))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        frame[draw(st.integers(14, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(0, len(frame)))]) if draw(st.integers(0, 9)) == 0 else bytes(frame)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(mutated(), st.sampled_from([0.1, 1.0, 31.0])), max_size=30), st.sampled_from([0, 1]))
def test_whatever_comes(things: list[bytes | float], dad: int) -> None:
    bench = Bench(dad=dad)
    for thing in things:
        if isinstance(thing, float):
            bench.pass_time(thing)
        else:
            assert sum(bench.feed(thing).values()) == 1
    for frame in bench.replies():  # each is verified by itself
        assert frame[:6] != MAC
        assert any(frame[:6])
    for hops in (bench.inet.v4.hops, bench.inet.v6.hops):
        for entry in hops.neighbours._known.values():
            assert entry.mac is not None
            assert is_station(entry.mac)
        assert all(is_station(mac) for mac in hops._via.values())
    for _ in range(6):  # fragments time out, who sent them is asked for in vain to be told so
        bench.pass_time(700.0)
    assert bench.inet.v4.fragments() == bench.inet.v6.fragments() == 0
    assert bench.inet.v4.hops.neighbours.pending() == bench.inet.v6.hops.neighbours.pending() == 0
