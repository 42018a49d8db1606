"""`Nic.serve`: bursts right from the loop's readiness are the same bursts, on both deliveries and with lanes."""

import asyncio
from typing import cast

import pytest

from asyncnic.devices.device import Device
from asyncnic.nic.burst import Burst
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic, run_nic
from asyncnic.settings.knobs import Knobs
from tests.nic.rig import PlayedDevice
from tests.waiting import until
from tests.wire import HOST, Wire

MAC = bytes.fromhex("020000000002")


def frame(number: int) -> bytes:
    return (MAC + HOST + b"\x88\xb5" + number.to_bytes(4, "big")).ljust(60, b"\0")


class Taker:
    """Notes the numbers of the frames that it is handed, `at_once` of them a burst (0: all), and answers each."""

    def __init__(self, nic: Nic, at_once: int = 0) -> None:
        self.nic = nic
        self.at_once = at_once
        self.numbers: list[int] = []

    def __call__(self, burst: Burst) -> None:
        for octets in burst:
            self.numbers.append(int.from_bytes(octets[14:18], "big"))
            assert self.nic.send(bytes(octets))
            if burst.taken == self.at_once:
                break

    async def until_taken(self, count: int) -> None:
        await until(lambda: len(self.numbers) >= count)


def assert_law(nic: Nic, offered: int) -> None:
    ledger, counters = nic.ledger(), nic.counters
    assert (ledger.offered, ledger.delivered, ledger.imbalance) == (offered, offered, 0)
    errors = sum(nic.transmit_errors.values())
    assert counters.transmitted_frames + errors + nic.ring_descriptors()["tx"]["card"] == offered


@pytest.mark.parametrize("delivery", ["direct", "queue"])
@pytest.mark.parametrize("at_once", [0, 3])
async def test_every_frame_comes_once_and_in_order(tap_name: str, wire: Wire, delivery: str, at_once: int) -> None:
    knobs = Knobs(rx_budget=16)
    async with open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs, delivery=delivery, tx_ring=64) as nic:
        taker = Taker(nic, at_once)
        serving = asyncio.create_task(nic.serve(taker))
        sent = 0
        for count in (1, 1, 40, 100, 1):
            wire.send(*(frame(sent + number) for number in range(count)))
            sent += count
            await taker.until_taken(sent)
        nic.stop()
        async with asyncio.timeout(5):
            await serving
        assert taker.numbers == list(range(sent))
        assert_law(nic, sent)


async def test_a_burst_that_wraps_over_the_rings_end_is_taken_whole(tap_name: str, wire: Wire) -> None:
    async with open_nic(f"tap:{tap_name}", mac=MAC, rx_ring=16, knobs=Knobs(rx_budget=12)) as nic:
        taker = Taker(nic)
        serving = asyncio.create_task(nic.serve(taker))
        for number in range(20):
            wire.send(*(frame(7 * number + place) for place in range(7)))
            await taker.until_taken(7 * number + 7)
        assert nic.ledger().in_flight == 0
        nic.stop()
        await serving
        assert taker.numbers == list(range(140))


async def test_answers_leave_with_the_burst_that_asked(tap_name: str, wire: Wire) -> None:
    async with open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        taker = Taker(nic)
        serving = asyncio.create_task(nic.serve(taker))
        wire.send(frame(1))
        await taker.until_taken(1)
        assert nic.counters.transmitted_frames == 1
        nic.stop()
        await serving


async def test_what_a_stack_raises_comes_out(tap_name: str, wire: Wire) -> None:
    def fail(burst: Burst) -> None:
        burst.taken = 1
        raise LookupError("the stack's own")

    async with open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        for _ in range(2):
            serving = asyncio.create_task(nic.serve(fail))
            await asyncio.sleep(0)
            wire.send(frame(1), frame(2))
            with pytest.raises(LookupError, match="the stack's own"):
                async with asyncio.timeout(5):
                    await serving
            nic.abandon_burst()
        assert nic.ledger().imbalance == 0


async def test_a_timer_runs_while_frames_keep_coming(tap_name: str, wire: Wire) -> None:
    async with open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(rx_budget=4)) as nic:
        taker = Taker(nic)
        seen: list[int] = []
        serving = asyncio.create_task(nic.serve(taker))
        await asyncio.sleep(0)
        wire.send(*(frame(number) for number in range(400)))
        while len(taker.numbers) < 400:
            seen.append(len(taker.numbers))
            await asyncio.sleep(0)
        assert len(set(seen)) > 10, "the loop breathes between bursts"
        nic.stop()
        await serving


async def test_cancelled_it_loses_nothing(tap_name: str, wire: Wire) -> None:
    async with open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        taker = Taker(nic)
        for number in range(3):
            serving = asyncio.create_task(nic.serve(taker))
            wire.send(frame(number))
            await taker.until_taken(number + 1)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        assert taker.numbers == [0, 1, 2]
        assert_law(nic, 3)


async def test_a_device_that_is_found_lost_while_frames_are_ready_comes_back() -> None:
    knobs = Knobs()
    device = PlayedDevice(1, knobs, rx_ring=8, tx_ring=4)
    async with run_nic(cast(Device, device), knobs, mac=MAC, rx_ring=8, tx_ring=4) as nic:
        taker = Taker(nic)
        serving = asyncio.create_task(nic.serve(taker))
        device.lanes[0].offer([frame(0)])
        await taker.until_taken(1)
        device.may_come_back = True
        device.lanes[0].offer([frame(1)])
        device.cut()  # between the frame and its readiness
        async with asyncio.timeout(5):
            while nic.counters.resets == 0 or not nic.device_up:
                assert not serving.done()
                await asyncio.sleep(0.001)
        device.lanes[0].offer([frame(2)])
        await taker.until_taken(2)
        nic.stop()
        await serving
        assert taker.numbers == [0, 2]
