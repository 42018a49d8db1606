"""No table of the running process outgrows its own bound, whoever floods it: all its tables are found and looked at.

The service runs whole, HTTP, recorder and a sink included, on a wire in memory. Twice as many strangers as any table
has places speak every protocol to it; then as many again. A table that grew meanwhile must be declared in BOUNDS, with
the bound that its own keeper has: a new one that nobody bounded fails. So does a bound that no table comes near.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from itertools import islice, product
from typing import Any, cast

import pytest

from asyncnic.devices.device import DeviceOptions
from asyncnic.nic import sources
from asyncnic.service.engine import InProcess, open_in_process
from asyncnic.service.service import EndWish, Service
from asyncnic.settings.load import load
from asyncnic.stacks.choice import choose
from asyncnic.stacks.inet import addresses, fragments, neighbours, nexthop, paths, udp
from asyncnic.stacks.inet.tcp import host as tcp
from asyncnic.web.security import load_access
from tests.nic.rig import PlayedDevice
from tests.service.tables import Sizes, named
from tests.stacks.inet import wire
from tests.waiting import until

STRANGERS = 1100
"""More than any table has places, but for those of FLOWS."""
FLOWS = max(udp.FLOWS, sources.LIMITED) + 200
HANDS = 150
LIMITS = {"tcp_connections": 120, "tcp_connections_per_source": 50, "tcp_half_open": 100, "tcp_time_wait": 80}
CLOSING = 81
ANY, WINDOW, RING, BATCH = 150, 300, 256, 40
PATIENCE = 60.0
"""Seconds that a batch may take on a busy machine."""
FEW = 16
"""Of a table with so few nothing is asked: no stranger can have had them made one by one."""
OWN, OWN6 = "10.0.0.1", "2001:db8::2"

BOUNDS: dict[str, Callable[[Any], int]] = {
    "Addresses._sources": lambda keeper: addresses.SOURCES,
    "HalfOpens.entries": lambda keeper: int(keeper.limit),
    "Neighbours._known": lambda keeper: int(keeper._limit),
    "NextHops._held": lambda keeper: LIMITS["tcp_connections"] + LIMITS["tcp_time_wait"],
    "NextHops._via": lambda keeper: nexthop.LIMIT,
    "Paths._known": lambda keeper: paths.LIMIT,
    "Prefixes._ours": lambda keeper: int(keeper._limit),
    "Reassembly._table": lambda keeper: int(keeper._limit),
    "Server._clients": lambda keeper: LIMITS["tcp_connections"],
    "Sources._allowances": lambda keeper: sources.LIMITED,
    "Sources._counts": lambda keeper: 2 * sources.HEAVIEST,
    "Tcp._deadlines": lambda keeper: 2 * (LIMITS["tcp_connections"] + LIMITS["tcp_time_wait"]) + tcp.SPARE,
    "Tcp.connections": lambda keeper: int(keeper.config.connections + keeper.config.time_wait),
    "TcpAccounts._sources": lambda keeper: int(keeper._config.connections),
    "TcpAccounts.time_wait": lambda keeper: int(keeper._config.time_wait),
    "Udp.flows": lambda keeper: udp.FLOWS,
    "Window._fresh": lambda keeper: int(keeper._limit()),
    "_Datagram.pieces": lambda keeper: fragments.PIECES,
    "_Datagram.starts": lambda keeper: fragments.PIECES,
}
"""What the strangers fill, by name, and how much its keeper lets in."""
PASSING: dict[str, Callable[[Any], int]] = {
    "Neighbours._asked": lambda keeper: int(keeper._limit),
    "_Entry.pending": lambda keeper: neighbours.PENDING,
    "Prefixes._asked": lambda keeper: int(keeper._limit),
    "Tcp._ways": lambda keeper: int(keeper.config.connections + keeper.config.time_wait),
    "Udp._ways": lambda keeper: udp.FLOWS,
    "Burst.*": lambda keeper: RING,
    "DeliveryQueue.waiting": lambda keeper: 1024,
    "QueueDelivery._burst_frames": lambda keeper: RING,
}
"""What is full or empty as it happens."""
NO_TABLES = ("LogRecord.", "LogCapture", "Flooded.", "module linecache", "PlayedLane.")
"""The test's own, and what Python keeps of each source file that a traceback names."""


class Closing(asyncio.Protocol):
    """Ends each connection as soon as something comes, so that TIME-WAIT is ours."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.close()


def host(number: int) -> tuple[str, str, str, bytes]:
    """On the link by IPv4 and IPv6, off it, and the MAC address."""
    high, low = divmod(number, 250)
    mac = b"\x02\x00" + number.to_bytes(4, "big")
    return f"10.0.{1 + high}.{1 + low}", f"2001:db8::1:{number:x}", f"203.0.{high}.{1 + low}", mac


def segment(
    source: str, port: int, target: int, flags: int, seq: int = 0, ack: int = 0, data: bytes = b"", own: str = OWN
) -> bytes:
    head = struct.pack("!HHIIBBHHH", port, target, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 60000, 0, 0)
    whole = head + data
    return wire.ipv4(6, wire.filled(whole, 16, wire.pseudo(source, own, 6, len(whole))), source, own)


def too_big(target: str, port: int, target_port: int, seq: int) -> bytes:
    """A router's word that what we have sent does not fit."""
    quoted = wire.ipv4(6, struct.pack("!HHIIBBHHH", port, target_port, seq, 0, 0x50, 0x10, 0, 0, 0), OWN, target)[14:]
    return wire.ipv4(1, wire.filled(struct.pack("!BBHHH", 3, 4, 0, 0, 600) + quoted, 2), target, OWN)


def strangers(first: int, count: int = STRANGERS) -> Iterator[bytes]:
    """What each of so many hosts says, in every protocol."""
    for number in range(first, first + count):
        host4, host6, far, mac = host(number)
        yield wire.arp(1, host4, OWN, mac)
        yield wire.solicitation(OWN6, host6, mac=mac)
        yield wire.udp4(b"hello", 20000, 7, host4, OWN)
        yield wire.udp6(b"hello", 20000, 7, host6, OWN6)
        yield wire.udp4(b"from afar", 20000, 7, far, OWN)
        yield wire.udp4(b"to any", 20000, 7, host4, f"10.9.{number // 250}.{1 + number % 250}")
        yield wire.arp(1, host4, f"10.9.{number // 250}.{1 + number % 250}", mac)
        yield wire.udp4(b"nobody", 5000, 4000, host4, OWN)
        yield wire.ipv4(17, bytes(64), host4, OWN, fragment=0x2000, identification=number & 0xFFFF)
        yield wire.ipv6(44, struct.pack("!BBHI", 17, 0, 1, number) + bytes(64), host6, OWN6)
        yield segment(host4, 30000, 9, 0x02, number)
    first4, _, _, first_mac = host(first)
    yield wire.arp(1, first4, OWN, first_mac)
    for port in range(min(200, count)):
        yield segment(first4, 2000 + port, 9, 0x02, 1)
    for piece in range(min(count * 10, fragments.PIECES - 8)):
        yield wire.ipv4(17, bytes(8), first4, OWN, fragment=0x2000 | 2 * piece, identification=7)
    for flow in range(min(count * 10, FLOWS)):
        yield wire.udp4(b"a flow", 1024 + flow, 7, f"10.{20 + flow // 250 % 200}.7.{1 + flow % 250}", OWN)
    for flow in range(min(count * 10, FLOWS)):
        yield wire.udp4(b"a flow", 1024 + flow, 7, first4, OWN)


class Flooded:
    """The service, and the wire in memory that it is on."""

    def __init__(self, engine: InProcess, device: PlayedDevice) -> None:
        self.engine = engine
        (self.lane,) = device.lanes
        self.met: dict[str, int] = {}
        """Of each declared table the largest size that was seen."""
        self._base = Sizes(FEW)

    async def offer(self, frames: Iterator[bytes]) -> list[bytes]:
        """Let them all in; what was sent for the last ones."""
        while batch := list(islice(frames, BATCH)):
            self.lane.sent.clear()
            self.lane.offer(batch)
            end = time.monotonic() + PATIENCE  # without a timer, of which the loop keeps those that were cancelled
            while self.lane.waiting or self.engine.nic.ledger().in_flight:
                assert time.monotonic() < end, "the service takes no more frames"
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.lane.sent[:]

    async def shake_hands(self, first: int, count: int) -> None:
        """Connections of many hosts: those to CLOSING end, the others send an octet, leave a gap, and stay."""
        for port, number in product((CLOSING, 9), range(first, first + count)):
            source = host(number)[0]
            await self.offer(iter([wire.arp(1, source, OWN, host(number)[3])]))
            for said in await self.offer(iter([segment(source, 1024 + number, port, 0x02, 100)])):
                if said[23:24] == b"\x06" and said[47] == 0x12:
                    ack = int.from_bytes(said[38:42], "big") + 1
                    last = segment(source, 1024 + number, port, 0x18, 101, ack, b"x")
                    gap = segment(source, 1024 + number, port, 0x18, 110, ack, b"y")
                    end = segment(source, 1024 + number, port, 0x11, 102, ack + 1)
                    more = [end] if port == CLOSING else [gap, too_big(source, port, 1024 + number, ack)]
                    await self.offer(iter([last]))
                    await self.offer(iter(more))

    async def wave(self, first: int) -> int:
        """So many strangers, and a look while all of what they have made is there; how many objects there are."""
        await self.offer(strangers(first, STRANGERS))
        self.look()
        await self.shake_hands(first, HANDS)
        return self.look()

    async def fill_the_sink(self) -> None:
        """Datagrams for a sink that acknowledges none: it takes what its window holds, and then the stack nothing."""
        (sink,) = self.engine.observed.sinks()
        for _ in range(2 * WINDOW // BATCH):
            self.lane.offer([wire.udp4(b"for the sink", 5000, 514, host(3)[0], OWN)] * BATCH)
            await asyncio.sleep(0)
        await until(lambda: self.engine.observed.sinks()[sink].in_flight == WINDOW, 10.0)

    def stand(self) -> None:
        """What there is now is no table of strangers."""
        self._base = Sizes(FEW)

    def look(self) -> int:
        """Hold every table that has grown against its bound; how many objects there are."""
        found = Sizes(FEW)
        wrong = []
        for table in named(found.grown_since(self._base)):
            if table.name.startswith(NO_TABLES):
                continue
            limit = getattr(table.content, "maxlen", None)
            if limit is None and table.name in (every := BOUNDS | PASSING):
                limit = every[table.name](table.keeper)
                self.met[table.name] = max(self.met.get(table.name, 0), len(table))
            if limit is None or len(table) > limit:
                wrong.append(f"{table.name} has {len(table)} where {'nothing bounds it' if limit is None else limit}")
        assert not wrong
        return found.objects


@pytest.mark.heavy
async def test_no_container_outgrows_its_bound() -> None:
    async with AsyncExitStack() as held:
        silent = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        settings = load(
            {
                "address": [f"{OWN}/16", f"{OWN6}/64", "10.9.0.0/16"],
                "any": "true",
                "any_hosts": ANY,
                "service": [
                    "udp-echo:7",
                    "tcp-echo:9",
                    f"tcp:{__name__}:Closing:{CLOSING}",
                    f"514=redis://127.0.0.1:{silent.getsockname()[1]}/s",
                ],
                "sink_window": WINDOW,
                "stall_timeout": "60s",
                "source_limit": "1000000/s",
                "delivery": "queue",
                "listen": "127.0.0.1:0",
                "mac": wire.MAC.hex(":"),
                **LIMITS,
            },
            {},
            None,
        )
        played: list[PlayedDevice] = []

        async def open_it(options: DeviceOptions) -> PlayedDevice:
            played.append(PlayedDevice(1, options.knobs, rx_ring=RING, tx_ring=64))
            return played[0]

        engine = await held.enter_async_context(open_in_process(settings, choose(settings), open_it))
        service = Service(engine, load_access(settings.web_config, "web_config"), lambda: settings, lambda: None)
        stop = EndWish()
        running = asyncio.create_task(service.run(stop, asyncio.Event()))
        await until(lambda: engine.observed.phase == "running", 10.0)
        flooded = Flooded(engine, played[0])
        await flooded.offer(strangers(9000, FEW))
        await flooded.shake_hands(9000, FEW)
        flooded.stand()
        first = await flooded.wave(0)
        second = await flooded.wave(STRANGERS)
        assert second < first * 1.02
        await flooded.fill_the_sink()
        flooded.look()
        assert set(BOUNDS) - set(flooded.met) == set()
        assert engine.nic.ledger().imbalance == 0
        stop.at_once()
        await running
