"""Interrupt moderation on real wires: what waits on the wire, what does not, and what ends a wait."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from asyncnic.nic.burst import Burst
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.devices.packet.rig import Cable
from tests.waiting import until
from tests.wire import MAC, Wire, assert_law, frame, make_tap, number_of

FOREVER = 3600.0
"""Seconds of a wait that a test would not live to see the end of."""
WAYS = ("serve", "iterate", "queue")
"""How a stack gets its bursts: right from readiness, as a task, out of a queue."""


class Stack:
    """Notes the numbers of the frames that it gets."""

    def __init__(self, nic: Nic, way: str) -> None:
        self.numbers: list[int] = []
        self.task = asyncio.create_task(self._iterate(nic) if way == "iterate" else nic.serve(self._take))

    def _take(self, burst: Burst) -> None:
        self.numbers.extend(number_of(octets) for octets in burst)

    async def _iterate(self, nic: Nic) -> None:
        async for burst in nic:
            self._take(burst)

    async def has(self, count: int) -> None:
        await until(lambda: len(self.numbers) >= count)
        assert self.numbers == list(range(1, count + 1))

    async def end(self) -> None:
        async with asyncio.timeout(5):
            await self.task


def left(nic: Nic) -> bool:
    """Whether frames are left on the wire now."""
    return nic._rings.wakeup.wait > 0.0


@pytest.fixture
def cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.unplug()


@asynccontextmanager
async def serving(device: str, way: str, knobs: Knobs) -> AsyncIterator[tuple[Nic, Stack]]:
    async with open_nic(device, mac=MAC, knobs=knobs, delivery="queue" if way == "queue" else "direct") as nic:
        stack = Stack(nic, way)
        await until(lambda: nic._waiting._waiter is not None)
        yield nic, stack
        nic.stop()
        await stack.end()
        assert nic.ledger().imbalance == 0


@pytest.mark.parametrize("way", WAYS)
async def test_the_first_frame_goes_at_once_and_the_next_waits_until_the_stop(
    tap_name: str, wire: Wire, way: str
) -> None:
    async with serving(f"tap:{tap_name}", way, Knobs(rx_usecs=FOREVER)) as (nic, stack):
        wire.send(frame(MAC, 1))
        await stack.has(1)
        await until(lambda: left(nic))
        wire.send(frame(MAC, 2))
        await until(nic.device.lanes[0].readable)
        for _ in range(20):
            await asyncio.sleep(0)
        assert (stack.numbers, nic.counters.interrupts) == ([1], 1)
    assert_law(nic, offered=1)  # a frame that stands in the TAP's queue was not offered yet
    assert nic.ledger().delivered == 1


@pytest.mark.parametrize("way", WAYS)
async def test_what_came_meanwhile_is_one_interrupt(tap_name: str, wire: Wire, way: str) -> None:
    async with serving(f"tap:{tap_name}", way, Knobs(rx_usecs=0.3)) as (nic, stack):
        wire.send(frame(MAC, 1))
        await stack.has(1)
        await until(lambda: left(nic))
        wire.send(*(frame(MAC, number) for number in range(2, 42)))
        await stack.has(41)
        assert nic.counters.interrupts == 2
        assert_law(nic, offered=41)


@pytest.mark.parametrize("way", WAYS)
async def test_after_a_silence_the_first_frame_goes_at_once_again(tap_name: str, wire: Wire, way: str) -> None:
    async with serving(f"tap:{tap_name}", way, Knobs(rx_usecs=0.01)) as (nic, stack):
        for number in range(1, 6):
            nic.knobs.rx_usecs = FOREVER if number == 5 else 0.01
            interrupts = nic.counters.interrupts
            wire.send(frame(MAC, number))
            await stack.has(number)
            assert nic.counters.interrupts == interrupts + 1
            if number < 5:
                await until(lambda: not left(nic) and not nic._rings.wakeup.found)
                assert nic.counters.interrupts == interrupts + 1  # a look that finds nothing is none


@pytest.mark.parametrize("way", WAYS)
async def test_it_is_turned_off_while_frames_wait(tap_name: str, wire: Wire, way: str) -> None:
    async with serving(f"tap:{tap_name}", way, Knobs(rx_usecs=0.05)) as (nic, stack):
        wire.send(frame(MAC, 1))
        await stack.has(1)
        nic.knobs.rx_usecs = 0.0
        for number in range(2, 30):
            wire.send(frame(MAC, number))
        await stack.has(29)
        await until(lambda: not left(nic))
        for number in range(30, 33):
            wire.send(frame(MAC, number))
            await stack.has(number)
            assert not left(nic)
        assert_law(nic, offered=32)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rx_budget", [1, 64])
async def test_a_flood_comes_whole_and_in_order(tap_name: str, wire: Wire, way: str, rx_budget: int) -> None:
    async with serving(f"tap:{tap_name}", way, Knobs(rx_usecs=0.002, rx_budget=rx_budget)) as (nic, stack):
        sent = 0
        for count in (1, 3, 200, 1, 500, 64):
            wire.send(*(frame(MAC, sent + number + 1) for number in range(count)))
            sent += count
            await stack.has(sent)
        assert_law(nic, offered=sent)


@pytest.mark.parametrize("way", WAYS)
async def test_automatically_a_load_waits_and_single_frames_do_not(tap_name: str, wire: Wire, way: str) -> None:
    knobs = Knobs(rx_usecs_auto=True, target_lag=0.02)
    async with serving(f"tap:{tap_name}", way, knobs) as (nic, stack):
        sent = 0

        def send(count: int) -> None:
            nonlocal sent
            wire.send(*(frame(MAC, sent + number + 1) for number in range(count)))
            sent += count

        def loaded() -> bool:
            send(40)
            return 0.0 < nic.knobs.rx_usecs <= 0.02 and left(nic)

        await until(loaded)
        await stack.has(sent)

        def light() -> bool:
            if len(stack.numbers) == sent:
                send(1)
            return nic.knobs.rx_usecs == 0.0

        await until(light)
        await stack.has(sent)
        assert_law(nic, offered=sent)


async def test_no_wait_beside_busy_polling(tap_name: str, wire: Wire) -> None:
    async with serving(f"tap:{tap_name}", "serve", Knobs(rx_usecs=FOREVER, busy_poll=0.001)) as (nic, stack):
        for number in range(1, 5):
            wire.send(frame(MAC, number))
            await stack.has(number)
        assert not left(nic)


async def test_without_a_timer_the_wire_is_watched(
    tap_name: str, wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("asyncnic.nic.moderation.Ticker", refused)
    async with serving(f"tap:{tap_name}", "serve", Knobs(rx_usecs=FOREVER)) as (_, stack):
        for number in range(1, 5):
            wire.send(frame(MAC, number))
            await stack.has(number)
    assert [record.message for record in caplog.records if "timer" in record.message] == [
        "frames are not left on the wire: no timer"
    ]


async def test_a_tick_that_nobody_waits_for_is_the_last(tap_name: str, wire: Wire) -> None:
    async with open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(rx_usecs=FOREVER)) as nic:
        wire.send(frame(MAC, 1))
        async with asyncio.timeout(5):
            await anext(aiter(nic))
            waiting = asyncio.ensure_future(anext(aiter(nic)))
            await until(lambda: left(nic))
            waiting.cancel()
            await asyncio.wait({waiting})
            nic._rings.wakeup.tick()
            assert not left(nic)
            wire.send(frame(MAC, 2))
            assert [number_of(octets) for octets in await anext(aiter(nic))] == [2]
        assert_law(nic, offered=2)


@pytest.mark.parametrize("way", WAYS)
async def test_a_card_whose_interrupt_stays_off_is_looked_at_all_the_same(tap_name: str, way: str) -> None:
    make_tap(tap_name)
    wire = Wire(tap_name)
    async with serving(f"qemu:{tap_name}", way, Knobs(rx_usecs=0.3)) as (nic, stack):
        wire.send(frame(MAC, 1))
        await stack.has(1)
        await until(lambda: left(nic))
        wire.send(*(frame(MAC, number) for number in range(2, 22)))
        await stack.has(21)
        await until(lambda: not left(nic))
        interrupts = nic.counters.interrupts
        nic.knobs.rx_usecs = FOREVER
        wire.send(frame(MAC, 22))
        await stack.has(22)
        assert nic.counters.interrupts == interrupts + 1
        await until(lambda: left(nic))
        assert nic.ledger().delivered == 22
    wire.close()


@pytest.mark.parametrize("way", WAYS)
async def test_a_packet_ring_is_looked_at_in_a_while(cable: Cable, way: str) -> None:
    async with serving(f"packet:{cable.name}", way, Knobs(rx_usecs=0.3)) as (nic, stack):
        cable.send(frame(MAC, 1))
        await stack.has(1)
        await until(lambda: left(nic))
        cable.send(*(frame(MAC, number) for number in range(2, 22)))
        await stack.has(21)
        assert nic.counters.interrupts == 2
