"""No table of the running process outgrows its bound, whoever floods it: all its containers are found and looked at.

The engine runs whole, on a wire in memory. Twice as many strangers as its largest table has places speak every protocol
to it, each once; then as many again. What is kept of the first is not more than the largest bound that is declared, and
of the second nothing more is kept.
"""

import asyncio
import gc
import struct
from collections import deque
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from asyncnic.devices.device import DeviceOptions
from asyncnic.service.engine import open_in_process
from asyncnic.settings.load import load
from asyncnic.stacks.choice import choose
from asyncnic.stacks.inet.fragments import PIECES
from asyncnic.stacks.inet.udp import FLOWS
from tests.nic.rig import PlayedDevice
from tests.stacks.inet import wire

LARGEST = max(FLOWS, PIECES, 4096)
"""The largest bound that any table has (flows, TIME-WAIT and connections: 4096)."""
STRANGERS = 5000
Container = (dict, list, set, deque, bytearray)


def strangers(first: int) -> Iterator[bytes]:
    """What each of so many hosts says, in every protocol."""
    for number in range(first, first + STRANGERS):
        host4 = str(IPv4Address("10.0.0.2") + number)
        host6 = str(IPv6Address("2001:db8::1000") + number)
        mac = b"\x02\x00" + number.to_bytes(4, "big")
        yield wire.arp(1, host4, "10.0.0.1", mac)
        yield wire.solicitation("2001:db8::2", host6, mac=mac)
        yield wire.udp4(b"hello", 20000 + number % 40000, 7, host4, "10.0.0.1")
        yield wire.udp6(b"hello", 20000 + number % 40000, 7, host6, "2001:db8::2")
        yield wire.udp4(b"nobody", 5000, 4000, host4, "10.0.0.1")
        yield wire.ipv4(17, bytes(64), host4, "10.0.0.1", fragment=0x2000, identification=number & 0xFFFF)
        yield wire.ipv6(44, struct.pack("!BBHI", 17, 0, 1, number) + bytes(64), host6, "2001:db8::2")
        segment = struct.pack("!HHIIHHHH", 30000, 9, number, 0, 0x5002, 1024, 0, 0)
        yield wire.ipv4(6, wire.filled(segment, 16, wire.pseudo(host4, "10.0.0.1", 6, 20)), host4, "10.0.0.1")


def sizes() -> dict[int, tuple[object, int]]:
    """Every container that there is, with its length."""
    gc.collect()
    return {id(one): (one, len(one)) for one in gc.get_objects() if isinstance(one, Container)}


@pytest.mark.heavy
async def test_no_container_outgrows_its_bound() -> None:
    settings = load(
        {
            "address": ["10.0.0.1/8", "2001:db8::2/64"],
            "service": ["udp-echo:7", "tcp-echo:9"],
            "mac": wire.MAC.hex(":"),
        },
        {},
        None,
    )
    played: list[PlayedDevice] = []

    async def open_it(options: DeviceOptions) -> PlayedDevice:
        played.append(PlayedDevice(1, options.knobs, rx_ring=256, tx_ring=64))
        return played[0]

    async with open_in_process(settings, choose(settings), open_it) as engine:
        running = asyncio.create_task(engine.run())
        await asyncio.sleep(0)
        (lane,) = played[0].lanes
        before = sizes()

        async def flood(first: int) -> None:
            batch: list[bytes] = []
            for frame in strangers(first):
                batch.append(frame)
                if len(batch) == 40:
                    lane.offer(batch)
                    batch = []
                    while lane.waiting:
                        await asyncio.sleep(0)
                    lane.sent.clear()

        await flood(0)
        after_first = sum(length for _, length in sizes().values())
        await flood(STRANGERS)
        after = sizes()
        grown = {
            f"{type(one).__name__} of {length} {list(one)[:2]!r}"  # type: ignore[call-overload]
            for key, (one, length) in after.items()
            if length > LARGEST and one is not before and (key not in before or before[key][1] < length)
        }
        assert not grown
        assert sum(length for _, length in after.values()) < after_first * 1.05
        ledger = engine.nic.ledger()
        assert ledger.imbalance == 0
        assert ledger.delivered > 2 * STRANGERS
        engine.finish()
        await running
