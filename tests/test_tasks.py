"""Tasks beside something: all end with it, and of those that fail each is heard of."""

import asyncio

import pytest

from asyncnic.tasks import Background, beside


async def _for_ever(ended: list[str], name: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(name)


async def _fail(after: asyncio.Event, text: str) -> None:
    await after.wait()
    raise ValueError(text)


async def test_all_end_with_the_body() -> None:
    ended: list[str] = []
    async with beside(_for_ever(ended, "one"), _for_ever(ended, "two")) as tasks:
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
    assert sorted(ended) == ["one", "two"]
    assert all(task.cancelled() for task in tasks)


async def test_a_task_that_fails_ends_the_body_and_the_others_and_is_raised_as_it_is() -> None:
    ended: list[str] = []
    now = asyncio.Event()
    with pytest.raises(ValueError, match=r"^broken$"):
        async with Background() as group:
            group.run(_for_ever(ended, "other"), "other")
            group.run(_fail(now, "broken"), "failing")
            await asyncio.sleep(0)
            now.set()
            await _for_ever(ended, "body")
    assert sorted(ended) == ["body", "other"]


async def test_the_bodys_error_is_raised_and_a_tasks_own_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("at the end")

    with pytest.raises(RuntimeError, match=r"^body$"):
        async with beside(fail_when_cancelled()):
            await asyncio.sleep(0)
            raise RuntimeError("body")
    (record,) = caplog.records
    assert "at the end" in record.__dict__["fields"]["problem"]


async def test_the_first_of_several_that_fail_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    now = asyncio.Event()
    with pytest.raises(ValueError, match=r"^first$"):
        async with beside(_fail(now, "first"), _fail(now, "second")):
            await asyncio.sleep(0)
            now.set()
            await asyncio.Event().wait()
    (record,) = caplog.records
    assert "second" in record.__dict__["fields"]["problem"]


async def test_a_task_that_ends_by_itself_ends_nothing() -> None:
    async def nothing() -> None:
        return

    async with beside(nothing()) as (task,):
        await task
        await asyncio.sleep(0)
    assert not task.cancelled()


async def test_cancelling_the_body_is_no_failure_of_a_task() -> None:
    ended: list[str] = []

    async def body() -> None:
        async with beside(_for_ever(ended, "task")):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["task"]
