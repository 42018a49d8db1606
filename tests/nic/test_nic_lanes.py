"""A nic with lanes on a real TAP: who is served first, budgets and weights, and the law in each lane and in sum."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator

import pytest

from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.pcnet32.driver.driver import Driver
from asyncnic.settings.knobs import Knobs
from tests.wire import HOST, Wire, keep_quiet, make_tap

MAC = bytes.fromhex("020000000002")
OTHER_MAC = bytes.fromhex("020000000003")
GROUP = bytes.fromhex("01005e000001")
HIGH, LOW = 0x88B5, 0x88B6  # experimental EtherTypes
LANES = ("high=ether:0x88b5",)


def frame(number: int, kind: int = LOW, destination: bytes = MAC) -> bytes:
    return (destination + HOST + kind.to_bytes(2, "big") + number.to_bytes(4, "big")).ljust(60, b"\0")


def seen(octets: memoryview) -> tuple[str, int]:
    """Lane and number of a frame, by what is in it."""
    kind = int.from_bytes(octets[12:14], "big")
    return "high" if kind == HIGH else "bulk", int.from_bytes(octets[14:18], "big")


@pytest.fixture
def wire(tap_name: str) -> Iterator[Wire]:
    subprocess.run(["ip", "tuntap", "add", tap_name, "mode", "tap", "multi_queue"], check=True)
    keep_quiet(tap_name)
    subprocess.run(["ip", "link", "set", tap_name, "up"], check=True)
    wire = Wire(tap_name)
    yield wire
    wire.close()


async def take(nic: Nic, count: int) -> list[tuple[str, int]]:
    """Lane and number of the next `count` frames, in the order of their delivery."""
    found: list[tuple[str, int]] = []
    async for burst in nic:
        found.extend(seen(octets) for octets in burst)
        if len(found) >= count:
            return found
    return found


def assert_law(nic: Nic, offered: dict[str, int], shed: int = 0) -> None:
    accounts = nic.accounts()
    assert {name: lane.ledger.offered for name, lane in accounts.lanes.items()} == offered
    for name, lane in accounts.lanes.items():
        assert lane.ledger.imbalance == 0, (name, lane.ledger)
    assert accounts.shed_total == shed
    assert nic.ledger().offered == sum(offered.values()) + shed
    assert nic.ledger().imbalance == 0
    assert sum(lane.delivered_bytes for lane in accounts.lanes.values()) == nic.counters.delivered_bytes


async def test_the_first_lane_is_served_first_whatever_came_first(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(lane=LANES, rx_budget=16)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs) as nic:
        wire.send(*(frame(i) for i in range(40)), *(frame(i, HIGH) for i in range(20)))
        expected = [("high", i) for i in range(20)] + [("bulk", i) for i in range(40)]
        assert await take(nic, 60) == expected
        assert_law(nic, {"high": 20, "bulk": 40})
        assert nic.accounts().lanes["high"].ledger.delivered == 20


async def test_a_lane_that_is_late_comes_before_the_next_burst_of_those_below(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(lane=LANES, rx_budget=8)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs) as nic:
        wire.send(*(frame(i) for i in range(24)))
        assert len(await take(nic, 8)) == 8
        wire.send(frame(0, HIGH))
        assert await take(nic, 1) == [("high", 0)]
        assert await take(nic, 16) == [("bulk", i) for i in range(8, 24)]
        assert_law(nic, {"high": 1, "bulk": 24})


async def test_a_weight_gives_bulk_its_turn_and_counts_live(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(lane=LANES, rx_budget=4, lane_weight=("high=2",))
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs) as nic:
        wire.send(*(frame(i) for i in range(12)), *(frame(i, HIGH) for i in range(32)))
        bursts = [found[0][0] for found in [await take(nic, 1) for _ in range(6)]]
        assert bursts == ["high", "high", "bulk", "high", "high", "bulk"]
        knobs.lane_weight = ()
        bursts = [found[0][0] for found in [await take(nic, 1) for _ in range(5)]]
        assert bursts == ["high", "high", "high", "high", "bulk"]
        assert_law(nic, {"high": 32, "bulk": 12})


async def test_a_full_bulk_lane_costs_the_high_one_nothing(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(lane=LANES, tap_queue=50)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs) as nic:
        wire.send(*(frame(i) for i in range(500)), *(frame(i, HIGH) for i in range(30)))
        assert await take(nic, 80) == [("high", i) for i in range(30)] + [("bulk", i) for i in range(50)]
        assert_law(nic, {"high": 30, "bulk": 500})
        ledgers = {name: lane.ledger for name, lane in nic.accounts().lanes.items()}
        assert (ledgers["high"].dropped_total, ledgers["bulk"].dropped_at("kernel")) == (0, 450)


async def test_drain_drops_at_the_card_of_the_lane_that_has_too_much(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(lane=LANES, overload="drain")
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, rx_ring=32, knobs=knobs) as nic:
        wire.send(*(frame(i) for i in range(200)), *(frame(i, HIGH) for i in range(20)))
        assert await take(nic, 52) == [("high", i) for i in range(20)] + [("bulk", i) for i in range(32)]
        assert nic.accounts().lanes["bulk"].ledger.dropped_at("card") == 168
        assert_law(nic, {"high": 20, "bulk": 200})


async def test_every_lane_filters_by_the_same_addresses(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(lane=LANES)) as nic:
        wire.send(*(frame(1, kind, to) for kind in (HIGH, LOW) for to in (OTHER_MAC, GROUP, MAC)))
        assert await take(nic, 2) == [("high", 1), ("bulk", 1)]
        nic.accept_multicast({GROUP})
        wire.send(*(frame(2, kind, to) for kind in (HIGH, LOW) for to in (OTHER_MAC, GROUP)))
        assert await take(nic, 2) == [("high", 2), ("bulk", 2)]
        assert [lane.ledger.filtered for lane in nic.accounts().lanes.values()] == [3, 3]
        assert_law(nic, {"high": 5, "bulk": 5})


async def test_replies_to_a_high_burst_leave_before_the_next_burst(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(lane=LANES)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs) as nic:
        wire.send(*(frame(i) for i in range(10)), *(frame(i, HIGH) for i in range(3)))
        high = await anext(nic)
        for octets in high:
            assert nic.send(HOST + MAC + bytes(octets[12:]))
        assert nic._drivers[0].tx.pending == 3
        assert [seen(octets) for octets in await anext(nic)] == [("bulk", i) for i in range(10)]
        replies = [wire.receive() for _ in range(3)]
        assert [seen(memoryview(reply)) for reply in replies] == [("high", i) for i in range(3)]


async def test_a_high_frame_wakes_a_nic_that_waits(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(lane=LANES)) as nic:
        for number in range(20):
            task = asyncio.create_task(take(nic, 1))
            await asyncio.sleep(0.002)
            kind = HIGH if number % 2 else LOW
            wire.send(frame(number, kind))
            assert await task == [("high" if number % 2 else "bulk", number)]
        assert_law(nic, {"high": 10, "bulk": 10})


async def test_only_a_lane_that_was_readable_is_acknowledged(
    tap_name: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged: list[Driver] = []

    def acknowledge(driver: Driver, really: Callable[[Driver], int] = Driver.acknowledge) -> int:
        acknowledged.append(driver)
        return really(driver)

    monkeypatch.setattr(Driver, "acknowledge", acknowledge)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(lane=LANES)) as nic:
        for lane, kind in enumerate((HIGH, LOW)):
            task = asyncio.create_task(take(nic, 1))
            await asyncio.sleep(0.01)
            acknowledged.clear()
            wire.send(frame(lane, kind))
            await task
            assert acknowledged == [nic._drivers[lane]]


async def test_what_the_rings_hold_is_delivered_after_the_stop(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(lane=LANES, rx_budget=4)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs) as nic:
        wire.send(*(frame(i) for i in range(10)), *(frame(i, HIGH) for i in range(10)))
        first = await take(nic, 1)
        for lane in nic.device.lanes:
            lane.poll(64)
        nic.stop()
        assert len(first) + len(await take(nic, 100)) == 20
        assert_law(nic, {"high": 10, "bulk": 10})


async def test_shed_frames_are_dropped_at_the_kernel_and_in_no_lane(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(lane=LANES, shed=("ether:0x88b7",))
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs) as nic:
        wire.send(*(frame(i, 0x88B7) for i in range(25)), frame(1), frame(2, HIGH))
        assert await take(nic, 2) == [("high", 2), ("bulk", 1)]
        assert nic.accounts().shed == {"ether:0x88b7": 25}
        assert nic.ledger().dropped["kernel"] == {"shed": 25, "tap_queue_full": 0}
        assert_law(nic, {"high": 1, "bulk": 1}, shed=25)


@pytest.mark.parametrize(
    ("policy", "kept", "dropped"),
    [
        ("drop-newest", range(20), {"newest": 80, "oldest": 0}),
        ("drop-oldest", range(80, 100), {"newest": 0, "oldest": 80}),
    ],
)
async def test_in_queue_delivery_bulk_makes_room_for_the_high_lane(
    tap_name: str, wire: Wire, policy: str, kept: range, dropped: dict[str, int]
) -> None:
    knobs = Knobs(lane=LANES, rx_budget=4, queue_limit=30, queue_policy=policy)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, delivery="queue", knobs=knobs) as nic:
        wire.send(*(frame(i) for i in range(100)))
        while nic.ledger().offered < 100 or nic.queue_frames < 30:
            await asyncio.sleep(0.001)
        wire.send(*(frame(i, HIGH) for i in range(10)))
        while nic.accounts().lanes["high"].ledger.offered < 10 or nic.ledger().in_flight > 30:
            await asyncio.sleep(0.001)
        assert await take(nic, 30) == [("high", i) for i in range(10)] + [("bulk", i) for i in kept]
        ledgers = {name: lane.ledger for name, lane in nic.accounts().lanes.items()}
        assert ledgers["high"].dropped["queue"] == {"newest": 0, "oldest": 0}
        assert ledgers["bulk"].dropped["queue"] == dropped
        assert_law(nic, {"high": 10, "bulk": 100})


async def test_in_queue_delivery_a_high_lane_that_fills_it_drops_its_own(tap_name: str, wire: Wire) -> None:
    knobs = Knobs(lane=LANES, queue_limit=30, queue_policy="drop-oldest")
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, delivery="queue", knobs=knobs) as nic:
        wire.send(*(frame(i, HIGH) for i in range(100)))
        while nic.ledger().offered < 100:
            await asyncio.sleep(0.001)
        wire.send(*(frame(i) for i in range(5)))
        while nic.ledger().offered < 105:
            await asyncio.sleep(0.001)
        assert await take(nic, 30) == [("high", i) for i in range(70, 100)]
        ledgers = {name: lane.ledger for name, lane in nic.accounts().lanes.items()}
        assert ledgers["high"].dropped["queue"] == {"newest": 0, "oldest": 70}
        assert ledgers["bulk"].dropped["queue"] == {"newest": 5, "oldest": 0}
        assert_law(nic, {"high": 100, "bulk": 5})


async def test_one_lane_is_all_of_the_ledger(tap_name: str) -> None:
    make_tap(tap_name)
    wire = Wire(tap_name)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        wire.send(*(frame(i, kind) for i in range(5) for kind in (HIGH, LOW)))
        assert len(await take(nic, 10)) == 10
        assert_law(nic, {"bulk": 10})
    wire.close()
