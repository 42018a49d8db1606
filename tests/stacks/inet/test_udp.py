import asyncio
import errno

import pytest

from asyncnic.stacks.inet.udp import EPHEMERAL, FLOWS
from tests.stacks.inet.wire import HOST, HOST6, MAC, PEER, PEER6, Bench, arp, ipv4, packed, udp, udp4, udp6


class Recorder(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: list[tuple[bytes, tuple[object, ...]]] = []
        self.errors: list[Exception] = []

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        self.received.append((data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)


async def listen(bench: Bench, host: str = "0.0.0.0", port: int = 7) -> tuple[asyncio.DatagramTransport, Recorder]:
    return await bench.inet.create_datagram_endpoint(Recorder, (host, port))


async def test_datagrams_arrive_with_the_sender_s_address() -> None:
    bench = Bench()
    _, four = await listen(bench)
    _, six = await listen(bench, "::")
    assert bench.feed(udp4(b"four"), udp6(b"six"), udp4(b""), udp4(b"odd")) == {("udp", "delivered"): 4}
    assert four.received == [(b"four", (PEER, 5000)), (b"", (PEER, 5000)), (b"odd", (PEER, 5000))]
    assert six.received == [(b"six", (PEER6, 5000, 0, 0))]


@pytest.mark.parametrize("known", [False, True])
async def test_datagrams_that_are_not_sound(known: bool) -> None:
    bench = Bench()
    _, protocol = await listen(bench)
    if known:
        bench.feed(udp4(b"first"))
    bad = bytearray(udp4(b"data"))
    bad[42] ^= 1
    assert bench.feed(bytes(bad)) == {("udp", "bad_checksum"): 1}
    for length in (0, 7, 13, 65535):
        plain = bytearray(udp(b"data", 5000, 7, PEER, HOST))
        plain[4:6] = length.to_bytes(2, "big")
        assert bench.feed(ipv4(17, bytes(plain))) == {("udp", "bad_length"): 1}
    assert bench.feed(ipv4(17, udp(b"data", 5000, 7, PEER, HOST)[:7])) == {("udp", "bad_length"): 1}
    assert len(protocol.received) == known


async def test_without_checksum_and_with_octets_behind() -> None:
    bench = Bench()
    _, protocol = await listen(bench)
    plain = ipv4(17, udp(b"none", 5000, 7, PEER, HOST, checksum=False))
    behind = ipv4(17, udp(b"short", 5000, 7, PEER, HOST) + b"behind")
    assert bench.feed(plain, plain, behind) == {("udp", "delivered"): 3}
    assert [data for data, _ in protocol.received] == [b"none", b"none", b"short"]


async def test_ports_belong_to_one_endpoint_each() -> None:
    bench = Bench(HOST + "/24", "192.0.2.9/24", HOST6 + "/64")
    one, _ = await listen(bench, HOST)
    await listen(bench, "192.0.2.9")
    await listen(bench, "::")
    for host in (HOST, "0.0.0.0", "::", HOST6):
        with pytest.raises(OSError, match="in use") as caught:
            await listen(bench, host)
        assert caught.value.errno == errno.EADDRINUSE
    one.close()
    await listen(bench, HOST)


async def test_the_particular_address_goes_before_the_wildcard() -> None:
    bench = Bench(HOST + "/24", "192.0.2.9/24")
    _, wild = await listen(bench, port=8)
    _, particular = await listen(bench, HOST)
    bench.feed(udp4(b"a"), udp4(b"b", port=8), udp4(b"c", port=8, target="192.0.2.9"))
    assert [data for data, _ in wild.received] == [b"b", b"c"]
    assert [data for data, _ in particular.received] == [b"a"]
    assert bench.feed(udp4(b"d", target="192.0.2.9")) == {("udp", "no_listener"): 1}


async def test_a_connected_endpoint_hears_its_peer_only() -> None:
    bench = Bench()
    _, protocol = await bench.inet.create_datagram_endpoint(Recorder, (HOST, 7), (PEER, 5000))
    assert bench.feed(udp4(b"peer"), udp4(b"peer"), udp4(b"other", 5001)) == {
        ("udp", "delivered"): 2,
        ("udp", "no_listener"): 1,
    }
    assert len(protocol.received) == 2


async def test_ephemeral_ports() -> None:
    bench = Bench()
    ports = set()
    for _ in range(50):
        transport, _ = await listen(bench, port=0)
        ports.add(transport.get_extra_info("sockname")[1])
    assert len(ports) == 50
    assert all(port in EPHEMERAL for port in ports)


async def test_flows_are_cached_and_forgotten_when_anything_changes() -> None:
    bench = Bench()
    flows = bench.inet.udp.flows
    transport, old = await listen(bench)
    bench.feed(udp4(b"1"), udp4(b"2"))
    assert list(flows) == [packed(PEER) + packed(HOST) + (5000).to_bytes(2, "big") + b"\0\x07"]
    new = Recorder()
    transport.set_protocol(new)
    bench.feed(udp4(b"3"))
    assert [len(protocol.received) for protocol in (old, new)] == [2, 1]
    _, particular = await listen(bench, HOST, 8)
    assert not flows
    bench.feed(udp4(b"4"))
    transport.close()
    assert not flows
    assert bench.feed(udp4(b"5")) == {("udp", "no_listener"): 1}
    assert particular.received == []


async def test_the_flow_cache_is_bounded() -> None:
    bench = Bench()
    await listen(bench)
    for start in range(0, FLOWS + 500, 500):
        bench.feed(*(udp4(b"", 1024 + port) for port in range(start, start + 500)))
        assert len(bench.inet.udp.flows) <= FLOWS


async def test_flows_take_the_slow_way_now_and_then() -> None:
    bench = Bench()
    await listen(bench)
    bench.feed(udp4(b""))
    bench.pass_time(31)
    assert not bench.inet.udp.flows


async def test_a_checksum_that_would_be_zero_is_sent_as_ones() -> None:
    bench = Bench()
    bench.know_peers()
    transport, _ = await listen(bench)
    base = ~int.from_bytes(udp(b"\0\0", 7, 5000, HOST, PEER)[6:8], "big") & 0xFFFF
    transport.sendto((0xFFFF - base).to_bytes(2, "big"), (PEER, 5000))
    frame = bench.reply()
    assert frame[40:42] == b"\xff\xff"


async def test_datagrams_are_sent_in_fragments_where_they_must() -> None:
    bench = Bench()
    bench.know_peers()
    transport, _ = await listen(bench)
    transport.sendto(bytes(3000), (PEER, 5000))
    sizes = [len(frame) for frame in bench.replies()]
    assert sizes == [1514, 1514, 14 + 20 + 48]


async def test_datagrams_wait_for_their_neighbour() -> None:
    bench = Bench()
    transport, protocol = await listen(bench)
    transport.sendto(b"one", (PEER, 5000))
    assert bench.reply()[12:14] == b"\x08\x06"
    bench.feed(arp(2, PEER, HOST, target=MAC))
    assert bench.reply()[42:] == b"one"
    assert protocol.errors == []
