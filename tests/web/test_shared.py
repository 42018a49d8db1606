"""One answer for many: begun after the question, and never more than two at a time."""

import asyncio

import pytest

from asyncnic.web.shared import Shared


async def test_a_thousand_who_ask_while_one_is_made_share_the_next() -> None:
    shared: Shared[int] = Shared()
    begun, finish = 0, asyncio.Event()

    async def make() -> int:
        nonlocal begun
        begun += 1
        mine = begun
        await finish.wait()
        return mine

    first = [asyncio.create_task(shared.get("a", make)) for _ in range(10)]
    while not begun:
        await asyncio.sleep(0)
    rest = [asyncio.create_task(shared.get("a", make)) for _ in range(1000)]
    rest[0].cancel()
    while not rest[0].done():
        await asyncio.sleep(0)
    finish.set()
    assert await asyncio.gather(*first) == [1] * 10
    assert await asyncio.gather(*rest[1:]) == [2] * 999
    assert await shared.get("a", make) == 3
    assert not shared._running
    assert not shared._next


async def test_what_goes_wrong_is_told_to_all_and_forgotten() -> None:
    shared: Shared[int] = Shared()

    async def broken() -> int:
        raise ValueError("no")

    async def well() -> int:
        return 1

    found = await asyncio.gather(*(shared.get("a", broken) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in found] == ["no"] * 3
    with pytest.raises(ValueError, match=r"^no$"):
        await shared.get("a", broken)
    assert [await shared.get(key, well) for key in "ab"] == [1, 1]
