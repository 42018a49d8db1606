"""Answers whose way is known go straight into descriptors, as the slow way would send them; and not a moment longer."""

import asyncio
from typing import Any

import pytest

from asyncnic.stacks.inet.stack import FLOW_LIFETIME
from tests.hot.card import Card
from tests.stacks.inet.wire import (
    FAR,
    FAR6,
    HOST,
    HOST6,
    PEER,
    PEER6,
    PEER_MAC,
    ROUTER_MAC,
    Bench,
    arp,
    ipv4,
    ipv6,
    udp,
    udp4,
    udp6,
    verify,
)

FAMILIES = {"IPv4": (HOST, PEER, udp4), "IPv6": (HOST6, PEER6, udp6)}
OTHER_MAC = bytes.fromhex("0200000000aa")


class Answering(asyncio.DatagramProtocol):
    """Answers with what it got, and does as it is told before."""

    def __init__(self) -> None:
        self.peers: list[Any] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.peers.append(addr)
        self.transport.sendto(data, addr)


class Ways(Bench):
    """A host with descriptors, and an answering endpoint on port 7."""

    def __init__(self, **how: Any) -> None:
        self.card = Card(64)
        super().__init__(slots=self.card.slots, **how)

    async def open(self, host: str = "0.0.0.0") -> Answering:
        _, protocol = await self.inet.create_datagram_endpoint(Answering, local_addr=(host, 7))
        return protocol

    def fast(self) -> list[bytes]:
        """What went by the known way since the last call."""
        self.card.slots.kick()
        if not self.card.busy:
            self.card.take()
        self.card.slots.reap()
        frames, self.card.sent = self.card.sent, []
        return frames


def same_but_identification(one: bytes, other: bytes) -> bool:
    def without(frame: bytes) -> bytes:
        return frame[:18] + frame[20:24] + frame[26:] if frame[12:14] == b"\x08\x00" else frame

    return without(one).rstrip(b"\0") == without(other).rstrip(b"\0")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("octets", [0, 1, 17, 18, 19, 512, 1452])
async def test_the_third_answer_of_a_flow_is_what_the_first_was(family: str, octets: int) -> None:
    _, _, frame = FAMILIES[family]
    test = Ways()
    test.know_peers()
    await test.open("0.0.0.0" if family == "IPv4" else "::")
    data = bytes(range(256)) * 6
    question = frame(data[:octets])
    slow = []
    for _ in range(2):
        test.feed(question)
        slow += test.replies()
    assert len(slow) == 2
    assert test.fast() == []
    test.feed(question, question)
    assert test.replies() == []
    fast = test.fast()
    assert len(fast) == 2
    for one in fast:
        assert same_but_identification(one, slow[0])


async def test_a_peer_that_answers_are_sent_to_only_once_is_not_remembered() -> None:
    test = Ways()
    test.know_peers()
    await test.open()
    for port in range(5000, 5100):
        test.feed(udp4(b"x", port))
    assert len(test.replies()) == 100
    assert not test.inet.udp._ways


async def warm(test: Ways, host: str = "0.0.0.0") -> Answering:
    """An endpoint that has answered PEER by the known way."""
    test.know_peers()
    protocol = await test.open(host)
    for _ in range(3):
        test.feed(udp4(b"x"))
    assert len(test.fast()) == 1
    test.replies()
    return protocol


async def test_a_datagram_that_needs_fragments_goes_the_slow_way() -> None:
    test = Ways()
    protocol = await warm(test)
    protocol.transport.sendto(bytes(1472), protocol.peers[0])
    assert len(test.fast()) == 1
    protocol.transport.sendto(bytes(1473), protocol.peers[0])
    assert test.fast() == []
    assert len(test.replies()) == 2


async def test_a_neighbour_that_moves_is_answered_where_it_is() -> None:
    test = Ways()
    await warm(test)
    test.feed(arp(1, PEER, HOST, OTHER_MAC))
    test.replies()
    test.feed(udp4(b"x"))
    assert test.fast() == []
    assert test.reply()[:6] == OTHER_MAC
    test.feed(udp4(b"x"))
    assert [frame[:6] for frame in test.fast()] == [OTHER_MAC]


@pytest.mark.parametrize(("far", "frame", "pack"), [(FAR, udp4, ipv4), (FAR6, udp6, ipv6)])
async def test_another_router_of_a_far_host_is_answered_through(far: str, frame: Any, pack: Any) -> None:
    test = Ways()
    host = HOST if frame is udp4 else HOST6
    await test.open("0.0.0.0" if frame is udp4 else "::")
    for _ in range(3):
        test.feed(pack(17, udp(b"x", 5000, 7, far, host), far, host, source_mac=ROUTER_MAC))
    assert [sent[:6] for sent in test.fast()] == [ROUTER_MAC]
    test.replies()
    # A first datagram of another flow of that host, by another router: the slow way learns of it.
    test.feed(pack(17, udp(b"x", 5001, 7, far, host), far, host, source_mac=PEER_MAC))
    test.replies()
    test.feed(pack(17, udp(b"x", 5000, 7, far, host), far, host, source_mac=PEER_MAC))
    assert [sent[:6] for sent in test.fast() + test.replies()] == [PEER_MAC]


async def test_ways_are_looked_up_again_now_and_then() -> None:
    test = Ways()
    await warm(test)
    test.pass_time(FLOW_LIFETIME)
    test.replies()
    test.feed(udp4(b"x"))
    assert test.fast() == []
    assert b"x" in test.reply()


async def test_a_path_that_gets_narrow_ends_the_ways() -> None:
    test = Ways()
    test.know_peers()
    protocol = await test.open("::")
    for _ in range(3):
        test.feed(udp6(bytes(1400)))
    assert len(test.fast()) == 1
    test.replies()
    test.inet.v6._ip.lower_path_mtu(protocol.peers[0].route[0], 1280, test.now)
    test.feed(udp6(bytes(1400)))
    assert test.fast() == []
    assert len(test.replies()) == 2, "in fragments"


async def test_a_closed_endpoint_sends_nothing() -> None:
    test = Ways()
    protocol = await warm(test)
    protocol.transport.close()
    protocol.transport.sendto(b"x", protocol.peers[0])
    assert test.fast() == test.replies() == []


async def test_what_is_buffered_goes_first() -> None:
    test = Ways()
    protocol = await warm(test)
    test.card.busy = True
    test.room = 0
    for number in range(70):
        protocol.transport.sendto(b"%d" % number, protocol.peers[0])
    held = protocol.transport.get_write_buffer_size()
    assert held > 0
    test.card.busy = False
    test.fast()
    protocol.transport.sendto(b"after", protocol.peers[0])
    assert test.fast() == [], "room in the ring is no reason to overtake"
    test.room = None
    test.inet.resume()
    assert [frame[42:].rstrip(b"\0") for frame in test.replies()][-1] == b"after"
    protocol.transport.sendto(b"again", protocol.peers[0])
    assert len(test.fast()) == 1


async def test_an_equal_tuple_is_not_the_peer() -> None:
    test = Ways()
    protocol = await warm(test)
    protocol.transport.sendto(b"x", (PEER, 5000))
    assert test.fast() == []
    verify(test.reply())


async def test_a_connected_endpoint_has_a_way_too() -> None:
    test = Ways()
    test.know_peers()
    transport, _ = await test.inet.create_datagram_endpoint(Answering, remote_addr=(PEER, 5000))
    transport.sendto(b"first")
    assert len(test.replies()) == 1
    transport.sendto(b"second")
    assert [frame[42:48] for frame in test.fast()] == [b"second"]


async def test_ways_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnic.stacks.inet.udp.FLOWS", 4)
    test = Ways()
    test.know_peers()
    await test.open()
    for port in range(5000, 5020):
        test.feed(*[udp4(b"x", port)] * 2)
        assert len(test.inet.udp._ways) <= 4
