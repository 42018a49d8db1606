"""The same protocols on the kernel's sockets and on the stack must see the same."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_interface
from typing import Any, Protocol

import pytest

from asyncnic.stacks.inet.endpoint import Endpoint
from asyncnic.stacks.inet.stack import Inet
from asyncnic.stacks.inet.watermarks import HIGH_WATER
from tests.stacks.inet.test_icmp import error
from tests.stacks.inet.wire import (
    FAR,
    HOST,
    HOST6,
    MAC,
    PEER,
    PEER6,
    PEER_MAC,
    Bench,
    burst_of,
    icmp6,
    ipv4,
    ipv6,
    udp,
    udp4,
    udp6,
)
from tests.waiting import until


class Journal(asyncio.DatagramProtocol):
    """Answers every datagram in capitals, and writes down all that happens to it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.transport: Any = None
        self.lost = asyncio.get_running_loop().create_future()
        self.heard = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(("lost", exc))
        self.lost.set_result(None)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.events.append((type(data), data))
        self.heard.set()
        if data == b"raise":
            raise RuntimeError("as asked")
        if data.islower():
            self.transport.sendto(data.upper(), addr)

    def error_received(self, exc: Exception) -> None:
        self.events.append(exc)
        self.heard.set()

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


class World(Protocol):
    """A place where two endpoints can talk."""

    async def endpoint(self, **arguments: Any) -> tuple[Any, Journal]: ...

    hosts: tuple[str, str]


class Kernel:
    def __init__(self, host: str) -> None:
        self.hosts = host, host

    async def endpoint(self, **arguments: Any) -> tuple[Any, Journal]:
        return await asyncio.get_running_loop().create_datagram_endpoint(Journal, **arguments)


class Stack:
    """Two stacks on one wire: each one's frames are the other's."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts[0], hosts[1]
        prefix = "/64" if ":" in hosts[0] else "/24"
        self.first, self.second = (
            Inet(
                [ip_interface(host + prefix)],
                mac,
                1500,
                self.wire(number),
                asyncio.get_running_loop().time,
                dad_transmits=0,
            )
            for number, (host, mac) in enumerate(zip(hosts, (MAC, PEER_MAC), strict=True))
        )
        self.first.start(0)
        self.second.start(0)

    def wire(self, number: int) -> Callable[[bytes], bool]:
        def send(frame: bytes) -> bool:
            asyncio.get_running_loop().call_soon(self.carry, 1 - number, frame)
            return True

        return send

    def carry(self, number: int, frame: bytes) -> None:
        (self.first, self.second)[number].input(burst_of([frame], 1.0, lambda: 0.0))

    async def endpoint(self, **arguments: Any) -> tuple[Any, Journal]:
        local = arguments.get("local_addr") or (self.hosts[0], 0)
        inet = self.first if local[0] == self.hosts[0] else self.second
        return await inet.create_datagram_endpoint(Journal, **arguments)


WORLDS = ["kernel 4", "stack 4", "kernel 6", "stack 6"]


def world(name: str) -> World:
    if name.startswith("kernel"):
        return Kernel("::1" if name.endswith("6") else "127.0.0.1")
    return Stack(HOST6, PEER6) if name.endswith("6") else Stack(HOST, PEER)


@asynccontextmanager
async def reported() -> AsyncIterator[list[dict[str, Any]]]:
    """What reaches the loop's exception handler meanwhile."""
    contexts: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    yield contexts
    loop.set_exception_handler(None)


@pytest.mark.parametrize("name", WORLDS)
async def test_a_protocol_runs_unchanged(name: str) -> None:
    there = world(name)
    server, served = await there.endpoint(local_addr=(there.hosts[1], 0))
    assert served.events == ["made"]
    name_of_server = server.get_extra_info("sockname")
    assert name_of_server[0] == there.hosts[1]
    assert len(name_of_server) == (4 if ":" in there.hosts[1] else 2)
    assert server.get_extra_info("peername") is None
    assert server.get_extra_info("nothing", "default") == "default"
    client, asked = await there.endpoint(local_addr=(there.hosts[0], 0), remote_addr=name_of_server[:2])
    assert client.get_extra_info("peername") == name_of_server
    for data in (b"question", bytearray(b"array"), memoryview(b"view")):
        client.sendto(data)
        asked.heard.clear()
        await asyncio.wait_for(asked.heard.wait(), 5)
    client.sendto(b"again", name_of_server)
    await until(lambda: len(asked.events) == 5)
    assert asked.events == ["made", *((bytes, text) for text in (b"QUESTION", b"ARRAY", b"VIEW", b"AGAIN"))]
    assert served.events == ["made", *((bytes, text) for text in (b"question", b"array", b"view", b"again"))]
    assert not client.is_closing()
    client.close()
    client.close()
    server.abort()
    assert client.is_closing()
    assert ("lost", None) not in asked.events  # not before the loop's next turn
    await asyncio.gather(asked.lost, served.lost)
    assert asked.events[-1] == served.events[-1] == ("lost", None)


@pytest.mark.parametrize("name", WORLDS)
async def test_what_a_protocol_raises_is_reported_and_the_endpoint_stays(name: str) -> None:
    there = world(name)
    async with reported() as contexts:
        server, served = await there.endpoint(local_addr=(there.hosts[1], 0))
        client, asked = await there.endpoint(
            local_addr=(there.hosts[0], 0), remote_addr=server.get_extra_info("sockname")[:2]
        )
        for data in (b"question", b"raise", b"raise", b"question"):
            client.sendto(data)
        await until(lambda: (bytes, b"QUESTION") in asked.events[2:])
    assert [str(context["exception"]) for context in contexts] == ["as asked", "as asked"]
    client.abort()
    server.abort()
    await asyncio.gather(asked.lost, served.lost)


@pytest.mark.parametrize("name", WORLDS)
async def test_a_closed_port_refuses_a_connected_endpoint(name: str) -> None:
    there = world(name)
    nobody, unused = await there.endpoint(local_addr=(there.hosts[1], 0))
    address = nobody.get_extra_info("sockname")[:2]
    nobody.close()
    await unused.lost
    client, asked = await there.endpoint(local_addr=(there.hosts[0], 0), remote_addr=address)
    client.sendto(b"anybody?")
    await until(lambda: len(asked.events) > 1)
    assert isinstance(asked.events[1], ConnectionRefusedError)
    client.close()
    await asked.lost


@pytest.mark.parametrize("name", WORLDS)
async def test_misuse_is_told_at_once(name: str) -> None:
    there = world(name)
    server, served = await there.endpoint(local_addr=(there.hosts[1], 0))
    client, asked = await there.endpoint(
        local_addr=(there.hosts[0], 0), remote_addr=server.get_extra_info("sockname")[:2]
    )
    with pytest.raises(TypeError):
        client.sendto("text")
    with pytest.raises(ValueError, match="Invalid address"):
        client.sendto(b"elsewhere", (there.hosts[1], 1))
    client.close()
    server.close()
    await asyncio.gather(asked.lost, served.lost)


async def on(bench: Bench, host: str = "0.0.0.0", **arguments: Any) -> tuple[Endpoint, Journal]:
    transport, protocol = await bench.inet.create_datagram_endpoint(Journal, (host, 7), **arguments)
    assert isinstance(transport, Endpoint)
    return transport, protocol


async def test_addresses_that_cannot_be_opened() -> None:
    inet = Bench().inet
    with pytest.raises(OSError, match="assign") as caught:
        await inet.create_datagram_endpoint(Journal, ("192.0.2.3", 7))
    assert caught.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(socket.gaierror, match="not a numeric address"):
        await inet.create_datagram_endpoint(Journal, ("localhost", 7))
    with pytest.raises(ValueError, match="unexpected address family"):
        await inet.create_datagram_endpoint(Journal)
    with pytest.raises(ValueError, match="different families"):
        await inet.create_datagram_endpoint(Journal, (HOST, 7), (PEER6, 7))
    with pytest.raises(TypeError):
        await inet.create_datagram_endpoint(Journal, HOST)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        await inet.create_datagram_endpoint(Journal, (HOST, 65536))
    assert inet.udp.receivers() == []


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
async def test_a_family_alone_opens_an_ephemeral_port(family: int, host: str) -> None:
    transport, _ = await Bench().inet.create_datagram_endpoint(Journal, family=family)
    assert transport.get_extra_info("sockname")[0] == host
    assert transport.get_extra_info("sockname")[1] >= 49152


async def test_a_connected_endpoint_has_the_address_that_fits() -> None:
    transport, _ = await Bench().inet.create_datagram_endpoint(Journal, remote_addr=(PEER6, 5000))
    assert transport.get_extra_info("sockname")[0] == HOST6


async def test_what_the_network_refuses_goes_to_error_received() -> None:
    bench = Bench()
    transport, protocol = await on(bench)
    transport.sendto(b"x", (FAR, 9))
    transport.sendto(b"x", (HOST, 9))
    transport.sendto(bytes(65508), (PEER, 9))
    transport.sendto(b"x", ("192.0.2.255", 9))
    transport.sendto(b"x", ("peer.example", 9))
    transport.sendto(b"x", (PEER6, 9))
    numbers = [event.errno for event in protocol.events[1:]]
    assert numbers == [
        errno.ENETUNREACH,
        errno.ENETUNREACH,
        errno.EMSGSIZE,
        errno.EACCES,
        socket.EAI_NONAME,
        socket.EAI_ADDRFAMILY,
    ]
    assert bench.replies() == []
    with pytest.raises(ValueError, match="not connected"):
        transport.sendto(b"x")
    with pytest.raises(TypeError):
        transport.sendto(b"x", PEER)
    with pytest.raises(OverflowError):
        transport.sendto(b"x", (PEER, -1))


async def test_broadcast_is_sent_by_who_may() -> None:
    bench = Bench()
    transport, _ = await on(bench, allow_broadcast=True)
    transport.sendto(b"all", ("192.0.2.255", 9))
    assert bench.reply()[:6] == b"\xff" * 6


async def test_a_datagram_without_octets_is_sent() -> None:
    bench = Bench()
    bench.know_peers()
    transport, _ = await on(bench)
    transport.sendto(b"", (PEER, 5000))
    assert bench.reply()[14:].startswith(b"\x45\0\0\x1c")


async def test_a_full_ring_pauses_the_protocol_and_loses_nothing_of_a_patient_one() -> None:
    bench = Bench()
    bench.know_peers()
    transport, protocol = await on(bench)
    transport.set_write_buffer_limits(high=1000, low=300)
    assert transport.get_write_buffer_limits() == (300, 1000)
    bench.room = 2
    sent = 0
    while "pause" not in protocol.events:
        transport.sendto(bytes((sent,)) * 92, (PEER, 5000))
        sent += 1
    assert transport.get_write_buffer_size() == 1100
    assert bench.full > 0
    bench.room = 3
    bench.inet.resume()
    assert transport.get_write_buffer_size() == 800
    assert "resume" not in protocol.events
    bench.room = 5
    bench.inet.resume()
    assert protocol.events == ["made", "pause", "resume"]
    bench.room = None
    bench.inet.resume()
    assert transport.get_write_buffer_size() == 0
    assert [frame[42] for frame in bench.replies()] == list(range(sent))
    assert bench.inet.totals.datagrams_dropped == 0


async def test_an_impatient_protocol_loses_what_does_not_fit() -> None:
    bench = Bench()
    bench.know_peers()
    transport, protocol = await on(bench)
    bench.room = 0
    for _ in range(200):
        transport.sendto(bytes(992), (PEER, 5000))
    assert HIGH_WATER < transport.get_write_buffer_size() <= HIGH_WATER + 1000
    assert bench.inet.totals.datagrams_dropped == 200 - 66
    assert protocol.events == ["made", "pause"]


async def test_closing_sends_what_is_buffered_and_aborting_does_not() -> None:
    bench = Bench()
    bench.know_peers()
    for abort in (False, True):
        transport, protocol = await on(bench)
        bench.room = 0
        transport.sendto(b"last", (PEER, 5000))
        transport.close()
        await asyncio.sleep(0)
        assert not protocol.lost.done()
        if abort:
            transport.abort()
        bench.room = None
        bench.inet.resume()
        await protocol.lost
        assert len(bench.replies()) == (0 if abort else 1)
        assert protocol.events == ["made", ("lost", None)]
        transport.sendto(b"late", (PEER, 5000))
        assert bench.replies() == []


async def test_limits_that_cannot_be() -> None:
    transport, _ = await on(Bench())
    for high, low in ((1, 2), (5, -1)):
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high, low)
    transport.set_write_buffer_limits(low=10)
    assert transport.get_write_buffer_limits() == (10, 40)
    transport.set_write_buffer_limits()
    assert transport.get_write_buffer_limits() == (HIGH_WATER // 4, HIGH_WATER)
    assert transport.get_protocol() is not None


async def test_icmp_errors_reach_whom_they_concern() -> None:
    bench = Bench()
    quoted = ipv4(17, udp(b"", 7, 5000, HOST, PEER), HOST, PEER)[14:42]
    quoted6 = ipv6(17, udp(b"", 7, 5000, HOST6, PEER6), HOST6, PEER6)[14:62]
    _, loose = await on(bench)
    assert bench.feed(error(3, 3, quoted)) == {("icmp", "error_ignored"): 1}
    bench.inet.close()
    _, four = await on(bench, HOST, remote_addr=(PEER, 5000))
    _, six = await on(bench, HOST6, remote_addr=(PEER6, 5000))
    assert bench.feed(error(3, 3, quoted), error(3, 2, quoted)) == {("icmp", "error_delivered"): 2}
    assert bench.feed(ipv6(58, icmp6(1, 4, bytes(4) + quoted6))) == {("icmpv6", "error_delivered"): 1}
    assert [event.errno for event in four.events[1:]] == [errno.ECONNREFUSED, errno.ENOPROTOOPT]
    assert isinstance(six.events[1], ConnectionRefusedError)
    await loose.lost
    assert loose.events == ["made", ("lost", None)]


class Rude(Journal):
    """Raises wherever it can."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        raise RuntimeError("made")

    def error_received(self, exc: Exception) -> None:
        raise RuntimeError("error")

    def pause_writing(self) -> None:
        raise RuntimeError("pause")

    def resume_writing(self) -> None:
        raise RuntimeError("resume")


async def test_rude_protocols_are_reported() -> None:
    bench = Bench()
    bench.know_peers()
    async with reported() as contexts:
        transport, _ = await bench.inet.create_datagram_endpoint(Rude, (HOST, 7), (PEER, 5000))
        assert isinstance(transport, Endpoint)
        bench.feed(error(3, 3, ipv4(17, udp(b"", 7, 5000, HOST, PEER), HOST, PEER)[14:42]))
        transport.set_write_buffer_limits(0)
        bench.room = 0
        transport.sendto(b"x")
        bench.room = None
        bench.inet.resume()
    assert [str(context["exception"]) for context in contexts] == ["made", "error", "pause", "resume"]
    assert all(context["transport"] is transport for context in contexts)


@pytest.mark.parametrize("frame", [udp4(b"raise"), udp6(b"raise")])
async def test_a_raising_handler_costs_its_frame_only(frame: bytes) -> None:
    bench = Bench()
    await on(bench)
    await on(bench, "::")
    async with reported() as contexts:
        assert bench.feed(frame, udp4(b"FINE"), frame, udp4(b"FINE"), udp6(b"FINE"), frame) == {
            ("udp", "delivered"): 3,
            ("udp", "handler_error"): 3,
        }
    assert len(contexts) == 3


@pytest.mark.parametrize("error_type", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("known", [False, True])
async def test_an_exit_comes_through_and_is_counted(error_type: type[BaseException], known: bool) -> None:
    bench = Bench()
    _, protocol = await on(bench)
    if known:
        bench.feed(udp4(b"FIRST"))

    def leave(data: bytes, addr: Any) -> None:
        raise error_type

    protocol.datagram_received = leave  # type: ignore[method-assign]
    bench.inet.udp.flows.update({key: (leave, flow[1]) for key, flow in bench.inet.udp.flows.items()})
    burst = bench.burst(udp4(b"X"), udp4(b"Y"))
    with pytest.raises(error_type):
        bench.inet.input(burst)
    assert burst.taken == 1
    bench.taken += 1
    bench.check()
    assert bench.counts()["udp", "handler_error"] == 1
