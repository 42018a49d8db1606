"""The group's decisions, with workers and a TAP that are made of nothing: no process, no frame, milliseconds."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from asyncnic.devices.device import WireCounters
from asyncnic.devices.tap.shared import SharedTap
from asyncnic.errors import DeviceLost, Failed
from asyncnic.lanes.rules import DEFAULT_LANES, parse_lanes
from asyncnic.linux.link import LinkWanted
from asyncnic.service.workers import group as under_test
from asyncnic.service.workers.group import WorkerGroup
from asyncnic.service.workers.messages import Frame, Message, Question, Queues, Start, Stop, Turn
from asyncnic.service.workers.process import WorkerProcess
from asyncnic.service.workers.snapshot import Snapshot
from asyncnic.settings.load import load
from tests.service.workers.snapshots import snapshot
from tests.waiting import until


class Tap(SharedTap):
    """A TAP by its numbers alone."""

    def __init__(self) -> None:
        super().__init__("none", 2, parse_lanes(DEFAULT_LANES), LinkWanted(1500, 100))
        self.queues = [10, 11, 12]
        self.handed_out = 0
        self.there = True

    def wire(self) -> WireCounters:
        if self.queues and not self.there:
            raise DeviceLost("deleted")
        return WireCounters(self.handed_out, 0)

    def lose(self, read: int) -> None:
        self.handed_out, self.queues = read, []

    async def reattach(self) -> bool:
        self.queues = [20, 21, 22] if self.there else []
        return self.there

    async def set_queue_length(self, length: int) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.queues = []


class Worker(WorkerProcess):
    """A worker whose life and death are in the test's hand."""

    def __init__(self, index: int, passed_on: Callable[[WorkerProcess, Frame], None]) -> None:
        super().__init__(index, passed_on)
        self.said: list[tuple[Message, tuple[int, ...]]] = []
        self.refusals = 0
        self.starts = 0
        self.read = 0
        self.deaf = False
        self.slow = asyncio.Event()
        self.slow.set()
        self._dead = asyncio.Event()
        self._numbers = itertools.count(1)

    async def start(self, start: Start, descriptors: Sequence[int]) -> None:
        self.absent, self.starts, self.problem = False, self.starts + 1, ""
        self.said.append((start, tuple(descriptors)))
        await self.slow.wait()
        if self.refusals:
            self.refusals -= 1
            self.absent = True
            raise Failed(f"worker {self.index}: it cannot be started: no memory")
        self._dead.clear()
        self.read = 0
        self.snapshot = snapshot(0, 0)
        self.heard = float("inf")
        self.running = True

    async def ask(self, question: Question, seconds: float) -> Snapshot:
        await asyncio.sleep(0)
        if not self.running:
            raise EOFError
        if self.deaf:
            raise TimeoutError
        self.said.append((question, ()))
        self.snapshot = snapshot(self.read, self.read)
        if isinstance(question, Stop):
            self.die("")
        return self.snapshot

    def tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        self.said.append((message, tuple(descriptors)))

    async def wait(self) -> int:
        await self._dead.wait()
        self.absent = True
        return 1

    def kill(self) -> None:
        self.die(self.problem)

    def die(self, problem: str) -> None:
        self.problem, self.running = problem, False
        self._dead.set()

    def heard_of(self, kind: type[Message]) -> list[tuple[Message, tuple[int, ...]]]:
        return [one for one in self.said if isinstance(one[0], kind)]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("LOOK", 0.001), ("FIRST_DELAY", 0.001), ("LONGEST_DELAY", 0.004)):
        monkeypatch.setattr(under_test, name, seconds)


@asynccontextmanager
async def group() -> AsyncIterator[tuple[WorkerGroup, Tap, list[Worker]]]:
    """A group of two that runs, and ends well."""
    tap, made = Tap(), []

    def make(index: int, passed_on: Callable[[WorkerProcess, Frame], None]) -> WorkerProcess:
        made.append(Worker(index, passed_on))
        return made[-1]

    keeping = WorkerGroup(load({"device": "tap:none", "workers": "2"}, {}, None), tap, make)
    await keeping.start()
    running = asyncio.create_task(keeping.run())
    yield keeping, tap, made
    keeping.finish()
    await asyncio.wait_for(running, 10)
    await keeping.close()
    assert keeping.observed.nic.ledger().imbalance == 0


async def test_a_worker_is_started_on_its_queues_and_stopped() -> None:
    async with group() as (_, _, workers):
        assert [worker.heard_of(Start)[0][1] for worker in workers] == [(10, 11), (12,)]
    assert [len(worker.heard_of(Stop)) for worker in workers] == [1, 1]


async def test_a_fork_that_fails_keeps_the_keeper_which_tries_again(caplog: pytest.LogCaptureFixture) -> None:
    async with group() as (keeping, _, (first, second)):
        first.refusals = 7
        first.die("")
        await until(lambda: first.running and first.starts == 9)
        await until(lambda: not keeping.observed.stack.down)
        assert keeping.observed.workforce.restarts == 1
        assert second.starts == 1
    assert [record for record in caplog.records if record.msg == "a worker does not start"]


async def test_why_a_worker_ended_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    async with group() as (_, _, (first, _)):
        first.die("RuntimeError: the stack has no legs")
        await until(lambda: first.starts == 2)
    [ended] = [record for record in caplog.records if record.msg == "a worker ended"]
    assert ended.__dict__["fields"]["problem"] == "RuntimeError: the stack has no legs"


async def test_with_all_of_them_dead_the_device_is_not_up() -> None:
    async with group() as (keeping, _, workers):
        for worker in workers:
            worker.refusals = 1_000
            worker.die("")
        await until(lambda: not keeping.observed.nic.device_up)
        assert "ended" in keeping.observed.stack.down
        for worker in workers:
            worker.refusals = 0
        await until(lambda: keeping.observed.nic.device_up)


async def test_knobs_turned_while_a_worker_starts_reach_it_in_order() -> None:
    async with group() as (keeping, _, (first, _)):
        first.slow.clear()
        first.die("")
        await until(lambda: first.starts == 2)
        keeping.observed.nic.knobs.rx_budget = 3
        await keeping.apply_knobs()
        first.slow.set()
        await until(lambda: first.running)
        kinds = [type(message) for message, _ in first.said]
        turned = first.heard_of(Turn)[-1][0]
        assert isinstance(turned, Turn)
        assert turned.knobs.rx_budget == 3
        last_start = len(kinds) - 1 - kinds[::-1].index(Start)
        assert Turn in kinds[last_start:]


async def test_a_worker_starts_with_the_knobs_as_they_stand_and_not_as_they_are_set() -> None:
    async with group() as (keeping, _, (first, _)):
        keeping.observed.nic.knobs.rx_budget = 5  # a change that is being applied: the settings follow
        first.die("")
        await until(lambda: first.running and first.starts == 2)
        start = first.heard_of(Start)[-1][0]
        assert isinstance(start, Start)
        assert start.knobs.rx_budget == 5
        assert start.settings["rx_budget"] == 64


async def test_new_queues_are_handed_out_once_all_have_told_what_they_had_read() -> None:
    async with group() as (keeping, tap, workers):
        tap.handed_out = 10
        workers[0].read, workers[1].read = 4, 6
        workers[1].deaf = True
        tap.there = False
        await until(lambda: not tap.queues)
        tap.there = True
        for _ in range(100):
            await asyncio.sleep(0.001)
            assert not tap.queues
            assert keeping.observed.nic.ledger().imbalance == 0
        workers[1].deaf = False
        await until(lambda: bool(tap.queues))
        assert [worker.heard_of(Queues)[-1][1] for worker in workers] == [(20, 21), (22,)]
        assert tap.handed_out == 10


async def test_what_a_dead_worker_had_read_is_booked_once_the_others_stand_still() -> None:
    async with group() as (keeping, tap, (first, second)):
        tap.handed_out, first.read, second.read = 30, 10, 20
        await keeping.refresh()
        tap.handed_out = 35  # five that the first will not tell of
        first.die("")
        await until(lambda: first.starts == 2 and first.running)
        await keeping.refresh()
        ledger = keeping.observed.nic.ledger()
        assert ledger.dropped["driver"]["worker_lost"] == 5
        assert (ledger.offered, ledger.imbalance) == (35, 0)


async def test_a_silent_worker_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async with group() as (keeping, _, (first, _)):
        first.heard = 0.0
        await until(lambda: first.starts == 2)
        await until(lambda: keeping.observed.workforce.restarts == 1)


async def test_a_frame_that_is_passed_on_reaches_the_others() -> None:
    async with group() as (_, _, (first, second)):
        first._passed_on(first, Frame(b"arp"))
        assert second.heard_of(Frame) == [(Frame(b"arp"), ())]
        assert first.heard_of(Frame) == []
