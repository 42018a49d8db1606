import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_interface

import pytest

from asyncnic.nic.burst import Burst
from asyncnic.nic.counters import Counters
from asyncnic.stacks.inet.services import PortService, UdpDiscard, parse_service
from asyncnic.stacks.inet.skin import InetStack
from tests.stacks.inet.wire import HOST, HOST6, MAC, PEER, PEER_MAC, arp, solicitation, udp4, udp6
from tests.waiting import turns


class Nic:
    """A nic whose frames are put in by hand."""

    mac = MAC
    mtu = 1500
    slots = None

    def __init__(self) -> None:
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.room = asyncio.Event()
        self.room.set()
        self.groups: set[bytes] = set()
        self.counters = Counters()

    def try_send(self, frame: bytes) -> bool:
        if not self.room.is_set():
            return False
        self.sent.append(frame)
        return True

    async def writable(self) -> None:
        await self.room.wait()

    def accept_multicast(self, groups: set[bytes]) -> None:
        self.groups = groups

    async def serve(self, take: Callable[[Burst], None]) -> None:
        while (frame := await self.frames.get()) is not None:
            take(Burst(memoryview(frame), [0], [len(frame)], float("inf"), lambda: 0.0))

    async def __aiter__(self) -> AsyncIterator[Burst]:
        while (frame := await self.frames.get()) is not None:
            yield Burst(memoryview(frame), [0], [len(frame)], float("inf"), lambda: 0.0)

    async def until_sent(self, marker: bytes) -> bytes:
        async with asyncio.timeout(5):
            while True:
                for frame in self.sent:
                    if marker in frame:
                        return frame
                await asyncio.sleep(0.001)


ADDRESSES = [ip_interface(HOST + "/24"), ip_interface(HOST6 + "/64")]


async def test_services_answer_until_the_bursts_end() -> None:
    nic = Nic()
    stack = InetStack(nic, ADDRESSES, ["udp-echo:7", parse_service("udp-discard:9")])
    running = asyncio.create_task(stack.run())
    nic.frames.put_nowait(arp(1, PEER, HOST))
    nic.frames.put_nowait(udp4(b"echo this"))
    reply = await nic.until_sent(b"echo this")
    assert reply[34:38] == b"\0\x07\x13\x88"
    assert nic.groups == stack.inet.multicast_macs()
    assert nic.sent[0][:6] == b"\xff" * 6  # announced
    assert len(stack.inet.udp.receivers()) == 4
    nic.frames.put_nowait(None)
    await running
    assert stack.inet.udp.receivers() == []


async def test_timers_run_without_frames() -> None:
    nic = Nic()
    running = asyncio.create_task(InetStack(nic, ADDRESSES, ["udp-discard:9"]).run())
    await nic.until_sent(b"\x86\xdd")
    nic.frames.put_nowait(udp6(b"", port=9))
    neighbour_advertisement = b"\x3a\xff" + ip_interface(HOST6).packed + b"\xff\x02"
    await nic.until_sent(neighbour_advertisement)
    nic.frames.put_nowait(None)
    await running


async def test_room_on_the_ring_lets_what_waits_go() -> None:
    nic = Nic()
    stack = InetStack(nic, ADDRESSES)
    running = asyncio.create_task(stack.run())
    nic.frames.put_nowait(arp(1, PEER, HOST))
    await nic.until_sent(b"\x08\x06\0\x01\x08\0\x06\x04\0\x02")
    transport, _ = await stack.inet.create_datagram_endpoint(UdpDiscard, (HOST, 9))
    nic.room.clear()
    transport.sendto(b"patience", (PEER, 9))
    await turns()
    assert not any(b"patience" in frame for frame in nic.sent)
    nic.room.set()
    await nic.until_sent(b"patience")
    nic.frames.put_nowait(None)
    await running


async def test_it_can_be_cancelled_and_run_again() -> None:
    nic = Nic()
    stack = InetStack(nic, ADDRESSES, ["udp-discard:9"])
    for _ in range(2):
        running = asyncio.create_task(stack.run())
        while not stack.inet.udp.receivers():
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert stack.inet.udp.receivers() == []


async def test_a_port_that_is_served_twice_is_an_error() -> None:
    stack = InetStack(Nic(), ADDRESSES, ["udp-discard:9", "udp-echo:9"])
    with pytest.raises(OSError, match="in use"):
        await stack.run()
    assert stack.inet.udp.receivers() == []


def test_a_bad_service_is_told_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="udp-nothing"):
        InetStack(Nic(), ADDRESSES, ["udp-nothing:1"])


async def test_when_the_device_is_back_the_addresses_are_made_known_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asyncnic")
    nic = Nic()
    stack = InetStack(nic, ADDRESSES)
    running = asyncio.create_task(stack.run())
    advertisement = b"\x3a\xff" + ip_interface(HOST6).packed + b"\xff\x02"
    await nic.until_sent(advertisement)
    nic.sent.clear()
    nic.counters = Counters(resets=1)
    await nic.until_sent(b"\x08\x06\0\x01\x08\0\x06\x04\0\x01")  # gratuitous ARP
    await nic.until_sent(b"\x3a\0\x05\x02\0\0\x01\0\x8f")  # MLDv2
    await nic.until_sent(advertisement)
    assert set(stack.inet.addresses().values()) == {"preferred"}
    states = [record.fields["state"] for record in caplog.records if record.fields["address"] == HOST6]  # type: ignore[attr-defined]
    assert states == ["preferred", "tentative", "preferred"]
    nic.frames.put_nowait(None)
    await running


async def test_an_address_that_is_lost_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    nic = Nic()
    stack = InetStack(nic, ADDRESSES)
    running = asyncio.create_task(stack.run())
    await nic.until_sent(b"\x86\xdd")
    nic.frames.put_nowait(solicitation(HOST6, "::", mac=None))
    nic.frames.put_nowait(None)
    await running
    (record,) = caplog.records
    assert record.message == "another host claims an address"
    assert record.fields == {"address": HOST6, "state": "duplicate", "mac": PEER_MAC.hex(":")}  # type: ignore[attr-defined]


async def test_what_is_not_open_yet_is_told() -> None:
    """A factory that fails, however slowly, is never announced."""
    nic = Nic()
    stack = InetStack(nic, ADDRESSES, ["udp-echo:7"])
    assert stack.trouble() == "its services are not open yet"
    running = asyncio.create_task(stack.run())
    nic.frames.put_nowait(arp(1, PEER, HOST))
    nic.frames.put_nowait(udp4(b"echo this"))
    await nic.until_sent(b"echo this")
    assert stack.trouble() == ""
    nic.frames.put_nowait(None)
    await running
    assert stack.trouble() == "its services are not open yet"


async def test_a_service_that_cannot_be_opened_is_told_of_for_as_long() -> None:
    def broken() -> asyncio.DatagramProtocol:
        raise OSError("no")

    stack = InetStack(Nic(), ADDRESSES, [PortService(broken, 7)])
    with pytest.raises(OSError, match="no"):
        await stack.run()
    assert stack.trouble() == "its services are not open yet"
