"""What blocks runs off the loop, and leaves no thread behind."""

import asyncio
import threading

import pytest

from asyncnic.linux.thread import in_thread
from tests.waiting import turns, until


def divide(number: int, by: int = 1) -> float:
    assert threading.current_thread() is not threading.main_thread()
    return number / by


async def test_result_and_error_come_back_and_the_thread_is_gone() -> None:
    before = threading.active_count()
    assert await in_thread(divide, 6, by=3) == 2.0
    assert threading.active_count() == before
    with pytest.raises(ZeroDivisionError):
        await in_thread(divide, 1, by=0)
    assert threading.active_count() == before


async def test_the_loop_goes_on_meanwhile() -> None:
    go = threading.Event()
    waiting = asyncio.create_task(in_thread(go.wait, 10.0))
    await turns()
    assert not waiting.done()
    go.set()
    assert await waiting


async def test_whoever_is_cancelled_does_not_wait_for_it() -> None:
    go = threading.Event()
    waiting = asyncio.create_task(in_thread(go.wait, 10.0))
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    await until(lambda: not any(one.name.startswith("ThreadPoolExecutor") for one in threading.enumerate()))
