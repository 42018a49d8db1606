"""A wake-up is one step: what is interpreted of it, and what it hands to those who wait."""

import asyncio
import collections
import sys
from ipaddress import ip_interface
from types import FrameType
from typing import Any

import pytest

from asyncnic import hot
from asyncnic.nic import rings
from asyncnic.nic.opening import open_nic
from asyncnic.stacks.inet.skin import InetStack
from tests.stacks.inet.wire import HOST, MAC, PEER, arp, ipv4, udp
from tests.waiting import until
from tests.wire import Wire


class App(asyncio.DatagramProtocol):
    """Counts datagrams, and answers them."""

    def __init__(self, answers: bool = False) -> None:
        self.datagrams = 0
        self.answers = answers
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.datagrams += 1
        if self.answers:
            self.transport.sendto(data, addr)

    async def until_taken(self, count: int) -> None:
        await until(lambda: self.datagrams >= count)


calls: "collections.Counter[str]" = collections.Counter()


def count_call(frame: FrameType, event: str, argument: object) -> None:
    if event == "call":
        calls[frame.f_code.co_qualname] += 1


class CountedWakeUp(rings._WakeUp):  # type: ignore[misc, valid-type]
    """Notes what is interpreted while readiness is answered."""

    def __call__(self, fd: int) -> None:
        sys.setprofile(count_call)
        try:
            super().__call__(fd)
        finally:
            sys.setprofile(None)


@pytest.mark.parametrize("answers", [False, True])
async def test_a_wake_up_for_known_flows_interprets_nothing_but_the_application(
    tap_name: str, wire: Wire, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    monkeypatch.setattr(rings, "_WakeUp", CountedWakeUp)
    datagram = ipv4(17, udp(b"x", 5000, 7, PEER, HOST)).ljust(60, b"\0")
    async with open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        app = App(answers)
        stack = InetStack(nic, (ip_interface(f"{HOST}/24"),))
        await stack.inet.create_datagram_endpoint(lambda: app, local_addr=(HOST, 7))
        running = asyncio.create_task(stack.run())
        wire.send(arp(1, PEER, HOST))  # says where answers go
        for count in range(1, 301):  # until the chip knows its descriptors, and the stack the flow
            wire.send(datagram)
            await app.until_taken(count)
        calls.clear()
        interrupts = nic.counters.interrupts
        wire.send(*[datagram] * 5)
        await app.until_taken(305)
        assert nic.counters.interrupts > interrupts
        assert calls.pop("App.datagram_received") == 5
        if hot.IMPLEMENTATION == "compiled":
            assert calls == {}
        nic.stop()
        await running
        assert nic.ledger().imbalance == 0


async def test_a_descriptor_that_nobody_waits_for_is_somebody_elses(tap_name: str, wire: Wire) -> None:
    async with open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        wakeup = nic._rings.wakeup
        told: list[int] = []
        wakeup.otherwise = told.append
        wakeup(77)
        wakeup.waits, wakeup.take = True, lambda burst: None
        wakeup(77)
        assert told == [77, 77]
        assert wakeup.interrupts == 0


async def test_what_the_stack_raises_is_the_waiters(tap_name: str, wire: Wire) -> None:
    def fail(burst: object) -> None:
        raise LookupError("the stack's own")

    async with open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        serving = asyncio.create_task(nic.serve(fail))
        await asyncio.sleep(0)
        wire.send(MAC + bytes(60))
        with pytest.raises(LookupError, match="the stack's own"):
            async with asyncio.timeout(5):
                await serving
        assert nic._rings.wakeup.take is None
        nic.abandon_burst()
        assert nic.ledger().imbalance == 0
