"""The kernel's interface deleted under the stack, and back: noticed, said, counted to the frame, taken up again."""

import asyncio
import logging
import subprocess

import pytest

from asyncnic.nic.nic import Nic
from asyncnic.stacks.kernel.stack import KernelStack
from tests.stacks.kernel.rig import link, running
from tests.waiting import until
from tests.wire import MAC, Wire, frame, make_tap


def delete(name: str) -> None:
    subprocess.run(["ip", "link", "del", name], check=True)


def received(stack: KernelStack) -> int:
    return sum(stack.outcomes()["kernel"].values())


class Flood:
    """Frames without end, some a turn of the loop, for as long as the body runs."""

    def __init__(self, tap: str) -> None:
        self.sent = 0
        self._wire = Wire(tap)

    async def __aenter__(self) -> "Flood":
        self._task = asyncio.create_task(self._send())
        return self

    async def _send(self) -> None:
        while True:
            self._wire.send(*(frame(MAC, self.sent + i) for i in range(32)))
            self.sent += 32
            await asyncio.sleep(0)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._wire.close()


async def settled(nic: Nic) -> None:
    before = -1
    while before != (before := nic.ledger().delivered) or nic.ledger().in_flight:
        await asyncio.sleep(0.02)


async def test_it_is_deleted_under_a_flood_and_taken_up_again(
    tap_name: str, interface: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tap_name, interface) as (nic, stack):
        async with Flood(tap_name) as flood:
            await until(lambda: stack.handed > 200)
            delete(interface)
            await until(stack.trouble)
            assert stack.trouble().startswith(f"--kernel-if {interface}: the interface was deleted")
            await until(lambda: stack.outcomes()["kernel"]["no_interface"] > 200)
            handed, transmit = stack.handed, stack.outcomes()["kernel_transmit"]
            make_tap(interface)
            await until(lambda: not stack.trouble())
            await until(lambda: stack.handed > handed + 200)
        async with asyncio.timeout(5):
            await settled(nic)
        ledger = nic.ledger()
        assert ledger.imbalance == 0
        assert ledger.offered == flood.sent
        assert received(stack) == ledger.delivered
        assert stack.outcomes()["kernel_transmit"]["queue_full"] >= transmit["queue_full"]
        assert link(interface)["address"] == MAC.hex(":")
        wire, kernel = Wire(tap_name), Wire(interface)
        kernel.send(frame(b"\xff" * 6, 7))
        assert await asyncio.to_thread(wire.receive) == frame(b"\xff" * 6, 7)
        wire.close()
        kernel.close()
    said = [record for record in caplog.records if record.name == "asyncnic.stacks.kernel.interface"]
    assert [(record.levelno, record.getMessage()) for record in said] == [
        (logging.ERROR, "the kernel's interface is lost; waiting for it to come back"),
        (logging.WARNING, "the kernel's interface is back"),
    ]


async def test_its_deletion_is_noticed_where_nothing_flows(tap_name: str, interface: str) -> None:
    async with running(tap_name, interface) as (nic, stack):
        delete(interface)
        await until(stack.trouble)
        wire = Wire(tap_name)
        wire.send(*(frame(MAC, i) for i in range(5)))
        await until(lambda: nic.ledger().delivered == 5)
        assert stack.outcomes()["kernel"] == {"handed": 0, "refused": 0, "no_interface": 5}
        assert nic.ledger().imbalance == 0
        wire.close()


async def test_one_that_the_stack_made_is_made_again(tap_name: str, interface: str) -> None:
    async with running(tap_name, interface, "2001:db8:5::2/64") as (_, stack):
        index = link(interface)["ifindex"]
        delete(interface)
        await until(stack.trouble)
        await until(lambda: not stack.trouble())
        found = link(interface)
        assert found["ifindex"] != index
        assert found["address"] == MAC.hex(":")
        assert found["mtu"] == 1400
        assert "2001:db8:5::2" in {item["local"] for item in found["addr_info"]}  # type: ignore[attr-defined]


async def test_why_it_cannot_be_had_again_is_said(
    tap_name: str, interface: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tap_name, interface) as (_, stack):
        delete(interface)
        await until(stack.trouble)
        subprocess.run(["ip", "link", "add", interface, "type", "veth"], check=True)
        await until(lambda: "is no TAP" in stack.trouble())
        delete(interface)
        make_tap(interface)
        await until(lambda: not stack.trouble())
    (said,) = [record for record in caplog.records if "cannot be had yet" in record.getMessage()]
    assert said.levelno == logging.WARNING
