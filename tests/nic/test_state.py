"""What each entry does in each state: every cell of the table in `asyncnic.nic.state`, and that awaits do suspend."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from asyncnic.devices.device import Device
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.nic import faults
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import run_nic
from asyncnic.nic.state import TABLE, State
from asyncnic.pcnet32 import registers as reg
from asyncnic.settings.knobs import Knobs
from tests.nic.rig import PlayedDevice
from tests.waiting import turns
from tests.wire import MAC, frame, number_of

UP, LOST, STOPPING, ORPHANED, CLOSED = State
HELD = 6
"""Frames in the rings of the nic that each test is given: the third is on the second lane's."""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "RETRY_INTERVAL", 0.0)
    monkeypatch.setattr(faults, "SAMPLE_INTERVAL", 0.001)


@asynccontextmanager
async def nic_that_is(state: State, delivery: str = "direct") -> AsyncIterator[tuple[Nic, PlayedDevice]]:
    """A nic in `state` whose two lanes' rings hold finished frames (but for the closed one)."""
    knobs = Knobs(rx_budget=4)
    device = PlayedDevice(2, knobs, rx_ring=8, tx_ring=4)
    running = run_nic(cast(Device, device), knobs, mac=MAC, rx_ring=8, tx_ring=4, delivery=delivery)
    async with asyncio.timeout(10), running as nic:
        for number in range(HELD):
            device.lanes[number % 2].offer([frame(MAC, number)])
        if delivery == "direct":
            for lane in device.lanes:
                lane.poll(8)
        if state is not UP:
            await leads_to(state, nic, device)
        yield nic, device


async def leads_to(state: State, nic: Nic, device: PlayedDevice) -> None:
    if state in (LOST, ORPHANED):
        device.cut()
        nic._life.lose(DeviceLost("the wire was cut"))
    if state in (STOPPING, ORPHANED):
        nic.stop()
    if state is CLOSED:
        await nic.close()
    assert nic._life.state is state


async def check_next_burst(nic: Nic, device: PlayedDevice, state: State) -> None:
    found: list[int] = []
    while (burst := nic._rings.next_burst()) is not None:
        found.extend(number_of(octets) for octets in burst)
    assert found == ([] if state is CLOSED else [0, 2, 4, 1, 3, 5])
    device.lanes[0].waiting.append(frame(MAC, 9))
    assert (nic._rings.next_burst() is not None) == (state is UP)
    device.cut()
    assert nic._rings.next_burst() is None
    assert nic._life.state is (LOST if state is UP else state)


async def check_hand_back_burst(nic: Nic, device: PlayedDevice, state: State) -> None:
    if (burst := nic._rings.next_burst()) is not None:
        burst.taken = 2
    before = nic.counters.delivered_frames
    sent = nic.send(frame(MAC, 1))
    nic._rings.hand_back_burst()
    assert nic.counters.delivered_frames == before == (0 if state is CLOSED else 2)
    assert len(device.lanes[0].sent) == sent == (state in (UP, STOPPING))
    assert nic.ledger().imbalance == 0


async def check_send(nic: Nic, device: PlayedDevice, state: State) -> None:
    goes = state in (UP, STOPPING)
    device.lanes[0].jammed = True
    assert nic.try_send(frame(MAC, 0)) == goes
    assert not any(nic.transmit_errors.values())
    assert [nic.send(frame(MAC, number)) for number in range(3)] == [goes] * 3
    if not goes:
        assert nic.transmit_errors["carrier"] == 3


async def check_writable(nic: Nic, device: PlayedDevice, state: State) -> None:
    waiting = asyncio.create_task(nic.writable())
    await asyncio.wait({waiting}, timeout=0.05)
    assert waiting.done() == (state is not LOST)
    if state is LOST:
        device.may_come_back = True
        stack = asyncio.create_task(drain(nic))
        await waiting
        nic.stop()
        await stack


async def check_wait(nic: Nic, device: PlayedDevice, state: State) -> None:
    while (burst := nic._rings.next_burst()) is not None:
        burst.taken = len(burst)
    waiting = asyncio.create_task(nic._waiting.wait())
    await asyncio.wait({waiting}, timeout=0.02)
    if state in (UP, LOST):
        assert not waiting.done()
        assert (device.attempts > 0) == (state is LOST)
        nic.stop()
    await waiting


async def check_stop(nic: Nic, device: PlayedDevice, state: State) -> None:
    nic.send(frame(MAC, 1))
    nic.stop()
    assert nic._life.state is {UP: STOPPING, LOST: ORPHANED}.get(state, state)
    assert len(device.lanes[0].sent) == (state in (UP, STOPPING)) or state is STOPPING
    device.lanes[0].waiting.append(frame(MAC, 9))
    assert device.lanes[0].broken or device.lanes[0].poll(8) == 0


async def check_lose(nic: Nic, device: PlayedDevice, state: State, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    for _ in range(2):
        nic._life.lose(DeviceLost("gone"))
    assert nic._life.state is {UP: LOST, STOPPING: ORPHANED}.get(state, state)
    assert len([record for record in caplog.records if "lost: gone" in record.message]) == (state in (UP, STOPPING))


async def check_reattach(nic: Nic, device: PlayedDevice, state: State) -> None:
    device.error = DeviceError("not yet")
    while (burst := nic._rings.next_burst()) is not None:
        burst.taken = len(burst)
    nic._faults.reattach()
    await asyncio.sleep(0.02)
    assert (device.attempts > 1) == (state is LOST), "its errors are answered by the next attempt"
    device.error, device.may_come_back = None, True
    while state is LOST and not nic.device_up:
        await asyncio.sleep(0)
    assert nic._life.state is (UP if state is LOST else state)
    assert nic.ledger().imbalance == 0


async def check_tune(nic: Nic, device: PlayedDevice, state: State) -> None:
    nic.knobs.rx_budget = 2
    burst = nic._rings.next_burst()
    assert (burst is None) == (state is CLOSED)
    assert burst is None or len(burst) == 2


async def check_close(nic: Nic, device: PlayedDevice, state: State) -> None:
    if (burst := nic._rings.next_burst()) is not None:
        burst.taken = 1
    sent = [nic.send(frame(MAC, 1)), nic.send(frame(MAC, 2))]
    await nic.close()
    await nic.close()
    assert nic._life.state is CLOSED
    assert len(device.lanes[0].sent) == sum(sent)
    ledger = nic.ledger()
    assert (ledger.imbalance, ledger.delivered) == (0, 0 if state is CLOSED else 1)
    assert nic.ring_descriptors()["tx"]["card"] == 0


CHECKS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")
}


def test_the_table_is_whole() -> None:
    assert set(CHECKS) == set(TABLE)
    assert all(set(row) == set(State) for row in TABLE.values())


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("entry", TABLE)
async def test_each_cell(entry: str, state: State, caplog: pytest.LogCaptureFixture) -> None:
    async with nic_that_is(state) as (nic, device):
        if entry == "lose":
            await CHECKS[entry](nic, device, state, caplog)
        else:
            await CHECKS[entry](nic, device, state)


async def drain(nic: Nic) -> list[int]:
    return [number_of(octets) async for octets in nic.frames()]


def suspends(awaitable: Awaitable[object]) -> bool:
    """Whether awaiting it lets the loop run at least once."""
    step = awaitable.__await__()
    try:
        next(step)
    except StopIteration:
        return False
    step.close()
    return True


@pytest.mark.parametrize("state", State)
async def test_no_await_in_a_loop_comes_back_without_a_checkpoint(state: State) -> None:
    async with nic_that_is(state) as (nic, _):
        for _ in range(3):
            assert suspends(nic.writable())
            assert suspends(nic._waiting.wait())
        if state is not CLOSED:
            assert not suspends(anext(nic)), "the first takes at once: whoever gives up early must get somewhere"
            assert suspends(anext(nic)), "there is never a second burst in the same turn of the loop"


async def test_a_chip_that_is_always_out_of_step_does_not_hold_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nic_that_is(UP) as (nic, _):
        await asyncio.wait_for(anext(nic), 1)
        monkeypatch.setattr(type(nic._drivers[0].rx), "resync", lambda ring: True)
        assert suspends(nic._waiting.wait())
        nic._drivers[0].fault = "whatever"
        assert suspends(nic._waiting.wait())


@pytest.mark.parametrize("delivery", ["direct", "queue"])
async def test_what_other_lanes_hold_when_the_wire_is_lost_is_delivered_before_it_comes_back(delivery: str) -> None:
    async with nic_that_is(UP, delivery) as (nic, device):
        while delivery == "queue" and nic.ledger().offered < HELD:
            await asyncio.sleep(0)
        device.cut()
        device.may_come_back = True
        found = []
        async for octets in nic.frames():
            found.append(number_of(octets))
            if len(found) == HELD:
                break
        assert sorted(found) == list(range(HELD))
        assert nic.ledger().imbalance == 0


@pytest.mark.parametrize("state", [STOPPING, ORPHANED])
@pytest.mark.parametrize("delivery", ["direct", "queue"])
async def test_replies_after_the_stop_leave_or_are_counted(state: State, delivery: str) -> None:
    async with nic_that_is(state, delivery) as (nic, device):
        replies = 0
        async for octets in nic.frames():
            nic.send(octets)
            replies += 1
    sent, errors = len(device.lanes[0].sent), sum(nic.transmit_errors.values())
    assert (sent, errors) == ((replies, 0) if state is STOPPING else (0, replies))
    assert replies == HELD or delivery == "queue"


async def test_a_frame_that_finds_room_at_the_second_attempt_is_no_error() -> None:
    async with nic_that_is(UP) as (nic, device):
        driver = nic._drivers[0]
        driver.write_csr(reg.EXTENDED_CONTROL, reg.CSR5_SPND)  # a chip that is slow
        assert [nic.try_send(frame(MAC, number)) for number in range(5)] == [True] * 3 + [False] * 2
        assert nic.transmit_errors["ring_full"] == 0
        assert not nic.send(frame(MAC, 5))
        assert nic.transmit_errors["ring_full"] == 1
        waiting = asyncio.create_task(nic.writable())
        await turns()
        assert not waiting.done()
        driver.write_csr(reg.EXTENDED_CONTROL, 0)
        await waiting
        assert nic.try_send(frame(MAC, 3))
        await asyncio.sleep(0)
    assert [number_of(octets) for octets in device.lanes[0].sent] == [0, 1, 2, 3]
    assert sum(nic.transmit_errors.values()) == 1


async def test_a_reader_that_dies_is_seen_by_the_stack_and_by_whoever_opened_the_nic() -> None:
    with pytest.raises(ZeroDivisionError):
        async with nic_that_is(UP, "queue") as (nic, device):

            async def broken() -> bool:
                raise ZeroDivisionError

            device.reattach = broken  # type: ignore[method-assign]
            device.cut()
            await drain(nic)


async def test_errors_of_coming_back_are_waited_out_with_queue_delivery_too() -> None:
    async with nic_that_is(UP, "queue") as (nic, device):
        stack = asyncio.create_task(drain(nic))
        device.error = DeviceError("the kernel refuses")
        device.cut()
        while device.attempts < 3:
            await asyncio.sleep(0)
        device.error, device.may_come_back = None, True
        while not nic.device_up:
            await asyncio.sleep(0)
        device.lanes[0].offer([frame(MAC, 99)])
        while nic.ledger().in_flight or not device.lanes[0].read:
            await asyncio.sleep(0)
        nic.stop()
        assert (await stack)[-1] == 99


async def test_a_loss_is_noticed_while_a_stack_holds_a_burst(caplog: pytest.LogCaptureFixture) -> None:
    async with nic_that_is(UP) as (nic, device):
        await anext(nic)

        def gone() -> None:
            raise DeviceLost("moved to another namespace")

        device.wire = gone  # type: ignore[method-assign]
        while nic.device_up:
            await asyncio.sleep(0)
        assert "lost: moved to another namespace" in caplog.text
