"""The nic on a real TAP: bursts, budgets, back-pressure, loss and return; the conservation law after each."""

import asyncio
import subprocess

import pytest

from asyncnic.nic.burst import Burst
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.nic.waiting import Waiting
from asyncnic.settings.knobs import Knobs
from tests.waiting import turns, until
from tests.wire import MAC, Wire, assert_law, frame, make_tap, number_of

GROUP = bytes.fromhex("01005e000001")


async def take(nic: Nic, count: int) -> list[int]:
    """The numbers of the next `count` frames, in the order of their delivery."""
    numbers: list[int] = []
    async for burst in nic:
        numbers.extend(number_of(octets) for octets in burst)
        if len(numbers) >= count:
            return numbers
    return numbers


async def test_frames_are_delivered_in_order_and_the_law_holds(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        wire.send(*(frame(MAC, i) for i in range(500)))
        assert await take(nic, 500) == list(range(500))
        assert_law(nic, offered=500)
        assert nic.ledger().delivered == 500
        assert nic.counters.delivered_bytes == 500 * 60


async def test_a_short_frame_is_padded_and_a_full_one_arrives_whole(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        wire.send(frame(MAC, 1)[:20], frame(MAC, 2, 1514))
        lengths: list[int] = []
        async for octets in nic.frames():
            lengths.append(len(octets))
            if len(lengths) == 2:
                break
        assert lengths == [60, 1514]
        assert_law(nic, offered=2)


async def test_what_is_not_for_us_is_filtered_and_counted(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        other = bytes.fromhex("020000000003")
        wire.send(frame(other, 0), frame(GROUP, 1), frame(b"\xff" * 6, 2), frame(MAC, 3))
        assert await take(nic, 2) == [2, 3]
        nic.accept_multicast({GROUP})
        wire.send(frame(GROUP, 4), frame(other, 5), frame(MAC, 6))
        assert await take(nic, 2) == [4, 6]
        assert nic.ledger().filtered == 3
        assert_law(nic, offered=7)


async def test_a_slow_stack_leaves_the_overload_to_the_kernel(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(rx_budget=16, rx_time_budget=1.0, tap_queue=100)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs) as nic:
        wire.send(*(frame(MAC, i) for i in range(16)))
        first = await anext(nic)
        assert len(first) == 16
        wire.send(*(frame(MAC, i) for i in range(16, 400)))
        ledger = nic.ledger()
        assert ledger.in_flight == 16
        assert ledger.dropped_at("kernel") == 400 - 16 - 100
        assert ledger.imbalance == 0
        assert [number_of(octets) for octets in first] == list(range(16))
        assert await take(nic, 100) == list(range(16, 116))
        assert nic.ledger().in_flight == 0
        assert_law(nic, offered=400)


async def test_overload_drain_drops_at_the_card_with_miss(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(rx_budget=16, overload="drain")
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, rx_ring=32, knobs=knobs) as nic:
        wire.send(*(frame(MAC, i) for i in range(200)))
        assert await take(nic, 32) == list(range(32))
        ledger = nic.ledger()
        assert ledger.dropped_at("card") == 168
        assert ledger.dropped_at("kernel") == 0
        assert_law(nic, offered=200)


async def test_csr112_is_accumulated_over_its_wrap(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(overload="drain")
    async with asyncio.timeout(60), open_nic(f"tap:{tap_name}", mac=MAC, rx_ring=1, knobs=knobs) as nic:
        sent = 0
        while nic.ledger().dropped_at("card") <= 0x1_0000:
            wire.send(*(frame(MAC, i) for i in range(900)))
            sent += 900
            await take(nic, 1)
        assert_law(nic, offered=sent)


async def test_a_burst_ends_at_the_frame_budget(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(rx_budget=8)) as nic:
        wire.send(*(frame(MAC, i) for i in range(20)))
        sizes: list[int] = []
        async for burst in nic:
            sizes.append(len(burst))
            burst.taken = len(burst)
            if sum(sizes) == 20:
                break
        assert sizes == [8, 8, 4]
        assert nic.counters.budget_frames == 2


async def test_a_burst_ends_at_the_time_budget_and_loses_nothing(tap_name: str, wire: Wire) -> None:
    now = 0.0
    knobs = Knobs(rx_budget=64, rx_time_budget=0.010)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs, clock=lambda: now) as nic:
        wire.send(*(frame(MAC, i) for i in range(20)))
        bursts: list[list[int]] = []
        async for burst in nic:
            numbers = []
            for octets in burst:
                numbers.append(number_of(octets))
                now += 0.004
            bursts.append(numbers)
            if sum(map(len, bursts)) == 20:
                break
        assert [len(numbers) for numbers in bursts] == [3, 3, 3, 3, 3, 3, 2]
        assert [number for numbers in bursts for number in numbers] == list(range(20))
        assert nic.counters.budget_time == 6
        assert_law(nic, offered=20)


async def test_a_stack_that_raises_loses_only_what_it_took(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        wire.send(*(frame(MAC, i) for i in range(10)))
        with pytest.raises(ZeroDivisionError):
            async for burst in nic:
                for octets in burst:
                    if number_of(octets) == 3:
                        raise ZeroDivisionError
        assert await take(nic, 6) == [4, 5, 6, 7, 8, 9]
        assert_law(nic, offered=10)


async def test_a_burst_left_without_a_look_is_taken_whole(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        wire.send(*(frame(MAC, i) for i in range(5)))
        await anext(nic)
        wire.send(frame(MAC, 5))
        assert await take(nic, 1) == [5]
        assert_law(nic, offered=6)


async def test_timers_run_while_frames_never_end(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(rx_budget=4)) as nic:
        ticks = 0

        async def bystander() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        task = asyncio.create_task(bystander())
        wire.send(*(frame(MAC, i) for i in range(400)))
        await take(nic, 400)
        task.cancel()
        assert ticks >= 90


async def test_an_idle_nic_does_not_spin(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        task = asyncio.create_task(take(nic, 1))
        await turns()
        assert nic.counters.interrupts == 0
        wire.send(frame(MAC, 7))
        assert await task == [7]
        assert nic.counters.interrupts == 1


async def test_frames_that_nobody_takes_do_not_spin_the_loop(
    tap_name: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = 0
    readable = Waiting._readable

    def counted(waiting: Waiting, fd: int) -> None:
        nonlocal woken
        woken += 1
        readable(waiting, fd)

    monkeypatch.setattr(Waiting, "_readable", counted)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        task = asyncio.create_task(take(nic, 1))
        await asyncio.sleep(0)
        wire.send(frame(MAC, 1))
        await task
        woken = 0
        wire.send(frame(MAC, 2))  # readable, and no stack waits
        for _ in range(100):
            await asyncio.sleep(0)
        assert woken <= 1, "it is readable at every turn, and told once"
        assert await take(nic, 1) == [2]


async def test_busy_polling_finds_frames_without_an_interrupt(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(busy_poll=5.0)) as nic:
        task = asyncio.create_task(take(nic, 1))
        await turns()
        wire.send(frame(MAC, 7))
        assert await task == [7]
        assert nic.counters.interrupts == 0


async def test_replies_go_out_padded_in_order_and_are_counted(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, tx_ring=4) as nic:
        for i in range(10):
            assert nic.send(frame(b"\xff" * 6, i)[:30])
        await asyncio.sleep(0)
        received = [wire.receive() for _ in range(10)]
        assert [number_of(octets) for octets in received] == list(range(10))
        assert {len(octets) for octets in received} == {60}
        assert (nic.counters.transmitted_frames, nic.counters.transmitted_bytes) == (10, 300)
        assert not any(nic.transmit_errors.values())


async def test_stop_delivers_what_the_ring_holds_and_ends(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(rx_budget=16)) as nic:
        wire.send(*(frame(MAC, i) for i in range(16)))
        burst = await anext(nic)
        burst.taken = 4
        nic.stop()
        rest = [number_of(octets) async for octets in nic.frames()]
        assert rest == list(range(4, 16))
        assert nic.ledger().in_flight == 0
        assert_law(nic, offered=16)


async def test_a_waiting_stack_ends_at_the_stop(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        task = asyncio.create_task(take(nic, 1))
        await turns()
        nic.stop()
        assert await task == []


async def test_a_deleted_tap_is_noticed_and_taken_up_again(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(20), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        wire.send(*(frame(MAC, i) for i in range(5)))
        await take(nic, 5)
        task = asyncio.create_task(take(nic, 1))
        await turns()
        subprocess.run(["ip", "link", "del", tap_name], check=True)
        await until(lambda: not nic.device_up)
        assert not nic.send(frame(MAC))
        assert_law(nic, offered=5)
        make_tap(tap_name)
        await until(lambda: nic.device_up)
        again = Wire(tap_name)
        again.send(frame(MAC, 9))
        assert await task == [9]
        again.close()
        assert nic.counters.resets == 1
        assert_law(nic, offered=6)


async def test_a_chip_that_was_stopped_behind_our_back_is_brought_up_again(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        nic._drivers[0].write_csr(0, 4)
        task = asyncio.create_task(take(nic, 1))
        await turns()
        sent = 0
        while not task.done():
            wire.send(frame(MAC, sent))
            sent += 1
            await asyncio.sleep(0.01)
        assert nic.counters.resets == 1


async def test_a_watcher_sees_every_burst_and_takes_nothing(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        seen: list[int] = []

        def watcher(burst: Burst) -> None:
            seen.extend(burst.lengths)

        nic.watch(watcher)
        wire.send(*(frame(MAC, i) for i in range(5)))
        assert await take(nic, 5) == [0, 1, 2, 3, 4]
        assert seen == [60] * 5
