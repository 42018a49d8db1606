"""The driver on a chip that nobody here wrote: QEMU's PCnet, in a child process, on a TAP and on a socket."""

import asyncio
import gc
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from asyncnic.devices.qemu.device import QemuDevice
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.pcnet32 import registers as reg
from asyncnic.settings.knobs import Knobs
from tests.devices.qemu.socket_wire import open_on_socket
from tests.waiting import turns, until
from tests.wire import Wire, frame, make_tap, number_of

MAC = bytes.fromhex("525400123456")
OTHER = bytes.fromhex("020000000003")
RING = 32


@pytest.fixture
def wire(tap_name: str) -> Iterator[Wire]:
    make_tap(tap_name)
    wire = Wire(tap_name)
    yield wire
    wire.close()


@pytest.fixture
async def nic(tap_name: str, wire: Wire) -> AsyncIterator[Nic]:
    async with open_nic(f"qemu:{tap_name}", mac=MAC, rx_ring=RING) as nic:
        yield nic


class Taker:
    """A stack that notes the number of every frame it is given, and leaves each burst at once."""

    def __init__(self, nic: Nic) -> None:
        self.numbers: list[int] = []
        self._task = asyncio.create_task(self._run(nic))

    async def _run(self, nic: Nic) -> None:
        async for burst in nic:
            self.numbers.extend(number_of(octets) for octets in burst)

    async def take(self, count: int) -> list[int]:
        """Wait for `count` frames more, and return them; what was taken is forgotten."""
        await until(lambda: len(self.numbers) >= count)
        await asyncio.sleep(0)  # so that the burst is left
        taken, self.numbers = self.numbers, []
        return taken

    async def end(self) -> list[int]:
        """Wait for the end of the bursts, and return what is not taken yet."""
        async with asyncio.timeout(10):
            await self._task
        return self.numbers


async def settled(nic: Nic, offered: int) -> None:
    """Wait until QEMU has read all that was offered; then the law must hold to the frame."""
    await until(lambda: nic.ledger().offered >= offered)
    await until(lambda: nic.ledger().imbalance == 0)
    ledger = nic.ledger()
    assert (ledger.offered, ledger.imbalance) == (offered, 0), ledger


def delete_tap(name: str) -> None:
    subprocess.run(["ip", "link", "del", name], check=True)


def shown(name: str) -> str:
    return subprocess.run(["ip", "link", "show", name], capture_output=True, text=True, check=True).stdout


def device_of(nic: Nic) -> QemuDevice:
    assert isinstance(nic.device, QemuDevice)
    return nic.device


def kill_machine(nic: Nic) -> None:
    machine = device_of(nic).port.machine
    assert machine is not None
    os.kill(machine.process.pid, signal.SIGKILL)


async def test_frames_come_through_in_order_and_are_all_accounted_for(nic: Nic, wire: Wire) -> None:
    assert nic.chip == "Am79C970A"
    taker = Taker(nic)
    for start in range(0, 200, 20):
        wire.send(*(frame(MAC, start + i) for i in range(20)))
        assert await taker.take(20) == list(range(start, start + 20))
    await settled(nic, 200)
    assert nic.counters.interrupts > 0


async def test_replies_leave_through_the_chip(nic: Nic, wire: Wire) -> None:
    for i in range(20):
        assert nic.send(frame(OTHER, i))
        await asyncio.sleep(0)
    assert [number_of(await asyncio.to_thread(wire.receive)) for _ in range(20)] == list(range(20))


async def test_what_is_not_for_us_is_filtered_by_the_driver(nic: Nic, wire: Wire) -> None:
    wire.send(frame(OTHER, 1), frame(MAC, 2), frame(b"\xff" * 6, 3))
    assert await Taker(nic).take(2) == [2, 3]
    await settled(nic, 3)
    assert nic.ledger().filtered == 1


async def test_groups_are_let_in_without_a_loss(nic: Nic, wire: Wire) -> None:
    group = bytes.fromhex("01005e000001")
    nic.accept_multicast({group})
    wire.send(frame(group, 4), frame(MAC, 5))
    assert await Taker(nic).take(2) == [4, 5]
    await settled(nic, 2)


@pytest.mark.parametrize("ring", [1, 32, 512])
async def test_a_flood_is_dropped_at_the_card_and_counted_to_the_frame(tap_name: str, wire: Wire, ring: int) -> None:
    async with open_nic(f"qemu:{tap_name}", mac=MAC, rx_ring=ring) as nic:
        wire.send(*(frame(MAC, i) for i in range(2000)))
        await settled(nic, 2000)
        ledger = nic.ledger()
        assert ledger.in_flight == ring
        assert ledger.dropped_at("card") + ledger.dropped_at("kernel") == 2000 - ring
        taker = Taker(nic)
        assert await taker.take(ring) == list(range(ring))
        wire.send(frame(MAC, 9999))
        assert await taker.take(1) == [9999]
        await settled(nic, 2001)


async def test_overload_while_a_stack_works_balances(nic: Nic, wire: Wire) -> None:
    taker = Taker(nic)
    for start in range(0, 3000, 100):
        wire.send(*(frame(MAC, start + i) for i in range(100)))
        await asyncio.sleep(0)
    await settled(nic, 3000)
    await until(lambda: nic.ledger().in_flight == 0)
    assert len(taker.numbers) == nic.ledger().delivered
    assert len(set(taker.numbers)) == len(taker.numbers)  # out of order: with a full ring this chip jumps


async def test_stopping_delivers_what_the_ring_holds_and_counts_what_comes_after(nic: Nic, wire: Wire) -> None:
    wire.send(*(frame(MAC, i) for i in range(10)))
    await settled(nic, 10)
    nic.stop()
    wire.send(*(frame(MAC, i) for i in range(10, 15)))
    assert await Taker(nic).end() == list(range(10))
    ledger = nic.ledger()
    assert ledger.imbalance == 0
    assert (ledger.offered, ledger.delivered, ledger.dropped_at("kernel")) == (15, 10, 5)


async def test_an_idle_nic_does_not_spin(nic: Nic, wire: Wire) -> None:
    taker = Taker(nic)
    await asyncio.sleep(0.2)
    assert nic.counters.interrupts <= 3  # links that come and go elsewhere are news too
    wire.send(frame(MAC, 7))
    assert await taker.take(1) == [7]


async def test_the_machine_may_die_and_another_takes_over(nic: Nic, wire: Wire) -> None:
    wire.send(*(frame(MAC, i) for i in range(RING + 100)))
    await settled(nic, RING + 100)
    taker = Taker(nic)
    assert await taker.take(RING) == list(range(RING))
    kill_machine(nic)
    await until(lambda: nic.counters.resets == 1)
    assert nic.device_up
    wire.send(frame(MAC, 1))
    assert await taker.take(1) == [1]
    await settled(nic, RING + 101)
    assert nic.ledger().dropped_at("card") == 100


async def test_a_deleted_tap_is_noticed_and_its_return_too(nic: Nic, tap_name: str, wire: Wire) -> None:
    taker = Taker(nic)
    await turns()
    delete_tap(tap_name)
    await until(lambda: not nic.device_up)
    assert device_of(nic).port.machine is None
    make_tap(tap_name)
    await until(lambda: nic.device_up)
    again = Wire(tap_name)
    again.send(frame(MAC, 1))
    assert await taker.take(1) == [1]
    again.close()
    await settled(nic, 1)


async def test_without_qemu_the_error_names_the_package(tap_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match=rf"^qemu:{tap_name}: .* install the Debian package qemu-system-x86$"):
        async with open_nic(f"qemu:{tap_name}"):
            pass


async def test_a_qemu_that_dies_at_its_start_is_quoted(
    tap_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\necho 'no such machine' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DeviceError, match=rf"^qemu:{tap_name}: .*no such machine"):
        async with open_nic(f"qemu:{tap_name}"):
            pass


@pytest.fixture
def slow_qemu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A QEMU that does not begin before the file that is returned is there."""
    go, program = tmp_path / "go", tmp_path / "qemu-system-x86_64"
    real = shutil.which(program.name)
    program.write_text(f'#!/bin/sh\nuntil [ -e {go} ]; do sleep 0.01; done\nexec {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return go


async def test_nothing_else_waits_while_a_machine_starts(tap_name: str, wire: Wire, slow_qemu: Path) -> None:
    async with AsyncExitStack() as stack:
        opening = asyncio.create_task(stack.enter_async_context(open_nic(f"qemu:{tap_name}", mac=MAC)))
        await until(lambda: children(slow_qemu.with_name("qemu-system-x86_64")))
        assert not opening.done(), "it is this task that lets the machine go on"
        await asyncio.to_thread(slow_qemu.touch)
        nic = await opening
        wire.send(frame(MAC, 7))
        assert await Taker(nic).take(1) == [7]


async def test_a_start_that_is_given_up_leaves_no_machine(tap_name: str, slow_qemu: Path) -> None:
    gc.collect()
    before = len(memories())
    opening = asyncio.create_task(open_nic(f"qemu:{tap_name}").__aenter__())
    await until(lambda: children(slow_qemu.with_name("qemu-system-x86_64")))
    assert len(memories()) > before
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    del opening  # what is raised keeps what it came through
    await until(lambda: gc.collect() >= 0 and len(memories()) <= before)
    assert not children(slow_qemu.with_name("qemu-system-x86_64"))


def memories() -> list[str]:
    """The machines' memory files that are open here."""
    found = []
    for one in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{one}"))
    return [one for one in found if "memfd:asyncnic-ram" in one]


def children(program: Path) -> list[int]:
    """Processes that run this program."""
    found = subprocess.run(["pgrep", "-f", f"^/bin/sh {program} "], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


async def test_the_socket_form_carries_frames_both_ways() -> None:
    device, wire = await open_on_socket(MAC)
    lane = device.lanes[0]
    assert device.wire() is None
    assert bytes(lane.port.read(i, 1) for i in range(6)) == MAC
    wire.close_gate()
    await device.close()
    await device.close()
    with pytest.raises(DeviceLost):
        lane.poll(1)


async def test_a_machine_that_hangs_counts_as_dead(nic: Nic, wire: Wire) -> None:
    device = device_of(nic)
    machine = device.port.machine
    assert machine is not None
    machine.qtest.set_timeout(0.05)
    os.kill(machine.process.pid, signal.SIGSTOP)
    assert device.port.read(reg.WIO_RDP, 2) == 0xFFFF
    assert device.port.machine is None
    assert machine.process.ended()


async def test_the_knob_of_the_queue_reaches_the_tap(tap_name: str, wire: Wire) -> None:
    knobs = Knobs()
    async with open_nic(f"qemu:{tap_name}", mac=MAC, knobs=knobs) as nic:
        knobs.tap_queue = 77
        await nic.device.apply_knobs()
        assert "qlen 77" in shown(tap_name)
