"""Frames, fragments and segments as trials: octets into an `Inet` that has nothing real around it.

The fuzzer's octets are records. Frames come as they are, or put right (addresses, lengths, checksums): what is put
right gets past the first checks, and what is not tries these. Segments answer what the host said last, give or take a
little, so that states are reached which no arbitrary number would.
"""

import asyncio
import struct
from collections.abc import Callable, Coroutine, Iterator
from ipaddress import ip_interface
from typing import Any

from asyncnic.stacks.inet.fragments import LIMIT
from asyncnic.stacks.inet.services import TcpDiscard, TcpEcho, UdpEcho
from asyncnic.stacks.inet.sockets import standing
from asyncnic.stacks.inet.stack import Inet
from asyncnic.stacks.inet.tcp.config import Config
from tests.stacks.inet import wire
from tests.stacks.inet.wire import HOST, HOST6, MAC, PEER, PEER6, Bench, burst_of

_MOST = 64
"""Records of one input that are looked at."""
_CONFIG = Config(connections=8, connections_per_source=6, half_open=4, time_wait=4, memory=4 << 20)
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_TCP_AT = {4: 34, 6: 54}


class Host(Bench):
    """A host with UDP and TCP services within tight limits."""

    def __init__(self) -> None:  # not the bench's: it settles a host for longer than a trial takes
        self.now = 1000.0
        self.sent: list[bytes] = []
        self.room = None
        self.full = self.taken = 0
        self.inet = Inet(
            [ip_interface(HOST + "/24"), ip_interface(HOST6 + "/64")],
            MAC,
            1500,
            self._send,
            lambda: self.now,
            [],
            self._no_room,
            0,
            tcp=_CONFIG,
        )
        self.inet.start(self.now)

    async def serve(self) -> None:
        for address in ("0.0.0.0", "::"):
            await self.inet.create_datagram_endpoint(UdpEcho, local_addr=(address, 7))
            await self.inet.create_server(TcpEcho, address, 7)
            await self.inet.create_server(TcpDiscard, address, 9)
        self.know_peers()

    def take(self, frame: bytes) -> list[bytes]:
        """Feed one frame; what was said since, sound."""
        self.inet.input(burst_of([frame], float("inf"), lambda: self.now))
        self.taken += 1
        self.check()
        said = self.replies()
        assert len(said) <= 64
        tcp = self.inet.tcp
        assert sum(standing(tcp).connections.values()) <= _CONFIG.connections + _CONFIG.half_open + _CONFIG.time_wait
        assert tcp.accounts.memory <= _CONFIG.memory
        return said


def records(data: bytes, head: int) -> Iterator[tuple[bytes, bytes]]:
    """Head and body of each record: the head's last two octets are the body's length."""
    at = 0
    for _ in range(_MOST):
        if at + head > len(data):
            return
        length = int.from_bytes(data[at + head - 2 : at + head], "big") % 1600
        yield data[at : at + head], data[at + head : at + head + length]
        at += head + length


def put_right(frame: bytes) -> bytes:
    """`frame` for us, with lengths and checksums as they must be, whatever it is."""
    octets = bytearray(frame.ljust(60, b"\0")[:1514])
    if not octets[0] & 1:
        octets[:6] = MAC
    octets[6:12] = wire.PEER_MAC
    body = octets[14:]
    if octets[12:14] == _IPV4:
        size = max(20, (body[0] & 15) * 4) if len(body) >= (body[0] & 15) * 4 else 20
        body[0] = 0x40 | size // 4
        struct.pack_into("!H", body, 2, len(body))
        struct.pack_into("!H", body, 10, 0)
        struct.pack_into("!H", body, 10, ~wire.sum_of(bytes(body[:size])) & 0xFFFF)
        _sum(body, size, body[9], body[12:20])
    elif octets[12:14] == _IPV6:
        body[0] = 0x60 | body[0] & 15
        struct.pack_into("!H", body, 4, len(body) - 40)
        _sum(body, 40, body[6], body[8:40])
    octets[14:] = body
    return bytes(octets)


def _sum(body: bytearray, start: int, protocol: int, addresses: bytearray) -> None:
    place = {1: 2, 2: 2, 6: 16, 17: 6, 58: 2}.get(protocol)
    if place is None or start + place + 2 > len(body):
        return
    pseudo = b"" if protocol in (1, 2) else bytes(addresses) + struct.pack("!II", len(body) - start, protocol)
    if protocol == 17:
        struct.pack_into("!H", body, start + 4, len(body) - start)
    struct.pack_into("!H", body, start + place, 0)
    struct.pack_into("!H", body, start + place, ~wire.sum_of(pseudo + bytes(body[start:])) & 0xFFFF)


def in_a_loop(trial: Callable[[bytes], Coroutine[Any, Any, None]]) -> Callable[[bytes], None]:
    """`trial`, run in a loop that outlives it: making one costs more than a trial does."""
    kept: list[asyncio.AbstractEventLoop] = []

    def run(data: bytes) -> None:
        if not kept or kept[0].is_closed():
            kept[:] = [asyncio.new_event_loop()]
        raised: list[object] = []
        kept[0].set_exception_handler(lambda loop, context: raised.append(context))
        kept[0].run_until_complete(trial(data))
        assert not raised, raised

    return run


@in_a_loop
async def inet(data: bytes) -> None:
    """Records: put right or not, seconds that pass, the frame."""
    host = Host()
    await host.serve()
    for head, frame in records(data, 4):
        host.take(put_right(frame) if head[0] & 1 else frame.ljust(60, b"\0"))
        if head[1] > 200:
            host.pass_time(head[1] - 200)
            host.replies()
        await asyncio.sleep(0)
    host.inet.close()


@in_a_loop
async def fragments(data: bytes) -> None:
    """Records: family and last, offset, identification, the piece."""
    host = Host()
    await host.serve()
    for head, piece in records(data, 8):
        more, offset = head[0] >> 1 & 1, int.from_bytes(head[1:3], "big") & 0x1FFF
        identification, protocol = head[3], (17, 1, 58, 6)[head[4] & 3]
        if head[0] & 1:
            frame = wire.ipv4(protocol, piece[:1480], fragment=more << 13 | offset, identification=identification)
        else:
            fields = struct.pack("!BBHI", protocol, 0, offset << 3 | more, identification)
            frame = wire.ipv6(44, fields + piece[:1440])
        host.take(frame)
        for family in (host.inet.v4, host.inet.v6):
            assert family.fragments() <= LIMIT
        if head[5] > 250:
            host.pass_time(31)
            host.replies()
    host.pass_time(31)
    host.replies()
    assert not host.inet.v4.fragments() + host.inet.v6.fragments()
    host.inet.close()


@in_a_loop
async def tcp(data: bytes) -> None:
    """Records: connection, flags, sequence and acknowledgment off by so much, window, options, time, the data."""
    host = Host()
    await host.serve()
    expected: dict[tuple[int, int], tuple[int, int]] = {}
    for head, payload in records(data, 12):
        version, port = (4, 6)[head[0] & 1], 5000 + (head[0] >> 1 & 7)
        flags, window = head[1] & 0x3F, int.from_bytes(head[4:6], "big")
        sequence, acknowledged = expected.get((version, port), (1000, 0))
        sequence += int.from_bytes(head[2:3], "big", signed=True)
        acknowledged += int.from_bytes(head[3:4], "big", signed=True)
        options = payload[: 4 * (head[6] % 11)]
        options += bytes(-len(options) % 4)
        body = payload[len(options) :]
        segment = struct.pack(
            "!HHIIBBHHH",
            port,
            7 + 2 * (head[0] >> 4 & 1),
            sequence & 0xFFFF_FFFF,
            acknowledged & 0xFFFF_FFFF,
            (20 + len(options)) << 2,
            flags,
            window,
            0,
            0,
        )
        segment += options + body[:1400]
        if version == 4:
            frame = wire.ipv4(6, wire.filled(segment, 16, wire.pseudo(PEER, HOST, 6, len(segment))))
        else:
            frame = wire.ipv6(6, wire.filled(segment, 16, wire.pseudo(PEER6, HOST6, 6, len(segment))))
        said = host.take(frame)
        await asyncio.sleep(0)
        if head[7] > 128:
            host.pass_time(2.0 ** ((head[7] - 128) / 16) / 10)
        for answer in [*said, *host.replies()]:
            _follow(answer, expected)
    host.inet.close()


def _follow(frame: bytes, expected: dict[tuple[int, int], tuple[int, int]]) -> None:
    """Take down what the host waits for, and what it has sent."""
    version = 4 if frame[12:14] == _IPV4 else 6
    at = _TCP_AT[version]
    if frame[12:14] not in (_IPV4, _IPV6) or frame[23 if version == 4 else 20] != 6:
        return
    port, sequence, acknowledged, offset, flags = struct.unpack_from("!2xHIIBB", frame, at)
    end = 14 + int.from_bytes(frame[16:18], "big") if version == 4 else 54 + int.from_bytes(frame[18:20], "big")
    length = end - at - (offset >> 2) + bool(flags & 2) + (flags & 1)
    expected[version, port] = acknowledged, sequence + length


def inet_seeds() -> list[bytes]:
    """One of each protocol, and several together."""
    found = [
        wire.arp(1, PEER, HOST),
        wire.arp(2, PEER, HOST),
        wire.udp4(b"hello"),
        wire.udp6(b"hello"),
        wire.ipv4(1, wire.echo4(b"x" * 20)),
        wire.ipv6(58, wire.icmp6(128, 0, bytes(8))),
        wire.solicitation(HOST6),
        wire.advertisement(PEER6),
        wire.ipv4(2, wire.filled(bytes((0x11, 0, 0, 0)) + bytes(4), 2), target="224.0.0.1"),
        wire.ipv6(58, wire.icmp6(130, 0, bytes(24))),
        wire.ipv4(1, wire.filled(bytes((3, 3, 0, 0)) + bytes(4) + wire.udp4(b"x", 7, 5000, HOST, PEER)[14:42], 2)),
        wire.ipv6(0, bytes((58, 0, 5, 2, 0, 0, 1, 0)) + wire.icmp6(131, 0, bytes(20))),
        wire.ipv6(43, bytes((17, 0, 0, 0, 0, 0, 0, 0)) + wire.udp(b"x", 5000, 7, PEER6, HOST6)),
        wire.ipv6(60, bytes((17, 0, 1, 4, 0, 0, 0, 0)) + wire.udp(b"x", 5000, 7, PEER6, HOST6)),
    ]
    each = [bytes((1, 0)) + struct.pack("!H", len(frame)) + frame for frame in found]
    return [*each, b"".join(each)]


def fragment_seeds() -> list[bytes]:
    """A datagram in two pieces, in each family and either order."""

    def record(family: int, more: int, offset: int, piece: bytes) -> bytes:
        return bytes((family | more << 1,)) + struct.pack("!HBBBH", offset, 1, 0, 0, len(piece)) + piece

    whole = wire.udp(bytes(64), 5000, 7, PEER, HOST)
    pieces = [record(1, 1, 0, whole[:40]), record(1, 0, 5, whole[40:])]
    sixes = [record(0, 1, 0, whole[:40]), record(0, 0, 5, whole[40:])]
    return [b"".join(pieces), b"".join(reversed(pieces)), b"".join(sixes), pieces[0] * 70]


def tcp_seeds() -> list[bytes]:
    """A handshake, data, an end by FIN and by RST, in each family."""

    def record(flags: int, data: bytes = b"", family: int = 0, sequence: int = 0, time: int = 0) -> bytes:
        return (
            bytes((family, flags, sequence & 0xFF, 0, 0xFF, 0xFF, 0, time, 0, 0)) + struct.pack("!H", len(data)) + data
        )

    opened = record(0x02) + record(0x10)
    return [
        opened + record(0x18, b"hello") + record(0x10) + record(0x11) + record(0x10, time=200),
        opened + record(0x18, b"x" * 100, sequence=10) + record(0x18, b"y" * 10) + record(0x04),
        record(0x02, family=1) + record(0x10, family=1) + record(0x18, b"hello", family=1) + record(0x11, family=1),
        record(0x02, bytes.fromhex("020405b4010303070402080a0000000100000000")) + record(0x10),
        b"".join(record(0x02, family=port << 1) for port in range(8)),
    ]
