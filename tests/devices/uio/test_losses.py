"""A card that is pulled, or whose driver is taken away, under flood, with every delivery and overload: the law holds at
every reading, it is noticed, and only what is really there again is taken for back.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.devices.uio.card import Card
from tests.devices.uio.test_uio import function_of, sysfs
from tests.waiting import turns, until
from tests.wire import MAC, frame

__all__ = ["sysfs"]
RING = 64


@pytest.fixture
async def card(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Card]:
    (function_of(sysfs) / "resource0").write_bytes(bytes(32))
    card = Card(sysfs, monkeypatch)
    yield card
    card.close()


@asynccontextmanager
async def flood(card: Card) -> AsyncIterator[list[int]]:
    """Frames as fast as the machine takes them; how many it took."""
    taken = [0]

    async def run() -> None:
        while True:
            for _ in range(20):
                try:
                    card.wire.peer.send(frame(MAC, taken[0]))
                except BlockingIOError:
                    break
                taken[0] += 1
            await asyncio.sleep(0.001)

    task = asyncio.create_task(run())
    try:
        yield taken
    finally:
        task.cancel()


@asynccontextmanager
async def taking(nic: Nic) -> AsyncIterator[None]:
    """A stack that takes all there is."""

    async def run() -> None:
        async for burst in nic:
            for _ in burst:
                pass

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        nic.stop()
        await task


def modes() -> Iterator[tuple[str, str]]:
    for delivery in ("direct", "queue"):
        for overload in ("leave", "drain"):
            yield delivery, overload


@pytest.mark.parametrize(("delivery", "overload"), list(modes()))
async def test_a_card_that_is_pulled_and_put_back(
    card: Card, caplog: pytest.LogCaptureFixture, delivery: str, overload: str
) -> None:
    knobs = Knobs(overload=overload)
    async with open_nic(card.open, mac=MAC, rx_ring=RING, knobs=knobs, delivery=delivery) as nic:
        async with taking(nic), flood(card) as taken:
            await until(lambda: nic.counters.delivered_frames > 500)
            before = nic.ledger()
            card.pulled = True
            await until(lambda: "lost: " in caplog.text)
            lost = nic.ledger()
            assert (nic.device_up, lost.imbalance) == (False, 0), lost
            assert before.offered <= lost.offered <= taken[0]
            card.pulled = False
            await until(lambda: ": back" in caplog.text)
            delivered = nic.counters.delivered_frames
            await until(lambda: nic.counters.delivered_frames > delivered + 100)
            assert nic.ledger().imbalance == 0
        last = nic.ledger()
        assert last.imbalance == 0, last
        assert lost.offered < last.offered <= taken[0]
        assert last.dropped_total >= lost.dropped_total


@pytest.mark.parametrize(("delivery", "overload"), list(modes()))
async def test_a_card_whose_driver_is_taken_away_and_given_back_is_not_back(
    card: Card, caplog: pytest.LogCaptureFixture, delivery: str, overload: str
) -> None:
    """What was open of the driver stays dead: the service must be started again."""
    knobs = Knobs(overload=overload)
    async with open_nic(card.open, mac=MAC, rx_ring=RING, knobs=knobs, delivery=delivery) as nic:
        async with taking(nic), flood(card) as taken:
            await until(lambda: nic.counters.delivered_frames > 500)
            card.unbind()
            await until(lambda: "lost: " in caplog.text)
            assert nic.ledger().imbalance == 0, nic.ledger()
            assert not await nic.device.reattach()
            await turns()
            assert (nic.device_up, ": back" in caplog.text) == (False, False)
        last = nic.ledger()
        assert (last.imbalance, last.offered <= taken[0]) == (0, True), last
