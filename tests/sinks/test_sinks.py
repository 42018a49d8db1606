"""All sinks of a stack: the narrowest window counts, waiting is counted, and the end is bounded."""

import asyncio
from pathlib import Path

import pytest

from asyncnic.settings.knobs import Knobs
from asyncnic.settings.sinks import parse_sink
from asyncnic.sinks import sinks as module
from asyncnic.sinks.sinks import Sinks, broker_of
from asyncnic.sinks.window import BrokerVerdict
from tests.sinks.test_sink import SOURCE, FakeBroker, Transport

A, B = parse_sink("514=nats://127.0.0.1/a"), parse_sink("515=redis://127.0.0.1/b")


def make(limit: int, brokers: tuple[FakeBroker, FakeBroker]) -> tuple[Sinks, asyncio.DatagramProtocol]:
    """Two sinks, and the protocol of the first."""
    sinks = Sinks([(A, brokers[0]), (B, brokers[1])], Knobs(sink_window=limit))
    protocol = sinks.ports[0][0]()
    protocol.connection_made(Transport())  # type: ignore[arg-type]
    return sinks, protocol


async def test_the_narrowest_window_counts_and_waiting_for_it_is_its_own() -> None:
    first, second = FakeBroker(), FakeBroker()
    first.verdict = None
    sinks, protocol = make(2, (first, second))
    assert [port for _, port in sinks.ports] == [514, 515]
    assert sinks.room == 2
    for _ in range(2):
        protocol.datagram_received(b"x", SOURCE)
    assert sinks.room == 0
    assert "sink 514=nats://127.0.0.1:4222/a: not connected yet; sink 515" in sinks.trouble()
    async with sinks.working():
        waiting = asyncio.create_task(sinks.wait_for_room())
        async with asyncio.timeout(10):
            while not first.published:
                await asyncio.sleep(0.001)
        assert not waiting.done()
        first.up, first.verdict = False, BrokerVerdict.ACKNOWLEDGED
        await asyncio.sleep(0.01)
        first.up = True
        assert await waiting > 0
    one, other = sinks.ledgers().values()
    assert (one.waits, other.waits, other.waited) == (1, 0, 0.0)
    assert one.waited > 0


async def test_a_window_turned_up_ends_the_waiting() -> None:
    knobs = Knobs(sink_window=1)
    sinks = Sinks([(A, FakeBroker())], knobs)
    sinks.ports[0][0]().datagram_received(b"x", SOURCE)
    waiting = asyncio.create_task(sinks.wait_for_room())
    await asyncio.sleep(0)
    knobs.sink_window = 2
    async with asyncio.timeout(10):
        await waiting


async def test_after_the_end_everything_comes_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_SECONDS", 0.01)
    silent = FakeBroker()
    silent.verdict = None
    sinks, protocol = make(1, (silent, FakeBroker()))
    protocol.datagram_received(b"x", SOURCE)
    sinks.finish()
    async with asyncio.timeout(10):
        await sinks.wait_for_room()
        protocol.datagram_received(b"y", SOURCE)
        await sinks.emptied()
    sinks.close()
    ledger = sinks.ledgers()[A.name]
    assert (ledger.failed["given_up"], ledger.imbalance) == (2, 0)


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), ("nothing", "PEM"), ("é", "PEM")])
def test_certificates_that_cannot_be_used_are_said(content: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=says):
        broker_of(parse_sink(f"514=tls://127.0.0.1/a?ca={path}"))


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._MODULES, "nats", "asyncnic.sinks.no_such_module")
    with pytest.raises(ValueError, match=r"pip install 'asyncnic\[sinks\]'"):
        broker_of(A)
