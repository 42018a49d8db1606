"""A sink with a broker that does what a test says: nothing is lost whatever that is, and what is wrong is said."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asyncnic.sinks import sink as module
from asyncnic.sinks.broker import Answer, BrokerError
from asyncnic.sinks.sink import BrokerSink
from asyncnic.sinks.window import BrokerVerdict, Received
from asyncnic.tasks import beside
from tests.waiting import until

PATIENCE = 10.0
"""Seconds that a broker in this process may take for anything."""

SOURCE = ("192.0.2.1", 4000)


class Transport:
    """As much of a transport as a protocol asks."""

    def get_extra_info(self, name: str) -> Any:
        return {"sockname": ("192.0.2.2", 514)}[name]


class FakeBroker:
    """Answers each datagram as `verdict` says (None: not at all), and is there while `up`."""

    most = 4

    def __init__(self) -> None:
        self.up = True
        self.verdict: BrokerVerdict | None = BrokerVerdict.ACKNOWLEDGED
        self.published: list[list[int]] = []
        self.sessions = 0

    @asynccontextmanager
    async def connect(self, answer: Answer) -> AsyncIterator["FakeSession"]:
        if not self.up:
            raise BrokerError("refused")
        self.sessions += 1
        yield FakeSession(self, answer)


class FakeSession:
    def __init__(self, broker: FakeBroker, answer: Answer) -> None:
        self.broker = broker
        self.answer = answer

    async def publish(self, batch: Sequence[Received]) -> None:
        self.broker.published.append([datagram.number for datagram in batch])
        if self.broker.verdict is not None:
            for datagram in batch:
                self.answer(datagram.number, self.broker.verdict, "because")

    async def lost(self) -> None:
        while self.broker.up:
            await asyncio.sleep(0.001)
        raise BrokerError("gone")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_DELAY", "RETRY_SECONDS"):
        monkeypatch.setattr(module, name, 0.001)


def make(broker: FakeBroker) -> tuple[BrokerSink, Callable[[int], None]]:
    """A sink, and what lets so many datagrams come."""
    sink = BrokerSink("514=fake://", broker, lambda: 100, lambda: None)
    protocol = sink.protocol()
    protocol.connection_made(Transport())  # type: ignore[arg-type]

    def receive(count: int) -> None:
        for _ in range(count):
            protocol.datagram_received(b"data", SOURCE)

    return sink, receive


async def test_bursts_are_published_in_batches_in_order() -> None:
    broker = FakeBroker()
    sink, receive = make(broker)
    assert sink.ledger().down == 1
    receive(10)
    async with beside(sink.run()):
        await sink.emptied()
    assert broker.published == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    ledger = sink.ledger()
    assert (ledger.received, ledger.acknowledged, ledger.imbalance, ledger.down) == (10, 10, 0, 0)


async def test_a_broker_that_comes_back_gets_what_it_has_not_acknowledged() -> None:
    broker = FakeBroker()
    broker.verdict = None
    sink, receive = make(broker)
    async with beside(sink.run()):
        receive(3)
        await until(lambda: broker.published, PATIENCE)
        broker.up = False
        await until(lambda: sink.trouble == "refused", PATIENCE)
        receive(1)
        assert (sink.ledger().in_flight, sink.ledger().down) == (4, 1)
        broker.verdict, broker.up = BrokerVerdict.ACKNOWLEDGED, True
        await sink.emptied()
    assert broker.published == [[0, 1, 2], [0, 1, 2, 3]]
    assert (sink.ledger().acknowledged, sink.ledger().republished, sink.trouble) == (4, 3, "")


async def test_not_now_is_asked_again_with_one_datagram_and_then_all_go() -> None:
    broker = FakeBroker()
    broker.verdict = BrokerVerdict.LATER
    sink, receive = make(broker)
    async with beside(sink.run()):
        receive(6)
        await until(lambda: len(broker.published) > 4, PATIENCE)
        assert sink.trouble == "because"
        assert [0] in broker.published
        broker.verdict = BrokerVerdict.ACKNOWLEDGED
        await sink.emptied()
    assert (sink.ledger().acknowledged, sink.ledger().imbalance, sink.trouble) == (6, 0, "")


async def test_not_now_to_all_that_there_is_is_asked_again_without_anything_new() -> None:
    broker = FakeBroker()
    broker.verdict = None
    sink, receive = make(broker)
    async with beside(sink.run()):
        receive(2)
        await until(lambda: broker.published, PATIENCE)
        await asyncio.sleep(0.01)  # the publisher has nothing to do and waits for work
        broker.verdict = BrokerVerdict.ACKNOWLEDGED
        for number in (0, 1):
            sink._answer(number, BrokerVerdict.LATER, "because")
        async with asyncio.timeout(10):
            await sink.emptied()
    assert sink.ledger().acknowledged == 2


async def test_a_refused_datagram_is_failed_and_no_trouble() -> None:
    broker = FakeBroker()
    broker.verdict = BrokerVerdict.REFUSED
    sink, receive = make(broker)
    async with beside(sink.run()):
        receive(2)
        await sink.emptied()
        assert sink.trouble == ""
    assert (sink.ledger().failed["refused"], sink.ledger().imbalance) == (2, 0)


async def test_a_broker_that_answers_nothing_is_connected_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.02)
    broker = FakeBroker()
    broker.verdict = None
    sink, receive = make(broker)
    async with beside(sink.run()):
        receive(1)
        await until(lambda: broker.sessions > 1, PATIENCE)
        broker.verdict = BrokerVerdict.ACKNOWLEDGED
        await sink.emptied()
    assert sink.ledger().acknowledged == 1


async def test_a_library_that_raises_anything_costs_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = FakeBroker()

    async def publish(self: FakeSession, batch: Sequence[Received]) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
        raise KeyError("surprise")

    monkeypatch.setattr(FakeSession, "publish", publish)
    sink, receive = make(broker)
    async with beside(sink.run()):
        receive(1)
        await sink.emptied()
    assert broker.sessions == 2


async def test_closing_gives_up_what_is_in_flight() -> None:
    sink, receive = make(FakeBroker())
    receive(3)
    sink.close()
    receive(1)
    await sink.emptied()
    assert (sink.ledger().failed["given_up"], sink.ledger().imbalance) == (4, 0)
