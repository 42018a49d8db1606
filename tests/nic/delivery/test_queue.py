"""Queue delivery on a real TAP: what each policy keeps, drops and counts."""

import asyncio

import pytest

from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.waiting import turns, until
from tests.wire import MAC, Wire, assert_law, frame, number_of


async def slow_worker(nic: Nic, gate: asyncio.Event, numbers: list[int]) -> None:
    async for burst in nic:
        await gate.wait()
        numbers.extend(number_of(octets) for octets in burst)


@pytest.mark.parametrize(
    ("policy", "kept", "dropped"),
    [
        ("drop-newest", list(range(28)), {"newest": 72, "oldest": 0}),
        ("drop-oldest", [*range(4), *range(76, 100)], {"newest": 0, "oldest": 72}),
        ("pause", list(range(100)), {"newest": 0, "oldest": 0}),
    ],
)
async def test_queue_delivery_drops_by_its_policy(
    tap_name: str, wire: Wire, policy: str, kept: list[int], dropped: dict[str, int]
) -> None:
    knobs = Knobs(rx_budget=4, queue_limit=28, queue_policy=policy)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, delivery="queue", knobs=knobs) as nic:
        gate = asyncio.Event()
        numbers: list[int] = []
        worker = asyncio.create_task(slow_worker(nic, gate, numbers))
        wire.send(*(frame(MAC, i) for i in range(4)))
        await until(lambda: nic.ledger().in_flight == 4)
        await turns()  # the worker has them
        wire.send(*(frame(MAC, i) for i in range(4, 100)))
        await until(lambda: nic.ledger().dropped["queue"] == dropped)
        await turns()
        assert nic.ledger().dropped["queue"] == dropped
        assert nic.ledger().imbalance == 0
        gate.set()
        await until(lambda: len(numbers) >= len(kept))
        assert numbers == kept
        assert_law(nic, offered=100)
        nic.stop()
        await worker
        assert nic.ledger().in_flight == 0


async def test_queue_delivery_puts_back_what_a_time_budget_cut_off(tap_name: str, wire: Wire) -> None:
    now = 0.0
    knobs = Knobs(rx_time_budget=0.010)
    async with (
        asyncio.timeout(10),
        open_nic(f"tap:{tap_name}", mac=MAC, delivery="queue", knobs=knobs, clock=lambda: now) as nic,
    ):
        wire.send(*(frame(MAC, i) for i in range(10)))
        numbers: list[int] = []
        async for burst in nic:
            for octets in burst:
                numbers.append(number_of(octets))
                now += 0.004
            if len(numbers) == 10:
                break
        assert numbers == list(range(10))
        assert_law(nic, offered=10)
