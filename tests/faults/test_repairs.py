"""What is repaired by itself: interrupts that never come, chips that stop or go without a word. Each is counted."""

import asyncio
from pathlib import Path

import pytest

from asyncnic.nic.faults import SAMPLE_INTERVAL
from tests.faults.scenes import scene
from tests.trust import recovering
from tests.waiting import until


@pytest.mark.parametrize("delivery", ["direct", "queue"])
@pytest.mark.parametrize("device", ["tap", "macvtap", "packet", "qemu"])
async def test_frames_come_though_no_interrupt_ever_does(
    tap_name: str, tmp_path: Path, device: str, delivery: str
) -> None:
    async with scene(device, tap_name, tmp_path, "mute=100%", delivery=delivery) as stage:
        nic = stage.nic
        taker = asyncio.create_task(stage.take())
        for count in range(1, 51):  # one may be there before anybody waits: then it is looked at, and no interrupt lost
            stage.offer(1)
            with recovering():
                await until(lambda wanted=count: nic.counters.delivered_frames == wanted)  # type: ignore[misc]
            if nic.counters.lost_interrupts >= 2:
                break
        assert nic.counters.lost_interrupts >= 2
        assert nic.counters.interrupts == 0
        nic.stop()
        await taker
        assert nic.ledger().imbalance == 0


@pytest.mark.parametrize("device", ["tap", "packet", "qemu"])
async def test_interrupts_that_come_are_not_lost(tap_name: str, tmp_path: Path, device: str) -> None:
    async with scene(device, tap_name, tmp_path) as stage:
        nic = stage.nic
        taker = asyncio.create_task(stage.take())
        for count in range(1, 30):
            stage.offer(1)
            await until(lambda wanted=count: nic.counters.delivered_frames == wanted)  # type: ignore[misc]
            await asyncio.sleep(SAMPLE_INTERVAL / 10)
        assert nic.counters.lost_interrupts == 0
        nic.stop()
        await taker


@pytest.mark.parametrize("device", ["tap", "packet", "qemu"])
async def test_a_chip_that_stops_itself_without_an_interrupt_is_noticed_on_a_silent_wire(
    tap_name: str, tmp_path: Path, device: str
) -> None:
    async with scene(device, tap_name, tmp_path, "stop=100ms") as stage:
        nic = stage.nic
        taker = asyncio.create_task(stage.take())
        with recovering():
            await until(lambda: nic.counters.resets >= 2)
        stage.offer(1)
        nic.stop()
        await asyncio.wait_for(taker, 20.0)
        await until(lambda: nic.ledger().imbalance == 0)


@pytest.mark.parametrize("device", ["tap", "macvtap", "packet", "qemu"])
async def test_a_chip_that_goes_comes_back(tap_name: str, tmp_path: Path, device: str) -> None:
    async with scene(device, tap_name, tmp_path, "gone=200ms") as stage:
        nic = stage.nic
        taker = asyncio.create_task(stage.take())
        await stage.offer_until(lambda: not nic.device_up)
        await stage.offer_until(lambda: nic.device_up)
        assert nic.counters.resets == 1
        nic.stop()
        await asyncio.wait_for(taker, 20.0)
        await until(lambda: nic.ledger().imbalance == 0)


@pytest.mark.parametrize("delivery", ["direct", "queue"])
@pytest.mark.parametrize("device", ["tap", "packet"])
async def test_the_end_waits_for_a_frame_that_the_chip_has_jumped(
    tap_name: str, tmp_path: Path, device: str, delivery: str
) -> None:
    async with scene(device, tap_name, tmp_path, "keep=50%", "late=50%", delivery=delivery) as stage:
        taker = asyncio.create_task(stage.take())
        for _ in range(50):
            stage.offer(5)
            await asyncio.sleep(0)
        stage.nic.stop()
        await asyncio.wait_for(taker, 20.0)
        assert stage.nic.ledger().imbalance == 0
