"""A stack that raises, returns or cancels itself is counted and started again; frames are its business."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asyncnic.service import supervisor
from asyncnic.service.observed import Observed
from asyncnic.service.supervisor import Supervisor
from asyncnic.stacks.stack import Stack
from tests.web.fakes import FakeNic, observe


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(supervisor, "LONGEST_DELAY", 0.002)


class Runs(Stack):
    """A stack that is `how`."""

    def __init__(self, how: Callable[[], Awaitable[object]]) -> None:
        self._how = how

    async def run(self) -> object:
        return await self._how()


def supervise(run: Callable[[], Awaitable[object]], delivered: Callable[[], int] = int) -> tuple[Supervisor, Observed]:
    observed = observe(FakeNic())
    return Supervisor(Runs(run), observed.stack, delivered), observed


async def ends_badly_then_waits(how: Callable[[], None], times: int) -> int:
    """Failures counted for a stack that ends `how` so many times and then runs until it is asked to stop."""
    runs, running = 0, asyncio.Event()

    async def stack() -> None:
        nonlocal runs
        runs += 1
        if runs <= times:
            how()
            return
        running.set()
        await stopped.wait()

    stopped = asyncio.Event()
    supervisor, observed = supervise(stack)
    task = asyncio.create_task(supervisor.run())
    await running.wait()
    assert observed.stack.down == ""
    supervisor.finish()
    stopped.set()
    await task
    return observed.stack.failures


def fails() -> None:
    raise ValueError("bad frame")


def cancels_itself() -> None:
    raise asyncio.CancelledError


def leaves() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("how", [fails, cancels_itself, leaves, lambda: None])
async def test_a_stack_that_ends_is_counted_and_started_again(how: Callable[[], None]) -> None:
    assert await ends_badly_then_waits(how, 3) == 3


async def test_a_stack_that_gets_nowhere_is_down_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 60.0)

    async def stack() -> None:
        raise ValueError("no")

    supervised, observed = supervise(stack)
    task = asyncio.create_task(supervised.run())
    while not observed.stack.down:
        await asyncio.sleep(0)
    assert observed.not_ready.startswith("the stack coroutine ended: ValueError: no at ")
    supervised.finish()
    await task
    assert observed.stack.failures == 1


async def test_a_stack_that_gets_somewhere_is_started_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 60.0)
    frames = iter(range(1, 51))
    delivered = 0

    async def stack() -> None:
        nonlocal delivered
        delivered = next(frames, delivered)
        if delivered == 50:
            supervised.finish()
            return
        raise ValueError("this frame upsets me")

    supervised, observed = supervise(stack, lambda: delivered)
    async with asyncio.timeout(10):
        await supervised.run()
    assert observed.stack.failures == 49


async def test_a_stack_that_is_down_gets_what_the_rings_hold_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 60.0)
    runs = 0

    async def stack() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError

    supervised, observed = supervise(stack)
    task = asyncio.create_task(supervised.run())
    while not observed.stack.down:
        await asyncio.sleep(0)
    supervised.finish()
    await task
    assert runs == 2


async def test_cancelling_cancels_the_stack() -> None:
    started, cancelled = asyncio.Event(), False

    async def stack() -> None:
        nonlocal cancelled
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    supervised, _ = supervise(stack)
    task = asyncio.create_task(supervised.run())
    await started.wait()
    task.cancel()
    await asyncio.wait({task})
    assert cancelled
    assert task.cancelled()
