"""Which address of ours a datagram leaves from: the one asked, else the one that fits, never one not in use."""

import errno
from ipaddress import ip_address
from typing import Any

import pytest

from asyncnic.stacks.inet.services import UdpEcho
from tests.stacks.inet.test_endpoint import Journal
from tests.stacks.inet.wire import (
    HOST,
    HOST6,
    PEER,
    PEER6,
    Bench,
    group_mac,
    ipv4,
    ipv6,
    packed,
    solicitation,
    udp,
    udp4,
    udp6,
)

SECOND, SECOND6 = "192.0.2.9", "2001:db8::9"
OWN = HOST + "/24", SECOND + "/24", HOST6 + "/64", SECOND6 + "/64"
ASKED = [(HOST, PEER), (SECOND, PEER), (HOST6, PEER6), (SECOND6, PEER6)]


def question(target: str, peer: str, data: bytes = b"question", port: int = 7) -> bytes:
    return udp6(data, 5000, port, peer, target) if ":" in target else udp4(data, 5000, port, peer, target)


def source_of(frame: bytes) -> str:
    return str(ip_address(frame[22:38] if frame[12:14] == b"\x86\xdd" else frame[26:30]))


def ready() -> Bench:
    bench = Bench(*OWN)
    bench.know_peers()
    return bench


@pytest.mark.parametrize(("target", "peer"), ASKED)
async def test_an_answer_comes_from_the_address_that_was_asked(target: str, peer: str) -> None:
    bench = ready()
    await bench.inet.create_datagram_endpoint(UdpEcho, ("::" if ":" in target else "0.0.0.0", 7))
    for other, _ in ASKED:  # the same peer asks all of them, by the slow way and by the fast one
        if len(packed(other)) == len(packed(target)):
            bench.feed(question(other, peer), question(other, peer))
    bench.replies()
    for _ in range(2):
        bench.feed(question(target, peer))
        assert source_of(bench.reply()) == target


class Late(Journal):
    """Remembers whom to answer later."""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.events.append(addr)


@pytest.mark.parametrize("family", ["0.0.0.0", "::"])
async def test_peers_that_differ_in_the_address_asked_alone_are_not_mixed_up(family: str) -> None:
    bench = ready()
    transport, protocol = await bench.inet.create_datagram_endpoint(Late, (family, 7))
    asked = [(target, peer) for target, peer in ASKED if (":" in target) == (family == "::")]
    bench.feed(*(question(*pair) for pair in asked))
    first, second = protocol.events[1:]
    assert first == second
    assert [addr.local[:2] for addr in (first, second)] == [(target, 7) for target, _ in asked]
    for addr, (target, _) in zip((second, first, second), (asked[1], asked[0], asked[1]), strict=True):
        transport.sendto(b"answer", addr)
        assert source_of(bench.reply()) == target
    transport.sendto(b"unasked", (first[0], first[1]))  # a plain tuple says nothing of ours
    assert source_of(bench.reply()) == asked[0][0]


@pytest.mark.parametrize(("target", "peer"), ASKED)
async def test_an_endpoint_of_one_address_sends_from_it(target: str, peer: str) -> None:
    bench = ready()
    transport, _ = await bench.inet.create_datagram_endpoint(Late, (target, 7))
    _, heard = await bench.inet.create_datagram_endpoint(Late, ("::" if ":" in target else "0.0.0.0", 8))
    for other, _ in ASKED:
        if len(packed(other)) == len(packed(target)):
            bench.feed(question(other, peer, port=8))
    transport.sendto(b"plain", (peer, 5000))
    for addr in heard.events[1:]:  # another endpoint's peers
        transport.sendto(b"peer", addr)
    assert {source_of(frame) for frame in bench.replies()} == {target}
    connected, _ = await bench.inet.create_datagram_endpoint(Late, (target, 9), (peer, 5000))
    connected.sendto(b"connected")
    assert source_of(bench.reply()) == target


async def test_what_was_asked_of_a_group_is_answered_from_an_address() -> None:
    bench = ready()
    _, protocol = await bench.inet.create_datagram_endpoint(Late, ("0.0.0.0", 7))
    await bench.inet.create_datagram_endpoint(Late, ("::", 7))
    frame = ipv4(17, udp(b"all?", 5000, 7, PEER, "192.0.2.255"), PEER, "192.0.2.255", mac=b"\xff" * 6)
    assert bench.feed(frame) == {("udp", "delivered"): 1}
    assert protocol.events[1].local == (HOST, 7)
    frame = ipv6(17, udp(b"all?", 5000, 7, PEER6, "ff02::1"), PEER6, "ff02::1", mac=group_mac("ff02::1"))
    assert bench.feed(frame) == {("udp", "delivered"): 1}


@pytest.mark.parametrize("host", [HOST6, "::"])
async def test_an_address_that_is_tentative_or_lost_is_no_source(host: str) -> None:
    bench = Bench(HOST6 + "/64", dad=1)
    transport, protocol = await bench.inet.create_datagram_endpoint(Journal, (host, 7))
    transport.sendto(b"too early", (PEER6, 5000))
    bench.feed(solicitation(HOST6, "::", mac=None))  # somebody else has it
    bench.pass_time(1)
    bench.replies()
    transport.sendto(b"too late", (PEER6, 5000))
    if host == "::":  # the link-local address is there by now, and reaches nobody whom it should not
        assert protocol.events[1].errno == errno.ENETUNREACH
    else:
        assert [event.errno for event in protocol.events[1:]] == [errno.EADDRNOTAVAIL] * 2
        assert bench.inet.totals.no_route == 2
    assert not any(source_of(frame) == HOST6 for frame in bench.replies() if frame[54] not in (135, 143))
