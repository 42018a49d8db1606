"""The whole host: any octets in, every frame accounted for, every table within its bounds."""

import asyncio
import random
import struct
from collections.abc import Callable
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from asyncnic.stacks.inet import fragments, neighbours, nexthop, paths, udp
from asyncnic.stacks.inet.services import UdpDiscard, UdpEcho
from asyncnic.stacks.inet.stack import FLOW_LIFETIME, Inet
from tests.stacks.inet import wire
from tests.stacks.inet.test_icmp import error
from tests.stacks.inet.test_ipv6 import extension, fragment, too_big
from tests.stacks.inet.wire import (
    BROADCAST,
    FAR,
    HOST,
    HOST6,
    MAC,
    PEER,
    PEER6,
    PEER_LOCAL6,
    Bench,
    advertisement,
    arp,
    echo4,
    group_mac,
    icmp6,
    ipv4,
    solicitation,
    udp4,
    udp6,
)

TAG = b"\x81\x00\x20\x07"
QUOTED = ipv4(17, wire.udp(b"", 9, 5000, HOST, PEER), HOST, PEER)[14:42]
QUOTED6 = wire.ipv6(17, wire.udp(b"", 9, 5000, HOST6, PEER6), HOST6, PEER6)[14:62]
SAMPLES = {
    "arp request": arp(1, PEER, HOST),
    "arp reply": arp(2, PEER, HOST, target=MAC),
    "arp tagged": arp(1, PEER, HOST)[:12] + TAG + arp(1, PEER, HOST)[12:],
    "udp known": udp4(b"known", port=9),
    "udp echo": udp4(b"echo me"),
    "udp closed": udp4(b"nobody", port=33434),
    "udp broadcast": ipv4(17, wire.udp(b"all", 9, 9, PEER, "192.0.2.255"), target="192.0.2.255", mac=BROADCAST),
    "udp options": ipv4(17, wire.udp(b"opt", 5000, 9, PEER, HOST), options=b"\x94\x04\0\0\x01\x01\x01\0"),
    "fragment": ipv4(17, wire.udp(bytes(80), 5000, 9, PEER, HOST)[:80], fragment=0x2000),
    "echo": ipv4(1, echo4(b"abcdefgh" * 20)),
    "echo from afar": ipv4(1, echo4(b"far"), FAR),
    "unreachable": error(3, 3, QUOTED),
    "tcp": ipv4(6, bytes(20)),
    "udp6": udp6(b"six", port=9),
    "udp6 closed": udp6(b"nobody", port=33434),
    "echo6 behind headers": wire.ipv6(0, extension(60) + extension(58) + icmp6(128, 0, b"\0\x01\0\x01six")),
    "fragment6": wire.ipv6(44, fragment(bytes(80), 0, True, following=17)),
    "solicitation": solicitation(HOST6),
    "advertisement": advertisement(PEER6),
    "too big": too_big(1300, PEER6),
    "unreachable6": wire.ipv6(58, icmp6(1, 4, bytes(4) + QUOTED6)),
    "routing": wire.ipv6(43, extension(58, b"\0\x01\0\0\0\0") + icmp6(128, 0, bytes(4))),
}


class Checked(Bench):
    """A host with listeners, whose tables are checked after every burst and whose replies must be sound."""

    async def listen(self) -> None:
        for host in ("0.0.0.0", "::"):
            await self.inet.create_datagram_endpoint(UdpDiscard, (host, 9))
            await self.inet.create_datagram_endpoint(UdpEcho, (host, 7))

    def check(self) -> None:
        super().check()
        for host in (self.inet.v4, self.inet.v6):
            assert len(host.hops) <= nexthop.LIMIT
            assert len(host.hops.neighbours) <= neighbours.LIMIT
            assert host.hops.neighbours.pending() <= neighbours.ALL_PENDING
            assert host.fragments() <= fragments.LIMIT
        assert self.inet.v6.paths() <= paths.LIMIT
        assert len(self.inet.udp.flows) <= udp.FLOWS
        self.replies()


async def checked() -> Checked:
    bench = Checked(HOST + "/24", HOST6 + "/64")
    await bench.listen()
    bench.know_peers()
    return bench


async def test_every_sample_is_what_it_says() -> None:
    """Else the mutations below would mutate nothing but noise."""
    bench = await checked()
    outcomes = {name: next(iter(bench.feed(frame))) for name, frame in SAMPLES.items()}
    assert outcomes == {
        "arp request": ("arp", "request"),
        "arp reply": ("arp", "reply"),
        "arp tagged": ("arp", "request"),
        "udp known": ("udp", "delivered"),
        "udp echo": ("udp", "delivered"),
        "udp closed": ("udp", "no_listener"),
        "udp broadcast": ("udp", "delivered"),
        "udp options": ("udp", "delivered"),
        "fragment": ("ipv4", "fragment_held"),
        "echo": ("icmp", "echo_request"),
        "echo from afar": ("icmp", "echo_request"),
        "unreachable": ("icmp", "error_ignored"),
        "tcp": ("tcp", "bad_header"),
        "udp6": ("udp", "delivered"),
        "udp6 closed": ("udp", "no_listener"),
        "echo6 behind headers": ("icmpv6", "echo_request"),
        "fragment6": ("ipv6", "fragment_held"),
        "solicitation": ("icmpv6", "neighbour_solicitation"),
        "advertisement": ("icmpv6", "neighbour_advertisement"),
        "too big": ("icmpv6", "packet_too_big"),
        "unreachable6": ("icmpv6", "error_ignored"),
        "routing": ("ipv6", "bad_extension"),
    }


@pytest.mark.parametrize("name", SAMPLES)
async def test_every_truncation(name: str) -> None:
    bench = await checked()
    whole = SAMPLES[name]
    bench.feed(*(whole[:length] for length in range(len(whole) + 1)))
    bench.pass_time(60)
    bench.check()


def repaired(frame: bytes) -> bytes:
    """`frame` with an IPv4 header checksum that is right, so that a mutation gets past it."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00":
        return frame
    size = max(20, min((frame[14] & 15) * 4, len(frame) - 14))
    head = frame[14:24] + b"\0\0" + frame[26 : 14 + size]
    return frame[:14] + wire.filled(head, 10) + frame[14 + size :] if len(head) >= 20 else frame


def mutate(frame: bytes, chance: random.Random) -> bytes:
    octets = bytearray(frame)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(12, len(octets))
        match chance.randrange(5):
            case 0:
                octets[at] ^= 1 << chance.randrange(8)
            case 1:
                octets[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del octets[at : at + chance.randint(1, 8)]
            case 3:
                octets[at:at] = chance.randbytes(chance.randint(1, 8))
            case _:
                octets[at : at + 2] = struct.pack("!H", chance.choice((0, 7, 20, 40, 0x8100, 0xFFFF)))
        if len(octets) < 15:
            break
    mutant = bytes(octets)
    return repaired(mutant) if chance.random() < 0.7 else mutant


@pytest.mark.parametrize("seed", range(10))
async def test_ten_thousand_mutations(seed: int) -> None:
    chance = random.Random(seed)
    bench = await checked()
    frames = list(SAMPLES.values())
    for _ in range(20):
        bench.feed(*(mutate(chance.choice(frames), chance) for _ in range(50)))
        bench.pass_time(chance.random())
    assert bench.taken == 1000 + 3


async def test_a_crowd_of_strangers_fills_no_table() -> None:
    bench = await checked()
    bench.feed(*(arp(1, f"192.0.2.{3 + number % 250}", HOST, mac=MAC[:5] + b"\x77") for number in range(600)))
    sources = [f"2001:db8::{number:x}" for number in range(16, 900)]
    bench.feed(*(solicitation(HOST6, source) for source in sources))
    bench.feed(*(udp4(b"to all", 1024 + number) for number in range(5000)))
    bench.feed(*(wire.ipv6(44, fragment(bytes(8), 0, True, identification=number)) for number in range(200)))
    assert len(bench.inet.v6.hops.neighbours) == neighbours.LIMIT
    bench.pass_time(neighbours.FORGET + 60)
    bench.pass_time(10)
    assert len(bench.inet.v6.hops.neighbours) == 0
    assert bench.inet.v6.fragments() == 0


async def test_the_deadline_ends_a_burst_after_a_frame() -> None:
    bench = await checked()

    class Slow(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            bench.now += 1
            if data == b"raise":
                raise RuntimeError

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    await bench.inet.create_datagram_endpoint(Slow, ("0.0.0.0", 10))
    frames = [udp4(b"", port=10)] * 4 + [udp4(b"raise", port=10)] * 2
    burst = bench.burst(*frames, deadline=bench.now + 1)
    for taken in range(1, len(frames) + 1):
        burst.deadline = bench.now + 1
        bench.inet.input(burst)
        assert burst.taken == taken
    bench.taken += burst.taken
    bench.check()
    burst = bench.burst(arp(1, PEER, HOST), arp(1, PEER, HOST), deadline=bench.now)
    bench.inet.input(burst)
    assert burst.taken == 1


async def test_a_full_ring_stops_no_input_and_is_counted() -> None:
    bench = await checked()
    bench.room = 0
    bench.feed(*SAMPLES.values())
    assert bench.inet.totals.transmit_full > 5
    assert bench.inet.totals.as_dict()["transmit_full"] == bench.inet.totals.transmit_full
    bench.room = None
    bench.inet.resume()
    assert bench.feed(ipv4(1, echo4(b"again"))) == {("icmp", "echo_request"): 1}


async def test_fragments_of_a_reply_wait_for_room_together() -> None:
    bench = Bench()
    bench.know_peers()
    message = echo4(bytes(4000))
    parts = [
        ipv4(1, message[at : at + 1480], fragment=at // 8 | (0x2000 if at + 1480 < len(message) else 0))
        for at in range(0, len(message), 1480)
    ]
    bench.room = 1
    bench.feed(*parts)
    assert len(bench.sent) == 1
    bench.feed(arp(1, PEER, HOST))  # nothing overtakes
    bench.room = 5
    bench.inet.resume()
    assert len(bench.replies()) == 3


def test_timers_say_when_to_come_back() -> None:
    bench = Bench(HOST + "/24")
    assert bench.inet.poll(bench.now) == 1000 + FLOW_LIFETIME
    bench.feed(ipv4(1, echo4(b"")))
    assert bench.inet.poll(bench.now) == bench.now + 1
    bench.feed(ipv4(17, bytes(8), fragment=0x2000))
    bench.pass_time(10)
    bench.pass_time(1)
    bench.pass_time(1)
    assert bench.inet.poll(bench.now) == bench.now - 12 + fragments.TIMEOUT


def make(**arguments: Any) -> Inet:
    usual: dict[str, Any] = {
        "addresses": [ip_interface("192.0.2.2/24")],
        "mac": MAC,
        "mtu": 1500,
        "send": lambda frame: True,
        "clock": lambda: 0.0,
    }
    return Inet(**{**usual, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"addresses": []}, "needs an address"),
        ({"mac": b"\x01" * 6}, "mac '01:01:01:01:01:01' is not a unicast"),
        ({"mac": b"\x02" * 5}, "6 octets"),
        ({"mtu": 67}, "mtu 67"),
        ({"addresses": [ip_interface("2001:db8::2/64")], "mtu": 1279}, "IPv6 needs 1280"),
        ({"gateways": [ip_address("192.0.2.1"), ip_address("192.0.2.3")]}, "more than one IPv4 gateway"),
    ],
)
def test_settings_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_an_own_link_local_address_is_kept() -> None:
    inet = make(addresses=[ip_interface("fe80::77/64"), ip_interface("2001:db8::2/64")])
    assert set(inet.v6.addresses.tentative) == {ip_address("fe80::77").packed, ip_address("2001:db8::2").packed}


def test_outcomes_are_all_there_from_the_start() -> None:
    outcomes = make().outcomes()
    assert outcomes["udp"] == dict.fromkeys(
        ("bad_length", "bad_checksum", "no_listener", "delivered", "handler_error"), 0
    )
    assert set(outcomes) == {"ethernet", "arp", "ipv4", "ipv6", "icmp", "icmpv6", "tcp", "udp"}


async def test_closing_tells_every_protocol() -> None:
    bench = await checked()
    lost: list[object] = []

    class Told(asyncio.DatagramProtocol):
        connection_lost: Callable[[Any], None] = lost.append  # type: ignore[assignment]

    await bench.inet.create_datagram_endpoint(Told, (HOST, 11))
    busy, _ = await bench.inet.create_datagram_endpoint(Told, (HOST, 12))
    bench.room = 0
    busy.sendto(b"stays behind", (PEER, 1))
    bench.inet.close()
    await asyncio.sleep(0)
    assert lost == [None, None]
    assert bench.inet.udp.receivers() == []
    assert bench.feed(udp4(b"", port=9)) == {("udp", "no_listener"): 1}


def test_multicast_solicitations_from_the_link_are_taken() -> None:
    bench = Bench()
    frame = solicitation(HOST6, PEER_LOCAL6)
    assert frame[:6] == group_mac("ff02::1:ff00:2")
    assert bench.feed(frame) == {("icmpv6", "neighbour_solicitation"): 1}
