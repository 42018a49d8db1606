"""ICMP errors and options, held to the kernel's own sockets: the stack's endpoint is told the same."""

import asyncio
import socket
import struct
from typing import Any

import pytest

from tests.stacks.inet.test_endpoint import Journal
from tests.stacks.inet.test_icmp import error
from tests.stacks.inet.wire import HOST, HOST6, PEER, PEER6, Bench, filled, icmp6, ipv4, ipv6, packed, udp, udp4, udp6
from tests.waiting import until

MTU = struct.pack("!I", 1300)
KINDS4 = [(3, code) for code in range(16)] + [(4, 0), (11, 0), (11, 1), (12, 0)]
KINDS6 = [(1, code) for code in range(8)] + [(2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)]


def quoted4(port: int, peer_port: int, source: str, target: str) -> bytes:
    return ipv4(17, udp(b"", port, peer_port, source, target), source, target)[14:42]


def quoted6(port: int, peer_port: int, source: str, target: str) -> bytes:
    return ipv6(17, udp(b"", port, peer_port, source, target), source, target)[14:62]


async def kernel_hears(host: str, kind: int, code: int) -> list[int | None]:
    """What the loop's own endpoint is told of such an error."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.bind((host, 0))
        transport, journal = await loop.create_datagram_endpoint(Journal, (host, 0), peer.getsockname()[:2])
        port, peer_port = transport.get_extra_info("sockname")[1], peer.getsockname()[1]
        protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
        with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
            quote = (quoted6 if family == socket.AF_INET6 else quoted4)(port, peer_port, host, host)
            raw.sendto(filled(bytes((kind, code, 0, 0)) + MTU + quote, 2), (host, 0))
        peer.sendto(b"THE END", transport.get_extra_info("sockname")[:2])
        await until(lambda: (bytes, b"THE END") in journal.events)
        transport.close()
        await journal.lost
    return errors(journal)


def errors(journal: Journal) -> list[int | None]:
    return [event.errno for event in journal.events if isinstance(event, OSError)]


async def stack_hears(host: str, peer: str, kind: int, code: int) -> list[int | None]:
    """The same of the stack's."""
    bench = Bench()
    _, journal = await bench.inet.create_datagram_endpoint(Journal, (host, 7), (peer, 5000))
    if ":" in host:
        frame = ipv6(58, icmp6(kind, code, MTU + quoted6(7, 5000, host, peer)))
    else:
        frame = ipv4(1, filled(bytes((kind, code, 0, 0)) + MTU + quoted4(7, 5000, host, peer), 2))
    bench.feed(frame, udp6(b"THE END") if ":" in host else udp4(b"THE END"))
    assert (bytes, b"THE END") in journal.events
    return errors(journal)


@pytest.mark.parametrize(("kind", "code"), KINDS4)
async def test_errors_of_ipv4_reach_the_endpoint_as_the_kernel_s(kind: int, code: int) -> None:
    assert await stack_hears(HOST, PEER, kind, code) == await kernel_hears("127.0.0.1", kind, code)


@pytest.mark.parametrize(("kind", "code"), KINDS6)
async def test_errors_of_ipv6_reach_the_endpoint_as_the_kernel_s(kind: int, code: int) -> None:
    assert await stack_hears(HOST6, PEER6, kind, code) == await kernel_hears("::1", kind, code)


async def test_an_error_behind_another_s_addresses_or_ports_reaches_nobody() -> None:
    bench = Bench()
    _, journal = await bench.inet.create_datagram_endpoint(Journal, (HOST, 7), (PEER, 5000))
    for quote in (
        quoted4(7, 5001, HOST, PEER),
        quoted4(8, 5000, HOST, PEER),
        quoted4(7, 5000, HOST, "192.0.2.77"),
        quoted4(7, 5000, PEER, HOST),
    ):
        assert bench.feed(error(3, 13, quote)) == {("icmp", "error_ignored"): 1}
    assert journal.events == ["made"]
    assert packed(HOST) in bench.inet.v4.addresses.usable


OPTIONS: list[dict[str, Any]] = [{"reuse_port": True}, {"allow_broadcast": True}, {"proto": socket.IPPROTO_UDP}]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options)))
async def test_the_arguments_of_the_loop_s_own_are_taken(options: dict[str, Any]) -> None:
    for create, host in (
        (asyncio.get_running_loop().create_datagram_endpoint, "127.0.0.1"),
        (Bench().inet.create_datagram_endpoint, HOST),
    ):
        transport, _ = await create(Journal, local_addr=(host, 0), **options)
        sock = transport.get_extra_info("socket")
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_DGRAM)
        assert sock.getsockname() == transport.get_extra_info("sockname")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM
        assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)) is ("allow_broadcast" in options)
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
        with pytest.raises(OSError, match="not available"):
            sock.getsockopt(socket.SOL_SOCKET, 9999)
        with pytest.raises(OSError, match="not available"):
            sock.setsockopt(socket.SOL_SOCKET, 9999, 1)
        assert sock.gettimeout() == 0
        transport.close()


async def test_a_connection_to_a_broadcast_address_needs_leave() -> None:
    """As the kernel's connect(2) has it: EACCES, and nothing stays open."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(PermissionError):
        sock.connect(("127.255.255.255", 9))
    inet = Bench().inet
    for address in ("192.0.2.255", "255.255.255.255"):
        with pytest.raises(PermissionError):
            await inet.create_datagram_endpoint(Journal, remote_addr=(address, 9))
    assert inet.udp.receivers() == []
    transport, _ = await inet.create_datagram_endpoint(Journal, remote_addr=("192.0.2.255", 9), allow_broadcast=True)
    transport.sendto(b"all")


async def test_a_shared_port_has_one_endpoint_for_each_peer() -> None:
    bench = Bench()
    shared = [await bench.inet.create_datagram_endpoint(Journal, (HOST, 7), reuse_port=True) for _ in range(4)]
    with pytest.raises(OSError, match="in use"):
        await bench.inet.create_datagram_endpoint(Journal, (HOST, 7))
    frames = [udp4(str(port).encode(), port) for port in range(2000, 2100)]
    assert bench.feed(*frames, *frames) == {("udp", "delivered"): 200}
    got = [{data for kind, data in journal.events[1:]} for _, journal in shared]
    assert sum(map(len, got)) == 100  # each peer's datagrams went to one of them
    assert all(got)
    connected, journal = await bench.inet.create_datagram_endpoint(Journal, (HOST, 7), (PEER, 2000), reuse_port=True)
    bench.feed(frames[0])
    assert journal.events == ["made", (bytes, b"2000")]
    for transport in (connected, *(transport for transport, _ in shared)):
        transport.close()
    assert bench.inet.udp.receivers() == []
